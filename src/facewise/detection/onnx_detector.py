"""A detector whose network runs on ONNX Runtime and whose outputs a registered decoder reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np

from facewise.detection.base import (
    DetectorSettings,
    RawFaces,
    main_candidate,
    make_decoder,
    non_maximum_suppression,
)
from facewise.errors import ModelError
from facewise.models.file import ModelFile
from facewise.network import Network
from facewise.types import Face, Image

_BATCH = 8
"""Photos a network call at most: it bounds memory."""

_CANDIDATES = 5000
"""Anchors kept for suppression at most, the most confident ones."""

_SECOND_LOOK = 320
"""Where nothing is found, photos larger than this are looked at once more at this size: a face that fills a
large photo is beyond the largest anchor, and within it at 320."""


class OnnxDetector:
    """Scales photos down to the working size, runs the network, decodes, suppresses, maps back.

    Args:
        model: A model file of kind `"detector"`.
        settings: What counts as a face.
        provider: See `facewise.network.PROVIDERS`.
        threads: CPU threads to use; None is all CPUs of this process.

    Raises:
        ModelError: The model is no detector, of an unknown family, or does not load.
    """

    def __init__(
        self,
        model: ModelFile,
        *,
        settings: DetectorSettings | None = None,
        provider: str = "cpu",
        threads: int | None = None,
    ) -> None:
        if model.card.kind != "detector" or model.card.decoder is None:
            raise ModelError(f"{model.path} is not a detector.")
        self.model = model
        self.settings = settings or DetectorSettings()
        self.decoder = make_decoder(model.card.decoder)
        self.network = Network(model, provider=provider, threads=threads)

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.model.card.name

    @property
    def fingerprint(self) -> str:
        """Which model found a face."""
        return self.model.fingerprint

    @property
    def provider(self) -> str:
        """The provider in use."""
        return self.network.provider

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
        working = [_shrink(image, max_size) for image in images]
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, image in enumerate(working):
            groups[image.shape].append(i)
        found: list[list[Face]] = [[] for _ in images]
        for members in groups.values():
            for start in range(0, len(members), _BATCH):
                chunk = members[start : start + _BATCH]
                for i, raw in zip(chunk, self._run([working[i] for i in chunk], threads), strict=True):
                    found[i] = self._finish(raw, images[i].shape[:2], working[i].shape[:2])
        return found

    def _run(self, images: Sequence[Image], threads: int | None) -> list[RawFaces]:
        network = self.network.single if threads == 1 else self.network
        outputs = network.run(self.model.card.preprocess(np.stack(images)))
        height, width = images[0].shape[:2]
        return self.decoder.decode(outputs, (height, width), self.settings.score_threshold)

    def _finish(self, raw: RawFaces, photo: tuple[int, ...], working: tuple[int, ...]) -> list[Face]:
        """Drop what is too small or not finite, choose the main face, suppress doubles, in photo pixels."""
        scale = np.array([photo[1] / working[1], photo[0] / working[0]], dtype=np.float32)
        boxes, landmarks = raw.boxes * np.tile(scale, 2), raw.landmarks * scale
        sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
        usable = np.flatnonzero(
            np.isfinite(boxes).all(axis=1)
            & np.isfinite(landmarks).all(axis=(1, 2))
            & (sides > 0)
            & (sides >= self.settings.min_face)
        )
        # A photo of noise can pass thousands of anchors; suppression is quadratic in them.
        usable = usable[np.argsort(-raw.scores[usable], kind="stable")[:_CANDIDATES]]
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


def _shrink(image: Image, max_size: int) -> Image:
    """The photo itself, or scaled down so that its longer side is `max_size`."""
    height, width = image.shape[:2]
    longer = max(height, width)
    if longer <= max_size:
        return image
    size = (max(1, round(width * max_size / longer)), max(1, round(height * max_size / longer)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
