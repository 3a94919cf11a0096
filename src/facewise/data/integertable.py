"""Text files of whole numbers, so many a line: read in blocks by numpy, without a Python loop over lines.

IJB-C's list of pairs has 15,658,489 lines.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from facewise.errors import DatasetError
from facewise.image import source_name
from facewise.textfile import decode_text, encoding_of

_BLOCK = 2**20
"""Bytes parsed at once; what is needed beside them is about twenty times as much."""

_LONGEST_LINE = 1024
"""Bytes a line may stretch beyond a block."""

_DIGITS = 9
"""Digits a number may have, so that it fits 32 bits."""

_NEWLINE, _ZERO = ord("\n"), ord("0")
_BLANKS = (ord(" "), ord("\t"), ord("\r"))


def integer_table(
    path: Path, columns: int, expected: str, *, block: int = _BLOCK
) -> Iterator[tuple[int, NDArray[np.int32]]]:
    """The rows of a file of whole numbers from 0 to 999,999,999, blanks between them, one row a line.

    Args:
        path: The file. Empty lines may stand at its end and nowhere else.
        columns: Numbers a line.
        expected: What a line should be, for the error: `template template 1-or-0`.
        block: Bytes parsed at once.

    Yields:
        The 1-based number of the first line of a block, and the block's (n, columns) int32 numbers.

    Raises:
        DatasetError: The file is missing or unreadable, or a line is something else; the line is named.
    """
    name = source_name(path)
    complaint = f"of {name} is no `{expected}`"
    try:
        with _plain(path) as file:
            line, empty = 1, False
            while data := _whole_lines(file, block, columns, complaint, line):
                filled = data.rstrip(b" \t\r\n")
                if filled:
                    rows = None if empty else _parse(filled + b"\n", columns)
                    if rows is None:
                        raise _first_bad(b"" if empty else filled, columns, line, complaint)
                    yield line, rows
                    line += len(rows)
                empty |= data.count(b"\n", len(filled)) > bool(filled)
    except FileNotFoundError:
        raise DatasetError(f"There is no file {name}; check the path.") from None
    except OSError as error:
        raise DatasetError(f"Cannot read {name}: {error.strerror or error}.") from error


def _plain(path: Path) -> BinaryIO:
    """The file, its text a byte a character; one that begins in another encoding as a whole."""
    file = path.open("rb")
    head = file.read(4)
    file.seek(0)
    if encoding_of(head) == "utf-8":
        return file
    with file:
        text = decode_text(file.read(), source_name(path))
    return io.BytesIO(text.encode("ascii", "replace"))


def _whole_lines(file: BinaryIO, block: int, columns: int, complaint: str, line: int) -> bytes:
    """The next lines of the file, all but its last ending in a newline; nothing at its end."""
    data = file.read(block)
    if data and not data.endswith(b"\n"):
        data += file.readline(_LONGEST_LINE)
        if not data.endswith(b"\n") and file.read(1):
            raise _first_bad(data, columns, line, complaint)
    return data


def _parse(data: bytes, columns: int) -> NDArray[np.int32] | None:
    """`(n, columns)` numbers of lines that end in a newline; None where a line is no row."""
    text = np.frombuffer(data, np.uint8)
    digit = text - np.uint8(_ZERO) < 10  # wraps below zero
    newline = text == _NEWLINE
    blank = np.isin(text, _BLANKS)
    if np.count_nonzero(digit) + np.count_nonzero(newline) + np.count_nonzero(blank) != len(text):
        return None
    # Where digits begin and where they end: the text ends in a newline, so they come in pairs.
    edges = np.flatnonzero(np.diff(digit, prepend=False)).astype(np.int32)
    starts, ends = edges[0::2], edges[1::2]
    breaks = np.flatnonzero(newline)
    if len(starts) != columns * len(breaks):
        return None
    first, last = starts[::columns], ends[columns - 1 :: columns]
    widths = ends - starts
    if bool((first[1:] < breaks[:-1]).any() or (last > breaks).any()) or int(widths.max()) > _DIGITS:
        return None
    numbers = np.zeros(len(starts), np.int32)
    for place in range(int(widths.max())):
        there = widths > place
        figure = text[np.where(there, ends - 1 - place, 0)].astype(np.int32) - _ZERO
        numbers += np.where(there, figure, 0) * np.int32(10**place)
    return numbers.reshape(-1, columns)


def _first_bad(data: bytes, columns: int, line: int, complaint: str) -> DatasetError:
    """The error that names the first line that is no row."""
    number = rb"[0-9]{1,%d}" % _DIGITS
    row = re.compile(rb"[ \t\r]*" + number + (rb"[ \t\r]+" + number) * (columns - 1) + rb"[ \t\r]*")
    lines = data.split(b"\n")
    bad = next((i for i, text in enumerate(lines) if not row.fullmatch(text)), len(lines) - 1)
    return DatasetError(f"Line {line + bad} {complaint}.")
