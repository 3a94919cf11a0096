"""What every detector is: photos in, faces out. Decoders of network outputs register here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facewise.boxes import intersection_over_union
from facewise.errors import ModelError, SettingError
from facewise.types import Face, FloatArray, Image

CANDIDATES = 5000
"""Boxes kept for suppression at most, the most confident ones."""

Shape = tuple[int | None, ...]
"""Of an array, None for a length that varies."""


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """What counts as a face, and how hard to look.

    Attributes:
        score_threshold: Least confidence of a face, in (0, 1).
        nms_threshold: Boxes that overlap more than this (intersection over union) are one face.
        max_size: Photos with a longer side than this are looked at scaled down; boxes are in photo pixels
            all the same. It bounds time and memory for any photo.
        min_face: Faces whose box has a shorter side below this many photo pixels are left out.
        max_faces: At most this many faces a photo, the most confident ones.
    """

    score_threshold: float = 0.5
    nms_threshold: float = 0.4
    max_size: int = 1024
    min_face: float = 0.0
    max_faces: int = 500

    def __post_init__(self) -> None:
        if not (0 < self.score_threshold < 1 and 0 < self.nms_threshold <= 1):
            raise SettingError("Score and NMS thresholds must lie between 0 and 1.")
        if not (self.max_size >= 32 and self.min_face >= 0 and self.max_faces >= 1):  # NaN is none of them
            raise SettingError("max_size must be at least 32, min_face at least 0 and max_faces at least 1.")


@dataclass(frozen=True, slots=True, eq=False)
class RawFaces:
    """Faces of one image before non-maximum suppression.

    Attributes:
        boxes: (K, 4) float32 x1, y1, x2, y2 in pixels of the network's input.
        scores: (K,) float32.
        landmarks: (K, 5, 2) float32 in pixels of the network's input.
    """

    boxes: FloatArray
    scores: FloatArray
    landmarks: FloatArray

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def best(self) -> RawFaces:
        """The most confident ones, no more of them than are worth suppressing: that is quadratic in them."""
        if len(self) <= CANDIDATES:
            return self
        return self.only(np.argsort(-self.scores, kind="stable")[:CANDIDATES])

    @property
    def sides(self) -> FloatArray:
        """(K,) the longer side of each box."""
        return np.asarray((self.boxes[:, 2:] - self.boxes[:, :2]).max(axis=1, initial=0))

    def only(self, which: NDArray[Any]) -> RawFaces:
        """Those at these indices, or where a mask is True."""
        return RawFaces(self.boxes[which], self.scores[which], self.landmarks[which])

    def scaled(self, x: float, y: float) -> RawFaces:
        """The same in pixels of which there are more or fewer."""
        scale = np.array([x, y], dtype=np.float32)
        return RawFaces(self.boxes * np.tile(scale, 2), self.scores, self.landmarks * scale)

    def moved(self, x: float, y: float) -> RawFaces:
        """The same in pixels counted from another corner."""
        shift = np.array([x, y], dtype=np.float32)
        return RawFaces(self.boxes + np.tile(shift, 2), self.scores, self.landmarks + shift)

    @staticmethod
    def joined(parts: Sequence[RawFaces]) -> RawFaces:
        """All of them, in order."""
        return RawFaces(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.landmarks for part in parts]),
        )


class Detector(Protocol):
    """Photos in, faces out."""

    @property
    def name(self) -> str:
        """Name of the model."""
        ...

    @property
    def fingerprint(self) -> str:
        """Which model found a face."""
        ...

    @property
    def settings(self) -> DetectorSettings:
        """What counts as a face."""
        ...

    @property
    def sure(self) -> float:
        """The score that 9 of 10 clear upright faces reach, and 1 of 100 that lie another way."""
        ...

    def detect(self, image: Image, *, threads: int | None = None) -> list[Face]:
        """Faces of one photo: the main face (`main_candidate`), then the most confident.

        Args:
            image: (H, W, 3) RGB uint8.
            threads: 1 keeps the work on the calling thread.
        """
        ...

    def detect_batch(self, images: Sequence[Image], *, threads: int | None = None) -> list[list[Face]]:
        """Faces of several photos; photos of equal size share a network call."""
        ...


class Decoder(Protocol):
    """Turns one network's outputs into faces."""

    @property
    def sure(self) -> float:
        """See `Detector.sure`; of the family's networks that are measured in benchmarks/turned.py."""
        ...

    @property
    def largest(self) -> float:
        """Pixels of the longer side of the largest face that the network is made for."""
        ...

    @property
    def multiple(self) -> int:
        """Height and width of the network's input are multiples of this."""
        ...

    def takes_batches(self, outputs: Sequence[Shape]) -> bool:
        """Whether several photos can share a call, by the outputs a network says it has.

        Args:
            outputs: Their shapes, None for a length that varies, an empty shape for one not told.

        Raises:
            ModelError: They cannot be those of this family.
        """
        ...

    def decode(
        self, outputs: Sequence[NDArray[np.float32]], size: tuple[int, int], score_threshold: float
    ) -> list[RawFaces]:
        """Outputs of a batch → faces above the threshold for each image.

        Args:
            outputs: The network's outputs, (N, …) each, or without N where `takes_batches` says no.
            size: (height, width) of the network's input in pixels.
            score_threshold: Least confidence.
        """
        ...


_DECODERS: dict[str, Callable[[Mapping[str, Any]], Decoder]] = {}


def register_decoder(
    name: str,
) -> Callable[[Callable[[Mapping[str, Any]], Decoder]], Callable[[Mapping[str, Any]], Decoder]]:
    """Register a decoder under the name model files call it by."""

    def add(make: Callable[[Mapping[str, Any]], Decoder]) -> Callable[[Mapping[str, Any]], Decoder]:
        _DECODERS[name] = make
        return make

    return add


def make_decoder(options: Mapping[str, Any]) -> Decoder:
    """The decoder a model file asks for.

    Raises:
        ModelError: An unknown decoder, or options it cannot use.
    """
    name = str(options.get("name"))
    if name not in _DECODERS:
        raise ModelError(
            f"Unknown detector family {name!r}; on ONNX Runtime this Facewise knows "
            f"{', '.join(sorted(_DECODERS))}."
        )
    try:
        return _DECODERS[name](options)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"The options of the {name} detector are malformed ({error}).") from error


def main_candidate(boxes: FloatArray, scores: FloatArray, size: tuple[int, ...]) -> int:
    """Which face a photo of one person is about: confident and near the middle.

    The one with the highest `score − distance(box centre, photo centre) / (half the shorter side)`.

    Args:
        boxes: (K, 4) x1, y1, x2, y2; K ≥ 1.
        scores: (K,).
        size: (height, width) of what the boxes lie in.

    Returns:
        Its index.
    """
    height, width = size[:2]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = np.hypot(centres[:, 0] - width / 2, centres[:, 1] - height / 2)
    return int(np.argmax(scores - distance / (min(height, width) / 2)))


def non_maximum_suppression(
    boxes: FloatArray, scores: FloatArray, threshold: float, *, first: int | None = None
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression.

    Args:
        boxes: (K, 4) x1, y1, x2, y2.
        scores: (K,).
        threshold: Boxes that overlap a kept one more than this (intersection over union) go.
        first: A box that is kept whatever its score, before all others.

    Returns:
        Indices of the kept boxes: `first`, then the most confident; equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    if first is not None:
        order = np.concatenate([[first], order[order != first]])
    boxes = boxes.astype(np.float64)
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        order = rest[intersection_over_union(boxes[best], boxes[rest]) <= threshold]
    return np.asarray(kept, dtype=np.intp)
