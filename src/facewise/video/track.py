"""One face followed through a video: where it was when, and its pooled embedding."""

from __future__ import annotations

from array import array
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from facewise.errors import SettingError
from facewise.geometry import TEMPLATE_112, similarity_transform
from facewise.types import Face, FloatArray
from facewise.video.reader import Stamp

_ENOUGH = float(np.hypot(*(TEMPLATE_112[1] - TEMPLATE_112[0])))
"""Pixels between the eyes from which a crop of 112 pixels is not enlarged: more tell no more."""

_SHARP = 100.0
"""Variance of the Laplacian from which a crop counts as in focus, the usual rule of thumb. More is texture,
or the hard edge of a crop that reaches out of the frame."""

_GRID = np.stack(np.meshgrid(*[(np.arange(8) + 0.5) * 14] * 2), axis=-1).reshape(-1, 2)
"""(64, 2) middles of the cells of a crop of 112 pixels."""

_SWAY = 0.5
"""How far a new look moves the velocity: that of the looks before counts as much as all before them."""

_POOR = 0.25
"""Share of a track's mean weight below which a look is a poor one."""

_REMARKED = 0.5
"""What a look counts for each thing but its turn that a better photo would not have."""

_LEAST = 1e-6


def inside(face: Face, size: tuple[int, int]) -> float:
    """The share of a face's aligned crop that lies in the frame; outside it a crop is black.

    Args:
        face: With landmarks.
        size: (height, width) of the frame.
    """
    try:
        back = similarity_transform(TEMPLATE_112, face.landmarks)
    except SettingError:  # landmarks that are nowhere
        return 1.0
    places = _GRID @ back[:, :2].T + back[:, 2]
    return float(((places >= 0) & (places <= (size[1], size[0]))).all(axis=1).mean())


def look_weight(face: Face, hidden: float = 0.0, shown: float = 1.0) -> float:
    """How much one look at a face says of who it is, to weight its embedding in a pool.

    The product of the detector's score, how frontal the head is, a half where eyes are closed or the mouth is
    open (which a mesh tells), how much of the resolution an embedder wants
    is there, how sharp the crop is (motion blurs), the value of its quality where that is known, how much is
    not hidden behind another face, and the fourth power of how much lies in the frame: a half face says next
    to nothing of who it is. Weights only count against each other.

    Args:
        face: With quality; without, the score stands alone.
        hidden: The share of its box that lies in other faces' boxes.
        shown: The share of its crop that lies in the frame, see `inside`.

    Returns:
        Above 0.
    """
    weight = max(face.score, _LEAST) * (1 - min(max(hidden, 0.0), 1.0)) * shown**4
    if (quality := face.quality) is not None:
        frontal = max(np.cos(quality.yaw), 0.0) * max(np.cos(quality.pitch), 0.0)
        weight *= float(frontal) * min(1.0, quality.size / _ENOUGH)
        weight *= min(1.0, quality.sharpness / _SHARP) ** 0.5
        weight *= 1.0 if quality.value is None else quality.value
        weight *= _REMARKED ** sum(not remark.startswith("turned") for remark in quality.remarks)
    return max(float(weight), _LEAST)


class Track:
    """One face as it moves: looks at it, a velocity, and the pool of its embeddings.

    The velocity is an exponential average of the finite differences (an α–β filter with α = 1, as detectors
    place boxes to a pixel or two): centre in pixels a second, and the logarithm of the size a second.

    Attributes:
        number: From 1, in the order of their starts.
        newest: The embedding of the newest look that is not poor, or None.
        frames: Of each look.
        times: Of each look, seconds.
        scores: How live the face looked, at each look where that was asked.
    """

    def __init__(self, number: int, stamp: Stamp, face: Face, weight: float) -> None:
        self.number = number
        self.frames, self.times, self._boxes = array("q"), array("d"), array("f")
        self._velocity = np.zeros(4)
        self._sum: NDArray[np.float64] | None = None
        self._spare: NDArray[np.float64] | None = None
        self._reasons: Counter[tuple[str, ...]] = Counter()
        self._weights = 0.0
        self.scores = array("d")
        self.newest: FloatArray | None = None
        self._take(stamp, face, weight)

    def __len__(self) -> int:
        """How many looks."""
        return len(self.frames)

    @property
    def boxes(self) -> FloatArray:
        """`(n, 4)` where the face was at each look."""
        return np.array(self._boxes, dtype=np.float32).reshape(-1, 4)

    @property
    def box(self) -> FloatArray:
        """`(4,)` where it was last."""
        return np.array(self._boxes[-4:], dtype=np.float32)

    def is_poor(self, weight: float) -> bool:
        """Whether a look of that weight is too poor for its embedding to speak for or against anybody."""
        return weight < _POOR * self._weights / len(self)

    @property
    def pooled(self) -> FloatArray | None:
        """`(D,)` float32 of unit length: the weighted mean of its embeddings, normalised again.

        Of looks that are too poor to decide anything by only where there are no others. None where faces have
        no embeddings, or where they cancel out.
        """
        total = self._spare if self._sum is None else self._sum
        if total is None:
            return None
        length = float(np.linalg.norm(total))
        if length < _LEAST * self._weights:
            return None
        return np.asarray(total / length, dtype=np.float32)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why nothing can be decided by any of its looks, as of most of them; empty where by some it can."""
        if self._sum is not None or not self._reasons:
            return ()
        return self._reasons.most_common(1)[0][0]

    def predicted(self, seconds: float, *, reach: float = 1.0) -> NDArray[np.float64]:
        """`(4,)` where the face should be then.

        Args:
            seconds: When.
            reach: How long the velocity is trusted, in seconds; who was not seen for longer waits there.
        """
        state = _state(self.box) + self._velocity * min(max(seconds - self.times[-1], 0.0), reach)
        centre, half = state[:2], np.exp(np.clip(state[2:], -5.0, 12.0)) / 2
        return np.concatenate([centre - half, centre + half])

    def add(self, stamp: Stamp, face: Face, weight: float) -> None:
        """One more look, later than all before."""
        if stamp.frame <= self.frames[-1] or stamp.seconds <= self.times[-1]:
            raise ValueError("a look must be later than those before")
        change = (_state(face.box) - _state(self.box)) / (stamp.seconds - self.times[-1])
        share = 1.0 if len(self) == 1 else _SWAY
        self._velocity += share * (change - self._velocity)
        self._take(stamp, face, weight)

    def _take(self, stamp: Stamp, face: Face, weight: float) -> None:
        self.frames.append(stamp.frame)
        self.times.append(stamp.seconds)
        self._boxes.extend(float(v) for v in face.box)
        self._weights += weight
        if face.liveness is not None:
            self.scores.append(face.liveness.score)
        if face.embedding is None:
            return
        weighted = weight * face.embedding.astype(np.float64)
        if face.quality is not None and face.quality.reasons:
            self._reasons[face.quality.reasons] += 1
            self._spare = weighted if self._spare is None else self._spare + weighted
            return
        if self.newest is None or not self.is_poor(weight):
            self.newest = face.embedding
        self._sum = weighted if self._sum is None else self._sum + weighted

    def likeness(self, face: Face) -> float | None:
        """Cosine similarity of a face to the pool or to the newest look, whichever is more alike.

        The newest, because heads turn; the pool, because the newest may be in an odd light.
        """
        pooled = self.pooled
        if face.embedding is None or pooled is None or self.newest is None:
            return None
        return float(max(pooled @ face.embedding, self.newest @ face.embedding))


def _state(box: FloatArray) -> NDArray[np.float64]:
    """Centre and logarithm of the sides."""
    low, high = box[:2].astype(np.float64), box[2:].astype(np.float64)
    return np.concatenate([(low + high) / 2, np.log(np.maximum(high - low, 1.0))])
