"""From photos to samples worth keeping: the main face of each, and a reason for each photo that has none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from facewise.errors import (
    FaceNotFoundError,
    FacewiseError,
    GalleryError,
    ImageError,
    NotLiveError,
    PoorPhotoError,
    SettingError,
)
from facewise.gallery.reader import FoundFaces
from facewise.gallery.results import Rejection, Sample
from facewise.models.calibration import Calibration
from facewise.models.liveness import not_live
from facewise.quality import Gate, remarked, unfit

if TYPE_CHECKING:  # who brings embeddings needs no image library
    from facewise.image import ImageSource


Keep = Literal["none", "face", "photo"]
"""What to keep of a photo beside its embedding: nothing, a portrait of the face, or the photo."""


@dataclass(slots=True)
class Picked:
    """What photos came to: samples, refusals (with the error each would raise alone), warnings."""

    samples: list[Sample] = field(default_factory=list)
    refused: list[tuple[Rejection, type[FacewiseError]]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def refuse(self, source: str, reason: str, kind: type[FacewiseError]) -> None:
        """Notes a photo that is not enrolled."""
        self.refused.append((Rejection(source, reason), kind))


def check_keep(keep: str) -> None:
    """Refuses what is no `Keep`.

    Raises:
        SettingError: It is none.
    """
    if keep not in get_args(Keep):
        raise SettingError(f"There is no keep={keep!r}; there are {', '.join(get_args(Keep))}.")


def pick(found: Iterable[FoundFaces], keep: Keep = "none", photos: Iterable[ImageSource] = ()) -> Picked:
    """The main face of each photo as a sample.

    Args:
        found: What was found in each photo.
        keep: What to keep of the photos themselves.
        photos: The photos of `found`, in the same order; needed where something is kept.
    """
    picked = Picked()
    originals = iter(photos)
    for photo in found:
        original = next(originals) if keep != "none" else None
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
        if (reason := not_live([face])) is not None:
            picked.refuse(photo.source, reason, NotLiveError)
            continue
        jpeg = None
        if original is not None:
            from facewise.gallery.portraits import kept_photo  # noqa: PLC0415  needs the image library

            try:
                jpeg = kept_photo(original, face, keep, photo.sha256)
            except ImageError as error:
                picked.refuse(photo.source, str(error), type(error))
                continue
        if len(photo.faces) > 1:
            picked.warnings.append(
                f"{photo.source} has {len(photo.faces)} faces: the main one was taken, "
                "check that it is the right one."
            )
        picked.samples.append(Sample(face.embedding, photo.source, photo.sha256, face.quality, photo=jpeg))
    return picked


def sift(picked: Picked, calibration: Calibration | None, gate: Gate) -> None:
    """Refuses samples that are too poor to know somebody by; with `"off"` they stay, with a warning.

    What only could be better is a warning as well, and with `"strict"` refused.

    Args:
        picked: Changed.
        calibration: Of the embedder, or None.
        gate: How much is asked of photos.
    """
    kept = []
    for sample in picked.samples:
        reason = unfit(sample.quality, sample.embedding, calibration, gate)
        source = sample.source or "an embedding"
        better = remarked(sample.quality)
        if gate == "strict":
            reason = reason or better
        elif better is not None:
            picked.warnings.append(f"{source}: {better}.")
        if reason is None or gate == "off":
            kept.append(sample)
            if reason is not None:
                picked.warnings.append(f"{source}: {reason}; it is enrolled all the same, as asked.")
        else:
            picked.refuse(source, reason, PoorPhotoError)
    picked.samples = kept


def nothing_enrolled(name: str, picked: Picked) -> FacewiseError:
    """The error for an enrolment that has no good photo: of the kind the first bad one would raise alone."""
    if not picked.refused:
        return GalleryError(f"No photo of {name!r} was given: give at least one.")
    told = [f"{rejection.source} ({rejection.reason.rstrip('.')})" for rejection, _ in picked.refused]
    more = f"; and {len(told) - 3} more" if len(told) > 3 else ""
    return picked.refused[0][1](f"Nothing of {name!r} was enrolled: {'; '.join(told[:3])}{more}.")
