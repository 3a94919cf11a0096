"""The look of an aligned crop: what stays when its photo is saved again, scaled or brightened.

Perceptual hashes of whole photos (`facewise.data.phash`) tell too little of aligned faces, which are all laid
out alike: of 8,000,000 pairs of different photos of LFW six were within 4 of 64 bits, and one in ten photos
saved again at half the size was not. Of 128 bits 99 in 100 crops saved again so are within 12, and of
314,000,000 pairs of different photos none was within 15.

A photo that is saved smaller is aligned a little otherwise, as the detector is less sure of its landmarks.
So crops whose looks are near, but not near enough, are compared once more, moved, turned and scaled a little.
Of 500 photos of LFW saved at 80% of their size 442 are known again so, of 196 without that; of 19,978 photos
compared with 15,777 others none was taken for one of them (docs/protocols.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from facewise.concurrency import side_by_side
from facewise.data.phash import bit_count
from facewise.hardware import available_threads
from facewise.models.trained_on import LOOK, Hashes
from facewise.types import FloatArray, Image

ALIKE = 12
"""Bits of 128 in which the looks of two copies of a photo may differ."""

NEAR = 26
"""Bits up to which two crops are compared once more, moved a little."""

ALIKE_MOVED = 10
"""Bits in which they may differ then: of many ways to move a crop one is nearer by chance."""

_SIDE = 32
_MOVES = tuple(
    product((-1.1, -0.57, 0.0, 0.57, 1.1), (-1.1, -0.57, 0.0, 0.57, 1.1), (0.95, 1.0, 1.05), (-3, 0, 3))
)
"""Right and down in pixels of 64, scale, degrees: one and two pixels of a crop of 112, as detectors err."""
_BITS = 8 * LOOK
_BLOCK = 2**22
"""Pairs compared at once: 32 MB, and a few temporaries of that size."""


def _lowest() -> NDArray[np.intp]:
    """The places of the lowest frequencies of the cosine transform but for the mean, in a fixed order."""
    row, column = np.mgrid[0:_SIDE, 0:_SIDE]
    squares = (row**2 + column**2).ravel()
    return np.lexsort((column.ravel(), row.ravel(), squares))[1 : _BITS + 1]


_LOWEST = _lowest()


def look_of(crop: Image) -> bytes:
    """16 bytes that hardly change when the photo is scaled, compressed or brightened.

    As Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions", section 3.2, with
    more frequencies: the crop in grey at 32×32, its cosine transform, the 128 lowest frequencies other than
    the mean, each above their median or not.

    Args:
        crop: RGB uint8 (S, S, 3), an aligned face.

    Returns:
        Nothing where there is nothing to be seen, as on a crop of one colour: all of these look alike.
    """
    grey = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    low = cv2.dct(grey.astype(np.float32)).ravel()[_LOWEST]
    above = low > np.median(low)
    if above.sum() < _BITS // 4:
        return b""
    return np.packbits(above).tobytes()


def looks_alike(
    looks: Sequence[bytes], known: Hashes, crop_of: Callable[[int], Image | None] | None = None
) -> list[bool]:
    """Whether each look is that of a copy of a photo known.

    All pairs are compared, so nothing is missed.

    Args:
        looks: N; an empty one is like nothing.
        known: (L, 2), see `TrainedOn.look_words`.
        crop_of: Place in `looks` → the crop, or None where it is not to be had; asked for where a look is
            near one known, to move it. Without it such photos are not known again.
    """
    bits = nearest_bits(looks, known)
    found = bits <= ALIKE
    if crop_of is not None:
        doubtful = np.flatnonzero(~found & (bits <= NEAR)).tolist()
        pairs = ((looks[i], crop_of(i)) for i in doubtful)
        found[doubtful] = list(side_by_side(lambda p: _alike_moved(*p, known), pairs, available_threads()))
    return [bool(one) for one in found]


def nearest_bits(looks: Sequence[bytes], known: Hashes) -> NDArray[np.int64]:
    """(N,) in how many bits each look differs from the nearest known; 129 if empty, or none is known."""
    found = np.full(len(looks), _BITS + 1)
    if not len(known):
        return found
    there = np.flatnonzero([bool(look) for look in looks])
    words = _words(b"".join(looks))
    step = max(1, _BLOCK // len(known))
    for start in range(0, len(words), step):
        found[there[start : start + step]] = _distances(words[start : start + step], known).min(axis=1)
    return found


def _alike_moved(look: bytes, crop: Image | None, known: Hashes) -> bool:
    """Whether a crop moved a little is a copy of one of those that it is near as it is."""
    if crop is None:
        return False
    near = known[_distances(_words(look), known)[0] <= NEAR]
    return bool(_distances(_moved_looks(crop), near).min() <= ALIKE_MOVED)


def _moved_looks(crop: Image) -> Hashes:
    """(M, 2) the looks of a crop moved in each of `_MOVES`."""
    double = 2 * _SIDE
    plain = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = cv2.resize(plain, (double, double), interpolation=cv2.INTER_AREA)
    flags, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
    moved = np.stack(
        [cv2.warpAffine(grey, m, (_SIDE, _SIDE), flags=flags, borderMode=border) for m in _matrices()]
    )
    cosines = _cosines()
    low = (cosines @ moved @ cosines.T)[:, _LOWEST // _SIDE, _LOWEST % _SIDE]
    above = low > np.median(low, axis=1, keepdims=True)
    return _words(np.packbits(above, axis=1).tobytes())


@cache
def _matrices() -> NDArray[np.float64]:
    """(M, 2, 3) from a pixel of the result to where it is in a crop twice as large, one a move."""
    return np.stack([_matrix(*move) for move in _MOVES])


def _matrix(right: float, down: float, scale: float, degrees: float) -> NDArray[np.float64]:
    middle = float(_SIDE)
    cos, sin = np.cos(np.deg2rad(degrees)) * scale, np.sin(np.deg2rad(degrees)) * scale
    turned = np.array([[cos, -sin], [sin, cos]])
    # The pixel (x, y) is the mean of two by two around 2 x + 1, 2 y + 1; OpenCV counts from their middles.
    shift = turned @ [1 - middle, 1 - middle] + [middle + right - 0.5, middle + down - 0.5]
    return np.column_stack([2 * turned, shift])


@cache
def _cosines() -> FloatArray:
    """(F, S) the rows of the matrix of the cosine transform that the lowest frequencies need."""
    place = np.arange(_SIDE)
    row = place[: int(_LOWEST.max()) // _SIDE + 1, None]
    basis = np.cos(np.pi * (2 * place[None, :] + 1) * row / (2 * _SIDE))
    basis *= np.where(row, (2 / _SIDE) ** 0.5, (1 / _SIDE) ** 0.5)
    return basis.astype(np.float32)


def _words(packed: bytes) -> Hashes:
    return np.frombuffer(packed, ">u8").reshape(-1, 2).astype(np.uint64)


def _distances(some: Hashes, others: Hashes) -> NDArray[np.uint8]:
    """(N, L) in how many bits each two looks differ."""
    halves = (bit_count(some[:, i, None] ^ others[None, :, i]) for i in (0, 1))
    return np.add(*halves)
