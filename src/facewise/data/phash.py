"""Perceptual hashes: photos that look the same though their bytes differ."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from facewise.types import Image

Hashes = NDArray[np.uint64]

_SIDE, _KEPT = 32, 8
_BLOCK = 256
_BITS_OF_16 = np.array([i.bit_count() for i in range(1 << 16)], np.uint8)


def perceptual_hash(image: Image) -> int:
    """64 bits that hardly change when a photo is scaled, compressed or brightened.

    Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions", section 3.2: the photo
    in grey at 32×32, its cosine transform, the 8×8 lowest frequencies, each above their median or not; row by
    row, the first the highest bit.

    Args:
        image: RGB uint8 (H, W, 3).
    """
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    low = cv2.dct(grey.astype(np.float32))[:_KEPT, :_KEPT]
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def near_pairs(hashes: Hashes, most: int) -> Iterator[tuple[int, int, int]]:
    """The pairs of hashes that differ in few bits: (i, j, bits), i < j.

    All pairs are compared, in half a second for 13,000; nothing is missed.

    Args:
        hashes: (N,) different ones.
        most: Bits in which the two may differ.
    """
    for start in range(0, len(hashes), _BLOCK):
        block = hashes[start : start + _BLOCK]
        distance = bit_count(block[:, None] ^ hashes[None, start:])
        rows, columns = np.nonzero(distance <= most)
        for i, j in zip(rows.tolist(), columns.tolist(), strict=True):
            if i < j:
                yield start + i, start + j, int(distance[i, j])


def bit_count(words: Hashes) -> NDArray[np.uint8]:
    """How many bits of each word are 1."""
    if hasattr(np, "bitwise_count"):  # numpy 2
        counted: NDArray[np.uint8] = np.bitwise_count(words)
        return counted
    quarters = np.ascontiguousarray(words)[..., None].view(np.uint16)
    summed: NDArray[np.uint8] = _BITS_OF_16[quarters].sum(axis=-1, dtype=np.uint8)
    return summed
