"""A gallery as one `.npz` file: to back it up, to move it to another store, never as pickle.

The file holds `header`, UTF-8 JSON as uint8, and `embeddings`, `(N, D)` float32 in the order of its samples.
"""

from __future__ import annotations

import json
import zipfile
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from facewise.errors import GalleryError
from facewise.files import atomic_write
from facewise.gallery.names import clean_name
from facewise.gallery.results import Sample, Space, StoredSample
from facewise.gallery.search import checked_embeddings
from facewise.gallery.store import Store
from facewise.types import Quality

FORMAT = "facewise-gallery"
VERSION = 1

_MEASURES = ("score", "size", "sharpness", "yaw", "pitch", "roll")


def write_export(store: Store, path: Path) -> int:
    """Writes all people and samples to a new file that replaces `path` at once, and says how many samples.

    Raises:
        GalleryError: Nothing to export, or the gallery itself as the target.
        FacewiseError: The file cannot be written.
    """
    space, samples = store.space(), store.samples()
    if space is None:
        raise GalleryError(f"The gallery {store.location} is empty: there is nothing to export.")
    if path.resolve() == Path(store.location).resolve():
        raise GalleryError(f"{path} is the gallery itself: export it to another file.")
    header = {
        "format": FORMAT,
        "version": VERSION,
        "fingerprint": space.fingerprint,
        "model": space.model,
        "size": space.size,
        "flip": space.flip,
        "samples": [_told(sample) for sample, _ in samples],
    }
    rows = np.stack([row for _, row in samples]) if samples else np.empty((0, space.size), np.float32)
    text = np.frombuffer(json.dumps(header, ensure_ascii=False).encode(), dtype=np.uint8)
    with atomic_write(path, private=True) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, header=text, embeddings=rows)
    return len(samples)


def _told(sample: StoredSample) -> dict[str, Any]:
    q = sample.quality
    return {
        "name": sample.name,
        "source": sample.source,
        "source_hash": sample.source_hash,
        "created": sample.created,
        "quality": None if q is None else {m: getattr(q, m) for m in _MEASURES},
    }


def read_export(path: Path) -> tuple[Space, list[tuple[str, list[Sample]]]]:
    """The embedding space of an exported file, and each person's samples.

    Raises:
        GalleryError: The file is missing, damaged, no export, of a newer Facewise, or holds no embeddings.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(file["header"].astype(np.uint8).tobytes())
            rows = file["embeddings"]
        if header["format"] != FORMAT:
            raise GalleryError(f"{path} is not an export of a Facewise gallery.")
        if header["version"] > VERSION:
            raise GalleryError(f"The export {path} was written by a newer Facewise: update Facewise.")
        space = Space(
            str(header["fingerprint"]), str(header["model"]), int(header["size"]), bool(header["flip"])
        )
        rows = checked_embeddings(rows, space.size)
        samples = [
            (clean_name(s["name"]), _sample(s, row)) for s, row in zip(header["samples"], rows, strict=True)
        ]
    except FileNotFoundError as error:
        raise GalleryError(f"There is no file {path}.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise GalleryError(f"{path} is damaged or not an export of a Facewise gallery.") from error
    samples.sort(key=lambda pair: pair[0])  # stable: a person's samples keep their order
    return space, [
        (name, [s for _, s in group]) for name, group in groupby(samples, key=lambda pair: pair[0])
    ]


def _sample(told: dict[str, Any], row: np.ndarray[Any, Any]) -> Sample:
    measures = told["quality"]
    quality = None if measures is None else Quality(*(float(measures[m]) for m in _MEASURES))
    return Sample(row, str(told["source"]), str(told["source_hash"]), quality, str(told["created"]))
