"""An index on disk, beside its gallery: mapped into memory, and never trusted beyond what is checked.

The file `GALLERY.index` is a header (`FWINDEX1`, a checksum, JSON) and five arrays, each from a multiple of
4 KiB: samples, people, errors, codes, rows; see `facewise.gallery.segment`. It is only ever a copy of what
the gallery holds: whatever is wrong with it, it is made anew. Samples that go are zeroed in it at once.
A file of that name that is no index, or a link, is left as it is, and then no index is kept.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise import owned
from facewise.files import atomic_write, one_at_a_time, remove_leftovers
from facewise.gallery.segment import Scale, Segment
from facewise.owned import NotOursError

_MAGIC = b"FWINDEX1"
_PAGE = 4096
_VERSION = 1
_CHECKED = 1 << 24
"""Bytes a checksum: 16 MiB."""


class UnusableError(Exception):
    """The file is damaged, of another version or no snapshot: the gallery has everything."""


class MissingError(UnusableError):
    """There is no such file."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """An index as it was written, and what has gone since.

    Attributes:
        segment: The samples, in the file.
        scale: Of their codes.
        state: The store's token when it was written; see `Store.state`.
        shared: Whether changes of the segment go to the file; one that can only be read, or that has a second
            name (a hard link), has a copy of them.
        file: What tells the file from one that takes its place; see `identity`.
    """

    segment: Segment
    scale: Scale
    state: str
    shared: bool
    file: tuple[int, int] | None


class ForeignError(UnusableError):
    """There is a file of that name which is none of ours."""


def path_of(location: str) -> Path:
    """The snapshot of a gallery file, beside the file itself where the location is a link."""
    return Path(f"{Path(location).resolve()}.index")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """No other process writes the snapshot, or zeroes samples in it, meanwhile.

    Raises:
        NotOursError: Something else is in the place of the lock file.
    """
    with one_at_a_time(path.with_name(path.name + ".lock")):
        yield


@contextmanager
def locked_to_erase(path: Path) -> Iterator[None]:
    """As `locked`; where something else is in the place of the lock file, nobody writes a snapshot either."""
    with ExitStack() as until:
        with suppress(NotOursError):
            until.enter_context(locked(path))
        yield


def write(path: Path, segment: Segment, scale: Scale, state: str) -> None:
    """Writes a snapshot that replaces the old one at once; call it within `locked`.

    Raises:
        FacewiseError: It cannot be written, the disk is full, or the file that is there is none of ours.
    """
    with suppress(FileNotFoundError), owned.opened(path, begins=_MAGIC):
        pass
    remove_leftovers(path)
    n = segment.used
    arrays = {name: getattr(segment, name)[:n] for name in _ARRAYS}
    header = {
        "version": _VERSION,
        "state": state,
        "count": n,
        "size": segment.codes.shape[1],
        "factor": scale.factor,
        "usual": scale.usual,
        "checksums": {name: _checksums(arrays[name]) for name in _CHECKSUMMED},
    }
    with atomic_write(path, private=True) as temporary, temporary.open("wb") as file:
        text = json.dumps(header).encode()
        room = -(-(len(text) + len(_MAGIC) + 8) // _PAGE) * _PAGE
        file.write(_MAGIC + zlib.crc32(text).to_bytes(4, "little") + len(text).to_bytes(4, "little") + text)
        file.write(bytes(room - file.tell()))
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).data)
            file.write(bytes(-file.tell() % _PAGE))


def read(path: Path) -> Snapshot:
    """Maps a snapshot into memory. Its samples and people are still to be compared with the store's.

    Raises:
        UnusableError: See there.
    """
    try:
        shared = os.access(path, os.W_OK) and not owned.has_other_name(path)
        with owned.opened(path, begins=_MAGIC, write=shared) as handle:
            facts = os.fstat(handle)
            with os.fdopen(handle, "rb", closefd=False) as data:
                header, at = _header(data)
            mapped = mmap.mmap(handle, 0, access=mmap.ACCESS_WRITE if shared else mmap.ACCESS_COPY)
    except FileNotFoundError as error:
        raise MissingError from error
    except NotOursError as error:
        raise ForeignError(str(error)) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnusableError from error
    count, size = header["count"], header["size"]
    found: dict[str, NDArray[Any]] = {}
    for name, (kind, wide) in _ARRAYS.items():
        shape = (count, size) if wide else (count,)
        length = int(np.prod(shape)) * np.dtype(kind).itemsize
        if at + length > len(mapped):
            raise UnusableError
        found[name] = np.frombuffer(mapped, kind, int(np.prod(shape)), at).reshape(shape)
        at += length + (-length % _PAGE)
    segment = Segment(**found, used=count)
    if {name: _checksums(found[name]) for name in _CHECKSUMMED} != header["checksums"]:
        raise UnusableError
    scale, file = Scale(header["factor"], header["usual"]), (facts.st_dev, facts.st_ino)
    return Snapshot(segment, scale, header["state"], shared, file)


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is there now; None is none."""
    try:
        facts = path.lstat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _header(file: Any) -> tuple[dict[str, Any], int]:
    start = file.read(len(_MAGIC) + 8)
    length = int.from_bytes(start[-4:], "little")
    if not start.startswith(_MAGIC) or length > 1 << 22:
        raise ValueError("no snapshot")
    text = file.read(length)
    if zlib.crc32(text) != int.from_bytes(start[-8:-4], "little"):
        raise ValueError("a damaged header")
    header = json.loads(text)
    if header["version"] != _VERSION or header["count"] < 1 or not 0 < header["size"] < 1 << 16:
        raise ValueError("another version")
    return header, -(-(len(text) + len(start)) // _PAGE) * _PAGE


def erase(path: Path, samples: NDArray[np.int64]) -> None:
    """Zeros over samples in a snapshot that this process has not opened, if there is one.

    One that cannot be read is removed, with all its bytes, and one that has a second name (a hard link) only
    loses this one. One that cannot be written is left to whoever can: a process that removes somebody from
    the gallery does it there.
    """
    if not os.access(path, os.W_OK):
        return
    try:
        with owned.opened(path, begins=_MAGIC):
            pass
    except (OSError, NotOursError):
        return
    with locked_to_erase(path):
        try:
            found = read(path)
        except UnusableError:
            found = None
        if found is None or not found.shared:
            owned.erase(path, _MAGIC)
        else:
            clear(path, found.segment, found.segment.slots_of(samples))


def clear(path: Path, segment: Segment, slots: NDArray[np.int64]) -> None:
    """Zeros over slots of an open snapshot, on disk when this returns; its checksums follow."""
    if not len(slots):
        return
    segment.clear(slots)
    with (
        owned.opened(path, begins=_MAGIC, write=True) as handle,
        os.fdopen(handle, "r+b", closefd=False) as file,
    ):
        header, _ = _header(file)
        for name in _CHECKSUMMED:
            array = getattr(segment, name)
            per = _per(array)
            for part in np.unique(slots // per).tolist():
                header["checksums"][name][part] = _checksum(array[part * per : (part + 1) * per])
        text = json.dumps(header).encode()  # as long as before: checksums have eight digits
        file.seek(0)
        file.write(_MAGIC + zlib.crc32(text).to_bytes(4, "little") + len(text).to_bytes(4, "little") + text)
        file.flush()
        os.fsync(file.fileno())  # the mapping's dirty pages are the file's, and go with it


def remove(path: Path) -> None:
    """Removes a snapshot, zeroed first, and what a killed process left of one; none is fine."""
    owned.erase(path, _MAGIC)
    remove_leftovers(path)


def _checksums(array: NDArray[Any]) -> list[str]:
    """Of each 16 MiB; side by side, as zlib leaves Python's lock."""
    per = _per(array)
    parts = [array[at : at + per] for at in range(0, len(array), per)]
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(_checksum, parts))


def _per(array: NDArray[Any]) -> int:
    """Rows of an array to one checksum."""
    return max(1, _CHECKED // array[:1].nbytes)


def _checksum(array: NDArray[Any]) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(array).data):08x}"


_CHECKSUMMED = ("samples", "errors", "codes", "rows")
"""All but people, who are always compared with the store's."""

_ARRAYS: dict[str, tuple[Any, bool]] = {
    "samples": (np.int64, False),
    "people": (np.int64, False),
    "errors": (np.float32, False),
    "codes": (np.uint8, True),
    "rows": (np.float32, True),
}
