"""Decoding SCRFD, the detector of InsightFace's packs: distances from the cells of three strides, in numpy.

Guo et al. 2021 (2105.04714). Boxes are coded as the distances of their four sides from a point, as in FCOS
(Tian et al. 2019, 1904.01355, equation 1), but in units of the stride, and the point is the upper left corner
of its cell and not the middle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.detection.base import RawFaces, Shape, register_decoder
from facewise.errors import ModelError
from facewise.types import FloatArray

_SCORE, _BOX, _MARKS = 1, 4, 10
"""Numbers an anchor has in each kind of output."""

_MOST_STRIDE = 1024
"""Photos are laid on a canvas of a multiple of the strides; no file shall make that as large as it likes."""

_NO_SHARE = 1e-3
"""How far beyond 0 and 1 a probability may be by rounding."""


@register_decoder("scrfd")
class ScrfdDecoder:
    """Outputs, in any order: for each stride, probabilities (N, A, 1), boxes (N, A, 4), marks (N, A, 10).

    A is rows × columns × anchors of that stride, anchors fastest. InsightFace's own files have no N: their
    networks take one photo. Box distances are left, up, right, down; landmarks are offsets x, y, of the eye
    at the image's left first.

    Args:
        options: `strides` (S,), `anchors`: how many a cell has.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.strides = tuple(int(s) for s in options["strides"])
        self.anchors = int(options["anchors"])
        if not self.strides or not all(s > 0 for s in self.strides) or self.anchors < 1:
            raise ValueError("a stride or the number of anchors is not positive")
        if len(set(self.strides)) < len(self.strides) or self.multiple > _MOST_STRIDE:
            raise ValueError("a stride is there twice or too large")

    @property
    def sure(self) -> float:
        """See `Decoder.sure`."""
        return 0.775

    @property
    def largest(self) -> float:
        """See `Decoder.largest`: anchors of 16 times the largest stride, as published."""
        return 16.0 * max(self.strides)

    @property
    def multiple(self) -> int:
        """See `Decoder.multiple`."""
        return math.lcm(*self.strides)

    def takes_batches(self, outputs: Sequence[Shape]) -> bool:
        """See `Decoder.takes_batches`."""
        levels = len(self.strides)
        if len(outputs) == 2 * levels:
            raise ModelError(
                f"This SCRFD gives {len(outputs)} outputs, boxes without landmarks, and faces cannot be "
                "aligned without: take the variant with landmarks (its name often ends in kps)."
            )
        if len(outputs) != 3 * levels:
            raise ModelError(
                f"The network's outputs are no SCRFD's: there are {len(outputs)}, but scores, boxes and "
                f"landmarks at {levels} strides are {3 * levels}."
            )
        return all(len(shape) == 3 for shape in outputs)

    def decode(
        self, outputs: Sequence[NDArray[np.float32]], size: tuple[int, int], score_threshold: float
    ) -> list[RawFaces]:
        """See `Decoder.decode`."""
        sizes = [(size[0] // stride, size[1] // stride) for stride in self.strides]
        counts = [rows * columns * self.anchors for rows, columns in sizes]
        # The shapes tell the outputs apart, however an export orders or names them: a stride has a quarter
        # of the cells of the stride before.
        found = {out.shape[-2:]: out if out.ndim == 3 else out[None] for out in outputs}
        expected = [(count, kind) for kind in (_SCORE, _BOX, _MARKS) for count in counts]
        photos = {out.shape[0] for out in found.values()}
        if len(outputs) != len(expected) or set(found) != set(expected) or len(photos) != 1:
            raise ModelError(
                f"The network's outputs are no SCRFD's: their shapes are {[out.shape for out in outputs]}, "
                f"but for a photo of {size[0]}x{size[1]} pixels {expected} are expected."
            )
        scores = [found[count, _SCORE][..., 0] for count in counts]
        if any(((level < -_NO_SHARE) | (level > 1 + _NO_SHARE)).any() for level in scores):
            raise ModelError(
                "The network's scores are not between 0 and 1: this SCRFD was exported without its sigmoid."
            )
        return [
            RawFaces.joined(
                [
                    self._decode_level(
                        level[i],
                        found[count, _BOX][i],
                        found[count, _MARKS][i],
                        columns,
                        stride,
                        score_threshold,
                    )
                    for level, count, (_, columns), stride in zip(
                        scores, counts, sizes, self.strides, strict=True
                    )
                ]
            )
            for i in range(photos.pop())
        ]

    def _decode_level(
        self,
        scores: FloatArray,
        boxes: FloatArray,
        marks: FloatArray,
        columns: int,
        stride: int,
        threshold: float,
    ) -> RawFaces:
        """The faces of one photo at one stride: (A,), (A, 4), (A, 10)."""
        passed = np.flatnonzero(scores > threshold)
        cell = passed // self.anchors
        corner = np.stack([cell % columns, cell // columns], axis=1).astype(np.float32)
        away = boxes[passed]
        return RawFaces(
            boxes=np.concatenate([corner - away[:, :2], corner + away[:, 2:]], axis=1) * np.float32(stride),
            scores=scores[passed],
            landmarks=(corner[:, None] + marks[passed].reshape(-1, 5, 2)) * np.float32(stride),
        )
