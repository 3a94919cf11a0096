"""A gallery as one `.npz` file: to back it up, to move it to another store, never as pickle.

The file holds `header`, UTF-8 JSON as uint8, `embeddings`, `(N, D)` float32 in the order of its samples, and
`photos`, uint8: the kept JPEGs one after another. Nothing in it is encrypted, whether or not the gallery is.
"""

from __future__ import annotations

import json
import math
import zipfile
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.errors import GalleryError
from facewise.files import atomic_write, remove_leftovers
from facewise.gallery.beside import is_beside
from facewise.gallery.names import clean_groups, clean_name
from facewise.gallery.results import Sample, Space, StoredSample
from facewise.gallery.search import checked_embeddings
from facewise.gallery.store import Store
from facewise.types import Quality

FORMAT = "facewise-gallery"
VERSION = 2
"""1 had neither groups nor photos."""

_MEASURES = ("score", "size", "sharpness", "yaw", "pitch", "roll")

Contents = tuple[Space, list[tuple[str, list[Sample]]], dict[str, tuple[str, ...]]]
"""The embedding space, each person's samples, and the groups of those who are in any."""


def write_export(store: Store, path: Path) -> int:
    """Writes all people and samples to a new file that replaces `path` at once, and says how many samples.

    Raises:
        GalleryError: Nothing to export, or the gallery itself as the target.
        FacewiseError: The file cannot be written.
    """
    space, samples = store.space(), store.samples()
    if space is None:
        raise GalleryError(f"The gallery {store.location} is empty: there is nothing to export.")
    if is_beside(Path(store.location), path):
        raise GalleryError(f"{path} is a file of the gallery itself: export it to another.")
    photos = [store.photo(sample.id) if sample.has_photo else None for sample, _ in samples]
    header = {
        "format": FORMAT,
        "version": VERSION,
        "fingerprint": space.fingerprint,
        "model": space.model,
        "size": space.size,
        "flip": space.flip,
        "groups": {person.name: person.groups for person in store.people() if person.groups},
        "samples": [_told(sample, jpeg) for (sample, _), jpeg in zip(samples, photos, strict=True)],
    }
    rows = np.stack([row for _, row in samples]) if samples else np.empty((0, space.size), np.float32)
    remove_leftovers(path)  # of one that was killed: not encrypted either
    with atomic_write(path, private=True) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            allow_pickle=False,
            header=_bytes(json.dumps(header, ensure_ascii=False).encode()),
            embeddings=rows,
            photos=_bytes(b"".join(jpeg for jpeg in photos if jpeg is not None)),
        )
    return len(samples)


def _bytes(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, dtype=np.uint8)


def _told(sample: StoredSample, jpeg: bytes | None) -> dict[str, Any]:
    q = sample.quality
    return {
        "name": sample.name,
        "source": sample.source,
        "source_hash": sample.source_hash,
        "created": sample.created,
        "quality": None if q is None else {m: getattr(q, m) for m in _MEASURES},
        "photo_bytes": None if jpeg is None else len(jpeg),
    }


def read_export(path: Path) -> Contents:
    """What an exported file holds.

    Raises:
        GalleryError: The file is missing, damaged, no export, of a newer Facewise, or holds no embeddings.
    """
    try:
        _refuse_inflated(path)
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(file["header"].astype(np.uint8).tobytes())
            rows = file["embeddings"]
            photos = file["photos"].astype(np.uint8).tobytes() if "photos" in file else b""
        if header["format"] != FORMAT:
            raise GalleryError(f"{path} is not an export of a Facewise gallery.")
        if header["version"] > VERSION:
            raise GalleryError(f"The export {path} was written by a newer Facewise: update Facewise.")
        space = Space(
            str(header["fingerprint"]), str(header["model"]), int(header["size"]), bool(header["flip"])
        )
        samples = _samples(header["samples"], checked_embeddings(rows, space.size), photos)
        groups = {clean_name(name): clean_groups(of) for name, of in header.get("groups", {}).items()}
    except FileNotFoundError as error:
        raise GalleryError(f"There is no file {path}.") from error
    except _DAMAGE as error:
        raise GalleryError(f"{path} is damaged or not an export of a Facewise gallery.") from error
    samples.sort(key=lambda pair: pair[0])  # stable: a person's samples keep their order
    people = [(name, [s for _, s in group]) for name, group in groupby(samples, key=lambda pair: pair[0])]
    return space, people, groups


_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RecursionError, OverflowError,
           zipfile.BadZipFile)  # fmt: skip
"""What readers trip over in a damaged file."""


def _refuse_inflated(path: Path) -> None:
    """Refuses arrays that say they are larger than the bytes that are there: exports are not compressed.

    Raises:
        ValueError: One does.
    """
    with zipfile.ZipFile(path) as file:
        for member in file.infolist():
            with file.open(member) as array:
                old = np.lib.format.read_magic(array) == (1, 0)
                read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
                shape, _, kind = read(array)
            says = math.prod(shape) * kind.itemsize
            if member.compress_type != zipfile.ZIP_STORED or says > member.file_size:
                raise ValueError(f"{member.filename} says that it is larger than it is")


def _samples(
    told: list[dict[str, Any]], rows: NDArray[np.floating[Any]], photos: bytes
) -> list[tuple[str, Sample]]:
    """Each sample with its person's name; a `ValueError` where the photos are not all there."""
    found, at = [], 0
    for one, row in zip(told, rows, strict=True):
        length = one.get("photo_bytes")
        jpeg = None if length is None else photos[at : at + int(length)]
        if jpeg is not None and (len(jpeg) != length or not jpeg.startswith(b"\xff\xd8")):
            raise ValueError(f"{length} bytes of JPEG at {at}")
        at += len(jpeg or b"")
        found.append((clean_name(one["name"]), _sample(one, row, jpeg)))
    return found


def _sample(told: dict[str, Any], row: NDArray[np.floating[Any]], jpeg: bytes | None) -> Sample:
    measures = told["quality"]
    quality = None
    if measures is not None:
        score, size, sharpness, yaw, pitch, roll = (float(measures[m]) for m in _MEASURES)
        quality = Quality(score, size, sharpness, yaw, pitch, roll)
    return Sample(row, str(told["source"]), str(told["source_hash"]), quality, str(told["created"]), jpeg)
