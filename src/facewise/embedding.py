"""Crops of faces to unit vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from facewise.errors import ModelError, SettingError
from facewise.models.calibration import Calibration
from facewise.models.file import ModelFile
from facewise.network import AUTO, Network
from facewise.types import FloatArray
from facewise.variants import Variant, choose, is_open, settle

DEFAULT_BATCH = 4
"""Crops a network call: with one thread each the fastest of 1 to 64 on a CPU with VNNI, and on one with AVX2
only as fast as others (benchmarks/RESULTS.md)."""

_MANY = 200
"""Crops that make it worth finding out which of a model's networks is faster."""

_LEAST_LENGTH = 1e-12
"""Below it a vector has no direction."""


class Embedder:
    """Batches of crops, cut as its `cut` says, to unit embeddings.

    Args:
        model: A model file of kind `"embedder"`.
        flip: Average with the embedding of the mirrored crop. None does as the model's calibration was
            measured, or no flip without one.
        provider: See `facewise.network.PROVIDERS`.
        threads: CPU threads to use; None is all CPUs of this process.
        batch_size: Crops a network call.
        variant: Which of the model's networks runs, a key of `facewise.variants.VARIANTS`.

    Raises:
        ModelError: The model is no embedder, does not load, or the provider or variant is not to be had.
        SettingError: An unknown provider or variant, a batch size or thread count below 1.
    """

    def __init__(
        self,
        model: ModelFile,
        *,
        flip: bool | None = None,
        provider: str = AUTO,
        threads: int | None = None,
        batch_size: int = DEFAULT_BATCH,
        variant: str = "auto",
    ) -> None:
        if batch_size < 1:
            raise SettingError(f"The batch size must be at least 1, not {batch_size}.")
        card = model.card
        whole = card.preprocess.size is None or card.preprocess.alignment == "none"
        if card.kind != "embedder" or card.embedding_size is None or whole:
            raise ModelError(f"{model.path} is not an embedder with a fixed crop size.")
        self.model = model
        self.cut = card.preprocess.cut
        self.crop_size: int = self.cut.size
        self.embedding_size: int = card.embedding_size
        self.flip = bool(card.calibration and card.calibration.flip) if flip is None else flip
        self.batch_size = batch_size
        self.network = Network(model, provider=provider, threads=threads, variant=variant)
        self._open = is_open(model, variant, self.network.provider)

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.model.card.name

    @property
    def fingerprint(self) -> str:
        """Which model made an embedding: see `ModelFile.fingerprint`."""
        return self.model.fingerprint

    @property
    def provider(self) -> str:
        """The provider in use."""
        return self.network.provider

    @property
    def providers(self) -> dict[str, str]:
        """As `Pipeline.providers`, of an embedder alone."""
        return {"embedder": self.provider}

    @property
    def passed_over(self) -> Mapping[str, str]:
        """See `Network`."""
        return self.network.passed_over

    @property
    def variant(self) -> Variant:
        """Which of the model's networks runs, and why."""
        return self.network.variant

    def settle(self, count: float = math.inf) -> None:
        """Before many crops: time the model's networks where nothing says which is faster, and take that one.

        That is done once a machine and kept; `embed` does it by itself.

        Args:
            count: How many crops are to come; for few nothing is done.
        """
        if not self._open or count < _MANY:
            return
        self._open = False
        settle(self.model)
        network = self.network
        if choose(self.model)[0].name != network.variant.name:
            self.network = Network(self.model, provider=network.provider, threads=network.threads)

    @property
    def calibration(self) -> Calibration | None:
        """The model's thresholds, if they were measured with this flip setting; else None."""
        calibration = self.model.card.calibration
        return calibration if calibration is not None and calibration.flip == self.flip else None

    def embed(self, crops: NDArray[np.uint8], *, threads: int | None = None) -> FloatArray:
        """Embed aligned crops.

        Args:
            crops: (N, S, S, 3) RGB uint8, S the model's crop size; N may be 0.
            threads: 1 keeps the work on the calling thread, for callers that run side by side.

        Returns:
            (N, D) float32, unit length.

        Raises:
            SettingError: Crops of another shape or type.
            ModelError: The network fails, or gives a vector that has no direction (zero or not finite).
        """
        vectors = self.features(crops, threads=threads)
        unit: FloatArray = (vectors / _lengths(vectors)).astype(np.float32)
        return unit

    def features(self, crops: NDArray[np.uint8], *, threads: int | None = None) -> FloatArray:
        """What `embed` brings to unit length; arguments and errors as there.

        How long they are tells how sure some networks are of a face, by which IJB's templates are weighted.

        Returns:
            (N, D) float32; with flip averaging the sum over crops and their mirror images.
        """
        size = self.crop_size
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (size, size, 3):
            raise SettingError(
                f"Expected uint8 crops of shape (N, {size}, {size}, 3), got {crops.dtype} {crops.shape}."
            )
        if len(crops) == 0:
            return np.empty((0, self.embedding_size), dtype=np.float32)
        self.settle(len(crops))
        vectors = self._raw(crops, alone=threads == 1)
        lengths = _lengths(vectors)
        if not np.isfinite(lengths).all() or np.any(lengths < _LEAST_LENGTH):
            raise ModelError(
                f"The model {self.name} gave a vector with no direction; the model file is broken."
            )
        return vectors

    def _raw(self, crops: NDArray[np.uint8], *, alone: bool) -> FloatArray:
        """Network outputs; with flip averaging, the sum over a crop and its mirror image."""
        preprocess, step, network = self.model.card.preprocess, self.batch_size, self.network
        views = [crops, crops[:, :, ::-1]] if self.flip else [crops]
        starts = [(view, start) for view in views for start in range(0, len(crops), step)]

        def batch(i: int) -> FloatArray:
            view, start = starts[i]
            return preprocess(view[start : start + step])

        if alone:
            outputs = [network.single.run(batch(i)) for i in range(len(starts))]
        else:
            outputs = network.map(batch, len(starts))
        vectors: FloatArray = np.concatenate([out[0].reshape(out[0].shape[0], -1) for out in outputs])
        if vectors.shape[1] != self.embedding_size:
            raise ModelError(
                f"The model {self.name} says it gives {self.embedding_size} numbers a face, "
                f"but gives {vectors.shape[1]}."
            )
        return vectors[: len(crops)] + vectors[len(crops) :] if self.flip else vectors


def _lengths(vectors: FloatArray) -> NDArray[np.float64]:
    """(N, 1)."""
    return np.asarray(np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True))
