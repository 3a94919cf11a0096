"""The first thing to see: the faces found in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facewise.demo.blocks import Picture, Section
from facewise.demo.drawn import draw_group
from facewise.demo.finding import jpeg
from facewise.demo.plan import Plan
from facewise.detection import Detector
from facewise.drawing import BLUE, draw_faces
from facewise.errors import ImageError
from facewise.files import write_bytes
from facewise.image import read_image
from facewise.photos import several
from facewise.types import Face, Image

PICTURE = "faces.jpg"

_LOOKED_AT = 10
"""Photos in which a face is looked for before the first is shown without one."""


def find_in_group(detector: Detector | None, plan: Plan, out: Path) -> Section:
    """Draw several people in one picture and find them; without a detector the faces are the known ones.

    Args:
        detector: The default one, or None where none is installed.
        plan: Says who is drawn.
        out: The demo's folder: `faces.jpg` is written there.
    """
    group = draw_group(plan)
    there = f"{len(group.truths)} people"
    if detector is None:
        faces = [Face(truth.box, 1.0, truth.landmarks) for truth in group.truths]
        told = f"The picture shows {there}, drawn; their boxes and landmarks are known."
        return _shown(group.image, faces, [""] * len(faces), told, out)
    faces = detector.detect(group.image)
    told = f"{several(len(faces), 'face')} found by {detector.name} in a picture of {there}, drawn."
    return _shown(group.image, faces, [f"{face.score:.2f}" for face in faces], told, out)


def find_in_photo(detector: Detector, photos: Sequence[Path], out: Path) -> Section:
    """Find the faces of a photo: the first that has some, of a few.

    Args:
        detector: The default one.
        photos: Where they lie.
        out: The demo's folder: `faces.jpg` is written there.
    """
    shown: tuple[Image, list[Face]] | None = None
    for path in photos[:_LOOKED_AT]:
        try:
            image = read_image(path)
        except ImageError:  # which is told when it comes to all photos
            continue
        faces = detector.detect(image)
        if shown is None or faces:
            shown = image, faces
        if faces:
            break
    if shown is None:
        return Section(blocks=["None of the first photos can be read."])
    image, faces = shown
    told = f"{several(len(faces), 'face')} found by {detector.name} in one of the photos."
    return _shown(image, faces, [f"{face.score:.2f}" for face in faces], told, out)


def _shown(image: Image, faces: Sequence[Face], labels: Sequence[str], told: str, out: Path) -> Section:
    data, path = jpeg(draw_faces(image, faces, labels, [BLUE] * len(faces))), out / PICTURE
    write_bytes(path, data)
    caption = "The number is how sure the detector is." if any(labels) else ""
    alt = f"A picture with a box and five points on {several(len(faces), 'face')}"
    return Section(
        blocks=[
            told,
            Picture(data, alt, caption, path),
        ],
        numbers={"picture": str(path.absolute()), "faces": len(faces)},
        short=told,
    )
