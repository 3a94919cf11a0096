"""Who plays what: nobody is ever measured by a model or a threshold that was made on their own photos."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facewise.data.source import FileSource, Subset
from facewise.demo.plan import Plan
from facewise.errors import DatasetError

FEWEST = 5
"""People with two photos: two to measure thresholds on, two to enrol, one stranger."""

_TO_LEARN = 4
"""Photos of a person, and people, that training begins to make sense from."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Four groups that share nobody; names of people.

    Attributes:
        learn: The trainings see these, and nobody else. Empty where there are too few people.
        measure: Models and thresholds are measured on these.
        enrolled: In the gallery.
        strangers: Not in the gallery.
    """

    learn: tuple[str, ...]
    measure: tuple[str, ...]
    enrolled: tuple[str, ...]
    strangers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class People:
    """Photos and who is who in them.

    Attributes:
        source: The photos, which are files.
        photos: Person → their photos that are used, as keys of the source.
        cast: Who plays what.
        drawn: Whether nobody of them exists.
    """

    source: FileSource
    photos: Mapping[str, tuple[str, ...]]
    cast: Cast
    drawn: bool

    def path(self, key: str) -> Path:
        """Where a photo lies."""
        return self.source.root / key

    def of(self, *groups: Sequence[str]) -> list[tuple[str, str]]:
        """(person, key) of every photo of some groups of the cast."""
        return [(name, key) for group in groups for name in group for key in self.photos[name]]

    def part(self, *groups: Sequence[str]) -> Subset:
        """The photos of some groups as a dataset."""
        place = {key: i for i, key in enumerate(self.source.keys)}
        return Subset(self.source, np.array([place[key] for _, key in self.of(*groups)], np.int64))


def photos_by_person(source: FileSource) -> dict[str, tuple[str, ...]]:
    """Person → keys of their photos, in the source's order."""
    found: dict[str, list[str]] = {name: [] for name in source.names}
    for key, label in zip(source.keys, source.labels, strict=True):
        found[source.names[label]].append(key)
    return {name: tuple(keys) for name, keys in found.items()}


def people_of(
    source: FileSource, plan: Plan, *, drawn: bool, unseen: Collection[str] | None = None
) -> People:
    """Give the people of a dataset their parts; of those with very many photos some are used.

    Args:
        source: The dataset.
        plan: Says how many of each.
        drawn: Whether they are drawn.
        unseen: Only these may be measured on, enrolled or strangers: those no model at hand has learned from.

    Raises:
        DatasetError: There are too few people with two photos.
    """
    photos = {name: keys[: plan.photos] for name, keys in photos_by_person(source).items()}
    return People(source, photos, cast(photos, plan, source.name, unseen), drawn)


def cast(
    photos: Mapping[str, Sequence[str]], plan: Plan, where: str, unseen: Collection[str] | None = None
) -> Cast:
    """Choose who plays what, the people with most photos first; see `people_of`."""
    ranked = sorted(photos, key=lambda name: (-len(photos[name]), name))
    free = [name for name in ranked if unseen is None or name in unseen]
    several = [name for name in free if len(photos[name]) >= 2]
    if len(several) < FEWEST:
        raise DatasetError(
            f"The demo needs at least {FEWEST} people with two photos or more, each in a sub-folder of their "
            f"own, and {where} has {len(several)}."
        )
    alone = [name for name in free if len(photos[name]) == 1]
    count = len(several)
    enrolled = min(plan.enrolled, max(2, round(0.2 * count)))
    strangers = max(1 if not alone else 0, min(plan.strangers, round(0.12 * count)) - len(alone))
    measure = min(plan.measure, max(2, round(0.2 * count)))
    if unseen is None:
        learn, story = _split(several, len(several) - enrolled - strangers - measure, plan, photos)
    else:
        learn, story = _enough([name for name in ranked if name not in unseen], plan, photos), several
    chosen = _dealt(story, enrolled, measure, strangers)
    # A step through all of those with one photo, lest they all begin with the same letter.
    step = max(1, len(alone) // plan.strangers)
    return Cast(
        tuple(learn),
        tuple(sorted(chosen[1])),
        tuple(sorted(chosen[0])),
        tuple(sorted([*chosen[2], *sorted(alone)[::step][: plan.strangers]])),
    )


def _split(
    several: list[str], left: int, plan: Plan, photos: Mapping[str, Sequence[str]]
) -> tuple[list[str], list[str]]:
    learn = _enough(several[: max(0, left)], plan, photos)
    return learn, [name for name in several if name not in set(learn)]


def _enough(names: Sequence[str], plan: Plan, photos: Mapping[str, Sequence[str]]) -> list[str]:
    """Those to learn from; nobody where they are too few."""
    good = [name for name in names if len(photos[name]) >= _TO_LEARN][: plan.learn]
    return good if len(good) >= _TO_LEARN else []


def _dealt(names: Sequence[str], *sizes: int) -> list[list[str]]:
    """Groups of these sizes, those with most photos in the first."""
    groups, start = [], 0
    for size in sizes:
        groups.append(list(names[start : start + size]))
        start += size
    return groups


def spoken(folder: str) -> str:
    """A folder's name as a person's."""
    return folder.replace("_", " ")
