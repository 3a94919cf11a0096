"""FlatBuffers, read: tables whose fields are found through a list of offsets, none of which is trusted.

https://flatbuffers.dev/internals: all numbers are little-endian; a table begins with how far before it its
list of field offsets is; vectors, texts and tables in fields are offsets from where they are written.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facewise.errors import ModelError


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a file.

    Attributes:
        data: The whole file.
        start: Where the table is.
    """

    data: bytes
    start: int

    @classmethod
    def root(cls, data: bytes, identifier: bytes) -> Table:
        """The table a file begins with.

        Raises:
            ModelError: The file is not of this kind.
        """
        if data[4:8] != identifier:
            raise ModelError(f"it does not say {identifier.decode()} where it should.")
        return cls(data, _number(data, 0, "<I"))

    def scalar(self, field: int, form: str, default: int = 0) -> int:
        """A number, in the form `struct` knows it by."""
        place = self._place(field)
        return default if place is None else _number(self.data, place, form)

    def table(self, field: int) -> Table | None:
        """A table within the table."""
        place = self._place(field)
        return None if place is None else Table(self.data, place + _number(self.data, place, "<I"))

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        start, count = self._vector(field, 4)
        places = range(start, start + 4 * count, 4)
        return [Table(self.data, place + _number(self.data, place, "<I")) for place in places]

    def numbers(self, field: int, kind: str) -> NDArray[np.generic]:
        """A vector of numbers, of this NumPy type; they stay where they are."""
        dtype = np.dtype(kind)
        start, count = self._vector(field, dtype.itemsize)
        return np.frombuffer(self.data, dtype, count, start)

    def text(self, field: int) -> str:
        """A text; what is no UTF-8 is told as such."""
        return self.numbers(field, "u1").tobytes().decode("utf-8", "backslashreplace")

    def _place(self, field: int) -> int | None:
        """Where a field is, or None where the table does not have it."""
        offsets = self.start - _number(self.data, self.start, "<i")
        entry = 4 + 2 * field
        if entry + 2 > _number(self.data, offsets, "<H"):
            return None
        offset = _number(self.data, offsets + entry, "<H")
        return self.start + offset if offset else None

    def _vector(self, field: int, size: int) -> tuple[int, int]:
        """Where a vector's items of `size` bytes begin, and how many there are."""
        place = self._place(field)
        if place is None:
            return 0, 0
        start = place + _number(self.data, place, "<I")
        count = _number(self.data, start, "<I")
        if start + 4 + count * size > len(self.data):
            raise ModelError("it is cut short or damaged.")
        return start + 4, count


def _number(data: bytes, place: int, form: str) -> int:
    if not 0 <= place <= len(data) - struct.calcsize(form):
        raise ModelError("it is cut short or damaged.")
    return int(struct.unpack_from(form, data, place)[0])
