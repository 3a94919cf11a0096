"""YuNet through OpenCV's own `cv2.FaceDetectorYN`.

Wu, Peng and Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20.
OpenCV runs the network and decodes its twelve outputs; sizes, the main face and suppression are those of
every detector here (`ModelDetector`).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np

from facewise.detection.base import CANDIDATES, DetectorSettings, RawFaces
from facewise.detection.model_detector import ModelDetector, input_of, laid, shrink
from facewise.errors import ModelError, SettingError
from facewise.models.file import ModelFile
from facewise.network import AUTO, Network, check_provider
from facewise.preprocess import Preprocess
from facewise.types import Image
from facewise.variants import Variant, choose, variants_of

NAME = "yunet"
"""What model files call this family."""

_STRIDES = (8, 16, 32)
_STEP = max(_STRIDES)
"""FaceDetectorYN fills photos up to a multiple of this with black."""

_OUTPUTS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
"""Each with a stride behind it (`cls_8`), and how many numbers it has for a cell."""

_PREPROCESS = Preprocess(None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "BGR", "none")
"""What FaceDetectorYN does to a photo, whatever a model file says."""


class YuNetDetector(ModelDetector):
    """A YuNet of the OpenCV zoo.

    A file that fixes the size of its input is run at the photo's size all the same where OpenCV can: it could
    always do so, but not with every engine that version 5 may be built with. Where it cannot, photos are laid
    into the upper left of a black canvas of that size.

    FaceDetectorYN reads a network's outputs without a look at their shapes, beyond their ends if need be. So
    the shapes are checked here once for every size of input, by OpenCV's own network of the same file.

    One FaceDetectorYN serves one thread at a time: there are as many as threads that ever called at once.

    Args:
        model: A model file whose decoder is `"yunet"`.
        settings: What counts as a face.
        provider: `"cpu"`, the only one OpenCV runs this on, or `"auto"`, which takes it.
        threads: OpenCV's threads are those of the whole process (`cv2.setNumThreads`), so this is not used.
        variant: OpenCV runs the file as it is: refused where that is another.

    Raises:
        SettingError: An unknown provider, or a thread count below 1.
        ModelError: Another provider, no YuNet, or it does not load.
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
        _check(model, provider, threads)
        self.variant = Variant(variants_of(model)[0], "OpenCV runs the file as it is")
        if variant not in ("auto", self.variant.name):
            choose(model, variant)
        self.provider = "cpu"
        self._bytes = np.frombuffer(model.network, dtype=np.uint8)
        self._idle: list[Any] = []
        self._sound: set[tuple[int, int]] = set()
        self._lock = threading.Lock()
        with _loading(model):
            self._probe = cv2.dnn.readNetFromONNX(self._bytes)
        self._fixed: tuple[int | None, int | None] = (None, None)
        try:
            self._check_outputs(2 * _STEP, 3 * _STEP)
        except ModelError:
            self._fixed = _told_size(model)
            if self._fixed == (None, None):
                raise
            self._check_outputs(self._fixed[0] or _STEP, self._fixed[1] or _STEP)

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process the network is loaded anew."""
        return _reopen, (self.model, self.settings)

    @property
    def sure(self) -> float:
        """See `Detector.sure`."""
        return 0.907

    @property
    def largest(self) -> float:
        """See `ModelDetector.largest`: it has no anchors, and what it makes of larger faces is no larger."""
        return 16.0 * _STEP

    @property
    def within(self) -> tuple[int | None, int | None]:
        """See `ModelDetector.within`: the size that the file fixes, where OpenCV must keep to it."""
        return self._fixed

    def network_input(self, photo: Image) -> Image:
        """See `ModelDetector.network_input`: here of a size that all runtimes take."""
        told = _told_size(self.model)
        working = shrink(photo, self.settings.max_size, told)
        rows, columns = (math.ceil(side / _STEP) * _STEP for side in working.shape[:2])
        return laid(working, told[0] or rows, told[1] or columns)

    def _run(self, images: Sequence[Image], threads: int | None) -> list[RawFaces]:  # noqa: ARG002
        return [self._one(image) for image in images]

    def _one(self, image: Image) -> RawFaces:
        height, width = self._fixed[0] or image.shape[0], self._fixed[1] or image.shape[1]
        bgr = np.ascontiguousarray(laid(image, height, width)[..., ::-1])
        self._check_outputs(math.ceil(height / _STEP) * _STEP, math.ceil(width / _STEP) * _STEP)
        try:
            detector = self._idle.pop()
        except IndexError:
            detector = self._open()
        try:
            detector.setInputSize((width, height))
            _, rows = detector.detect(bgr)
        except cv2.error as error:
            raise ModelError(
                f"The model {self.name} failed on a photo of {height}x{width}: {_words(error)}."
            ) from error
        self._idle.append(detector)
        # x, y, width, height, then five points, the eye at the image's left first, then the score.
        found = np.empty((0, 15), np.float32) if rows is None else np.asarray(rows, np.float32)
        corner, side = found[:, :2], found[:, 2:4]
        return RawFaces(
            np.concatenate([corner, corner + side], axis=1), found[:, 14], found[:, 4:14].reshape(-1, 5, 2)
        )

    def _open(self) -> Any:
        """A FaceDetectorYN that leaves suppression to `ModelDetector`, which chooses the main face before."""
        with _loading(self.model):
            return cv2.FaceDetectorYN.create(
                "onnx", self._bytes, np.empty(0, np.uint8), (_STEP, _STEP),
                self.settings.score_threshold, 1.0, CANDIDATES,
            )  # fmt: skip

    def _check_outputs(self, height: int, width: int) -> None:
        """Does the network give for an input of this size what FaceDetectorYN reads?

        Raises:
            ModelError: It does not, or it fails.
        """
        if (height, width) in self._sound:
            return
        expected = {
            f"{kind}_{stride}": (height // stride) * (width // stride) * numbers
            for kind, numbers in _OUTPUTS.items()
            for stride in _STRIDES
        }
        with self._lock:
            try:
                with _quiet():
                    self._probe.setInput(np.zeros((1, 3, height, width), np.float32))
                    outputs = self._probe.forward(list(expected))
            except cv2.error as error:
                raise ModelError(
                    f"The model {self.name} is no YuNet, or not one for photos of {height}x{width}: OpenCV "
                    f"cannot get {', '.join(expected)} from it ({_words(error)})."
                ) from error
        for (name, size), output in zip(expected.items(), outputs, strict=True):
            if output.size != size or output.dtype != np.float32:
                raise ModelError(
                    f"The model {self.name} is no YuNet: for photos of {height}x{width} its output {name} "
                    f"has {output.size} numbers of type {output.dtype}, but {size} of float32 are expected."
                )
        self._sound.add((height, width))


def _check(model: ModelFile, provider: str, threads: int | None) -> None:
    """Complain of what FaceDetectorYN would pass over."""
    if threads is not None and threads < 1:
        raise SettingError(f"The number of threads must be at least 1, not {threads}.")
    check_provider(provider)
    name, options = model.card.name, model.card.decoder or {}
    if provider not in {"cpu", AUTO}:
        raise ModelError(
            f"Provider {provider!r} was asked for, but the detector {name} runs in OpenCV, on the CPU alone: "
            "ask for 'cpu', or take another detector."
        )
    if options.get("name") != NAME or list(options.get("strides", _STRIDES)) != list(_STRIDES):
        raise ModelError(
            f"The model {name} does not say it is a YuNet of strides 8, 16 and 32: {dict(options)}."
        )
    if model.card.preprocess != _PREPROCESS:
        raise ModelError(
            f"The model {name} asks for another preprocess than OpenCV gives a YuNet, which is BGR grey "
            "levels as they are: mean 0, std 1."
        )


def _told_size(model: ModelFile) -> tuple[int | None, int | None]:
    """(height, width) of the input by what the file says, None where any will do."""
    return input_of(model, Network(model, provider="cpu", threads=1).input_shape)[1:]


def _reopen(model: ModelFile, settings: DetectorSettings) -> YuNetDetector:
    return YuNetDetector(model, settings=settings)


@contextmanager
def _loading(model: ModelFile) -> Iterator[None]:
    try:
        with _quiet():
            yield
    except cv2.error as error:
        raise ModelError(f"The model {model.path} does not load in OpenCV: {_words(error)}.") from error


_QUIET = threading.Lock()


@contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV 5 warns on stderr of every FaceDetectorYN it makes, and prints errors that it raises as well."""
    # Version 5 moved these two; the type stubs know one place only.
    log: Any = getattr(cv2.utils, "logging", cv2)
    with _QUIET:
        before = log.getLogLevel()
        log.setLogLevel(0)
        try:
            yield
        finally:
            log.setLogLevel(before)


def _words(error: cv2.error) -> str:
    """What OpenCV says, on one line and without the places in its source."""
    return " ".join(str(getattr(error, "err", error)).split()).rstrip(".")
