"""RecordIO files (`.rec`) of faces, as MXNet's im2rec and InsightFace write them; read without MXNet.

A record is two little-endian words, the magic number 0xced7230a and a word of continuation flag (upper 3
bits) and length (lower 29 bits), then the payload, padded to 4 bytes. A payload that holds the magic number
itself at a multiple of 4 bytes was split there: flag 1 begins such a record, 2 goes on, 3 ends it, and the
number belongs between the pieces (dmlc-core, `recordio.h`). The payload of an image record is a header of 24
bytes, flag (uint32), label (float32), id and id2 (uint64), then `flag` more labels (float32) which take the
label's place, then the bytes of an image file (MXNet, `recordio.py`).
"""

from __future__ import annotations

import os
import struct
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facewise.errors import DatasetError
from facewise.image import source_name

MAGIC = 0xCED7230A
_WORDS = struct.Struct("<II")
_HEADER = struct.Struct("<IfQQ")
_LENGTH_BITS = 29
_WHOLE, _BEGIN, _MIDDLE, _END = range(4)
MAX_RECORD = 256 * 2**20
"""Bytes of a record above which the file counts as damaged: as many as a photo may have."""


class Record(NamedTuple):
    """One record of an image.

    Attributes:
        number: `id` of its header.
        labels: One or more, float32.
        content: Bytes of an image file; empty where the record lists labels alone.
    """

    number: int
    labels: NDArray[np.float32]
    content: bytes


class RecordFile:
    """Records of one `.rec` file by position. Threads and processes may share it.

    Args:
        path: The `.rec` file.

    Raises:
        DatasetError: The file is missing, or its `.idx` does not fit it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.name = source_name(self.path)
        self._lock, self._file = threading.Lock(), -1
        self._size = self._measure()
        index = self.path.with_suffix(".idx")
        if index.is_file():
            self.numbers, self._offsets = self._read_index(index)
        else:
            self.numbers, self._offsets = self._scan()
        if not len(self._offsets):
            raise DatasetError(f"{self.name} holds no records.")

    def __len__(self) -> int:
        return len(self._offsets)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in {"_lock", "_file"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock, self._file = threading.Lock(), -1

    def __del__(self) -> None:
        if getattr(self, "_file", -1) >= 0:
            os.close(self._file)

    def read(self, position: int) -> Record:
        """The record at a position in the order of the index.

        Raises:
            DatasetError: It is damaged or cut short.
        """
        payload = self._payload(int(self._offsets[position]))
        flag, label, number = self._header(payload, position)
        end = _HEADER.size + 4 * flag
        if end > len(payload):
            raise self._damaged(position, f"it claims {flag} labels")
        labels = np.frombuffer(payload, "<f4", flag, _HEADER.size) if flag else np.array([label], np.float32)
        return Record(number, labels, payload[end:])

    def label(self, position: int) -> float:
        """The first label of the record at a position; little of the record is read.

        Raises:
            DatasetError: The record is damaged or cut short.
        """
        start = self._payload(int(self._offsets[position]), _HEADER.size + 4)
        flag, label, _ = self._header(start, position)
        if not flag:
            return label
        if len(start) < _HEADER.size + 4:
            raise self._damaged(position, f"it claims {flag} labels")
        first: float = struct.unpack_from("<f", start, _HEADER.size)[0]
        return first

    def _header(self, payload: bytes, position: int) -> tuple[int, float, int]:
        """Number of further labels, label and number."""
        if len(payload) < _HEADER.size:
            raise self._damaged(position, "it is shorter than its header")
        flag, label, number, _ = _HEADER.unpack_from(payload)
        return flag, label, number

    def _payload(self, offset: int, most: int = MAX_RECORD) -> bytes:
        """The payload of the record at an offset, put together again if it was split.

        Of one that was not split, no more than the first `most` bytes.
        """
        pieces: list[bytes] = []
        total = 0
        while True:
            flag, length = self._words(offset)
            if flag not in ((_WHOLE, _BEGIN) if not pieces else (_MIDDLE, _END)):
                raise self._damaged_at(offset, "a piece of a split record is out of place")
            total += length + 4
            if total > MAX_RECORD:
                raise self._damaged_at(offset, f"a record of more than {MAX_RECORD // 2**20} MiB")
            wanted = min(length, most) if flag == _WHOLE else length
            piece = self._bytes(offset + _WORDS.size, wanted)
            if len(piece) < wanted:
                raise self._damaged_at(offset, "the file ends in the midst of a record")
            pieces.append(piece)
            if flag in (_WHOLE, _END):
                return struct.pack("<I", MAGIC).join(pieces)
            offset += _padded(length)

    def _words(self, offset: int) -> tuple[int, int]:
        """Continuation flag and length of the piece at an offset."""
        words = self._bytes(offset, _WORDS.size)
        if len(words) < _WORDS.size:
            raise self._damaged_at(offset, "the file ends there")
        magic, word = _WORDS.unpack(words)
        if magic != MAGIC:
            raise self._damaged_at(offset, "no record begins there")
        return word >> _LENGTH_BITS, word & ((1 << _LENGTH_BITS) - 1)

    def _bytes(self, offset: int, length: int) -> bytes:
        """Reads without a common position, so that threads do not disturb each other."""
        if self._file < 0:
            with self._lock:
                if self._file < 0:
                    self._file = self._open()
        try:
            if hasattr(os, "pread"):
                return os.pread(self._file, length, offset)
            with self._lock:  # Windows
                os.lseek(self._file, offset, os.SEEK_SET)
                return os.read(self._file, length)
        except OSError as error:
            raise DatasetError(f"Cannot read {self.name}: {error.strerror or error}.") from error

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise DatasetError(f"Cannot read {self.name}: {error.strerror or error}.") from error

    def _measure(self) -> int:
        if not self.path.is_file():
            raise DatasetError(f"There is no file {self.name}; check the path.")
        return self.path.stat().st_size

    def _read_index(self, path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers and offsets from an `.idx` file: a line a record, `number TAB offset`."""
        name = source_name(path)
        if not path.stat().st_size:
            raise DatasetError(f"{name} is empty; delete it to have it made anew.")
        try:
            table = np.loadtxt(path, dtype=np.int64, ndmin=2, comments=None)
        except OSError as error:
            raise DatasetError(f"Cannot read {name}: {error.strerror or error}.") from error
        except (ValueError, OverflowError) as error:
            raise DatasetError(
                f"{name} is no index of records: expected two numbers a line; delete it to have it made anew."
            ) from error
        if table.shape[1] != 2:
            raise DatasetError(f"{name} is no index of records: expected two numbers a line.")
        numbers, offsets = np.ascontiguousarray(table.T)
        if offsets.min() < 0 or offsets.max() >= self._size:
            raise DatasetError(
                f"{name} points past the end of {self.name}: is one of them of another dataset, or cut short?"
            )
        return numbers, offsets

    def _scan(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers and offsets by going through the file, where there is no index."""
        numbers, offsets, offset = [], [], 0
        while offset < self._size:
            offsets.append(offset)
            header = self._payload(offset, _HEADER.size)
            if len(header) < _HEADER.size:
                raise self._damaged_at(offset, "a record is shorter than its header")
            numbers.append(_HEADER.unpack_from(header)[2])
            offset = self._after(offset)
        # Writers that do not care leave all ids 0: the position tells records apart then.
        if len(set(numbers)) != len(numbers) or max(numbers, default=0) >= 2**63:
            numbers = list(range(len(numbers)))
        return np.array(numbers, np.int64), np.array(offsets, np.int64)

    def _after(self, offset: int) -> int:
        """Where the record after the one at an offset begins."""
        while True:
            flag, length = self._words(offset)
            offset += _padded(length)
            if offset > self._size:
                raise self._damaged_at(self._size, "the file ends in the midst of a record")
            if flag in (_WHOLE, _END):
                return offset

    def _damaged(self, position: int, what: str) -> DatasetError:
        return DatasetError(f"Record {self.numbers[position]} of {self.name} is damaged: {what}.")

    def _damaged_at(self, offset: int, what: str) -> DatasetError:
        return DatasetError(f"{self.name} is damaged at byte {offset:,}: {what}; download it again.")


def _padded(length: int) -> int:
    """Bytes that a piece takes in the file."""
    return _WORDS.size + (length + 3) // 4 * 4
