"""From whatever a user names as a dataset to crops to train on: aligned, filtered, divided."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facewise.data.lfw import read_pairs
from facewise.data.open import open_source
from facewise.data.prepare import prepare
from facewise.data.prepared import PreparedSource
from facewise.data.recordsource import RecordSource
from facewise.data.source import Source
from facewise.data.split import load_split, split
from facewise.data.store import CropStore
from facewise.data.store_build import cached_store, identity
from facewise.errors import DatasetError, ImageError
from facewise.geometry import Cut
from facewise.models.home import make_cache
from facewise.pipeline import Pipeline
from facewise.training.choosing import choose_photos, find_file
from facewise.training.config import Data
from facewise.training.engine import TrainingData

Say = Callable[[str], None]
Progress = Callable[[str, int, int], None]
"""What is being done, how many are done, of how many."""

_PARTS = ("train", "held out")

_NAMED = 10
"""Photos left out that are named one by one."""

_LOOKED_AT = 20
"""Photos looked at to see whether a dataset is aligned crops already."""


@dataclass(frozen=True, slots=True)
class Crops:
    """All crops of a dataset.

    Attributes:
        store: The crops.
        root: Where the dataset lies, for files named relative to it.
        source: What the store was made from, as files where it is.
    """

    store: CropStore
    root: Path
    source: Source


def load_crops(
    data: str | Path | Source,
    cut: Cut | int,
    *,
    pipeline: Callable[[], Pipeline] | None = None,
    say: Say = lambda _: None,
    progress: Progress = lambda *_: None,
) -> Crops:
    """The aligned crops of a dataset, made if it is photos; the second time they are there at once.

    Args:
        data: A path that `open_source` knows, or a source.
        cut: How faces become crops; a number is the side of 5-point crops in pixels.
        pipeline: Makes the detector, for photos that are not aligned yet.
        say: Told in one line each what was done and what was left out.
        progress: Told of long work.

    Raises:
        DatasetError: Nothing of it can be used.
    """
    cut = Cut(cut) if isinstance(cut, int) else cut
    size = cut.size
    if isinstance(data, str | Path):
        source, root = open_source(data, tell=say), Path(data)
        root = root if root.is_dir() else root.parent
    else:
        source, root = data, Path()
    _refuse_other(source, cut)
    if not _are_crops(source, size):
        source = _align(source, cut, pipeline or _detector, say, progress)
    store = cached_store(source, size, progress=lambda done, total: progress("reading crops", done, total))
    if store.dropped:
        first = store.dropped[0]
        say(f"{len(store.dropped)} photos left out, such as {first.key}: {first.reason}")
    if store.resized:
        say(f"{store.resized} crops had another size than {size} pixels and were resized.")
    return Crops(store, root, source)


def divide(crops: Crops, config: Data, seed: int) -> TrainingData:
    """Choose people, and hold out photos and people.

    Args:
        crops: All crops.
        config: Says which and how many.
        seed: Of the division, unless `config.split_seed` is another.

    Raises:
        DatasetError: Fewer than two people are left, or a part would be empty.
    """
    seed = seed if config.split_seed is None else config.split_seed
    store = crops.store.subset(choose_photos(crops.store, crops.root, config, seed))
    if config.split is not None:
        return _by_file(store, find_file(crops.root, config.split))
    unknown = None
    if config.held_out_people:
        parts = split(
            store,
            (1 - config.held_out_people, config.held_out_people),
            by="identity",
            names=_PARTS,
            seed=seed,
        )
        unknown = store.subset(_of(parts.parts, "held out"))
        store = store.subset(_of(parts.parts, "train"))
    known = None
    if config.held_out_photos:
        parts = split(
            store, (1 - config.held_out_photos, config.held_out_photos), by="photo", names=_PARTS, seed=seed
        )
        known = store.subset(_of(parts.parts, "held out"), keep_names=True)
        store = store.subset(_of(parts.parts, "train"), keep_names=True)
    if len(store.names) < 2:
        raise DatasetError(f"{store.name} has {len(store.names)} people to learn from; training needs two.")
    return TrainingData(store, known, unknown)


def _detector() -> Pipeline:
    return Pipeline.load(embed=False)


def _refuse_other(source: Source, cut: Cut) -> None:
    """Crops of faces cut otherwise cannot be made into what the network takes, photos can."""
    made = source.cut if isinstance(source, PreparedSource) else cut
    if (made.alignment, made.margin) != (cut.alignment, cut.margin):
        raise DatasetError(
            f"The crops in {source.name} were cut by {made.alignment}, margin {made.margin:.3g}; the "
            f"network takes them by {cut.alignment}, margin {cut.margin:.3g}: name the photos themselves."
        )


def _are_crops(source: Source, size: int) -> bool:
    if isinstance(source, CropStore | PreparedSource | RecordSource):
        return True
    seen = 0
    for index in np.linspace(0, len(source.keys) - 1, min(_LOOKED_AT, len(source.keys))).astype(int):
        try:
            if source.read(int(index)).shape[:2] != (size, size):
                return False
            seen += 1
        except ImageError:
            continue
    return seen > 0


def _align(
    source: Source, cut: Cut, pipeline: Callable[[], Pipeline], say: Say, progress: Progress
) -> PreparedSource:
    made = pipeline()
    known = identity(source) or f"{source.name} {source.keys}"
    plain = f"{cut.key} {made.detector.fingerprint} {made.detector.settings} {known}"
    folder = make_cache("prepared") / hashlib.sha256(plain.encode()).hexdigest()[:24]
    total, done = len(source.keys), 0

    def tell(count: int) -> None:
        nonlocal done
        done += count
        progress("aligning", done, total)

    # The folder is named after what tells that photos have changed.
    prepared = prepare(source, made, cut, folder, tell, processes=True, unchanged=True)
    several, left_out = prepared.of("several faces"), prepared.of("no face", "unreadable")
    used = total - len(left_out)
    for photo in left_out[:_NAMED]:
        say(f"Left out: {photo.error or f'no face was found in {photo.key}.'}")
    if len(left_out) > _NAMED:
        say(f"… and {len(left_out) - _NAMED} more; `facewise data prepare` names them all.")
    for photo in several[:_NAMED]:
        say(f"{photo.key} shows {photo.faces} faces; the main one is taken.")
    if not used:
        raise DatasetError(f"No photo of {source.name} could be aligned: there is no face to learn from.")
    say(
        f"{used} of {total} photos aligned"
        + (f"; of {len(several)} with several faces the main one" if several else "")
        + "."
    )
    found = prepared.source()
    found.name = source.name  # what the user calls it, not where the crops are kept
    return found


def given_pairs(store: CropStore, root: Path, file: str) -> NDArray[np.int64]:
    """(P, 2) numbers of the crops of a file's pairs; pairs with a photo that is not there are left out.

    Args:
        store: What is learned from.
        root: Of the dataset.
        file: An LFW pair file, relative to it.

    Raises:
        DatasetError: No pair is left, or the file is no pair file.
    """
    place = {key: i for i, key in enumerate(store.keys)}
    pairs = read_pairs(find_file(root, file))
    found = [(place[pair.a], place[pair.b]) for pair in pairs if pair.a in place and pair.b in place]
    if not found:
        raise DatasetError(f"No pair of {file} has both photos among those to learn from in {store.name}.")
    return np.array(found, np.int64)


def _by_file(store: CropStore, path: Path) -> TrainingData:
    parts = load_split(path)
    part_of = dict(zip(parts.keys, parts.parts, strict=True))
    of = [part_of.get(key, "") for key in store.keys]
    if "train" not in of:
        raise DatasetError(f"The split {path} has no part train with photos of {store.name}.")
    train_people = {store.names[store.labels[i]] for i in _of(of, "train")}
    held = _of(of, "val") if "val" in of else _of(of, "test")
    known = [i for i in held if store.names[store.labels[i]] in train_people]
    unknown = [i for i in held if store.names[store.labels[i]] not in train_people]
    learned = np.array(sorted({*_of(of, "train"), *known}), np.int64)
    together = store.subset(learned)  # numbers the people of training anew, once for both parts
    training = set(_of(of, "train"))
    mine = [n for n, i in enumerate(learned) if i in training]
    others = [n for n, i in enumerate(learned) if i not in training]
    return TrainingData(
        together.subset(mine, keep_names=True),
        together.subset(others, keep_names=True) if others else None,
        store.subset(unknown) if unknown else None,
    )


def _of(parts: Sequence[str], name: str) -> list[int]:
    return [i for i, part in enumerate(parts) if part == name]
