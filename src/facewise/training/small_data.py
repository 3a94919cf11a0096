"""What a user with few photos ought to know of them before a training, in plain sentences."""

from __future__ import annotations

import numpy as np

from facewise.data.store import CropStore
from facewise.training.config import Config
from facewise.training.engine import TrainingData

_UNEQUAL = 10
"""Times the photos of the person with the fewest that the one with the most may have before it is said."""

_NAMED = 5


def notes(parts: TrainingData, config: Config) -> list[str]:
    """What stands out of the photos of a fine-tuning.

    Args:
        parts: What is learned from and what is held out.
        config: All settings.
    """
    store = parts.train
    counts = np.bincount(store.labels, minlength=len(store.names))
    return [*_unmeasured(parts), *_batch(store, config), *_unequal(store, counts, config)]


def _unmeasured(parts: TrainingData) -> list[str]:
    """Who has no held-out photo, so that the accuracy says nothing of them."""
    store, known = parts.train, parts.known
    if known is None:
        return []
    missing = np.setdiff1d(np.arange(len(store.names)), known.labels)
    if not len(missing):
        return []
    names = ", ".join(store.names[i] for i in missing[:_NAMED])
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    text = (
        f"{len(missing)} of {len(store.names)} people have too few photos for one to be held out "
        f"({names}{more}): they are learned, and the accuracy says nothing of them."
    )
    return [text]


def _batch(store: CropStore, config: Config) -> list[str]:
    if config.data.sampler not in ("shuffle", "balanced") or config.data.batch_size <= len(store):
        return []
    asked = config.data.batch_size
    return [f"There are {len(store)} photos to learn from, so a batch is all of them, not {asked}."]


def _unequal(store: CropStore, counts: np.ndarray, config: Config) -> list[str]:
    least, most = int(counts.min()), int(counts.max())
    if config.data.sampler != "shuffle" or most < _UNEQUAL * least:
        return []
    few, many = store.names[int(counts.argmin())], store.names[int(counts.argmax())]
    text = (
        f"Photos are unequal: {least} of {few}, {most} of {many}. data.sampler=balanced shows everybody as "
        f"often, data.max_photos={max(30, 2 * least)} leaves some of the many out."
    )
    return [text]
