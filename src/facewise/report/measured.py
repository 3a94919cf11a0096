"""Models on data: what every part of the report draws from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facewise.embedding import Embedder
from facewise.errors import FacewiseError, ImageError
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.crops import embed_any
from facewise.evaluation.embedded import EmbeddedPhoto, Progress, detector_key
from facewise.evaluation.groups_file import PairGroups
from facewise.evaluation.pair_intervals import Difference
from facewise.evaluation.pair_protocol import Chosen, PairsResult, differences
from facewise.evaluation.pair_run import measure_file
from facewise.evaluation.pairs import MOST_UNREADABLE, photos_of, scored_pairs
from facewise.evaluation.side_by_side import Model, embedder_of
from facewise.image import read_image
from facewise.report.dataset import DataSet
from facewise.types import FloatArray, Image


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One model on the pairs.

    Attributes:
        name: What the report calls it.
        model: It.
        result: Its figures.
        embedded: Photo → its embedding.
    """

    name: str
    model: Model
    result: PairsResult
    embedded: Mapping[str, EmbeddedPhoto]

    @property
    def embedder(self) -> Embedder:
        """What embeds."""
        return embedder_of(self.model)

    def vectors(self, photos: Sequence[str]) -> tuple[list[str], FloatArray]:
        """Those of the photos with an embedding, and (N, D) of them."""
        found = [(photo, self.embedded[photo].embedding) for photo in photos]
        good = [(photo, vector) for photo, vector in found if vector is not None]
        size = self.embedder.embedding_size
        table = np.stack([vector for _, vector in good]) if good else np.empty((0, size), np.float32)
        return [photo for photo, _ in good], table


@dataclass(frozen=True, slots=True, eq=False)
class Measurements:
    """Several models on the same pairs.

    Attributes:
        data: What they are measured on.
        models: One a model.
        differences: Of every model but the first to the first.
        cache: Where the faces are.
    """

    data: DataSet
    models: tuple[Measured, ...]
    differences: tuple[Difference, ...]
    cache: FaceCache

    def crops(self, photos: Iterable[str]) -> dict[str, Image]:
        """The aligned crops of some photos; those without a face or a readable file are not there."""
        first = self.models[0]
        wanted = list(dict.fromkeys(photos))
        if isinstance(first.model, Embedder):
            read = ((photo, _square(self.data.file.root / photo)) for photo in wanted)
            return {photo: crop for photo, crop in read if crop is not None}
        digests = {photo: first.embedded[photo].sha256 for photo in wanted}
        cached = self.cache.crops(set(digests.values()), detector_key(first.model))
        found = {photo: cached.get(digest) for photo, digest in digests.items()}
        return {photo: one.crop for photo, one in found.items() if one is not None and one.crop is not None}


def measure(
    data: DataSet,
    models: Sequence[Model],
    names: Sequence[str],
    cache: FaceCache,
    *,
    groups: Sequence[PairGroups] = (),
    progress: Progress = lambda _: None,
    processes: bool = False,
    most_unreadable: float = MOST_UNREADABLE,
) -> Measurements:
    """Embed the photos and measure every model.

    Args:
        data: The pairs.
        models: At least one; pipelines share a detector.
        names: Of the models.
        cache: Where faces are found and kept.
        groups: Of the pairs.
        progress: Told as photos are done; there are as many as photos times models.
        processes: See `Pipeline.read_many`.
        most_unreadable: Share of the photos or pairs that may be unreadable and left out.

    Raises:
        DatasetError: Pairs of one kind are wanting, or too many photos cannot be read.
    """
    photos = photos_of(data.file.pairs)
    paths = [data.file.root / photo for photo in photos]
    done = []
    for name, model in zip(names, models, strict=True):
        found = embed_any(model, paths, cache=cache, progress=progress, processes=processes)
        embedded = dict(zip(photos, found, strict=True))
        scored = scored_pairs(data.file.pairs, embedded, name=data.file.name, most_unreadable=most_unreadable)
        stored = stored_threshold(model, scored.data_hash)
        result = measure_file(data.file, scored, threshold=stored, groups=groups)
        done.append(Measured(name, model, result, embedded))
    compared = differences([one.result for one in done], list(names))
    return Measurements(data, tuple(done), tuple(compared), cache)


def stored_threshold(model: Model, data_hash: str) -> Chosen | None:
    """The threshold the model file carries, unless it was set on these very pairs; None without one."""
    calibration = embedder_of(model).calibration
    decision = None if calibration is None else calibration.decision()
    if calibration is None or decision is None or calibration.data_hash == data_hash:
        return None
    return Chosen(decision.threshold, f"the model's calibration at FMR {decision.fmr:g} ({decision.source})")


def _square(path: Path) -> Image | None:
    """A photo that is an aligned crop; None where it cannot be read, which its embedding tells as well."""
    try:
        return read_image(path)
    except (ImageError, FacewiseError):
        return None
