"""What is wrong with a dataset: unreadable photos, duplicates, one photo with two names, odd labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from facewise.concurrency import side_by_side
from facewise.data.content import photo_hash, stored_photo
from facewise.data.phash import near_pairs, perceptual_hash
from facewise.data.source import Source
from facewise.data.suspects import Suspects
from facewise.errors import ImageError, SettingError
from facewise.hardware import available_threads
from facewise.image import content_hash, decode, load, source_name

NEAR_BITS = 2
"""Bits of 64 in which the hashes of two photos may differ by default."""


@dataclass(frozen=True, slots=True)
class Group:
    """Photos that are the same, or look it.

    Attributes:
        keys: Them, two or more.
        people: Who they are said to show; two or more is a conflict.
        bits: In how many bits of 64 neighbours among them differ at most; None where the files are the same.
    """

    keys: tuple[str, ...]
    people: tuple[str, ...]
    bits: int | None = None

    @property
    def conflict(self) -> bool:
        """Whether one photo is under several names."""
        return len(self.people) > 1


@dataclass(frozen=True, slots=True)
class Check:
    """What was found in a dataset.

    Attributes:
        name: Of the dataset.
        photos: How many.
        people: How many.
        unreadable: Key and reason of each photo that cannot be read.
        same: Groups of photos with the same bytes.
        near: Groups of photos that look the same by perceptual hash, though their bytes differ.
        single: People with one photo only.
        suspects: Labels that look wrong, or None if no model was at hand to look.
    """

    name: str
    photos: int
    people: int
    unreadable: tuple[tuple[str, str], ...]
    same: tuple[Group, ...]
    near: tuple[Group, ...]
    single: tuple[str, ...]
    suspects: Suspects | None = None

    @property
    def conflicts(self) -> tuple[Group, ...]:
        """Groups with photos under two or more names."""
        return tuple(group for group in self.same + self.near if group.conflict)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {
            "dataset": self.name,
            "photos": self.photos,
            "people": self.people,
            "people_with_one_photo": list(self.single),
            "unreadable": [{"photo": key, "error": error} for key, error in self.unreadable],
            "duplicates_by_content": [_group(group) for group in self.same],
            "duplicates_by_look": [_group(group) for group in self.near],
            "label_conflicts": [_group(group) for group in self.conflicts],
            "label_suspects": None if self.suspects is None else asdict(self.suspects),
        }


class _Looked(NamedTuple):
    digest: str = ""
    bits: int = 0
    error: str = ""


def check_source(
    source: Source,
    progress: Callable[[int], None] = lambda _: None,
    *,
    near_bits: int = NEAR_BITS,
    threads: int | None = None,
) -> Check:
    """Look at every photo of a dataset.

    Args:
        source: The dataset. `find_suspects` looks at the labels; add its result with `dataclasses.replace`.
        progress: Told as photos are done.
        near_bits: Bits of 64 in which perceptual hashes of photos that look the same may differ; 0 to 16.
        threads: Photos looked at side by side; None is all CPUs of this process.

    Raises:
        SettingError: `near_bits` is out of range.
    """
    if not 0 <= near_bits <= 16:
        raise SettingError(f"Photos look the same if 0 to 16 bits of 64 differ, not {near_bits}.")
    found = []
    for looked in side_by_side(
        lambda i: _look(source, i), range(len(source.keys)), threads or available_threads()
    ):
        found.append(looked)
        progress(1)
    good = [i for i, looked in enumerate(found) if not looked.error]
    counts = np.bincount(source.labels, minlength=len(source.names))
    return Check(
        source.name,
        len(source.keys),
        int((counts > 0).sum()),
        tuple((source.keys[i], looked.error) for i, looked in enumerate(found) if looked.error),
        tuple(_by_content(source, good, found)),
        tuple(_by_look(source, good, found, near_bits)),
        tuple(name for name, count in zip(source.names, counts, strict=True) if count == 1),
    )


def _look(source: Source, index: int) -> _Looked:
    try:
        photo = stored_photo(source, index)
        if isinstance(photo, Path | bytes):
            data = load(photo)
            name = source_name(photo) if isinstance(photo, Path) else f"photo {source.keys[index]}"
            return _Looked(content_hash(data), perceptual_hash(decode(data, name=name)))
        return _Looked(photo_hash(source, index), perceptual_hash(photo))
    except ImageError as error:
        return _Looked(error=str(error))


def _by_content(source: Source, good: Sequence[int], found: Sequence[_Looked]) -> Iterable[Group]:
    of_digest = defaultdict(list)
    for i in good:
        of_digest[found[i].digest].append(i)
    return (_group_of(source, indices) for indices in of_digest.values() if len(indices) > 1)


def _by_look(source: Source, good: Sequence[int], found: Sequence[_Looked], most: int) -> Iterable[Group]:
    """Photos that are linked by near hashes, one a content: equal bytes are told elsewhere."""
    first: dict[str, int] = {}
    for i in good:
        first.setdefault(found[i].digest, i)
    of_hash = defaultdict(list)
    for i in first.values():
        of_hash[found[i].bits].append(i)
    hashes = np.array(list(of_hash), np.uint64)
    members = list(of_hash.values())
    root, widest = list(range(len(members))), [0] * len(members)
    for one, other, bits in near_pairs(hashes, most):
        a, b = _root(root, one), _root(root, other)
        root[b] = a
        widest[a] = max(widest[a], widest[b], bits)
    merged = defaultdict[int, list[int]](list)
    for i, indices in enumerate(members):
        merged[_root(root, i)] += indices
    return (_group_of(source, sorted(g), widest[i]) for i, g in merged.items() if len(g) > 1)


def _root(root: list[int], i: int) -> int:
    while root[i] != i:
        root[i] = root[root[i]]
        i = root[i]
    return i


def _group_of(source: Source, indices: Sequence[int], bits: int | None = None) -> Group:
    people = sorted({source.names[source.labels[i]] for i in indices})
    return Group(tuple(source.keys[i] for i in indices), tuple(people), bits)


def _group(group: Group) -> dict[str, Any]:
    return {"photos": list(group.keys), "people": list(group.people), "bits": group.bits}
