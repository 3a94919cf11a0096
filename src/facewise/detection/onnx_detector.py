"""A detector whose network runs on ONNX Runtime and whose outputs a registered decoder reads."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from facewise.detection.base import DetectorSettings, RawFaces, make_decoder
from facewise.detection.model_detector import BATCH, ModelDetector, input_of, laid, shrink
from facewise.models.file import ModelFile
from facewise.network import AUTO, Network
from facewise.types import Image


class OnnxDetector(ModelDetector):
    """Runs the network and decodes what it gives.

    Photos are laid into the upper left of a black canvas where the network needs other sizes than theirs: a
    multiple of its strides, or the one size that its file fixes. It gets as many photos a call as it takes.

    Args:
        model: A model file of kind `"detector"`.
        settings: What counts as a face.
        provider: See `facewise.network.PROVIDERS`.
        threads: CPU threads to use; None is all CPUs of this process.
        variant: Which of the model's networks runs, a key of `facewise.variants.VARIANTS`.

    Raises:
        ModelError: The model is no detector, of an unknown family, not of the family it says, or does not
            load.
    """

    def __init__(
        self,
        model: ModelFile,
        *,
        settings: DetectorSettings | None = None,
        provider: str = AUTO,
        threads: int | None = None,
        variant: str = "auto",
    ) -> None:
        super().__init__(model, settings)
        self.decoder = make_decoder(model.card.decoder or {})
        self.network = Network(model, provider=provider, threads=threads, variant=variant)
        self.provider, self.variant = self.network.provider, self.network.variant
        self.passed_over = self.network.passed_over
        self._photos, self._height, self._width = input_of(model, self.network.input_shape)
        batches = self.decoder.takes_batches(self.network.output_shapes)
        self._batch = (self._photos or BATCH) if batches else 1

    @property
    def sure(self) -> float:
        """See `Detector.sure`."""
        return self.decoder.sure

    @property
    def largest(self) -> float:
        """See `ModelDetector.largest`."""
        return self.decoder.largest

    @property
    def batch(self) -> int:
        """See `ModelDetector.batch`."""
        return self._batch

    @property
    def within(self) -> tuple[int | None, int | None]:
        """See `ModelDetector.within`: the size that the file fixes."""
        return self._height, self._width

    def network_input(self, photo: Image) -> Image:
        """See `ModelDetector.network_input`."""
        working = shrink(photo, self.settings.max_size, self.within)
        return laid(working, *self._size(working))

    def _run(self, images: Sequence[Image], threads: int | None) -> list[RawFaces]:
        network = self.network.single if threads == 1 else self.network
        canvas = self._canvas(images)
        outputs = network.run(self.model.card.preprocess(canvas))
        size = (canvas.shape[1], canvas.shape[2])
        return self.decoder.decode(outputs, size, self.settings.score_threshold)[: len(images)]

    def _canvas(self, images: Sequence[Image]) -> Image:
        """(N, H, W, 3) of the numbers the network takes; what is no photo is black."""
        size = self._size(images[0])
        laid_out = [laid(image, *size) for image in images]
        missing = (self._photos or len(images)) - len(images)
        return np.stack(laid_out + [np.zeros_like(laid_out[0])] * missing)

    def _size(self, image: Image) -> tuple[int, int]:
        """(height, width) of the network's input for a photo of working size."""
        step = self.decoder.multiple
        rows, columns = (math.ceil(side / step) * step for side in image.shape[:2])
        return self._height or rows, self._width or columns
