"""Whose photos of a dataset are used, and how many of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facewise.data.people import read_people
from facewise.data.store import CropStore
from facewise.errors import DatasetError, SettingError
from facewise.training.settings import Data


def choose_photos(store: CropStore, root: Path, config: Data, seed: int) -> NDArray[np.int64]:
    """Numbers of the photos that the settings ask for, in order.

    People are left out by file, then for having too few photos, then for having fewer than others
    (`max_people`); of those left, `max_photos` are drawn.

    Args:
        store: All photos.
        root: Of the dataset, for files named relative to it.
        config: Says which and how many.
        seed: Of the drawing.

    Raises:
        DatasetError: Nobody is left.
        SettingError: A file is not there.
    """
    keep = np.ones(len(store), bool)
    for file, inside in ((config.only_people, True), (config.without_people, False)):
        if file is not None:
            people = read_people(find_file(root, file))
            named = np.array([name in people for name in store.names])
            keep &= named[store.labels] == inside
    counts = np.bincount(store.labels[keep], minlength=len(store.names))
    keep &= counts[store.labels] >= config.min_photos
    if not keep.any():
        raise DatasetError(
            f"Nobody of {store.name} is left: nobody has {config.min_photos} photos and is among the people "
            "asked for; lower data.min_photos, or see data.only_people and data.without_people."
        )
    if config.max_people is not None:
        keep &= _most(store, keep, config.max_people)[store.labels]
    chosen = np.flatnonzero(keep).astype(np.int64)
    return chosen if config.max_photos is None else _some(store, chosen, config.max_photos, seed)


def _most(store: CropStore, keep: NDArray[np.bool_], people: int) -> NDArray[np.bool_]:
    """(people,) whether each is among those with the most photos, of as many by name."""
    counts = np.bincount(store.labels[keep], minlength=len(store.names))
    order = sorted(range(len(store.names)), key=lambda i: (-counts[i], store.names[i]))
    among = np.zeros(len(store.names), bool)
    among[order[:people]] = True
    return among


def _some(store: CropStore, chosen: NDArray[np.int64], photos: int, seed: int) -> NDArray[np.int64]:
    """So many photos of each person at most, drawn by seed, name and keys, whatever the order."""
    kept: list[int] = []
    for label in np.unique(store.labels[chosen]):
        own = sorted(chosen[store.labels[chosen] == label].tolist(), key=store.keys.__getitem__)
        name = np.frombuffer(store.names[label].encode("utf-8", "surrogateescape"), np.uint8)
        rng = np.random.default_rng([seed, 1, *name.tolist()])
        kept += [own[i] for i in rng.permutation(len(own))[:photos]]
    return np.array(sorted(kept), np.int64)


def find_file(root: Path, file: str) -> Path:
    """A file named relative to a dataset, or to the current folder.

    Raises:
        SettingError: There is none.
    """
    for path in (root / file, Path(file)):
        if path.is_file():
            return path
    raise SettingError(f"There is no file {file}, neither in {root} nor in the current folder.")
