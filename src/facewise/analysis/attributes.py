"""Crops of faces to age, gender, emotion and race."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from facewise.errors import ModelError, SettingError, nearest_known
from facewise.models.attributes import ATTRIBUTES, MOST_YEARS
from facewise.models.file import ModelFile
from facewise.models.store import find_model
from facewise.network import AUTO, Network
from facewise.types import Age, Attributes, FloatArray, Guess, Quality
from facewise.variants import Variant

DEFAULT_ATTRIBUTES = ("age", "gender", "emotion")
"""What is told where nothing is named: race must be asked for."""

DEFAULT_BATCH = 4
"""Crops a network call; see `facewise.embedding.DEFAULT_BATCH`."""

Probabilities = Mapping[str, FloatArray]
"""Attribute → probabilities: (N, 101) of each year for age, (N, K) of the words of the others."""


class AttributeModel:
    """Batches of crops, cut as its `cut` says, to attributes.

    Args:
        model: A model file of kind `"attributes"`.
        provider: See `facewise.network.PROVIDERS`.
        threads: CPU threads to use; None is all CPUs of this process.
        batch_size: Crops a network call.
        variant: Which of the model's networks runs, a key of `facewise.variants.VARIANTS`.

    Attributes:
        model: The model file.
        cut: How faces become crops.
        attributes: What it can tell, in the order of `facewise.models.attributes.ATTRIBUTES`.

    Raises:
        ModelError: The model is of another kind or does not load, or the provider is not to be had.
        SettingError: An unknown provider or variant, a batch size or thread count below 1.
    """

    def __init__(
        self,
        model: ModelFile,
        *,
        provider: str = AUTO,
        threads: int | None = None,
        batch_size: int = DEFAULT_BATCH,
        variant: str = "auto",
    ) -> None:
        if batch_size < 1:
            raise SettingError(f"The batch size must be at least 1, not {batch_size}.")
        rule, size = model.card.attributes, model.card.preprocess.size
        if rule is None or size is None or model.card.preprocess.alignment == "none":
            raise ModelError(f"{model.path} is not a model of attributes with a fixed crop size.")
        self.model, self.rule = model, rule
        self.cut = model.card.preprocess.cut
        self.crop_size: int = size
        self.batch_size = batch_size
        self.attributes = tuple(name for name in ATTRIBUTES if name in rule.outputs)
        self.network = Network(model, provider=provider, threads=threads, variant=variant)
        if len(self.network.output_shapes) != len(rule.outputs):
            raise ModelError(
                f"The model {self.name} says it gives {len(rule.outputs)} attributes, "
                f"but gives {len(self.network.output_shapes)}."
            )
        for output, shape in zip(rule.outputs, self.network.output_shapes, strict=True):
            width = MOST_YEARS + 1 if output == "age" else len(rule.words[output].words)
            if shape[-1:] != (width,):
                raise ModelError(
                    f"The model {self.name} says it gives {width} numbers for {output}, but gives "
                    f"{shape[-1] if shape else 'none'}."
                )

    @classmethod
    def load(
        cls,
        name: str | os.PathLike[str] | None = None,
        *,
        provider: str = AUTO,
        threads: int | None = None,
        variant: str = "auto",
    ) -> AttributeModel:
        """The model of a name or path; None is the default one. Arguments and errors as above."""
        model = find_model(name, kind="attributes")
        return cls(model, provider=provider, threads=threads, variant=variant)

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.model.card.name

    @property
    def provider(self) -> str:
        """The provider in use."""
        return self.network.provider

    @property
    def passed_over(self) -> Mapping[str, str]:
        """See `Network`."""
        return self.network.passed_over

    @property
    def variant(self) -> Variant:
        """Which of the model's networks runs, and why."""
        return self.network.variant

    @property
    def fingerprint(self) -> str:
        """Which model told something: see `ModelFile.fingerprint`."""
        return self.model.fingerprint

    @property
    def least(self) -> dict[str, float]:
        """Attribute → the probability below which its answer is not sure."""
        return {name: rule.least for name, rule in self.rule.words.items()}

    def check(self, attributes: Sequence[str] | None = None) -> tuple[str, ...]:
        """What is asked for, each once.

        Args:
            attributes: What to tell; None is all that this model tells but what must be asked for by name.

        Raises:
            SettingError: There is no such attribute, or this model does not tell it.
        """
        if attributes is None:
            usual = tuple(name for name in DEFAULT_ATTRIBUTES if name in self.attributes)
            if not usual:
                raise SettingError(
                    f"The model {self.name} tells {', '.join(self.attributes)} alone, which must be asked "
                    "for by name."
                )
            return usual
        if isinstance(attributes, str):
            raise SettingError(f"Name attributes in a list, such as [{attributes!r}].")
        if not attributes:
            raise SettingError(f"Name at least one attribute of {', '.join(self.attributes)}.")
        for name in attributes:
            if name not in ATTRIBUTES:
                raise SettingError(f"There is no attribute {name!r}{nearest_known(name, ATTRIBUTES)}")
            if name not in self.attributes:
                raise SettingError(f"The model {self.name} tells {', '.join(self.attributes)}, not {name}.")
        return tuple(dict.fromkeys(attributes))

    def analyze(
        self,
        crops: NDArray[np.uint8],
        qualities: Sequence[Quality | None] | None = None,
        attributes: Sequence[str] = DEFAULT_ATTRIBUTES,
        *,
        threads: int | None = None,
    ) -> list[Attributes]:
        """What faces look like.

        Args:
            crops: (N, S, S, 3) RGB uint8, S the model's crop size; N may be 0.
            qualities: What was measured of each face, where it was: of a face that something is wrong with
                nothing is told but that.
            attributes: What to tell.
            threads: 1 keeps the work on the calling thread, for callers that run side by side.

        Raises:
            SettingError: Crops of another shape or type, or an attribute that this model does not tell.
            ModelError: The network fails.
        """
        asked = self.check(attributes)
        known = [None] * len(crops) if qualities is None else qualities
        notes = [unfit(quality) for quality in known]
        good = np.flatnonzero([not note for note in notes])
        answers = dict(
            zip(good.tolist(), self.answers(self.predict(crops[good], threads=threads), asked), strict=True)
        )
        return [answers.get(i, Attributes(note=note)) for i, note in enumerate(notes)]

    def answers(
        self, probabilities: Probabilities, attributes: Sequence[str] = DEFAULT_ATTRIBUTES
    ) -> list[Attributes]:
        """What probabilities say, of `predict` or, for several pictures of one face, means of them.

        Args:
            probabilities: Of N faces.
            attributes: What to tell.
        """
        told: dict[str, list[Age] | list[Guess]] = {}
        for name in self.check(attributes):
            rows = probabilities[name]
            told[name] = self._ages(rows) if name == "age" else self._guesses(name, rows)
        count = len(next(iter(probabilities.values())))
        return [Attributes(**{name: one[i] for name, one in told.items()}) for i in range(count)]  # type: ignore[arg-type]

    def _ages(self, rows: FloatArray) -> list[Age]:
        assert self.rule.age is not None  # noqa: S101  `check` passed
        return [Age(*row) for row in self.rule.age.of(rows).tolist()]

    def _guesses(self, name: str, rows: FloatArray) -> list[Guess]:
        rule = self.rule.words[name]
        return [
            Guess(
                rule.words[int(np.argmax(row))] if max(row) >= rule.least else None,
                dict(zip(rule.words, row, strict=True)),
            )
            for row in rows.tolist()
        ]

    def warm(self) -> None:
        """Runs the network once on one thread, so that what it opens and imports is there."""
        size = self.crop_size
        self.analyze(np.full((1, size, size, 3), 128, np.uint8), attributes=self.attributes, threads=1)

    def predict(self, crops: NDArray[np.uint8], *, threads: int | None = None) -> dict[str, FloatArray]:
        """Calibrated probabilities of all that the model knows, whatever the faces' quality.

        Args:
            crops: As `analyze`.
            threads: As `analyze`.

        Returns:
            Attribute → (N, 101) of each year for age, (N, K) of the rule's words for the others.

        Raises:
            SettingError: Crops of another shape or type.
            ModelError: The network fails, or gives what is no number.
        """
        size, step = self.crop_size, self.batch_size
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (size, size, 3):
            raise SettingError(
                f"Expected uint8 crops of shape (N, {size}, {size}, 3), got {crops.dtype} {crops.shape}."
            )
        views = [crops, crops[:, :, ::-1]] if self.rule.flip else [crops]
        starts = [(view, start) for view in views for start in range(0, len(crops), step)]

        def batch(i: int) -> FloatArray:
            view, start = starts[i]
            return self.model.card.preprocess(view[start : start + step])

        if threads == 1:
            outputs = [self.network.single.run(batch(i)) for i in range(len(starts))]
        else:
            outputs = self.network.map(batch, len(starts))
        return {
            name: self._probabilities(name, [out[k] for out in outputs], len(crops))
            for k, name in enumerate(self.rule.outputs)
        }

    def _probabilities(self, name: str, parts: list[FloatArray], count: int) -> FloatArray:
        rule = self.rule.words.get(name)
        width = MOST_YEARS + 1 if rule is None else len(rule.words)
        rows = np.concatenate([np.empty((0, width), np.float32), *parts]).astype(np.float64)
        if not np.isfinite(rows).all():
            raise ModelError(f"The model {self.name} gave what is no number; the model file is broken.")
        # Of a crop and its mirror image the mean, as of two opinions.
        rows = rows.reshape(-1, count, width).mean(axis=0) if count else rows
        rows = rows / (1.0 if rule is None else rule.temperature)
        rows = np.exp(rows - rows.max(axis=1, keepdims=True, initial=-np.inf))
        found: FloatArray = (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)
        return found


def unfit(quality: Quality | None) -> str:
    """Why nothing is told of a face, such as `"blurred"`, or an empty string."""
    return "" if quality is None else " and ".join(quality.reasons)
