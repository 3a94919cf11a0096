"""The photos of IJB-B and IJB-C: which template and medium each belongs to, its landmarks, its score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from facewise.errors import DatasetError
from facewise.image import source_name
from facewise.textfile import text_lines

_BLOCK = 20_000
"""Lines whose text is held as fields at once."""

_MEDIA = "image template medium"
_POINTS = "image x1 y1 x2 y2 x3 y3 x4 y4 x5 y5 score"


@dataclass(frozen=True, slots=True, eq=False)
class IjbFaces:
    """One face a photo, as both lists name them.

    Attributes:
        names: Paths relative to the folder of photos.
        templates: (N,) int64 places in `template_ids`.
        media: (N,) int64 the photo or video each was taken from.
        landmarks: (N, 5, 2) float32, pixels of the photo.
        scores: (N,) float32 confidence of the detector that found the landmarks, 0 or more.
        template_ids: (T,) int64 the templates' numbers in the files, rising.
    """

    names: tuple[str, ...]
    templates: NDArray[np.int64]
    media: NDArray[np.int64]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]
    template_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.names)


def read_faces(media_list: Path, points_list: Path) -> IjbFaces:
    """Read `…_face_tid_mid.txt` and `…_name_5pts_score.txt`, whose lines go together one by one.

    Raises:
        DatasetError: A file is missing or empty, a line is malformed, or the files name other photos; the
            file and the line are named.
    """
    names, template, media = _read_media(media_list)
    others, values = _read_points(points_list)
    if len(names) != len(others):
        raise DatasetError(
            f"{source_name(media_list)} lists {len(names)} photos, but {source_name(points_list)} "
            f"{len(others)}; both must list the same ones."
        )
    for line, (name, other) in enumerate(zip(names, others, strict=True), start=1):
        if name != other:
            raise DatasetError(
                f"Line {line} of {source_name(points_list)} is about {other!r}, but the same line of "
                f"{source_name(media_list)} about {name!r}; both must list photos in one order."
            )
    ids, places = np.unique(template, return_inverse=True)
    return IjbFaces(
        names=tuple(names),
        templates=places.astype(np.int64),
        media=media,
        landmarks=values[:, :10].reshape(-1, 5, 2),
        scores=values[:, 10].copy(),
        template_ids=ids,
    )


def _read_media(path: Path) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    names: list[str] = []
    numbers: list[NDArray[np.int64]] = []
    for line, rows in _blocks(path, 3, _MEDIA):
        for i, (name, *fields) in enumerate(rows):
            if not all(field.isascii() and field.isdigit() and len(field) < 10 for field in fields):
                raise DatasetError(f"Line {line + i} of {source_name(path)} is no `{_MEDIA}`.")
            names.append(_inside(name, line + i, path))
        numbers.append(np.array([fields for _, *fields in rows], dtype=str).astype(np.int64))
    if not names:
        raise DatasetError(f"{source_name(path)} lists no photos.")
    table = np.concatenate(numbers)
    return names, table[:, 0].copy(), table[:, 1].copy()


def _read_points(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Names, and (N, 11) coordinates and scores."""
    names: list[str] = []
    blocks: list[NDArray[np.float32]] = []
    for line, rows in _blocks(path, 12, _POINTS):
        try:
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is told of
                values = np.array([row[1:] for row in rows], dtype=str).astype(np.float64).astype(np.float32)
        except ValueError:
            bad = next(i for i, row in enumerate(rows) if not all(map(_is_number, row[1:])))
            raise DatasetError(f"Line {line + bad} of {source_name(path)} is no `{_POINTS}`.") from None
        wrong = ~np.isfinite(values).all(axis=1) | (values[:, 10] < 0)
        if wrong.any():
            raise DatasetError(
                f"Line {line + int(np.argmax(wrong))} of {source_name(path)} has a coordinate that is not "
                "finite, or a score that is no number from 0 up."
            )
        names += [row[0] for row in rows]
        blocks.append(values)
    if not names:
        raise DatasetError(f"{source_name(path)} lists no photos.")
    return names, np.concatenate(blocks)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _blocks(path: Path, fields: int, expected: str) -> Iterator[tuple[int, list[list[str]]]]:
    """Lines split at blanks, a block at a time, with the 1-based number of its first line."""
    name = source_name(path)
    lines, line, empty = text_lines(path), 1, 0
    while rows := [text.split() for text in islice(lines, _BLOCK)]:
        for i, row in enumerate(rows):
            if row and empty:
                raise DatasetError(f"Line {line + i - 1} of {name} is empty.")
            empty += not row
            if row and len(row) != fields:
                raise DatasetError(f"Line {line + i} of {name} is no `{expected}`.")
        full = [row for row in rows if row]
        if full:
            yield line, full
        line += len(rows)


def _inside(name: str, line: int, path: Path) -> str:
    """A photo's name, which must not lead out of the folder of photos."""
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or "\\" in name or "\0" in name or ":" in name:
        raise DatasetError(f"Line {line} of {source_name(path)}: {name!r} is no photo of the dataset.")
    return name
