"""How far a model that was made from another gives the same answers: after quantisation, above all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.boxes import intersection_over_union
from facewise.detection import Detector
from facewise.embedding import Embedder
from facewise.errors import DatasetError, ModelError
from facewise.types import Face, Image

LEAST_COSINE = 0.95
"""Mean cosine to the original's embeddings below which a model is taken for broken. MobileFaceNet in int8 has
0.997 on LFW's crops and loses none of its accuracy; a network that int8 does not suit falls far below."""

LEAST_FOUND = 0.95
LARGEST_MOVE = 0.1
"""Share of the original's faces found below which, and median landmark distance in eye distances above which,
a detector is taken for broken. A tenth of the eye distance is as far as people who mark faces disagree."""

_SAME = 0.5
"""Least intersection over union of two boxes of one face."""


@dataclass(frozen=True, slots=True)
class EmbeddingAgreement:
    """Embeddings of two models of the same crops.

    Attributes:
        crops: How many.
        mean: Mean cosine similarity.
        low: Its 5th percentile.
        least: The least.
    """

    crops: int
    mean: float
    low: float
    least: float

    @property
    def broken(self) -> bool:
        """Whether the two are no longer the same model."""
        return not self.mean >= LEAST_COSINE

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"cosine to the original's embeddings on {self.crops} crops: mean {self.mean:.4f}, "
            f"5th percentile {self.low:.4f}, least {self.least:.4f}"
        )


@dataclass(frozen=True, slots=True)
class DetectionAgreement:
    """Faces that two detectors find in the same photos.

    Attributes:
        photos: How many.
        faces: Faces the original finds.
        found: Share of them the other finds too (boxes with an intersection over union of 0.5 or more).
        extra: Faces only the other finds.
        score: Median difference of the scores of the same face.
        overlap: Median intersection over union of the boxes of the same face.
        landmarks: Median over faces of the mean landmark distance, in eye distances.
        landmarks_high: Its 95th percentile.
    """

    photos: int
    faces: int
    found: float
    extra: int
    score: float
    overlap: float
    landmarks: float
    landmarks_high: float

    @property
    def broken(self) -> bool:
        """Whether the two are no longer the same detector."""
        return not (self.found >= LEAST_FOUND and self.landmarks <= LARGEST_MOVE)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"on {self.photos} photos {self.found:.1%} of the original's {self.faces} faces, "
            f"{self.extra} it does not find; medians: score differs by {self.score:.4f}, "
            f"box overlap {self.overlap:.3f}, landmarks {self.landmarks:.2%} of the eye distance away "
            f"(95th percentile {self.landmarks_high:.2%})"
        )


Agreement = EmbeddingAgreement | DetectionAgreement


def compare_embedders(original: Embedder, other: Embedder, crops: NDArray[np.uint8]) -> EmbeddingAgreement:
    """Embed the same crops with both.

    Args:
        original: The model the other was made from.
        other: It.
        crops: (N, S, S, 3) aligned, N ≥ 1.

    Raises:
        ModelError: The other gives vectors of another length, or without direction.
    """
    if original.embedding_size != other.embedding_size:
        raise ModelError(
            f"{other.name} gives {other.embedding_size} numbers a face, {original.name} gives "
            f"{original.embedding_size}: one was not made from the other."
        )
    cosines = np.einsum("nd,nd->n", original.embed(crops), other.embed(crops), dtype=np.float64)
    low = float(np.quantile(cosines, 0.05))
    return EmbeddingAgreement(len(crops), float(cosines.mean()), low, float(cosines.min()))


def compare_detectors(original: Detector, other: Detector, photos: Sequence[Image]) -> DetectionAgreement:
    """Look for faces in the same photos with both, at the same settings.

    Raises:
        DatasetError: The original finds no face, so that there is nothing to compare.
    """
    faces = extra = 0
    pairs: list[tuple[Face, Face]] = []
    for photo in photos:
        expected, got = original.detect(photo), other.detect(photo)
        same = _matched(expected, got)
        faces, extra = faces + len(expected), extra + len(got) - len(same)
        pairs += same
    if not faces:
        raise DatasetError(
            f"{original.name} finds no face in the {len(photos)} photos kept for checking: "
            "give photos of people."
        )
    if not pairs:
        return DetectionAgreement(len(photos), faces, 0.0, extra, 1.0, 0.0, float("inf"), float("inf"))
    moves = [_move(a, b) for a, b in pairs]
    return DetectionAgreement(
        len(photos),
        faces,
        len(pairs) / faces,
        extra,
        float(np.median([abs(a.score - b.score) for a, b in pairs])),
        float(np.median([float(intersection_over_union(a.box, b.box)) for a, b in pairs])),
        float(np.median(moves)),
        float(np.quantile(moves, 0.95)),
    )


def check_agreement(name: str, agreement: Agreement) -> None:
    """Refuse a model that is broken.

    Raises:
        ModelError: It is; the sentence has the figures.
    """
    if agreement.broken:
        raise ModelError(
            f"{name} does not give the original's answers ({agreement}), so it was not saved; "
            "calibrate it on other photos, or use fp16."
        )


def _matched(expected: Sequence[Face], got: Sequence[Face]) -> list[tuple[Face, Face]]:
    """Pairs of boxes of the same face, each box in one pair at most, the best overlaps first."""
    overlaps = [
        (float(intersection_over_union(a.box, b.box)), i, j)
        for i, a in enumerate(expected)
        for j, b in enumerate(got)
    ]
    pairs, used, taken = [], set(), set()
    for overlap, i, j in sorted(overlaps, reverse=True):
        if overlap >= _SAME and i not in used and j not in taken:
            pairs.append((expected[i], got[j]))
            used.add(i)
            taken.add(j)
    return pairs


def _move(a: Face, b: Face) -> float:
    """Mean landmark distance over the eye distance of `a`."""
    eyes = float(np.linalg.norm(a.landmarks[1] - a.landmarks[0]))
    return float(np.linalg.norm(a.landmarks - b.landmarks, axis=1).mean()) / max(eyes, 1e-6)
