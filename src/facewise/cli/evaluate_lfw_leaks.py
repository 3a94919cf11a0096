"""Training photos among those of LFW: what `facewise eval lfw` does about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from facewise.cli.evaluate_leaks import find_leaks, wants_out

if TYPE_CHECKING:
    from facewise.data.lfw import Lfw
    from facewise.evaluation.cache import FaceCache
    from facewise.evaluation.leak_check import LeakCheck, Leaks, LeftOutFor


@dataclass(frozen=True, slots=True)
class LfwLeaks:
    """What LFW has in common with a training, and what of it is to be measured.

    Attributes:
        parts: The pair files given, without what is in common if that is wanted.
        leaks: What is in common.
        left_out: What was left out, or None.
    """

    parts: list[Lfw]
    leaks: Leaks
    left_out: LeftOutFor | None

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return self.leaks.to_dict(0, self.left_out)


def lfw_leaks(
    check: LeakCheck,
    parts: Sequence[Lfw],
    without: set[str],
    cache: FaceCache | None,
    *,
    everybody: bool,
    json: bool,
) -> LfwLeaks:
    """Look for the training photos of a model in LFW.

    Args:
        check: The model.
        parts: One pair file, or that of the threshold and that of the test.
        without: People who are left out of the last one anyway.
        cache: See `LeakCheck.find`.
        everybody: Look at all photos there are, not only those of the pairs.
        json: See `find_leaks`.
    """
    from facewise.evaluation.pairs import people_of_pairs, photos_of

    *others, last = parts
    judged = [
        pair
        for pair, two in zip(last.pairs, people_of_pairs(last.pairs), strict=True)
        if without.isdisjoint(two)
    ]
    names = photos_of([*judged, *(pair for part in others for pair in part.pairs)])
    if everybody:
        names = sorted({*names, *(photo for person in last.people.values() for photo in person)})
    photos = [(name, last.images / name, name.partition("/")[0]) for name in names]
    leaks = find_leaks(check, photos, "LFW", cache=cache, json=json)
    if not wants_out(leaks):
        return LfwLeaks(list(parts), leaks, None)
    kept, number = [], 0
    for part in parts:
        keep, left_out = leaks.kept(part.pairs, people_of_pairs(part.pairs), "LFW")
        number += left_out.number
        people = {name: photos for name, photos in part.people.items() if name not in leaks.people}
        kept.append(replace(part, pairs=tuple(part.pairs[i] for i in keep), people=people))
    return LfwLeaks(kept, leaks, replace(left_out, number=number))
