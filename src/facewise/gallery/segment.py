"""Samples in slots: their codes for the scan, their vectors for the answer, and how far the two are apart."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from facewise.gallery.kernels import LARGEST, Codes
from facewise.types import FloatArray

EMPTY = -1
"""Person and sample of a slot whose sample went."""

_BLOCK = 1 << 14


@dataclass(frozen=True, slots=True)
class Scale:
    """How vectors become codes: `code = round(value * factor)`, at most `LARGEST` in size.

    Attributes:
        factor: Codes a unit.
        usual: Rows whose code is further from them than this are outliers, compared without codes.
    """

    factor: float
    usual: float

    @classmethod
    def of(cls, rows: FloatArray) -> Scale:
        """A scale for rows like these, `(n, D)`: all but one value in a million fit in."""
        some = rows[:: max(1, len(rows) // 20_000)]
        sizes = np.abs(some, dtype=np.float32).ravel()
        at = min(len(sizes) - 1, int(len(sizes) * (1 - 1e-6)))
        clip = max(float(np.partition(sizes, at)[at]), 1e-3) if len(sizes) else 1.0
        scale = cls(LARGEST / clip, np.inf)
        errors = scale.encode(some)[1]
        return replace(scale, usual=1.25 * float(np.quantile(errors, 0.99)) if len(errors) else np.inf)

    def encode(self, rows: FloatArray) -> tuple[Codes, NDArray[np.float32]]:
        """`(n, D)` codes, and `(n,)` the distance of each row to what its code stands for, rounded up."""
        codes = np.empty(rows.shape, dtype=np.uint8)
        errors = np.empty(len(rows), dtype=np.float32)
        for at in range(0, len(rows), _BLOCK):
            block = np.asarray(rows[at : at + _BLOCK], dtype=np.float64)
            near = np.clip(np.rint(block * self.factor), -LARGEST, LARGEST)
            codes[at : at + _BLOCK] = (near + 128).astype(np.uint8)
            distance = np.sqrt(np.einsum("nd,nd->n", *[block - near / self.factor] * 2))
            errors[at : at + _BLOCK] = distance * (1 + 1e-6) + 1e-7
        return codes, errors


@dataclass(slots=True, eq=False)
class Segment:
    """Slots `0 … used - 1` of arrays that may be longer, and may lie in a file.

    Attributes:
        codes: `(M, D)`; an empty slot holds 128, which is zero.
        rows: `(M, D)` float32 unit vectors.
        errors: `(M,)` distance of each row to its code.
        samples: `(M,)` sample ids, `EMPTY` where one went.
        people: `(M,)` the person of each.
        used: Slots in use or once used.
    """

    codes: Codes
    rows: FloatArray
    errors: NDArray[np.float32]
    samples: NDArray[np.int64]
    people: NDArray[np.int64]
    used: int

    @classmethod
    def empty(cls, size: int, room: int = 0) -> Segment:
        """Room for so many samples of D = `size`."""
        return cls(
            np.full((room, size), 128, dtype=np.uint8),
            np.zeros((room, size), dtype=np.float32),
            np.zeros(room, dtype=np.float32),
            np.full(room, EMPTY, dtype=np.int64),
            np.full(room, EMPTY, dtype=np.int64),
            0,
        )

    @classmethod
    def of(
        cls, rows: FloatArray, samples: NDArray[np.int64], people: NDArray[np.int64], scale: Scale
    ) -> Segment:
        """A segment of these samples; the arrays are kept, not copied."""
        codes, errors = scale.encode(rows)
        return cls(codes, rows, errors, samples, people, len(rows))

    def grown(
        self, rows: FloatArray, samples: NDArray[np.int64], people: NDArray[np.int64], scale: Scale
    ) -> Segment:
        """With these samples added: in place where there is room, in arrays of twice the size otherwise.

        Searches under way keep what they began with: what they look at does not change.
        """
        stop = self.used + len(rows)
        into = self if stop <= len(self.codes) else self._copied(max(1024, 2 * stop))
        codes, errors = scale.encode(rows)
        at = slice(self.used, stop)
        into.codes[at], into.rows[at], into.errors[at] = codes, rows, errors
        into.samples[at], into.people[at] = samples, people
        return replace(into, used=stop)

    def _copied(self, room: int) -> Segment:
        new, n = Segment.empty(self.codes.shape[1], room), self.used
        new.codes[:n], new.rows[:n], new.errors[:n] = self.codes[:n], self.rows[:n], self.errors[:n]
        new.samples[:n], new.people[:n] = self.samples[:n], self.people[:n]
        return new

    def clear(self, slots: NDArray[np.int64]) -> None:
        """Zeros over samples that went."""
        self.people[slots] = self.samples[slots] = EMPTY
        self.codes[slots], self.rows[slots], self.errors[slots] = 128, 0.0, 0.0

    def slots_of(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """The slots of those of these samples that are here."""
        return np.flatnonzero(np.isin(self.samples[: self.used], samples))
