"""Text files that other programs and systems wrote: in UTF-8 or UTF-16, with any line ends, read in one way.

A byte order mark says the encoding and is no part of the text. Without one the text is UTF-8, or UTF-16 where
its first character is a plain one of two bytes. A line ends in a line feed, with or without a carriage return
before it; in a file without any line feed, in a carriage return.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from pathlib import Path

from facewise.errors import DatasetError, FacewiseError
from facewise.filenames import shown

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_HEAD = 2**16
"""Bytes looked at to tell how lines end."""


def encoding_of(data: bytes) -> str:
    """The name of the encoding that some text begins in."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    if len(data) > 1 and (data[0] == 0) != (data[1] == 0):
        return "utf-16-be" if data[0] == 0 else "utf-16-le"
    return "utf-8"


def decode_text(
    data: bytes, name: str, kind: type[FacewiseError] = DatasetError, *, odd_bytes: bool = False
) -> str:
    """The text of a file's bytes.

    Args:
        data: All of them.
        name: What to call the file in an error.
        kind: The error to raise.
        odd_bytes: Bytes that are no UTF-8 are kept as surrogates, as names of files have them; otherwise they
            are refused.

    Raises:
        FacewiseError: It is no text of the encoding it begins in.
    """
    encoding = encoding_of(data)
    try:
        if odd_bytes and encoding.startswith("utf-8"):
            return data.decode(encoding, "surrogateescape")
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise _no_text(name, encoding, kind) from error


def read_text(
    path: str | os.PathLike[str],
    what: str = "file",
    kind: type[FacewiseError] = DatasetError,
    *,
    odd_bytes: bool = False,
) -> str:
    """The text of a file.

    Args:
        path: The file.
        what: What it is, as in `"pair file"`.
        kind: As in `decode_text`.
        odd_bytes: As in `decode_text`.

    Raises:
        FacewiseError: It is missing, cannot be read, or is no text.
    """
    name = shown(os.fsdecode(path))
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise _unreadable(name, what, kind, error) from error
    return decode_text(data, f"the {what} {name}", kind, odd_bytes=odd_bytes)


def text_lines(
    path: str | os.PathLike[str],
    what: str = "file",
    kind: type[FacewiseError] = DatasetError,
    *,
    odd_bytes: bool = False,
) -> Iterator[str]:
    """The lines of a file without their ends, one by one, however long it is; arguments as `read_text`.

    Raises:
        FacewiseError: As `read_text`, where it comes to light.
    """
    name, encoding = shown(os.fsdecode(path)), ""
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEAD)
        encoding = encoding_of(head)
        newline = "\r" if b"\r" in head and b"\n" not in head else "\n"
        errors = "surrogateescape" if odd_bytes and encoding.startswith("utf-8") else "strict"
        with Path(path).open(encoding=encoding, errors=errors, newline=newline) as text:
            for line in text:
                yield line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise _no_text(f"the {what} {name}", encoding, kind) from error
    except (OSError, ValueError) as error:
        raise _unreadable(name, what, kind, error) from error


def listed_path(text: str, folder: Path) -> str:
    """A path as paths are written here: with the slashes of Windows turned round where that finds the file.

    Args:
        text: As it is in the file.
        folder: The folder it is relative to.
    """
    path = Path(text)
    if "\\" in text and os.sep == "/" and not os.path.exists(folder / path):  # noqa: PTH110  any text
        other = Path(text.replace("\\", "/"))
        if os.path.exists(folder / other):  # noqa: PTH110
            path = other
    return path.as_posix()


def whole_number(text: str) -> int | None:
    """A number of up to 18 plain digits; None of anything else, also of `²`, a digit to `str.isdigit`."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def _no_text(name: str, encoding: str, kind: type[FacewiseError]) -> FacewiseError:
    told = encoding.removesuffix("-sig").upper()
    return kind(f"Cannot read {name}: it is no {told} text; save it as UTF-8, or copy it again.")


def _unreadable(name: str, what: str, kind: type[FacewiseError], error: Exception) -> FacewiseError:
    if isinstance(error, FileNotFoundError):
        return kind(f"There is no {what} {name}; check the path.")
    if isinstance(error, IsADirectoryError):
        return kind(f"Cannot read the {what} {name}: it is a folder; name a file.")
    reason = getattr(error, "strerror", None) or "the path is not valid here"
    return kind(f"Cannot read the {what} {name}: {reason}.")
