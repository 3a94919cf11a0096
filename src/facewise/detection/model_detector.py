"""What detectors that are model files share: sizes to look at, one main face, doubles gone, photo pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import cv2
import numpy as np

from facewise.detection.base import (
    DetectorSettings,
    RawFaces,
    Shape,
    main_candidate,
    non_maximum_suppression,
)
from facewise.errors import ModelError
from facewise.models.file import ModelFile
from facewise.types import Face, Image
from facewise.variants import Variant

BATCH = 8
"""Photos a network call at most: it bounds memory."""

CANDIDATES = 5000
"""Boxes kept for suppression at most, the most confident ones."""

_MOST_PIXELS = 1 << 26
"""Pixels of a call at most that a file may ask for: a canvas is made of them whatever the photo's size."""

_SECOND_LOOK = 320
"""Where nothing is found, photos larger than this are looked at once more at this size: a face that fills a
large photo is beyond the largest anchor, and within it at 320."""


class ModelDetector(ABC):
    """Scales photos down to the working size, looks at them, suppresses doubles, maps back.

    Args:
        model: A model file of kind `"detector"`.
        settings: What counts as a face.

    Raises:
        ModelError: The model is no detector.
    """

    provider: str
    """Where the network runs, a key of `facewise.network.PROVIDERS`."""

    passed_over: Mapping[str, str] = MappingProxyType({})
    """See `facewise.network.Network`."""

    variant: Variant
    """Which of the model's networks runs, and why."""

    def __init__(self, model: ModelFile, settings: DetectorSettings | None) -> None:
        if model.card.kind != "detector" or model.card.decoder is None:
            raise ModelError(f"{model.path} is not a detector.")
        self.model = model
        self.settings = settings or DetectorSettings()

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.model.card.name

    @property
    def fingerprint(self) -> str:
        """Which model found a face."""
        return self.model.fingerprint

    @property
    def batch(self) -> int:
        """Photos of one size that `_run` takes at most."""
        return BATCH

    @property
    def within(self) -> tuple[int | None, int | None]:
        """(height, width) that photos must fit in beside `settings.max_size`, None where any will do."""
        return None, None

    @abstractmethod
    def network_input(self, photo: Image) -> Image:
        """A photo as large as the network is given it, for whoever feeds it in another way."""

    @abstractmethod
    def _run(self, images: Sequence[Image], threads: int | None) -> list[RawFaces]:
        """What is found in photos of one size, in their pixels, above the score threshold, doubles and all.

        Args:
            images: (H, W, 3) RGB each, `batch` of them at most.
            threads: 1 keeps the work on the calling thread.
        """

    def detect(self, image: Image, *, threads: int | None = None) -> list[Face]:
        """See `Detector.detect`."""
        return self.detect_batch([image], threads=threads)[0]

    def detect_batch(self, images: Sequence[Image], *, threads: int | None = None) -> list[list[Face]]:
        """See `Detector.detect_batch`."""
        found = self._look(images, self.settings.max_size, threads)
        again = [
            i
            for i, faces in enumerate(found)
            if not faces and min(max(images[i].shape[:2]), self.settings.max_size) > _SECOND_LOOK
        ]
        if again:
            for i, faces in zip(
                again, self._look([images[i] for i in again], _SECOND_LOOK, threads), strict=True
            ):
                found[i] = faces
        return found

    def _look(self, images: Sequence[Image], max_size: int, threads: int | None) -> list[list[Face]]:
        working = [shrink(image, max_size, self.within) for image in images]
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, image in enumerate(working):
            groups[image.shape].append(i)
        found: list[list[Face]] = [[] for _ in images]
        for members in groups.values():
            for start in range(0, len(members), self.batch):
                chunk = members[start : start + self.batch]
                for i, raw in zip(chunk, self._run([working[i] for i in chunk], threads), strict=True):
                    found[i] = self._finish(raw, images[i].shape[:2], working[i].shape[:2])
        return found

    def _finish(self, raw: RawFaces, photo: tuple[int, ...], working: tuple[int, ...]) -> list[Face]:
        """Drop what is too small or not finite, choose the main face, suppress doubles, in photo pixels."""
        scale = np.array([photo[1] / working[1], photo[0] / working[0]], dtype=np.float32)
        boxes, landmarks = raw.boxes * np.tile(scale, 2), raw.landmarks * scale
        sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
        usable = np.flatnonzero(
            np.isfinite(raw.scores)
            & np.isfinite(boxes).all(axis=1)
            & np.isfinite(landmarks).all(axis=(1, 2))
            & (sides > 0)
            & (sides >= self.settings.min_face)
        )
        # A photo of noise can pass thousands of anchors; suppression is quadratic in them.
        usable = usable[np.argsort(-raw.scores[usable], kind="stable")[:CANDIDATES]]
        if not usable.size:
            return []
        boxes, scores, landmarks = boxes[usable], raw.scores[usable], landmarks[usable]
        # The main face is chosen before suppression and leads it: its landmarks are then those of the
        # candidate nearest the middle of the face, not of whichever neighbour scored a thousandth more.
        main = main_candidate(boxes, scores, photo)
        kept = non_maximum_suppression(boxes, scores, self.settings.nms_threshold, first=main)
        return [
            Face(box=boxes[k], score=float(scores[k]), landmarks=landmarks[k])
            for k in kept[: self.settings.max_faces]
        ]


def input_of(model: ModelFile, shape: Shape) -> tuple[int | None, int | None, int | None]:
    """What a network asks of its input.

    Args:
        model: Its file.
        shape: `Network.input_shape`.

    Returns:
        Photos a call, height and width, None for each where any will do.

    Raises:
        ModelError: They are more than anybody needs.
    """
    photos, height, width = (shape[0], shape[2], shape[3]) if len(shape) == 4 else (None, None, None)
    if (photos or 1) * (height or 1) * (width or 1) > _MOST_PIXELS:
        raise ModelError(
            f"The model {model.path} asks for inputs of shape {shape}; no detector needs as much, so the "
            "file is damaged or not to be trusted."
        )
    return photos, height, width


def laid(image: Image, height: int, width: int) -> Image:
    """(height, width, 3) black with the image in its upper left; the image itself where it fits."""
    if image.shape[:2] == (height, width):
        return image
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return canvas


def shrink(image: Image, max_size: int, within: tuple[int | None, int | None]) -> Image:
    """The photo itself, or scaled down so that its longer side is `max_size` and it fits `within`."""
    height, width = image.shape[:2]
    limits = [(max_size, max(height, width)), (within[0] or height, height), (within[1] or width, width)]
    limit, side = min(limits, key=lambda pair: pair[0] / pair[1])
    if limit >= side:
        return image
    size = (max(1, round(width * limit / side)), max(1, round(height * limit / side)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
