"""Which detector finds the faces: measured on photos whose faces are known, or counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from facewise.demo.blocks import Section, percent
from facewise.demo.cast import People
from facewise.demo.drawn import Known
from facewise.demo.plan import Plan
from facewise.demo.teller import Teller
from facewise.pipeline import Pipeline, Steps
from facewise.types import Image

ENOUGH = 0.95
"""Share of the drawn faces a detector has to find to be used on them."""

_NEAR = 0.5
"""A face is found where its landmarks lie, in the mean, within half the distance of the eyes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How well a detector finds faces that are known.

    Attributes:
        looked_at: Faces there are, one a photo.
        found: Of these, how many were found.
        false: Faces found where there is none.
        error: Median over the found faces of the mean distance of five landmarks, in eye distances; NaN where
            none was found.
    """

    looked_at: int
    found: int
    false: int
    error: float

    @property
    def good(self) -> bool:
        """Whether it is good enough to work with."""
        return self.found >= ENOUGH * self.looked_at


def try_on_drawn(
    pipeline: Pipeline, people: People, known: Mapping[str, Known], plan: Plan, teller: Teller
) -> Finding:
    """Look for the faces of some drawn photos, spread over everybody."""
    keys = [people.source.keys[i] for i in _spread(len(people.source.keys), plan.looked_at)]
    found, false, errors = 0, 0, list[float]()
    steps = Steps(align=False, embed=False)
    with teller.bar("Looking for faces", len(keys)) as done:
        read = pipeline.read_many([people.path(key) for key in keys], steps)
        for key, photo in zip(keys, read, strict=True):
            truth = known[key].landmarks
            distances = [_distance(face.landmarks, truth) for face in photo.faces]
            near = [distance for distance in distances if distance < _NEAR]
            found += bool(near)
            false += len(distances) - bool(near)
            errors += [min(near)] if near else []
            done()
    return Finding(len(keys), found, false, float(np.median(errors)) if errors else float("nan"))


def choose_on_drawn(name: str, finding: Finding | None) -> Section:
    """Say which detector is used on drawn people, and why.

    Args:
        name: Of the default detector, or empty where none is installed.
        finding: How well it found drawn faces, or None where none is installed.
    """
    section = Section()
    if finding is None:
        section.model = (
            "No detector is installed: the landmarks of the drawn people, which are known exactly, take its "
            "place. On real photos a detector is needed (`facewise models list --available`)."
        )
        section.short = "No detector is installed: the known landmarks of the drawn faces are used."
        section.numbers = {"detector": None, "used": "known landmarks"}
        return section
    said = (
        f"{name}, the default detector, found {percent(finding.found, finding.looked_at)} of the drawn faces "
        "it was tried on"
    )
    if finding.found:
        said += f", their landmarks {finding.error:.3f} eye distances from where they are (median)"
    said += f", and {finding.false} faces where there is none."
    if finding.good:
        section.model = f"{said} So it is used here, as it would be on real photos."
    else:
        section.model = (
            f"{said} That is less than {ENOUGH:.0%}: it was made for photos, not for drawings. So the "
            "landmarks of the drawn people, which are known exactly, take its place; on real photos it is "
            "used."
        )
    section.short = f"{name} finds {percent(finding.found, finding.looked_at)} of the drawn faces."
    section.numbers = {
        "detector": name,
        "looked_at": finding.looked_at,
        "found": finding.found,
        "false": finding.false,
        "landmark_error_in_eye_distances": finding.error if finding.found else None,
        "used": name if finding.good else "known landmarks",
    }
    return section


def count_on_photos(pipeline: Pipeline, people: People, teller: Teller) -> Section:
    """Look for the faces of real photos: of those whom no model has learned from."""
    cast = people.cast
    photos = people.of(cast.measure, cast.enrolled, cast.strangers)
    with_face, several, unreadable = 0, 0, list[str]()
    with teller.bar("Looking for faces", len(photos)) as done:
        paths = [people.path(key) for _, key in photos]
        for photo in pipeline.read_many(paths, Steps(embed=False)):
            if photo.error is not None:
                unreadable.append(str(photo.error))
            with_face += bool(photo.faces)
            several += len(photo.faces) > 1
            done()
    section = Section(f"{pipeline.detector.name}, the default detector.")
    section.blocks.append(
        f"A face was found in {percent(with_face, len(photos))} of the photos; {several} have several "
        "faces, of which the main one counts."
    )
    section.blocks += [f"Left out: {reason}" for reason in unreadable[:5]]
    section.short = (
        f"{pipeline.detector.name} finds a face in {percent(with_face, len(photos))} of the photos."
    )
    section.numbers = {
        "detector": pipeline.detector.name,
        "photos": len(photos),
        "with_a_face": with_face,
        "with_several": several,
        "unreadable": unreadable,
    }
    return section


def jpeg(image: Image, quality: int = 88) -> bytes:
    """A picture as the bytes of a JPEG file."""
    buffer = BytesIO()
    PIL.Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _distance(landmarks: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Mean distance of five landmarks in eye distances."""
    eyes = float(np.linalg.norm(truth[1] - truth[0]))
    return float(np.linalg.norm(landmarks - truth, axis=1).mean()) / max(eyes, 1e-6)


def _spread(count: int, most: int) -> Sequence[int]:
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most))})
