"""What a gallery needs of whatever turns photos into embedded faces: `facewise.pipeline.Pipeline` fits.

A protocol, so that a gallery runs on any reader (another pipeline, a service's worker, a test's fake).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from facewise.errors import FacewiseError
from facewise.models.calibration import Calibration
from facewise.types import Face

if TYPE_CHECKING:  # who brings embeddings needs no image library
    from facewise.image import ImageSource


class EmbedderInfo(Protocol):
    """What identifies an embedder."""

    @property
    def name(self) -> str:
        """The model's name, for people."""
        ...

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of the model file."""
        ...

    @property
    def embedding_size(self) -> int:
        """Length D of an embedding."""
        ...

    @property
    def flip(self) -> bool:
        """Whether embeddings average the crop and its mirror image."""
        ...

    @property
    def calibration(self) -> Calibration | None:
        """Thresholds by false match rate, or None if the model carries none."""
        ...


class FoundFaces(Protocol):
    """What was found in one photo; see `facewise.pipeline.PhotoFaces`."""

    @property
    def source(self) -> str:
        """The path as given, or `"array"`, `"bytes"`."""
        ...

    @property
    def sha256(self) -> str:
        """Of the file's bytes, or of the pixels of an array."""
        ...

    @property
    def faces(self) -> tuple[Face, ...]:
        """Embedded faces."""
        ...

    @property
    def main(self) -> int | None:
        """Index of the main face, None if there is no face."""
        ...

    @property
    def error(self) -> FacewiseError | None:
        """Why the photo could not be read, or None."""
        ...


class FaceReader(Protocol):
    """Reads photos into embedded faces."""

    @property
    def embedder(self) -> EmbedderInfo:
        """The model that makes the embeddings."""
        ...

    def read(self, photo: ImageSource) -> FoundFaces:
        """The faces of one photo.

        Raises:
            ImageError: The photo cannot be read.
        """
        ...

    def read_many(self, photos: Iterable[ImageSource]) -> Iterator[FoundFaces]:
        """The faces of many photos, in order; an unreadable one carries its `error`."""
        ...
