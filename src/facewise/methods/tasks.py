"""What is done in a process of its own: one method with one number of photos; and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.data.store import CropStore
from facewise.errors import DatasetError, FacewiseError
from facewise.files import write_bytes
from facewise.methods.memory import peak_memory
from facewise.methods.names import Method

Tell = Callable[[Mapping[str, Any]], None]
"""Told what is done as it is done, as plain Python for JSON."""


class TooFewError(DatasetError):
    """A method cannot learn from so few photos, which is no failure: it is left out for that number."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One seed of a task.

    Attributes:
        name: Of the result, such as `svc-5-seed0`.
        seed: Of training.
        learn: (N,) crops of the store to learn from, as positions there.
        labels: (N,) who is on each.
        test: (T,) crops to name.
        true: (T,) who is on each.
        identity: What the result depends on.
        result: The file it goes to.
    """

    name: str
    seed: int
    learn: NDArray[np.int64]
    labels: NDArray[np.int64]
    test: NDArray[np.int64]
    true: NDArray[np.int64]
    identity: str
    result: Path


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One method with one number of photos, for all seeds that are to be done.

    Attributes:
        method: What is done.
        shots: Photos a person, or `full`.
        names: The people.
        parts: One a seed.
        store: All crops.
        vectors: The file of embeddings of all of them, for methods on embeddings.
        model: Name and fingerprint of the embedder.
        training: What trains, for methods that do.
        threads: To use; None is all.
    """

    method: Method
    shots: str
    names: tuple[str, ...]
    parts: tuple[Part, ...]
    store: CropStore
    vectors: Path
    model: tuple[str, str]
    training: Training | None = None
    threads: int | None = None

    def run(self, tell: Tell) -> None:
        """Do what is to do, seed by seed; each is written and told as it is done.

        A seed that fails, or has too few photos for the method, is told, and the next one done.
        """
        for part in self.parts:
            try:
                found = self._learn(part)
            except TooFewError as error:
                tell({"too few": part.name, "error": " ".join(str(error).split())})
                continue
            except FacewiseError as error:
                tell({"failed": part.name, "error": " ".join(str(error).split())})
                continue
            write_result(part.result, replace(found, peak_bytes=peak_memory()), part.identity)
            tell({"done": part.name})

    def _learn(self, part: Part) -> Result:
        # Each imports what it needs and no more, so that its memory is its own.
        if self.method.kind == "template":
            from facewise.methods.template import learn_template  # noqa: PLC0415

            return learn_template(self, part)
        if self.method.kind == "classifier":
            from facewise.methods.classifier import learn_classifier  # noqa: PLC0415

            return learn_classifier(self, part)
        from facewise.methods.network import learn_network  # noqa: PLC0415

        return learn_network(self, part)


@dataclass(frozen=True, slots=True)
class Training:
    """How networks are trained.

    Attributes:
        recipe: Name or file; None is the one made for the model.
        settings: Dotted, put over it.
        start: The model trained on, or None for random weights.
        epochs: How often every photo is seen.
        batch_size: Photos a batch, where there are as many.
        fingerprint: Of all its settings.
        folder: Of all runs.
        device: `auto`, `cpu` or `cuda`.
    """

    recipe: str | None
    settings: Mapping[str, Any]
    start: str | None
    epochs: int
    batch_size: int
    fingerprint: str
    folder: Path
    device: str


@dataclass(frozen=True, slots=True)
class Result:
    """What one method made of one draw.

    Attributes:
        predicted: Who each test photo was taken for, a number of a person.
        photos: Learned from.
        fit_s: Seconds to learn, from embeddings where the method is on embeddings, else from crops.
        predict_ms: Milliseconds to name a photo, from its embedding or its crop as above.
        keep_bytes: Size of what must be kept to name people: beside the embedder, or all of a network.
        peak_bytes: Most memory the process held at once; None where it shared one.
        facts: What was chosen on the way.
    """

    predicted: tuple[int, ...]
    photos: int
    fit_s: float
    predict_ms: float
    keep_bytes: int
    peak_bytes: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def write_result(path: Path, result: Result, identity: str) -> None:
    """Write it, atomically, as JSON."""
    data = {"identity": identity, **asdict(result)}
    write_bytes(path, json.dumps(data).encode())


def read_result(path: Path) -> tuple[Result, str] | None:
    """A result and its identity; None if it is not there.

    Raises:
        DatasetError: It is damaged.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        identity = str(data.pop("identity"))
        return Result(**{**data, "predicted": tuple(map(int, data["predicted"]))}), identity
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path} is damaged ({error}): delete it, and it is made anew.") from error
