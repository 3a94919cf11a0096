"""People drawn for the demo, and a detector that simply knows where their faces are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facewise.concurrency import side_by_side
from facewise.data.folder import folder_source
from facewise.data.source import FileSource
from facewise.data.synthetic import Person, Scene, scene, write_people
from facewise.data.synthetic.write import TRUTH_JSONL
from facewise.demo.plan import Plan
from facewise.detection import DetectorSettings
from facewise.image import read_image
from facewise.types import Face, FloatArray, Image

_TOGETHER = 8
"""People in the one picture of several."""


class DrawnPhotos(FileSource):
    """Drawn people in a folder.

    Attributes:
        identity: The same for the same people wherever and whenever they were drawn, so that the crops kept
            from one demo serve the next.
    """

    identity: str


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known of a drawn face: see `facewise.data.synthetic.Truth`."""

    box: FloatArray
    landmarks: FloatArray


def draw_people(
    folder: Path, plan: Plan, threads: int, done: Callable[[], None]
) -> tuple[DrawnPhotos, dict[str, Known]]:
    """Draw everybody of the plan into a folder.

    Returns:
        The photos, and what is known of each by its key.

    Raises:
        FacewiseError: The folder cannot be written.
    """
    write_people(
        folder, plan.people, plan.photos, plan.seed, size=plan.photo_size, workers=threads, done=done
    )
    plain = folder_source(folder, tell=lambda _: None)
    source = DrawnPhotos("drawn people", folder, plain.keys, plain.labels, plain.names)
    rows = [json.loads(line) for line in (folder / TRUTH_JSONL).read_text(encoding="utf-8").splitlines()]
    source.identity = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    known = {
        row["path"]: Known(np.array(row["box"], np.float32), np.array(row["landmarks"], np.float32))
        for row in rows
    }
    return source, known


def draw_group(plan: Plan) -> Scene:
    """Some of the people together in one picture."""
    people = [Person.draw(plan.seed, number) for number in range(min(_TOGETHER, plan.people))]
    return scene(people, np.random.default_rng(plan.seed), size=(420, 720), difficulty=0.3)


class KnownFaces:
    """A detector of drawn photos that looks nothing up in them: their landmarks are known.

    Where no model finds drawn faces well, this takes its place (see `facewise.detection.Detector`), so that
    all that follows is what it is on real photos.
    """

    name = "known landmarks"
    sure = 1.0

    def __init__(self, known: Mapping[str, Known], photos: Mapping[str, Path], threads: int) -> None:
        """A detector.

        Args:
            known: What is known of each photo.
            photos: Where each lies, by the same keys.
            threads: For reading them.
        """
        self.settings = DetectorSettings()
        keys = list(photos)
        digests = side_by_side(lambda key: _digest(read_image(photos[key])), keys, threads)
        self._faces = {digest: known[key] for key, digest in zip(keys, digests, strict=True)}
        together = json.dumps(sorted((key, known[key].landmarks.tolist()) for key in keys))
        self.fingerprint = hashlib.sha256(together.encode()).hexdigest()

    def detect(self, image: Image, *, threads: int | None = None) -> list[Face]:  # noqa: ARG002  a protocol
        """See `Detector.detect`: the one face, or none in a photo that was not drawn here."""
        face = self._faces.get(_digest(image))
        return [] if face is None else [Face(face.box, 1.0, face.landmarks)]

    def detect_batch(self, images: Sequence[Image], *, threads: int | None = None) -> list[list[Face]]:
        """See `Detector.detect_batch`."""
        return [self.detect(image, threads=threads) for image in images]


def _digest(image: Image) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()
