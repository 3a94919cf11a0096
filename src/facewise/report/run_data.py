"""What a run's folder holds, read for the report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from facewise.data.lfw import Pair
from facewise.data.open import open_source
from facewise.data.source import Source
from facewise.errors import DatasetError, FacewiseError, ImageError
from facewise.evaluation.folds import make_folds
from facewise.evaluation.pair_protocol import PairsResult, measure_pairs
from facewise.evaluation.pairs import ScoredPairs
from facewise.models import ModelFile, read_model
from facewise.pipeline import Pipeline, Steps
from facewise.training.heldout import HELD_OUT, HeldOut, read_held_out
from facewise.training.log import read_metrics
from facewise.training.run import CONFIG, ENVIRONMENT, MODEL
from facewise.types import Image


@dataclass(frozen=True)
class RunData:
    """A run.

    Attributes:
        folder: Its folder.
        name: What the report calls it.
        config: Its settings as they were written.
        environment: Code, versions, data and machine; empty where the file is missing.
        log: Lines of `metrics.jsonl`.
        held_out: What became of the photos held out, or None.
        model: The model file, or None where the run is not finished.
        missing: Why something is not there, a sentence each.
    """

    folder: Path
    name: str
    config: dict[str, Any]
    environment: dict[str, Any]
    log: list[dict[str, Any]]
    held_out: HeldOut | None
    model: ModelFile | None
    missing: tuple[str, ...]

    @property
    def size(self) -> int:
        """Side of its crops in pixels."""
        return int(self.config["data"]["size"])

    @cached_property
    def verification(self) -> PairsResult | None:
        """The pairs of people never shown; None where the run held out nobody.

        Intervals resample the people.
        """
        held = self.held_out
        if held is None or held.unknown is None or held.pairs is None or held.scores is None:
            return None
        keys, who = held.unknown.keys, [held.unknown.names[label] for label in held.unknown.labels]
        indices = list(zip(held.pairs.a.tolist(), held.pairs.b.tolist(), strict=True))
        pairs = tuple(
            Pair(keys[a], keys[b], same, 0)
            for (a, b), same in zip(indices, held.pairs.same.tolist(), strict=True)
        )
        people = [(who[a], who[b]) for a, b in indices]
        scored = ScoredPairs(
            pairs=pairs,
            places=np.arange(len(pairs)),
            similarities=held.scores,
            two_faces=np.ones(len(pairs), np.bool_),
            photos=len(keys),
            without_face=(),
            unreadable=(),
            left_out=0,
            data_hash="",
        )
        return measure_pairs(scored, folds=make_folds(pairs, people), people=people)


def read_run(folder: Path, name: str = "") -> RunData:
    """Read a run.

    Raises:
        DatasetError: The folder is no run of a recogniser, has no metrics yet, or is damaged.
        ModelError: Its model file cannot be read.
    """
    if not (folder / CONFIG).is_file():
        raise DatasetError(
            f"{folder} is no run: there is no {CONFIG} in it; name the folder that `train` made."
        )
    try:
        config = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DatasetError(f"Cannot read {folder / CONFIG}: {' '.join(str(error).split())}.") from error
    if not isinstance(config, dict) or not isinstance(config.get("data"), dict) or "backbone" not in config:
        raise DatasetError(f"{folder} is no run of a recogniser: its {CONFIG} names no backbone and no data.")
    log = read_metrics(folder)
    if not any("epoch" in line for line in log):
        raise DatasetError(f"The run {folder} has no metrics yet: wait for its first epoch.")
    missing = []
    held_out = None
    if (folder / HELD_OUT).is_file():
        held_out = read_held_out(folder)
    else:
        missing.append(
            "There are no held-out photos to report on: the run is not finished, or it held out neither "
            "photos nor people (`data.held_out_photos`, `data.held_out_people`)."
        )
    model = read_model(folder / MODEL) if (folder / MODEL).is_file() else None
    if model is None:
        missing.append("There is no model file yet: the run is not finished.")
    environment = _environment(folder / ENVIRONMENT, missing)
    return RunData(
        folder, name or folder.resolve().name, config, environment, log, held_out, model, tuple(missing)
    )


def _environment(path: Path, missing: list[str]) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        missing.append(f"What the run was made with is not known: {path.name} cannot be read ({error}).")
        return {}
    return found if isinstance(found, dict) else {}


class RunPhotos:
    """The photos of a run as aligned crops, read from where the data were when it was trained.

    Args:
        data: The dataset as it was named, or a source of its photos.
        size: Side of the crops.

    Attributes:
        missing: Why photos cannot be shown, a sentence each.
    """

    def __init__(self, data: str | Source | None, size: int) -> None:
        self.missing: list[str] = []
        self._size = size
        self._pipeline: Pipeline | None = None
        self._tried = False
        self._source = data if data is None or isinstance(data, Source) else self._open(str(data))
        self._rows = {} if self._source is None else {key: i for i, key in enumerate(self._source.keys)}

    def crops(self, keys: Iterable[str]) -> dict[str, Image]:
        """The crops of those of the photos that are there."""
        found = {}
        for key in dict.fromkeys(keys):
            crop = self._crop(key)
            if crop is not None:
                found[key] = crop
        return found

    def of_person(self, name: str, most: int = 1) -> list[str]:
        """Keys of photos of a person."""
        if self._source is None or name not in self._source.names:
            return []
        rows = np.flatnonzero(self._source.labels == list(self._source.names).index(name))[:most]
        return [self._source.keys[row] for row in rows]

    def _open(self, data: str) -> Source | None:
        try:
            return open_source(data, tell=lambda _: None)
        except (FacewiseError, OSError) as error:
            self.missing.append(
                f"Photos cannot be shown: the data of the run are not there any more. {error}"
            )
            return None

    def _crop(self, key: str) -> Image | None:
        if self._source is None or key not in self._rows:
            return None
        try:
            image = self._source.read(self._rows[key])
        except ImageError:
            return None
        if image.shape[:2] == (self._size, self._size):
            return image
        return self._aligned(image)

    def _aligned(self, image: Image) -> Image | None:
        """The main face as training cuts it; the photo's middle where no detector is to be had."""
        if not self._tried:
            self._tried = True
            try:
                self._pipeline = Pipeline.load(embed=False)
            except FacewiseError as error:
                self.missing.append(f"Photos are shown as they are, not as aligned crops: {error}")
        if self._pipeline is not None:
            found = self._pipeline.read(image, Steps(embed=False, main_only=True, keep_crops=True))
            if found.crops is not None and len(found.crops):
                return np.asarray(found.crops[0], np.uint8)
        side = min(image.shape[:2])
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        return np.ascontiguousarray(image[top : top + side, left : left + side])


def same_pairs(results: Sequence[PairsResult]) -> bool:
    """Whether all were measured on the same pairs, so that they can be compared one by one."""
    return all(result.scored.pairs == results[0].scored.pairs for result in results)
