"""From photos to samples worth keeping: the main face of each, and a reason for each photo that has none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from facewise.errors import FaceNotFoundError, FacewiseError, GalleryError
from facewise.gallery.reader import FoundFaces
from facewise.gallery.results import Rejection, Sample


@dataclass(slots=True)
class Picked:
    """What photos came to: samples, refusals (with the error each would raise alone), warnings."""

    samples: list[Sample] = field(default_factory=list)
    refused: list[tuple[Rejection, type[FacewiseError]]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def refuse(self, source: str, reason: str, kind: type[FacewiseError]) -> None:
        """Notes a photo that is not enrolled."""
        self.refused.append((Rejection(source, reason), kind))


def pick(found: Iterable[FoundFaces]) -> Picked:
    """The main face of each photo as a sample."""
    picked = Picked()
    for photo in found:
        if photo.error is not None:
            picked.refuse(photo.source, str(photo.error), type(photo.error))
            continue
        if photo.main is None:
            picked.refuse(photo.source, "no face was found in it", FaceNotFoundError)
            continue
        face = photo.faces[photo.main]
        if face.embedding is None:
            picked.refuse(photo.source, "its face has no embedding", FaceNotFoundError)
            continue
        if len(photo.faces) > 1:
            picked.warnings.append(
                f"{photo.source} has {len(photo.faces)} faces: the main one was taken, "
                "check that it is the right one."
            )
        picked.samples.append(Sample(face.embedding, photo.source, photo.sha256, face.quality))
    return picked


def nothing_enrolled(name: str, picked: Picked) -> FacewiseError:
    """The error for an enrolment that has no good photo: of the kind the first bad one would raise alone."""
    if not picked.refused:
        return GalleryError(f"No photo of {name!r} was given: give at least one.")
    told = [f"{rejection.source} ({rejection.reason.rstrip('.')})" for rejection, _ in picked.refused]
    more = f"; and {len(told) - 3} more" if len(told) > 3 else ""
    return picked.refused[0][1](f"Nothing of {name!r} was enrolled: {'; '.join(told[:3])}{more}.")
