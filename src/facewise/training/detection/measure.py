"""What a detector is measured by: another detector's answers, composed scenes, pictures without faces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from facewise.boxes import intersection_over_union
from facewise.data.scenes import Mixture, Pool, Scene, compose, face_free
from facewise.detection import Detector
from facewise.errors import DatasetError
from facewise.metrics.detection import DetectionMeter
from facewise.types import Face, Image

HELD_OUT_SEED = 20_261
"""Of held-out scenes: far from any run's."""

SCENE_SIZES = ((480, 640), (320, 320), (640, 480))
"""(height, width) of the acceptance scenes, in turn."""

SCENES = Mixture(
    plain=0.1,
    framed=0.3,
    mosaic=0.2,
    crowd=0.4,
    empty=0.0,
    least_face=16,
    smallest=16,
    turned=0.3,
    drawn=0.06,
    developed=0.5,
)
"""Of the acceptance scenes: 1 to 30 faces, 16 pixels and up. Light, lens and files are half as hard as in
training, lest 16 pixels be left with what 7 can show."""

SIZES: Mapping[str, tuple[float, float]] = {
    "16-24": (16, 24),
    "24-48": (24, 48),
    "48-96": (48, 96),
    "96-192": (96, 192),
    "192+": (192, np.inf),
}
"""Shorter side of a face's box in pixels."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a detector's answers compare with a reference's main faces.

    Attributes:
        photos: On which the reference finds a face.
        found: Share of its main faces that the detector finds, by intersection over union of 0.5 or more.
        main: Share that it takes for the main face too.
        landmarks: Median over the found faces of the mean distance of the five landmarks, as a share of the
            reference's eye distance.
        points: Median over all landmarks of the found faces of their distance, likewise.
        worst: 95th percentile of what `landmarks` is the median of.
        each: Medians for each of the five landmarks.
    """

    photos: int
    found: float
    main: float
    landmarks: float
    points: float
    worst: float
    each: tuple[float, ...]

    def as_dict(self) -> dict[str, float]:
        """Plain numbers."""
        return {key: value for key, value in asdict(self).items() if key != "each"}


def agreement(answers: Iterable[tuple[Face, list[Face]]]) -> Agreement:
    """Compare a reference's main face of each photo with a detector's faces of it.

    Raises:
        DatasetError: There are no photos.
    """
    found, main, distances = [], [], []
    for reference, faces in answers:
        overlaps = [float(intersection_over_union(reference.box, face.box)) for face in faces]
        best = int(np.argmax(overlaps)) if overlaps else -1
        hit = best >= 0 and overlaps[best] >= 0.5
        found.append(hit)
        main.append(hit and best == 0)
        if hit:
            eyes = float(np.linalg.norm(reference.landmarks[1] - reference.landmarks[0]))
            apart = np.linalg.norm(faces[best].landmarks - reference.landmarks, axis=1)
            distances.append(apart / max(eyes, 1e-6))
    if not found:
        raise DatasetError("The reference finds no face in any photo; there is nothing to compare with.")
    apart = np.array(distances or [[np.nan] * 5])
    return Agreement(
        len(found),
        float(np.mean(found)),
        float(np.mean(main)),
        float(np.median(apart.mean(axis=1))),
        float(np.median(apart)),
        float(np.quantile(apart.mean(axis=1), 0.95)),
        tuple(float(v) for v in np.median(apart, axis=0)),
    )


def held_out_scene(pool: Pool, number: int) -> Scene:
    """One of the acceptance scenes, which always are the same."""
    return compose(pool, HELD_OUT_SEED, number, SCENE_SIZES[number % len(SCENE_SIZES)], SCENES)


def face_free_picture(pool: Pool, number: int) -> Image:
    """One of the acceptance pictures without faces."""
    return face_free(pool, HELD_OUT_SEED, number)


class SceneMeter:
    """Average precision on scenes, of all faces and by their size."""

    def __init__(self) -> None:
        self.meters = {"all": DetectionMeter()} | {
            name: DetectionMeter(size=limits) for name, limits in SIZES.items()
        }

    def update(self, scene: Scene, faces: list[Face]) -> None:
        """Add a scene and what was found in it, at a low threshold."""
        height, width = scene.image.shape[:2]
        # What is seen of a face ends at the picture's edge, and so does the truth.
        edge = np.array([width, height, width, height], np.float32)
        boxes = np.array([np.clip(face.box, 0, edge) for face in faces], np.float32).reshape(-1, 4)
        for meter in self.meters.values():
            meter.update(boxes, [face.score for face in faces], scene.boxes, scene.ignore)

    def compute(self) -> dict[str, float]:
        """Average precision by size."""
        return {name: meter.compute().average_precision for name, meter in self.meters.items()}


def false_alarms(detector: Detector, pool: Pool, pictures: int) -> np.ndarray:
    """Scores of everything found in pictures without faces, the highest first."""
    scores = [
        face.score
        for number in range(pictures)
        for face in detector.detect(face_free_picture(pool, number), threads=1)
    ]
    return np.sort(np.array(scores, np.float64))[::-1]
