"""The columns of a file of embedded faces: one row a face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from facewise.types import Face, FloatArray, Quality

FaceRow: TypeAlias = tuple[str, str, int, Face]
"""The photo's path, its sha256, which face of the photo it is, and the embedded face."""

QUALITY = ("size", "sharpness", "yaw", "pitch", "roll")
"""Columns of `quality_array`, fields of `facewise.types.Quality`."""


def face_arrays(
    rows: Sequence[FaceRow], model: str, fingerprint: str, flip: bool, size: int
) -> dict[str, Any]:
    """The columns for `numpy.savez`.

    Args:
        rows: N faces.
        model: Name of the embedder.
        fingerprint: Its fingerprint.
        flip: Whether embeddings average a crop and its mirror image.
        size: Length D of an embedding, for where there is no row.

    Returns:
        `embedding` (N, D) float32, `photo` and `photo_sha256` (N,) text, `face` (N,) int32, `box` (N, 4),
        `landmarks` (N, 5, 2) and `score` (N,) float32, and `model`, `fingerprint`, `flip` for all.
    """
    vectors = [face.embedding for *_, face in rows if face.embedding is not None]
    return {
        "embedding": np.stack(vectors) if vectors else np.empty((0, size), np.float32),
        "photo": np.array([row[0] for row in rows], dtype=np.str_),
        "photo_sha256": np.array([row[1] for row in rows], dtype=np.str_),
        "face": np.array([row[2] for row in rows], dtype=np.int32),
        "box": np.array([row[3].box for row in rows], dtype=np.float32).reshape(-1, 4),
        "landmarks": np.array([row[3].landmarks for row in rows], dtype=np.float32).reshape(-1, 5, 2),
        "score": np.array([row[3].score for row in rows], dtype=np.float32),
        "model": np.array(model),
        "fingerprint": np.array(fingerprint),
        "flip": np.array(flip),
    }


def quality_array(rows: Sequence[FaceRow]) -> FloatArray:
    """(N, 5) the faces' quality, columns as `QUALITY`; NaN where it was not measured."""
    nothing = [float("nan")] * len(QUALITY)
    values = [
        nothing if face.quality is None else [getattr(face.quality, name) for name in QUALITY]
        for *_, face in rows
    ]
    return np.array(values, dtype=np.float32).reshape(-1, len(QUALITY))


def reasons_array(rows: Sequence[FaceRow]) -> np.ndarray[Any, np.dtype[np.str_]]:
    """(N,) why nothing can be decided by each face, one reason a line; mostly empty."""
    told = ["" if face.quality is None else "\n".join(face.quality.reasons) for *_, face in rows]
    return np.array(told, dtype=np.str_)


def quality_of(score: float, row: FloatArray, reasons: str = "") -> Quality | None:
    """The quality from rows of `quality_array` and `reasons_array`, or None where it was not measured."""
    if np.isnan(row).any():
        return None
    size, sharpness, yaw, pitch, roll = map(float, row)
    return Quality(score, size, sharpness, yaw, pitch, roll, reasons=tuple(reasons.splitlines()))
