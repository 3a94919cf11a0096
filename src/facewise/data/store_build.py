"""From any source of aligned crops to a `CropStore`: built once, kept in the cache, found again at once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from facewise.concurrency import side_by_side
from facewise.data.source import Source, Subset
from facewise.data.store import FORMAT, INDEX, PIXELS, CropStore, data_hash, seal
from facewise.errors import DatasetError, FacewiseError, ImageError
from facewise.files import atomic_write, one_at_a_time, write_bytes
from facewise.models.home import make_cache
from facewise.types import Image

Progress = Callable[[int, int], None]
"""Called with photos done and photos in all, in this thread."""


def cached_store(
    source: Source,
    size: int = 112,
    *,
    threads: int = 4,
    progress: Progress | None = None,
    rebuild: bool = False,
) -> CropStore:
    """The store of a source in Facewise's cache; built if it is not there, or damaged, or a file has changed.

    Of several processes that ask at once, one builds and the others wait. A source whose photos are not files
    (see `identity`) is built every time, as nothing tells whether its photos are still the same.

    Args:
        source: Photos that are aligned crops.
        size: Side of the crops in pixels.
        threads: For reading photos.
        progress: Told while building.
        rebuild: Build it in any case.

    Raises:
        DatasetError: No photo of the source can be used.
        FacewiseError: The store cannot be written, for want of space or permission.
    """
    known = identity(source)
    plain = known or json.dumps([type(source).__name__, source.name, *source.keys])
    folder = make_cache("crops") / hashlib.sha256(f"{FORMAT} {size} {plain}".encode()).hexdigest()[:24]
    with one_at_a_time(folder / ".lock"):
        if known and not rebuild:
            with suppress(DatasetError):  # not there yet, or damaged: both are mended by building it
                return CropStore.open(folder)
        return _build(source, size, folder, threads, progress)


def build_store(
    source: Source,
    folder: str | os.PathLike[str],
    size: int = 112,
    *,
    threads: int = 4,
    progress: Progress | None = None,
) -> CropStore:
    """Write a store to a folder, in place of what store is there.

    Photos of another size are resized, smaller by area and larger bilinearly, and counted in
    `CropStore.resized`. Photos that cannot be read, or are not square and so no aligned crops, are left out
    and named in `CropStore.dropped`; people left without a photo have no number.

    Args, Raises: See `cached_store`.
    """
    with one_at_a_time(Path(folder) / ".lock"):
        return _build(source, size, Path(folder), threads, progress)


def identity(source: Source) -> str | None:
    """What tells that a source is still the same without reading its photos; None if nothing does.

    For photos that are files (the source has a method `path(index)`): keys, people, and sizes and times of
    modification of the files. Any other source may give text that changes with its photos as attribute
    `identity`.
    """
    rows, photos = np.arange(len(source.keys)), source
    while isinstance(photos, Subset):
        rows, photos = photos.indices[rows], photos.source
    people = hashlib.sha256()
    for key, label in zip(source.keys, source.labels, strict=True):
        people.update(json.dumps([key, source.names[label]]).encode())
    if isinstance(photos, CropStore):
        return f"{people.hexdigest()} {photos.data_hash}"
    given = getattr(photos, "identity", None)
    if isinstance(given, str):
        return f"{people.hexdigest()} {given}"
    path = getattr(photos, "path", None)
    if path is None:
        return None
    for row in rows:
        people.update(os.fsencode(_stamp(Path(path(int(row))))))
    return people.hexdigest()


def _stamp(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return f"{path.absolute()} missing;"
    return f"{path.absolute()} {found.st_size} {found.st_mtime_ns};"


def _build(source: Source, size: int, folder: Path, threads: int, progress: Progress | None) -> CropStore:
    if size < 1 or threads < 1:
        raise DatasetError(f"A store needs a size and threads of at least 1, not {size} and {threads}.")
    _check_space(folder, len(source.keys) * size * size * 3)
    with suppress(FileNotFoundError):
        (folder / INDEX).unlink()  # first, so that no old index is ever beside new pixels
    with atomic_write(folder / PIXELS) as temporary, temporary.open("wb") as file:
        written = _write(source, size, file, threads, progress)
    index = _index(source, size, written)
    write_bytes(folder / INDEX, seal(index))
    return CropStore.open(folder)


@dataclass(frozen=True, slots=True)
class _Crop:
    """One photo made ready: a crop with its digest, or why there is none."""

    crop: Image | None
    digest: bytes
    resized: bool
    reason: str


@dataclass(frozen=True, slots=True)
class _Written:
    kept: list[int]
    digests: list[bytes]
    dropped: list[tuple[str, str]]
    resized: int


def _write(source: Source, size: int, file: IO[bytes], threads: int, progress: Progress | None) -> _Written:
    """Write the crops one after another: on a full disk a mapped file would kill the process."""
    photos = len(source.keys)
    start = _header(file, photos, size)
    kept: list[int] = []
    digests: list[bytes] = []
    dropped: list[tuple[str, str]] = []
    resized = 0
    ready = side_by_side(lambda index: _ready(source, index, size), range(photos), threads)
    for index, one in enumerate(ready):
        if one.crop is None:
            dropped.append((source.keys[index], one.reason))
        else:
            file.write(one.crop.data)
            kept.append(index)
            digests.append(one.digest)
            resized += one.resized
        if progress is not None:
            progress(index + 1, photos)
    if not kept:
        raise DatasetError(f"None of the {photos} photos of {source.name} can be used: {dropped[0][1]}")
    file.seek(0)
    if _header(file, len(kept), size) != start:
        raise RuntimeError("NumPy's header has grown over the first crop")
    file.flush()
    return _Written(kept, digests, dropped, resized)


def _header(file: IO[bytes], crops: int, size: int) -> int:
    """Write the header of an npy file; NumPy leaves room in it for a longer first axis."""
    shape = {"descr": "|u1", "fortran_order": False, "shape": (crops, size, size, 3)}
    np.lib.format.write_array_header_1_0(file, shape)
    return file.tell()


def _ready(source: Source, index: int, size: int) -> _Crop:
    try:
        photo = source.read(index)
    except ImageError as error:
        return _Crop(None, b"", False, str(error))
    height, width = photo.shape[:2]
    if height != width:
        reason = f"{source.keys[index]} is {width} × {height} pixels, not square; align its face first."
        return _Crop(None, b"", False, reason)
    if height != size:
        how = cv2.INTER_AREA if height > size else cv2.INTER_LINEAR
        crop = np.ascontiguousarray(cv2.resize(photo, (size, size), interpolation=how), dtype=np.uint8)
    else:
        crop = np.ascontiguousarray(photo)
    return _Crop(crop, hashlib.sha256(crop.data).digest(), height != size, "")


def _index(source: Source, size: int, written: _Written) -> dict[str, Any]:
    present, labels = np.unique(source.labels[written.kept], return_inverse=True)
    names = [source.names[i] for i in present]
    keys = [source.keys[i] for i in written.kept]
    digests = np.frombuffer(b"".join(written.digests), np.uint8).reshape(-1, 32)
    return {
        "format": FORMAT,
        "source": source.name,
        "size": size,
        "resized": written.resized,
        "keys": keys,
        "labels": labels.tolist(),
        "names": names,
        "dropped": [list(pair) for pair in written.dropped],
        "digests": digests.tobytes().hex(),
        "data_hash": data_hash(keys, [names[label] for label in labels], digests),
    }


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise FacewiseError(
            f"The crops need {needed / 1e9:.1f} GB, but {folder} has {free / 1e9:.1f} GB free; "
            "free some, or set FACEWISE_HOME to a folder on a larger disk."
        )
