"""What detectors that are model files share: sizes to look at, one main face, doubles gone, photo pixels."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np

from facewise.boxes import intersection_over_first
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

_MOST_PIXELS = 1 << 26
"""Pixels of a call at most that a file may ask for: a canvas is made of them whatever the photo's size."""

_LEAST_LOOK = 320
"""Photos are looked at no smaller than this."""

_NEXT_LOOK = 5 / 16
"""How much smaller a photo is looked at again whose faces may be too large: 1024 pixels become 320."""

_LARGE = 0.8
"""A face found larger than this share of the largest that a network is made for may be but a part of one: of
80 faces enlarged to 0.7 to 2 times that, no wrong box of three detectors was below 0.87 of it."""

_LONG = 3
"""Photos longer than this many times their width are looked at in pieces."""

_BORDER = 0.05
"""By how much of the photo's width two pieces' own parts overlap."""


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

    @property
    @abstractmethod
    def sure(self) -> float:
        """See `Detector.sure`."""

    @property
    @abstractmethod
    def largest(self) -> float:
        """Pixels of the longer side of the largest face that the network is made for."""

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
        pieces = [(i, piece) for i, image in enumerate(images) for piece in pieces_of(image, self.settings)]
        views = [piece.view(images[i]) for i, piece in pieces]
        found: list[list[RawFaces]] = [[] for _ in images]
        for (i, piece), faces in zip(pieces, self._of_any_size(views, threads), strict=True):
            found[i].append(piece.in_photo(faces))
        return [
            self._finish(RawFaces.joined(faces).best, image.shape)
            for image, faces in zip(images, found, strict=True)
        ]

    def _of_any_size(self, images: Sequence[Image], threads: int | None) -> list[RawFaces]:
        """Candidates in pixels of each image, also of faces larger than the network is made for.

        It sees no face that fills a large picture, or parts of it that it takes for faces. So where it finds
        nothing, or something nearly as large as it can, it looks at a smaller picture too.
        """
        sizes = [fitted(image, self.settings.max_size, self.within) for image in images]
        found = self._look(images, sizes, threads)
        again = self._with_more(images, found, sizes)
        while again:
            least = [_LARGE * self.largest * max(images[i].shape[:2]) / sizes[i] for i in again]
            for i in again:
                sizes[i] = max(_LEAST_LOOK, round(sizes[i] * _NEXT_LOOK))
            looks = self._look([images[i] for i in again], [sizes[i] for i in again], threads)
            for i, large, smaller in zip(again, least, looks, strict=True):
                found[i] = self._with_larger(found[i], smaller, large)
            again = [i for i in self._with_more(images, found, sizes) if i in again]
        return found

    def _with_more(
        self, images: Sequence[Image], found: Sequence[RawFaces], sizes: Sequence[int]
    ) -> list[int]:
        """Which images, looked at in these sizes, may show faces too large to be seen so."""
        return [
            i
            for i, (image, faces, size) in enumerate(zip(images, found, sizes, strict=True))
            if size > _LEAST_LOOK
            and faces.sides.max(initial=np.inf if not len(faces) else 0) * size / max(image.shape[:2])
            >= _LARGE * self.largest
        ]

    def _with_larger(self, faces: RawFaces, smaller: RawFaces, least: float) -> RawFaces:
        """What a picture and a smaller copy of it show together.

        Args:
            faces: Found in the picture.
            smaller: Found in the copy, in pixels of the picture.
            least: Pixels of the longer side from which on a face is taken from the copy: then nothing is that
                the picture shows within it.
        """
        larger = smaller.only(smaller.sides >= least)
        if not len(larger):
            return faces if len(faces) else smaller
        apart = non_maximum_suppression(larger.boxes, larger.scores, self.settings.nms_threshold)
        inside = intersection_over_first(faces.boxes[:, None], larger.boxes[apart]).max(axis=1) > 0.5
        return RawFaces.joined([larger, faces.only(~inside)])

    def _look(self, images: Sequence[Image], sizes: Sequence[int], threads: int | None) -> list[RawFaces]:
        """Candidates of images that are looked at in these sizes of the longer side, in their own pixels."""
        working = [shrink(image, size, self.within) for image, size in zip(images, sizes, strict=True)]
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, image in enumerate(working):
            groups[image.shape].append(i)
        found: list[RawFaces | None] = [None] * len(images)
        for members in groups.values():
            for start in range(0, len(members), self.batch):
                chunk = members[start : start + self.batch]
                for i, raw in zip(chunk, self._run([working[i] for i in chunk], threads), strict=True):
                    (height, width), (rows, columns) = images[i].shape[:2], working[i].shape[:2]
                    found[i] = self._usable(raw.scaled(width / columns, height / rows))
        return [faces for faces in found if faces is not None]

    def _usable(self, faces: RawFaces) -> RawFaces:
        """Those that are finite and not too small, the most confident of very many."""
        sides = (faces.boxes[:, 2:] - faces.boxes[:, :2]).min(axis=1)
        usable = np.flatnonzero(
            np.isfinite(faces.scores)
            & np.isfinite(faces.boxes).all(axis=1)
            & np.isfinite(faces.landmarks).all(axis=(1, 2))
            & (sides > 0)
            & (sides >= self.settings.min_face)
        )
        return faces.only(usable).best  # a photo of noise can pass thousands of anchors

    def _finish(self, faces: RawFaces, photo: tuple[int, ...]) -> list[Face]:
        """Choose the main face, suppress doubles."""
        if not len(faces):
            return []
        # The main face is chosen before suppression and leads it: its landmarks are then those of the
        # candidate nearest the middle of the face, not of whichever neighbour scored a thousandth more.
        main = main_candidate(faces.boxes, faces.scores, photo)
        kept = non_maximum_suppression(faces.boxes, faces.scores, self.settings.nms_threshold, first=main)
        return [
            Face(box=faces.boxes[k], score=float(faces.scores[k]), landmarks=faces.landmarks[k])
            for k in kept[: self.settings.max_faces]
        ]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a photo that is looked at by itself.

    Attributes:
        upright: Whether the photo is longer from top to bottom.
        start: Where it begins along the longer side, in pixels.
        end: Where it ends.
        first: Where the middles of the faces begin that are taken from it, and not from its neighbours.
        last: Where they end.
    """

    upright: bool
    start: int
    end: int
    first: float
    last: float

    def view(self, photo: Image) -> Image:
        """Its pixels."""
        return photo[self.start : self.end] if self.upright else photo[:, self.start : self.end]

    def in_photo(self, faces: RawFaces) -> RawFaces:
        """Those that are its own, in pixels of the photo."""
        moved = faces.moved(*((0, self.start) if self.upright else (self.start, 0)))
        along = (moved.boxes[:, :2] + moved.boxes[:, 2:])[:, int(self.upright)] / 2
        return moved.only((along >= self.first) & (along < self.last))


def pieces_of(photo: Image, settings: DetectorSettings) -> list[Piece]:
    """The pieces a photo is looked at in: one, but several of very long photos that would be scaled down.

    Neighbours overlap by the photo's width, so that whatever face fits into the photo fits into a piece.
    """
    height, width = photo.shape[:2]
    upright, long, short = height > width, max(height, width), min(height, width)
    length = max(2 * short, settings.max_size)
    if long <= max(_LONG * short, length):
        return [Piece(upright, 0, long, -np.inf, np.inf)]
    starts = np.linspace(0, long - length, math.ceil((long - short) / (length - short))).round().astype(int)
    # A face in the middle between two is found by both, a little apart: suppression makes it one.
    cuts = (starts[1:] + starts[:-1] + length) / 2
    first, last = [-np.inf, *(cuts - _BORDER * short)], [*(cuts + _BORDER * short), np.inf]
    return [
        Piece(upright, int(start), int(start) + length, float(low), float(high))
        for start, low, high in zip(starts, first, last, strict=True)
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
    limit, side = _limit(image, max_size, within)
    if limit >= side:
        return image
    size = (max(1, round(width * limit / side)), max(1, round(height * limit / side)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def fitted(image: Image, max_size: int, within: tuple[int | None, int | None]) -> int:
    """The longer side, in pixels, of what `shrink` makes."""
    limit, side = _limit(image, max_size, within)
    longest: int = max(image.shape[:2])
    return max(1, round(longest * min(1.0, limit / side)))


def _limit(image: Image, max_size: int, within: tuple[int | None, int | None]) -> tuple[int, int]:
    """The bound that asks for the most scaling down, and the side it is for."""
    height, width = image.shape[:2]
    limits = [(max_size, max(height, width)), (within[0] or height, height), (within[1] or width, width)]
    return min(limits, key=lambda pair: pair[0] / pair[1])
