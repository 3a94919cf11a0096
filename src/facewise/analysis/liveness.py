"""Is a face before the camera, or a picture of one? Scores of networks, and decisions where measured."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.errors import ModelError
from facewise.models.file import ModelFile
from facewise.models.liveness import LivenessCalibration, judge
from facewise.models.store import find_model
from facewise.network import AUTO, Network
from facewise.types import Face, Image, Liveness
from facewise.variants import Variant


class LivenessModel:
    """Networks that tell live faces from pictures of faces; their answers are averaged.

    Args:
        models: Model files of kind `"liveness"`; the calibration is that of the first.
        provider: See `facewise.network.PROVIDERS`.
        threads: CPU threads to use; None is all CPUs of this process.

    Raises:
        ModelError: A model is of another kind or does not load, or the provider is not to be had.
        SettingError: An unknown provider, or a thread count below 1.
    """

    def __init__(
        self, models: Sequence[ModelFile], *, provider: str = AUTO, threads: int | None = None
    ) -> None:
        for model in models:
            if model.card.kind != "liveness":
                raise ModelError(f"{model.path} is a model of kind {model.card.kind!r}, not of liveness.")
        self.models = tuple(models)
        self.networks = tuple(Network(model, provider=provider, threads=threads) for model in models)

    @classmethod
    def load(
        cls,
        name: str | os.PathLike[str] | None = None,
        *,
        provider: str = AUTO,
        threads: int | None = None,
    ) -> LivenessModel:
        """A model by name or path, with those its answer is to be averaged with; None is the default one.

        Raises:
            ModelError: A model is missing or unusable.
        """
        first = find_model(name, kind="liveness")
        others = [find_model(other, kind="liveness") for other in (first.card.decoder or {}).get("with", [])]
        return cls([first, *others], provider=provider, threads=threads)

    @property
    def name(self) -> str:
        """Names of the models."""
        return " + ".join(model.card.name for model in self.models)

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Which networks made a score."""
        return tuple(model.fingerprint for model in self.models)

    @property
    def provider(self) -> str:
        """The provider in use."""
        return self.networks[0].provider

    @property
    def passed_over(self) -> Mapping[str, str]:
        """See `Network`."""
        return self.networks[0].passed_over

    @property
    def variant(self) -> Variant:
        """Which network of the first model runs, and why."""
        return self.networks[0].variant

    @property
    def calibration(self) -> LivenessCalibration | None:
        """The threshold of these networks together, or None where it was not measured."""
        known = self.models[0].card.liveness
        return known if known is not None and known.networks == self.fingerprints else None

    def scores(self, image: Image, boxes: ArrayLike, *, threads: int | None = None) -> NDArray[np.float64]:
        """How live faces look.

        Args:
            image: (H, W, 3) RGB uint8, the whole photo: the networks look at what is around a face too.
            boxes: (F, 4) pixels of the photo.
            threads: 1 keeps the work on the calling thread, for callers that run side by side.

        Returns:
            (F,) in [0, 1], 1 is live; NaN for a box that shows nothing of the photo.

        Raises:
            ModelError: A network fails, or does not give probabilities.
        """
        corners = np.asarray(boxes, np.float32).reshape(-1, 4)
        scores = np.full(len(corners), np.nan)
        cuts = [model.card.preprocess.cut for model in self.models]
        points = np.zeros((5, 2), np.float32)
        there = [
            i for i, box in enumerate(corners)
            if all(cut.fits(image.shape[0], image.shape[1], box, points) for cut in cuts)
        ]  # fmt: skip
        if there:
            answers = [
                self._live(place, cut.of(image, corners[there], None), threads)
                for place, cut in enumerate(cuts)
            ]
            scores[there] = np.mean(answers, axis=0)
        return scores

    def _live(self, place: int, crops: NDArray[np.uint8], threads: int | None) -> NDArray[np.float64]:
        """(F,) the probability that one network gives for live."""
        model, network = self.models[place], self.networks[place]
        network = network.single if threads == 1 else network
        (found, *_) = network.run(model.card.preprocess(crops))
        live = int((model.card.decoder or {})["live"])
        whole = found.ndim == 2 and found.shape[0] == len(crops) and found.shape[1] > live
        if not whole or not np.isfinite(found).all() or found.min() < -1e-3 or found.max() > 1 + 1e-3:
            raise ModelError(f"The model {model.card.name} does not give probabilities; the file is broken.")
        return np.clip(found[:, live].astype(np.float64), 0.0, 1.0)

    def look(self, image: Image, faces: Sequence[Face], *, threads: int | None = None) -> list[Liveness]:
        """Whether each of a photo's faces is live; arguments and errors as for `scores`."""
        scores = self.scores(image, [face.box for face in faces], threads=threads)
        return [judge(float(score), self.calibration) for score in scores]
