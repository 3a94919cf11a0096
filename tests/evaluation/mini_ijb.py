"""A drawn IJB: people in two galleries, probes of them, photos and videos, in the files of the real one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

from facewise.data.ijb import GALLERIES
from facewise.data.synthetic import SyntheticSource

PEOPLE, PHOTOS = 14, 8
MEDIA = (0, 0, 1, 2, 3, 3, 3, 4)
"""The medium of each of a person's photos: a video of two frames, two photos, a video of three, a photo."""

TEMPLATES = ((0, 1, 2), (3, 4, 5, 6), (7, 1))
"""The photos of a person's templates: the first is in a gallery, the others are probes."""


@dataclass(frozen=True)
class Row:
    """A line of both lists of photos."""

    name: str
    template: int
    media: int
    landmarks: tuple[float, ...]
    score: float


def template_of(person: int, number: int) -> int:
    """Template ids with gaps, not in the order of the people."""
    return 7 * ((person * 5) % PEOPLE) + 2 * number + 3


def subject_of(person: int) -> int:
    return 900 - 3 * person


def _source() -> SyntheticSource:
    return SyntheticSource(PEOPLE, PHOTOS, seed=5, size=64, difficulty=0.6)


@cache
def rows() -> list[Row]:
    """The photos in a shuffled order: those of a template need not be neighbours."""
    source = _source()
    rng = np.random.default_rng(8)
    found = []
    for person in range(PEOPLE):
        for number, photos in enumerate(TEMPLATES):
            for photo in photos:
                index = person * PHOTOS + photo
                marks = tuple(round(float(v), 3) for v in source.truth(index).landmarks.ravel())
                found.append(
                    Row(
                        f"{len(found) + 1}.jpg",
                        template_of(person, number),
                        100 * person + MEDIA[photo],
                        marks,
                        round(float(rng.uniform(0.3, 1.0)), 3),
                    )
                )
    return [found[i] for i in rng.permutation(len(found))]


def _photos() -> Iterator[bytes]:
    source = _source()
    kept = [source.jpeg(i)[0] for i in range(PEOPLE * PHOTOS)]
    for person in range(PEOPLE):
        for photos in TEMPLATES:
            yield from (kept[person * PHOTOS + photo] for photo in photos)


def pairs() -> list[tuple[int, int, int]]:
    """Every gallery template with every probe, but for some."""
    return [
        (template_of(a, 0), template_of(b, number), int(a == b))
        for a, b, number in product(range(PEOPLE), range(PEOPLE), (1, 2))
        if (a * 5 + b * 3 + number) % 9
    ]


def make(root: Path, subset: str = "IJBC") -> Path:
    """Write `root/IJBC` or `root/IJBB`; gallery one has the first half of the people, two the second."""
    start, folder = subset.lower(), root / subset
    crops, meta = folder / "loose_crop", folder / "meta"
    crops.mkdir(parents=True)
    meta.mkdir()
    for number, data in enumerate(_photos(), start=1):
        (crops / f"{number}.jpg").write_bytes(data)
    listed = rows()
    _write(meta / f"{start}_face_tid_mid.txt", (f"{r.name} {r.template} {r.media}" for r in listed))
    _write(
        meta / f"{start}_name_5pts_score.txt",
        (f"{r.name} {' '.join(f'{v:.3f}' for v in r.landmarks)} {r.score:.3f}" for r in listed),
    )
    _write(meta / f"{start}_template_pair_label.txt", (f"{a} {b} {same}" for a, b, same in pairs()))
    half = PEOPLE // 2
    for name, people in zip(GALLERIES[subset], (range(half), range(half, PEOPLE)), strict=True):
        write_enrolled(meta / f"{start}_1N_gallery_{name}.csv", people, (0,))
    write_enrolled(meta / f"{start}_1N_probe_mixed.csv", range(PEOPLE), (1, 2))
    return root


def write_enrolled(path: Path, people: range, numbers: tuple[int, ...]) -> None:
    """A line a photo, as the real lists have."""
    lines = ["TEMPLATE_ID,SUBJECT_ID,FILENAME,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT"]
    for person, number in product(people, numbers):
        start = f"{template_of(person, number)},{subject_of(person)}"
        lines += [f"{start},img/{photo}.jpg,1,2,3,4" for photo in TEMPLATES[number]]
    _write(path, lines)


def _write(path: Path, lines: object) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))  # type: ignore[attr-defined]
