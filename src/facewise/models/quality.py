"""What a photo's quality does to a decision: learned beside the thresholds, and kept with them.

Photos that are bad in the same way are alike, whoever is on them: the worse they are, the more an embedder
sees the blur and the less the face. A few small networks on the embedding tell how alike a photo of that kind
would be to strangers' photos of that kind (as the wolf of Doddington's menagerie, but of a photo, not of a
person); from that follow a quality in [0, 1], and a threshold for each pair that depends on the better of the
two photos: one bad photo beside a good one is like nobody, so only where both are bad does it rise. See
`docs/quality.md` for how it is fitted and what it was shown to hold for.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.types import FloatArray, Quality

_ROUNDED = 1e-4
"""More than what rounding does to a threshold on its way into a file and back."""

Layer = tuple[FloatArray, FloatArray]
"""Weights (M, in, out) and biases (M, 1, out) of M networks side by side."""


@dataclass(frozen=True, slots=True, eq=False)
class QualityRule:
    """Quality of a face, and the thresholds that hold at it.

    Attributes:
        layers: Of M small networks, whose mean counts: (M, D, H), (M, H, H) and (M, H, 1 + K) with ReLU
            between; they take unit embeddings.
        kinds: (K,) what a photo can suffer from, in words; the network's further outputs tell which it likely
            is.
        best: The network's first output for the best photos: quality 1. At 1 an embedding tells nothing:
            quality 0.
        fmr: The rate the thresholds below were shown to hold at.
        qualities: (M,) ascending from 0: where each cell of quality begins.
        thresholds: (M,) descending, the similarity a pair needs whose better photo is in that cell; the last
            cell is that of good photos, whose threshold is the calibration's own.
        least: Quality below which a photo can decide nothing, whatever it is compared with.
        ceiling: The threshold above which more than 80% of genuine pairs would be missed: no decision.
        measured: On what it was fitted and shown to hold, for people and machines: plain JSON.
    """

    layers: tuple[Layer, Layer, Layer]
    kinds: tuple[str, ...]
    best: float
    fmr: float
    qualities: FloatArray
    thresholds: FloatArray
    least: float
    ceiling: float
    measured: Mapping[str, Any]

    def of(self, embeddings: ArrayLike) -> FloatArray:
        """Qualities.

        Args:
            embeddings: (N, D) of unit length.

        Returns:
            (N,) in [0, 1].
        """
        values = (1.0 - self.alike(embeddings)) / (1.0 - self.best)
        return np.asarray(np.clip(values, 0.0, 1.0), np.float32)

    def alike(self, embeddings: ArrayLike) -> FloatArray:
        """(N,) similarities that photos as bad as these (N, D) reach with the most alike of strangers."""
        return self._outputs(embeddings)[:, 0]

    def kind(self, embedding: FloatArray) -> str:
        """What a photo of low quality likely suffers from, one of `kinds`.

        Args:
            embedding: (D,) of unit length.
        """
        return self.kinds[int(self._outputs(embedding[np.newaxis])[0, 1:].argmax())]

    def threshold(
        self, plain: float, fmr: float, plain_here: float, better: ArrayLike
    ) -> NDArray[np.float64]:
        """The similarity pairs need.

        A rate other than `fmr` moves the thresholds by as much as it moves that of good photos.

        Args:
            plain: Threshold of good photos at the rate asked for.
            fmr: That rate.
            plain_here: Threshold of good photos at `self.fmr`.
            better: The quality of the better photo of each pair, of any shape.

        Returns:
            Of that shape; infinite where there is no decision.
        """
        cell = np.searchsorted(self.qualities, np.asarray(better, np.float32), side="right") - 1
        found = np.maximum(self.thresholds[cell].astype(np.float64) + (plain - plain_here), plain)
        found = np.where(cell == len(self.qualities) - 1, plain, found)
        # Where more false matches are allowed, fewer genuine pairs are missed at the same quality.
        limit = self.ceiling + min(0.0, plain - plain_here) if fmr > self.fmr else self.ceiling
        return np.where(found <= max(limit, plain) + _ROUNDED, found, np.inf)

    def reasons(
        self, embeddings: ArrayLike, measured: Sequence[Quality | None] | None = None
    ) -> list[tuple[str, ...]]:
        """Why nothing can be decided by these faces, in words; nothing of those by which something can.

        Args:
            embeddings: (N, D) of unit length.
            measured: What was measured of each, where it was.
        """
        rows = np.asarray(embeddings, np.float32)
        low = self.of(rows) < self.least
        known = [None] * len(rows) if measured is None else measured
        return [
            one.reasons if one is not None and one.reasons else (self.kind(row),) if poor else ()
            for row, poor, one in zip(rows, low, known, strict=True)
        ]

    def _outputs(self, embeddings: ArrayLike) -> FloatArray:
        x = np.asarray(embeddings, np.float32)
        x = (x * np.float32(math.sqrt(x.shape[1])))[np.newaxis]
        for weights, biases in self.layers[:-1]:
            x = np.maximum(x @ weights + biases, 0.0)
        weights, biases = self.layers[-1]
        out: FloatArray = (x @ weights + biases).mean(axis=0)
        return out

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; arrays as base64 of little-endian float16 (layers) or as lists."""
        return {
            "layers": [[_packed(array) for array in layer] for layer in self.layers],
            "kinds": list(self.kinds),
            "best": self.best,
            "fmr": self.fmr,
            "qualities": [round(float(x), 5) for x in self.qualities],
            "thresholds": [round(float(x), 5) for x in self.thresholds],
            "least": self.least,
            "ceiling": self.ceiling,
            "measured": dict(self.measured),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> QualityRule:
        """Read the JSON form.

        Raises:
            KeyError: A field is missing.
            TypeError: A field is of another type.
            ValueError: The fields make no rule.
        """
        first, second, last = ((_unpacked(w), _unpacked(b)) for w, b in data["layers"])
        found = cls(
            layers=(first, second, last),
            kinds=tuple(str(kind) for kind in data["kinds"]),
            best=float(data["best"]),
            fmr=float(data["fmr"]),
            qualities=np.asarray(data["qualities"], np.float32),
            thresholds=np.asarray(data["thresholds"], np.float32),
            least=float(data["least"]),
            ceiling=float(data["ceiling"]),
            measured=dict(data["measured"]),
        )
        if not found._makes_sense():
            raise ValueError("the rule for quality makes no sense")
        return found

    def _makes_sense(self) -> bool:
        many, size = self.layers[0][0].shape[:2]
        for weights, biases in self.layers:
            if weights.ndim != 3 or weights.shape[:2] != (many, size):
                return False
            size = weights.shape[2]
            if biases.shape != (many, 1, size):
                return False
            if not (np.isfinite(weights).all() and np.isfinite(biases).all()):
                return False
        rises = self.qualities.ndim == 1 and len(self.qualities) > 0 and float(self.qualities[0]) == 0.0
        rises = rises and bool(np.all(np.diff(self.qualities) > 0))
        falls = self.thresholds.shape == self.qualities.shape and bool(np.all(np.diff(self.thresholds) <= 0))
        numbers = (self.best, self.fmr, self.least, self.ceiling, *self.thresholds.tolist())
        return bool(
            size == 1 + len(self.kinds)
            and self.kinds
            and rises
            and falls
            and all(map(math.isfinite, numbers))
            and self.best < 1.0
            and 0.0 < self.fmr <= 1.0
        )


def _packed(array: FloatArray) -> dict[str, Any]:
    data = base64.b64encode(array.astype("<f2").tobytes()).decode("ascii")
    return {"shape": list(array.shape), "float16": data}


def _unpacked(data: Mapping[str, Any]) -> FloatArray:
    shape = tuple(int(n) for n in data["shape"])
    array = np.frombuffer(base64.b64decode(data["float16"], validate=True), "<f2")
    return array.reshape(shape).astype(np.float32)
