"""The photos that our own models learn from: real ones, aligned, without anybody LFW's View 2 tests."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facewise.data.csvfile import csv_source, read_csv
from facewise.data.lfw import images_of, lfw_people, read_pairs
from facewise.data.prepare import prepare
from facewise.data.prepared import PreparedSource, open_prepared
from facewise.data.source import FileSource, Source
from facewise.embedding import Embedder
from facewise.files import write_bytes
from facewise.pipeline import Pipeline

SIZE = 112

MATCH = 0.45
"""Cosine to any photo of View 2, by the teacher, from which on a face may be the same person."""

HELD_OUT = 1000
"""Photos of UTKFace that nobody learns from: for rates by age and race."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What became of the photos of one dataset.

    Attributes:
        photos: In it, people of View 2 left out by name.
        no_face: No face was found, or the photo could not be read.
        matched: Left out because the face may be of View 2.
        held_out: Kept for measuring.
        used: To learn from.
    """

    photos: int
    no_face: int
    matched: int
    held_out: int
    used: int


def sources(data: Path) -> dict[str, Source]:
    """The three datasets under DATA/data, LFW without the people of View 2."""
    utkface = [
        key for (key,) in (fields for _, fields in read_csv(data / "utkface" / "labels.csv", ("path",)))
    ]
    return {
        "celeba-wild": csv_source(data / "celeba-wild" / "identities.csv"),
        # Nobody knows who is on these: each photo is a person of its own.
        "utkface": FileSource(
            "utkface", data / "utkface", utkface, np.arange(len(utkface)), [Path(key).stem for key in utkface]
        ),
        "lfw": lfw_people(data / "lfw", exclude_pairs=["pairs.txt"]),
    }


def view_2(data: Path) -> FileSource:
    """The photos of View 2's pairs, as a dataset of one nobody."""
    lfw = data / "lfw"
    photos = sorted({photo for pair in read_pairs(lfw / "pairs.txt") for photo in (pair.a, pair.b)})
    return FileSource("View 2", images_of(lfw), photos, np.zeros(len(photos), np.int64), ["nobody"])


def gather(data: Path, work: Path, detector: Pipeline, teacher: Embedder, say: Say) -> Path:
    """Align everything, drop who may be in View 2, and write the list of crops to learn from.

    Args:
        data: Folder with `celeba-wild`, `lfw` and `utkface`.
        work: Where crops and lists go; what is there already is not made again.
        detector: Finds the faces.
        teacher: Its embeddings say who may be in View 2.
        say: Told what was done.

    Returns:
        WORK/embed.csv, of crops relative to WORK. Beside it `utkface-held-out.csv` and `gathered.json`.
    """
    listing = work / "embed.csv"
    if listing.is_file():
        return listing
    crops = {}
    for name, source in {**sources(data), "view-2": view_2(data)}.items():
        say(f"aligning {name}: {len(source.keys)} photos")
        prepare(source, detector, SIZE, work / "crops" / name, processes=True)
        crops[name] = open_prepared(work / "crops" / name)
    test = embeddings(crops["view-2"], teacher)
    rows: list[tuple[str, str]] = []
    counts: dict[str, Gathered] = {}
    for name, found in crops.items():
        if name == "view-2":
            continue
        alike = nearest(embeddings(found, teacher), test) > MATCH
        kept = np.flatnonzero(~alike)
        held: NDArray[np.int64] = np.empty(0, np.int64)
        if name == "utkface":
            held = np.sort(np.random.default_rng(0).choice(kept, HELD_OUT, replace=False))
            write_listing(work / "utkface-held-out.csv", _rows(name, found, held))
        kept = np.setdiff1d(kept, held)
        rows += _rows(name, found, kept)
        counts[name] = Gathered(
            len(found.keys) + len(found.without), len(found.without), int(alike.sum()), len(held), len(kept)
        )
        say(f"{name}: {counts[name]}")
    write_bytes(
        work / "gathered.json", json.dumps({k: asdict(v) for k, v in counts.items()}, indent=2).encode()
    )
    write_listing(listing, rows)
    return listing


def embeddings(source: Source, embedder: Embedder) -> NDArray[np.float32]:
    """(N, D) of every crop."""
    parts = []
    for start in range(0, len(source.keys), 512):
        some = [source.read(i) for i in range(start, min(start + 512, len(source.keys)))]
        parts.append(embedder.embed(np.stack(some)))
    return np.concatenate(parts)


def nearest(some: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,) largest cosine of each of (N, D) to any of (M, D)."""
    parts = [(some[i : i + 1000] @ others.T).max(axis=1) for i in range(0, len(some), 1000)]
    return np.concatenate(parts)


def write_listing(path: Path, rows: list[tuple[str, str]]) -> None:
    """A CSV of `path,person`."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("path", "person"), *rows])
    write_bytes(path, text.getvalue().encode())


def _rows(name: str, found: PreparedSource, indices: NDArray[np.int64]) -> list[tuple[str, str]]:
    return [
        (f"crops/{name}/{found.files[i]}", f"{name}-{found.names[found.labels[i]]}") for i in indices.tolist()
    ]
