"""Decoding RetinaFace: anchors at three strides, offsets to boxes and landmarks, in numpy.

Deng et al. 2019 (1905.00641); the offset coding is that of SSD (Liu et al. 2016, 1512.02325, section 2.2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.detection.base import RawFaces, Shape, register_decoder
from facewise.errors import ModelError
from facewise.types import FloatArray


@register_decoder("retinaface")
class RetinaFaceDecoder:
    """Outputs: box offsets (N, A, 4), face probability (N, A), landmark offsets (N, A, 10).

    The probabilities may also be (N, A, 2), of no face and of a face, as in yakhyo's exports.

    Args:
        options: `strides` (S,), `min_sizes` (S lists of anchor sides in pixels), `variances` (2,).
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.strides = tuple(int(s) for s in options["strides"])
        self.min_sizes = tuple(tuple(float(m) for m in sizes) for sizes in options["min_sizes"])
        self.variances = (float(options["variances"][0]), float(options["variances"][1]))
        if len(self.strides) != len(self.min_sizes):
            raise ValueError("strides and min_sizes differ in length")
        if not all(s > 0 for s in self.strides):
            raise ValueError("a stride is not positive")

    @property
    def sure(self) -> float:
        """See `Decoder.sure`."""
        return 0.99

    @property
    def largest(self) -> float:
        """See `Decoder.largest`."""
        return max(side for sizes in self.min_sizes for side in sizes)

    @property
    def multiple(self) -> int:
        """See `Decoder.multiple`: any size will do, anchors are laid past the edge."""
        return 1

    def takes_batches(self, outputs: Sequence[Shape]) -> bool:  # noqa: ARG002  all that are known do
        """See `Decoder.takes_batches`."""
        return True

    def decode(
        self, outputs: Sequence[NDArray[np.float32]], size: tuple[int, int], score_threshold: float
    ) -> list[RawFaces]:
        """See `Decoder.decode`."""
        anchors = anchors_of(size, self.strides, self.min_sizes)
        if len(outputs) == 3 and outputs[1].shape[2:] == (2,):
            outputs = [outputs[0], outputs[1][..., 1], outputs[2]]
        expected = [(len(anchors), 4), (len(anchors),), (len(anchors), 10)]
        if [out.shape[1:] for out in outputs] != expected:
            raise ModelError(
                f"The network's outputs are no RetinaFace's: their shapes are "
                f"{[out.shape for out in outputs]}, but for each photo {expected} are expected."
            )
        offsets, scores, points = outputs
        return [
            self._decode_one(anchors, offsets[i], scores[i], points[i], score_threshold)
            for i in range(len(scores))
        ]

    def _decode_one(
        self,
        anchors: FloatArray,
        offsets: FloatArray,
        scores: FloatArray,
        points: FloatArray,
        threshold: float,
    ) -> RawFaces:
        # Of tens of thousands of anchors a few dozen pass: decode only those.
        passed = np.flatnonzero(scores > threshold)
        centre, side = anchors[passed, :2], anchors[passed, 2:]
        box, marks = offsets[passed], points[passed].reshape(-1, 5, 2)
        shift, stretch = self.variances
        middle = centre + box[:, :2] * shift * side
        half = side * np.exp(np.minimum(box[:, 2:] * stretch, 10.0)) / 2
        return RawFaces(
            boxes=np.concatenate([middle - half, middle + half], axis=1).astype(np.float32),
            scores=scores[passed],
            landmarks=(centre[:, None] + marks * shift * side[:, None]).astype(np.float32),
        )


@lru_cache(maxsize=64)
def anchors_of(
    size: tuple[int, int], strides: tuple[int, ...], min_sizes: tuple[tuple[float, ...], ...]
) -> FloatArray:
    """(A, 4) centre x, centre y, width, height in pixels: strides, then rows, columns, sizes."""
    parts = []
    for stride, sides in zip(strides, min_sizes, strict=True):
        rows, columns = math.ceil(size[0] / stride), math.ceil(size[1] / stride)
        y, x, side = np.meshgrid(
            (np.arange(rows) + 0.5) * stride, (np.arange(columns) + 0.5) * stride, sides, indexing="ij"
        )
        parts.append(np.stack([x, y, side, side], axis=-1).reshape(-1, 4))
    return np.concatenate(parts).astype(np.float32)
