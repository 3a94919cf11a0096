"""Faces in photos that do not lie upright: the other three ways up are tried where nothing sure is found.

Networks are trained on upright faces. Of a photo upside down most find nothing, or a face with its landmarks
where those of an upright one would be: the mouth on the eyes. Scores tell: those of upright faces are higher.
"""

from __future__ import annotations

import math
from cmath import phase
from dataclasses import replace

import cv2
import numpy as np

from facewise.detection.base import Detector
from facewise.geometry import TEMPLATE_112, Cut
from facewise.types import Face, FloatArray, Image

TRIED = "upright or turned by 90°, 180° or 270°"
"""How photos are looked at, for sentences about those in which nobody is found."""

_TURNS = (1, 2, 3)

_CLEARLY = 1e-3
"""By how much a turned photo must be better, more than rounding, to be taken for the upright one."""

_GOOD = 0.9
"""Share of the score of a sure face that a good one has. One that is seen in a turned photo only must be
good: a photo without a face is looked at four times, and must not show one four times as often."""

_AMISS = 0.95
"""What a score counts of a face whose landmarks are not those of an upright one: it is never sure."""

_ROLL = math.pi / 4
_MISFIT = 0.25
"""How far the landmarks of an upright face are from their places in a crop, in eye distances, at most."""


_UPRIGHT = [complex(x, y) for x, y in (TEMPLATE_112 - TEMPLATE_112.mean(0)) / np.ptp(TEMPLATE_112[:2, 0])]
"""Five landmarks in eye distances about their middle, x + iy."""


def turned(image: Image, quarters: int) -> Image:
    """The image turned counterclockwise by so many times 90°."""
    if quarters == 0:
        return image
    ways = (cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_CLOCKWISE)
    return np.asarray(cv2.rotate(image, ways[quarters - 1]), dtype=np.uint8)


def find_upright(detector: Detector, image: Image, *, threads: int | None = None) -> tuple[int, list[Face]]:
    """By how many quarters a photo has to be turned for its faces to be upright, and the faces.

    Where a face is surely an upright one the photo is taken as it lies, whatever else it shows. A good one is
    looked at alone and small, which costs little, and unless it is sure then in all four ways. Where that
    does not say that it lies upright, or nothing good was found, the photo is looked at in the other ways.

    Args:
        detector: What finds faces.
        image: (H, W, 3) RGB.
        threads: See `Detector.detect`.

    Returns:
        Quarters, counterclockwise, 0 to 3; and the faces in pixels of the photo turned so, see `in_photo`.
    """
    as_it_lies = detector.detect(image, threads=threads)
    least = _evidence(as_it_lies)
    if least >= detector.sure:
        return 0, as_it_lies
    good = _GOOD * detector.sure
    likely = _way_up(detector, image, as_it_lies, threads) if least >= good else None
    best, found = 0, as_it_lies
    for quarters in sorted(_TURNS, key=lambda one: one != likely) if likely != 0 else ():
        faces = detector.detect(turned(image, quarters), threads=threads)
        doubtful = max((face.score for face in faces), default=0.0) < good
        if not doubtful and (evidence := _evidence(faces)) > least + _CLEARLY:
            best, found, least = quarters, faces, evidence
            if quarters == likely:
                break
    return best, found


def in_photo(face: Face, quarters: int, size: tuple[int, int]) -> Face:
    """A face of a turned photo in pixels of the photo as it lies; its landmarks keep their order.

    Args:
        face: In pixels of the photo turned counterclockwise by so many quarters.
        quarters: 0 to 3.
        size: (height, width) of the photo as it lies.
    """
    if quarters == 0:
        return face
    corners = _back(face.box.reshape(2, 2), quarters, size)
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    # Landmarks count from the middle of the first pixel, as what cuts by them does, and boxes from its edge.
    landmarks = _back(face.landmarks + np.float32(0.5), quarters, size) - np.float32(0.5)
    quality, mesh = face.quality, face.mesh
    if quality is not None:
        quality = replace(quality, roll=_rolled(quality.roll, quarters))
    if mesh is not None:
        flat = _back(mesh.points[:, :2] + np.float32(0.5), quarters, size) - np.float32(0.5)
        points = np.concatenate([flat, mesh.points[:, 2:]], axis=1)
        mesh = replace(mesh, points=points, pose=replace(mesh.pose, roll=_rolled(mesh.pose.roll, quarters)))
    return replace(face, box=box, landmarks=landmarks, quality=quality, mesh=mesh)


def _rolled(roll: float, quarters: int) -> float:
    return math.remainder(roll + quarters * math.pi / 2, 2 * math.pi)


def _back(points: FloatArray, quarters: int, size: tuple[int, int]) -> FloatArray:
    """(K, 2) points of the turned photo, x and y from its corner, in the photo as it lies."""
    height, width = size
    x, y = points[:, 0], points[:, 1]
    places = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}
    return np.stack(places[quarters], axis=1).astype(np.float32)


def _way_up(detector: Detector, image: Image, faces: list[Face], threads: int | None) -> int | None:
    """By how many quarters to turn the most confident face, as it looks alone; None where that is no face."""
    face = max(faces, key=lambda one: one.score)
    # Twice as wide as the face, which is so 32 pixels wide, or safely as wide as one must be.
    cut = Cut(max(64, math.ceil(2.5 * detector.settings.min_face)), "square", 1.0)
    if not cut.fits(image.shape[0], image.shape[1], face.box, face.landmarks):
        return None
    around = cut.of(image, [face.box], None)[0]
    as_it_lies = _evidence(detector.detect_batch([around], threads=threads)[0])
    if as_it_lies >= detector.sure:
        return 0
    ways = detector.detect_batch([turned(around, way) for way in _TURNS], threads=threads)
    evidence = [as_it_lies, *map(_evidence, ways)]
    likely = int(np.argmax(evidence))
    if evidence[likely] == 0:
        return None
    return likely if evidence[likely] > evidence[0] + _CLEARLY else 0


def _evidence(faces: list[Face]) -> float:
    """The highest score of a face, less where its landmarks are not those of an upright one."""
    best = 0.0
    for face in sorted(faces, key=lambda one: -one.score):
        if face.score <= best:
            break
        best = max(best, face.score * (1.0 if _is_upright(face.landmarks) else _AMISS))
    return best


def _is_upright(landmarks: FloatArray) -> bool:
    # For five points plain Python is faster than numpy, and this runs for every photo.
    places = [complex(x, y) for x, y in landmarks.tolist()]
    middle = sum(places) / len(places)
    places = [place - middle for place in places]
    size = sum(abs(place) ** 2 for place in places)
    if not size > 1e-6:
        return False
    # In the plane of complex numbers a similarity is a factor, and this is the least-squares one.
    factor = sum(place.conjugate() * to for place, to in zip(places, _UPRIGHT, strict=True)) / size
    away = sum(abs(factor * place - to) ** 2 for place, to in zip(places, _UPRIGHT, strict=True))
    return math.sqrt(away / len(places)) < _MISFIT and abs(phase(places[1] - places[0])) < _ROLL
