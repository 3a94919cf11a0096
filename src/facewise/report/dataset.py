"""What models are measured on: LFW, a CSV of pairs or a folder of people, all as pairs of photos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facewise.data.folder import folder_source
from facewise.data.lfw import Pair, load_lfw
from facewise.data.source import FileSource
from facewise.errors import DatasetError
from facewise.evaluation.pair_file import PairFile, read_pair_file

MOST = 20_000
"""Pairs of each kind that are made of a folder's photos at most."""

MOST_OF_ONE = 50
"""Genuine pairs of one person at most, where not all are taken."""

_SEED = 0


@dataclass(frozen=True, slots=True)
class DataSet:
    """Pairs to measure on.

    Attributes:
        title: What it is called in the report: a name without a path, as a report travels.
        protocol: What is done with it, for people.
        file: The pairs, in the form every protocol of pairs takes.
        limits: What was left out, a sentence each.
    """

    title: str
    protocol: str
    file: PairFile
    limits: tuple[str, ...] = ()

    def people(self) -> Mapping[str, str]:
        """Photo → who is on it; empty where nobody is named."""
        if self.file.people is None:
            return {}
        named: dict[str, str] = {}
        for pair, (a, b) in zip(self.file.pairs, self.file.people, strict=True):
            named[pair.a], named[pair.b] = a, b
        return named


def open_dataset(path: Path, root: Path | None = None) -> DataSet:
    """Find out what a path is, and read its pairs; photos are not looked at.

    Args:
        path: LFW (a folder with `pairs.txt`), a CSV of pairs, or a folder with a sub-folder a person.
        root: The folder that a CSV's paths are relative to.

    Raises:
        DatasetError: It is nothing of these, or malformed.
    """
    if path.is_dir():
        return _lfw(path) if (path / "pairs.txt").is_file() else _folder(path)
    if not path.exists():
        raise DatasetError(
            f"There is no file or folder {path}; give LFW's folder, a CSV of pairs or a folder of people."
        )
    if path.suffix.lower() != ".csv":
        raise DatasetError(
            f"{path} is no data for a report: give LFW's folder, a CSV of pairs or a folder of people."
        )
    file = read_pair_file(path, root)
    limits = (f"{file.twice:,} pairs are listed again; each line counts.",) if file.twice else ()
    return DataSet(path.name, f"{len(file.pairs):,} pairs of a CSV", file, limits)


def _lfw(root: Path) -> DataSet:
    lfw = load_lfw(root)
    people = tuple((pair.a.partition("/")[0], pair.b.partition("/")[0]) for pair in lfw.pairs)
    folds = len({pair.fold for pair in lfw.pairs})
    file = PairFile("LFW", lfw.images, lfw.pairs, True, people, None, 0)
    return DataSet("LFW", f"View 2, {folds} folds, {len(lfw.pairs):,} pairs", file)


def _folder(root: Path) -> DataSet:
    left_out: list[str] = []
    source = folder_source(root, tell=left_out.append)
    pairs, told = pairs_of(source)
    names = [source.names[label] for label in source.labels]
    of = dict(zip(source.keys, names, strict=True))
    people = tuple((of[pair.a], of[pair.b]) for pair in pairs)
    file = PairFile(source.name, root, pairs, False, people, None, 0)
    protocol = f"{len(pairs):,} pairs of {len(source.keys):,} photos of {len(source.names):,} people"
    return DataSet(root.resolve().name, protocol, file, (*left_out, *told))


def pairs_of(source: FileSource, most: int = MOST) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """All pairs of the photos, or as many of each kind as may be, drawn at random but always the same ones.

    Args:
        source: People and photos.
        most: Of each kind.

    Returns:
        The pairs, and what was left out.

    Raises:
        DatasetError: There are no two pairs of each kind.
    """
    rng = np.random.default_rng([_SEED, len(source.keys)])
    genuine, all_genuine = _genuine(source.labels, most, rng)
    photos = len(source.keys)
    all_impostors = photos * (photos - 1) // 2 - all_genuine
    if len(genuine) < 2 or all_impostors < 2:
        raise DatasetError(f"{source.name} makes no pairs: give two people, and two photos or more of each.")
    impostors = _impostors(source.labels, min(most, all_impostors), all_impostors, rng)
    told = [
        f"Of {total:,} {kind} pairs {len(taken):,} were drawn at random{more}; "
        "`facewise eval folder` counts all."
        for kind, taken, total, more in (
            ("genuine", genuine, all_genuine, f", at most {MOST_OF_ONE} of one person"),
            ("impostor", impostors, all_impostors, ""),
        )
        if len(taken) < total
    ]
    keys = source.keys
    pairs = [Pair(keys[a], keys[b], True, 0) for a, b in genuine.tolist()]
    pairs += [Pair(keys[a], keys[b], False, 0) for a, b in impostors.tolist()]
    return tuple(pairs), tuple(told)


def _genuine(labels: NDArray[np.int64], most: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], int]:
    """(P, 2) genuine pairs, and how many there are in all."""
    own = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    total = sum(len(photos) * (len(photos) - 1) // 2 for photos in own)
    found = []
    for photos in own:
        a, b = np.triu_indices(len(photos), 1)
        if total > most and len(a) > MOST_OF_ONE:  # who has hundreds of photos must not speak for everybody
            kept = np.sort(rng.choice(len(a), MOST_OF_ONE, replace=False))
            a, b = a[kept], b[kept]
        found.append(np.stack([photos[a], photos[b]], axis=1))
    pairs = np.concatenate(found)
    if len(pairs) > most:
        pairs = pairs[np.sort(rng.choice(len(pairs), most, replace=False))]
    return pairs.astype(np.int64), total


def _impostors(
    labels: NDArray[np.int64], wanted: int, total: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """(P, 2) different impostor pairs."""
    photos = len(labels)
    if wanted * 4 >= total:
        a, b = np.triu_indices(photos, 1)
        different = np.flatnonzero(labels[a] != labels[b])
        kept = np.sort(rng.choice(different, wanted, replace=False))
        return np.stack([a[kept], b[kept]], axis=1).astype(np.int64)
    codes = np.empty(0, np.int64)
    while len(codes) < wanted:
        a, b = np.sort(rng.integers(0, photos, (2, 2 * wanted)), axis=0)
        codes = np.unique(np.append(codes, (a * photos + b)[labels[a] != labels[b]]))
    codes = np.sort(rng.choice(codes, wanted, replace=False))
    return np.stack([codes // photos, codes % photos], axis=1)
