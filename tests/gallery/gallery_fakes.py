"""A reader of "photos" that are text files: `ada:1 bob:2` shows Ada and Bob, `nobody` no face."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facewise.errors import ImageError
from facewise.gallery import Sample
from facewise.models.calibration import Calibration, Threshold
from facewise.types import Face, Quality

SIZE = 32
FINGERPRINT = "a1" * 32
CALIBRATION = Calibration(
    "LFW",
    "View 2",
    "0" * 64,
    3000,
    3000,
    False,
    "fake",
    "0" * 64,
    (Threshold(1e-3, 0.5, 1e-3, 0.01, (0, 0.02)),),
)


def unit(vector):
    vector = np.asarray(vector, dtype=np.float64)
    return (vector / np.linalg.norm(vector, axis=-1, keepdims=True)).astype(np.float32)


def face_of(person: str, shot: int = 0, size: int = SIZE):
    """Embeddings of one person are about 0.9 alike; of two people, about 0."""
    base = np.random.default_rng(zlib.crc32(person.encode())).standard_normal(size)
    noise = np.random.default_rng([zlib.crc32(person.encode()), shot]).standard_normal(size)
    return unit(unit(base).astype(np.float64) + 0.3 * unit(noise))


def sample(person: str, shot: int = 0, size: int = SIZE) -> Sample:
    source = f"{person}{shot}.jpg"
    return Sample(face_of(person, shot, size), source, hashlib.sha256(source.encode()).hexdigest())


@dataclass
class FakeEmbedder:
    name: str = "fake"
    fingerprint: str = FINGERPRINT
    embedding_size: int = SIZE
    flip: bool = False
    calibration: Calibration | None = CALIBRATION


@dataclass
class FakeFound:
    source: str
    sha256: str = ""
    faces: tuple[Face, ...] = ()
    error: ImageError | None = None

    @property
    def main(self):
        return 0 if self.faces else None


class FakePipeline:
    def __init__(self, **embedder) -> None:
        self.embedder = FakeEmbedder(**embedder)
        self.opened: list[str] = []

    def read(self, photo):
        source, data = ("image bytes", photo) if isinstance(photo, bytes) else (str(photo), b"broken")
        if not isinstance(photo, bytes) and Path(photo).is_file():
            data = Path(photo).read_bytes()
        self.opened.append(source)
        if data == b"broken":
            raise ImageError(f"{source} is not an image.")
        words = [] if data == b"nobody" else [w.split(":") for w in data.decode().split()]
        quality = Quality(0.99, 40.0, 120.0, 0.1, -0.1, 0.0)
        faces = tuple(
            Face(
                np.zeros(4, np.float32),
                0.9,
                np.zeros((5, 2), np.float32),
                self._embed(who, int(shot)),
                quality,
            )
            for who, shot in words
        )
        return FakeFound(source, hashlib.sha256(data).hexdigest(), faces)

    def _embed(self, who, shot):
        return face_of(who, shot, self.embedder.embedding_size)

    def read_many(self, photos):
        for photo in photos:
            try:
                yield self.read(photo)
            except ImageError as error:
                yield FakeFound(str(photo), error=error)


def photo(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode())
    return path
