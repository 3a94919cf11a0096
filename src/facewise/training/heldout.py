"""What a finished run made of the photos held out from it, photo by photo, for whoever compares runs."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.nn import functional

from facewise.data.store import CropStore
from facewise.errors import DatasetError
from facewise.files import atomic_write
from facewise.training.engine import Trainer
from facewise.training.validation import Pairs, embed_store, pair_cosines, people_named

HELD_OUT = "held_out.npz"
"""The file in a run's folder."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutPhotos:
    """Photos that were not learned from.

    Attributes:
        keys: One a photo.
        labels: (N,) int64, who is on each, a number in `names`.
        names: Of the people.
        embeddings: (N, D) float32, of unit length.
        predicted: (N,) int64, who the loss takes each for; None where it names nobody.
        lengths: (N,) float32, of the embeddings before they were made unit: plain softmax weighs them. None
            where they were not kept.
    """

    keys: tuple[str, ...]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    embeddings: NDArray[np.float32]
    predicted: NDArray[np.int64] | None = None
    lengths: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """All held-out photos of a run.

    Attributes:
        known: Other photos of the people learned, or None.
        unknown: Photos of other people, or None.
        pairs: Pairs of `unknown` that verification was measured on, or None.
        scores: (P,) float64 cosines of the pairs, or None.
    """

    known: HeldOutPhotos | None = None
    unknown: HeldOutPhotos | None = None
    pairs: Pairs | None = None
    scores: NDArray[np.float64] | None = None


def measure_held_out(trainer: Trainer) -> HeldOut:
    """Embed what a trainer holds out, with the weights it has; all processes must call it."""
    learner, data = trainer.learner, trainer.data
    known = None if data.known is None else _photos(trainer, data.known, named=True)
    unknown = None if data.unknown is None else _photos(trainer, data.unknown, named=False)
    learner.train()
    if unknown is None or trainer.pairs is None:
        return HeldOut(known, unknown)
    return HeldOut(known, unknown, trainer.pairs, pair_cosines(unknown.embeddings, trainer.pairs))


def _photos(trainer: Trainer, store: CropStore, *, named: bool) -> HeldOutPhotos:
    features = embed_store(store, trainer.learner.embed)
    unit = functional.normalize(features, dim=1).numpy()
    learner = trainer.learner
    who = people_named(learner.used_head, features.to(learner.device)) if named else None
    predicted = None if who is None else who.cpu().numpy().astype(np.int64)
    lengths = features.norm(dim=1).numpy() if named else None
    return HeldOutPhotos(store.keys, store.labels, store.names, unit, predicted, lengths)


def write_held_out(path: str | os.PathLike[str], held_out: HeldOut) -> None:
    """Write it, atomically, as arrays that `numpy.load` reads without pickle; nothing if nothing is held out.

    `known_…` and `unknown_…` are the fields of `HeldOutPhotos`; `pair_a`, `pair_b` number photos of
    `unknown`, `pair_same` says whether both show one person, `pair_score` is their cosine.

    Raises:
        FacewiseError: The file cannot be written.
    """
    arrays: dict[str, Any] = {}
    for part, photos in (("known", held_out.known), ("unknown", held_out.unknown)):
        if photos is None:
            continue
        arrays[f"{part}_keys"] = np.array(photos.keys, np.str_)
        arrays[f"{part}_names"] = np.array(photos.names, np.str_)
        arrays[f"{part}_labels"] = photos.labels
        arrays[f"{part}_embeddings"] = photos.embeddings
        if photos.predicted is not None:
            arrays[f"{part}_predicted"] = photos.predicted
        if photos.lengths is not None:
            arrays[f"{part}_lengths"] = photos.lengths
    if held_out.pairs is not None and held_out.scores is not None:
        pairs = held_out.pairs
        arrays |= {"pair_a": pairs.a, "pair_b": pairs.b, "pair_same": pairs.same}
        arrays["pair_score"] = held_out.scores
    if arrays:
        with atomic_write(path, private=True) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # no array of objects, so nothing is pickled


def read_held_out(path: str | os.PathLike[str]) -> HeldOut:
    """Read what `write_held_out` wrote; a run's folder stands for its file.

    Raises:
        DatasetError: There is none, or it is damaged.
    """
    file = Path(path) / HELD_OUT if Path(path).is_dir() else Path(path)
    try:
        with np.load(file, allow_pickle=False) as stored:
            return _held_out({name: stored[name] for name in stored.files})
    except FileNotFoundError:
        raise DatasetError(
            f"There is no {file}: the run is not finished, or it held out neither photos nor people."
        ) from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{file} is damaged ({error}); finish the run again with --resume.") from error


def _held_out(arrays: Mapping[str, NDArray[Any]]) -> HeldOut:
    parts = {part: _read_photos(arrays, part) for part in ("known", "unknown") if f"{part}_keys" in arrays}
    known, unknown = parts.get("known"), parts.get("unknown")
    if unknown is None or "pair_a" not in arrays:
        return HeldOut(known, unknown)
    a, b, same, scores = (arrays[f"pair_{name}"] for name in ("a", "b", "same", "score"))
    if not len(a) == len(b) == len(same) == len(scores) or np.any(np.maximum(a, b) >= len(unknown.keys)):
        raise ValueError("its pairs do not fit its photos")
    return HeldOut(known, unknown, Pairs(a, b, same), scores)


def _read_photos(arrays: Mapping[str, NDArray[Any]], part: str) -> HeldOutPhotos:
    keys, names, labels, embeddings = (
        arrays[f"{part}_{name}"] for name in ("keys", "names", "labels", "embeddings")
    )
    predicted, lengths = arrays.get(f"{part}_predicted"), arrays.get(f"{part}_lengths")
    optional = [len(array) for array in (predicted, lengths) if array is not None]
    counts = {len(keys), len(labels), len(embeddings), *optional}
    if len(counts) > 1 or np.any(labels >= len(names)):
        raise ValueError(f"its {part} photos have arrays of different lengths")
    return HeldOutPhotos(
        tuple(map(str, keys)), labels, tuple(map(str, names)), embeddings, predicted, lengths
    )
