"""Datasets to photos with faces: labelled by a detector, or by the drawing itself; cached and resumable."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facewise.concurrency import side_by_side
from facewise.data.scenes.labels import LEAST_SCORE, SCALES, Labels, label
from facewise.data.scenes.photos import IDENTITY, LabelledPhoto, PhotoStore, has_part, pyramid, write_part
from facewise.data.source import Source
from facewise.data.synthetic import SyntheticSource
from facewise.detection import OnnxDetector
from facewise.errors import DatasetError
from facewise.files import one_at_a_time, write_bytes
from facewise.types import FloatArray, Image

_PART = 256
_MARGIN = 0.15
"""Around whatever may be a face, by its size: hair and ears are no background."""

_LEAST_CLEAR = 40
"""Pixels of the shorter side of a rectangle worth keeping."""

_FORMAT = 1

DRAWN_BOX = np.array([0.0, -0.06, -0.014, -0.033], np.float32)
"""What a drawn person's box lacks to be as the public RetinaFace boxes it, by its size: measured on 60 drawn
people (it takes the forehead up to the hair, and less of the chin)."""


@dataclass(frozen=True, slots=True)
class _Job:
    source: Source
    dataset: str
    index: int

    @property
    def key(self) -> str:
        return f"{self.dataset}/{self.source.keys[self.index]}"


def prepare_photos(
    folder: str | os.PathLike[str],
    sources: Mapping[str, Source],
    detector: OnnxDetector,
    *,
    held_out: float = 0.08,
    seed: int = 0,
    threads: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> PhotoStore:
    """Label photos and keep them ready; what is there already is not made again.

    Args:
        folder: Where to; work that was cut off goes on there.
        sources: Datasets by name. Of a `SyntheticSource` the faces are known, no detector is asked.
        detector: Labels all others. Its score threshold must be `LEAST_SCORE`.
        held_out: Share of the people of each dataset whose photos are kept for measuring.
        seed: Says who is held out.
        threads: Photos worked on side by side.
        say: Told of progress.

    Returns:
        The photos; those whose looks disagree on the main face are left out and counted in `dropped`.

    Raises:
        DatasetError: The folder holds other photos, or no photo is usable.
        ImageError: A photo cannot be read.
    """
    if detector.settings.score_threshold != LEAST_SCORE:
        raise DatasetError(f"For labelling, the detector's score threshold must be {LEAST_SCORE}.")
    folder = Path(folder)
    jobs = [_Job(source, name, i) for name, source in sources.items() for i in range(len(source.keys))]
    parts = [jobs[start : start + _PART] for start in range(0, len(jobs), _PART)]
    identity = {"parts": len(parts), "hash": _hash(jobs, detector, held_out, seed)}
    with one_at_a_time(folder / ".lock", DatasetError(f"Another process prepares photos in {folder}.")):
        _begin(folder, identity)
        for number, part in enumerate(parts):
            if has_part(folder, number):
                continue
            made = list(
                side_by_side(lambda job: _photo(job, detector, held_out=held_out, seed=seed), part, threads)
            )
            kept = [photo for photo in made if isinstance(photo, LabelledPhoto)]
            write_part(folder, number, kept, [photo for photo in made if isinstance(photo, str)])
            say(f"{min((number + 1) * _PART, len(jobs))} of {len(jobs)} photos labelled")
    store = PhotoStore(folder)
    say(f"{len(store)} photos with faces, {len(store.dropped)} left out because the looks at them disagree.")
    return store


def _begin(folder: Path, identity: Mapping[str, object]) -> None:
    path = folder / IDENTITY
    if not path.is_file():
        write_bytes(path, json.dumps(identity).encode())
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"Cannot read {path} ({error}); remove the folder and begin again.") from error
    if there != identity:
        raise DatasetError(
            f"{folder} holds other photos, or labels of another detector; take another folder."
        )


def _hash(jobs: list[_Job], detector: OnnxDetector, held_out: float, seed: int) -> str:
    words = [str(_FORMAT), detector.fingerprint, repr(SCALES), repr(held_out), str(seed)]
    words += [job.key for job in jobs]
    return hashlib.sha256(os.fsencode("\n".join(words))).hexdigest()


def _photo(job: _Job, detector: OnnxDetector, *, held_out: float, seed: int) -> LabelledPhoto | str:
    """The photo with its faces, or its key where the looks disagree."""
    image = job.source.read(job.index)
    drawn = isinstance(job.source, SyntheticSource)
    found = (
        _drawn(job.source, job.index) if isinstance(job.source, SyntheticSource) else label(detector, image)
    )
    if not found.usable:
        return job.key
    person = job.source.names[int(job.source.labels[job.index])]
    return LabelledPhoto(
        job.key,
        drawn,
        _share(f"{seed}/{job.dataset}/{person}") < held_out,
        pyramid(image),
        found.boxes,
        found.landmarks,
        found.sure,
        clear_of(found.anything, image),
    )


def _drawn(source: SyntheticSource, index: int) -> Labels:
    truth = source.truth(index)
    size = float(np.sqrt(np.prod(truth.box[2:] - truth.box[:2])))
    boxes = np.asarray(truth.box + size * DRAWN_BOX, np.float32)[None]
    # Hair stands out above the face and beside it.
    wide = boxes + size * np.array([-0.25, -0.4, 0.25, 0.1], np.float32)
    return Labels(boxes, truth.landmarks[None].astype(np.float32), np.array([True]), wide)


def _share(text: str) -> float:
    """In [0, 1), from a name: the same whoever else is there."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def clear_of(boxes: FloatArray, image: Image) -> NDArray[np.int32]:
    """Rectangles of a photo without any of the boxes: beside, above and below all of them.

    Args:
        boxes: (K, 4) whatever may be a face; K ≥ 1.
        image: (H, W, 3) the photo.

    Returns:
        (R, 4) x1, y1, x2, y2, R ≤ 4.
    """
    height, width = image.shape[:2]
    sizes = np.sqrt(np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 0))[:, None]
    low = np.floor((boxes[:, :2] - _MARGIN * sizes).min(axis=0)).astype(int)
    high = np.ceil((boxes[:, 2:] + _MARGIN * sizes).max(axis=0)).astype(int)
    around = (
        (0, 0, min(low[0], width), height),
        (max(high[0], 0), 0, width, height),
        (0, 0, width, min(low[1], height)),
        (0, max(high[1], 0), width, height),
    )
    return np.array(list(_large(around)), np.int32).reshape(-1, 4)


def _large(rectangles: tuple[tuple[int, int, int, int], ...]) -> Iterator[tuple[int, int, int, int]]:
    for x1, y1, x2, y2 in rectangles:
        if min(x2 - x1, y2 - y1) >= _LEAST_CLEAR:
            yield x1, y1, x2, y2
