"""What a service answers, as frozen dataclasses.

Faces and verifications are the library's own (`facewise.types`), so that whatever takes them takes these.
Fields that a newer service adds are left out; one that is missing is an `AnswerError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from facewise.types import Age, Attributes, Face, Guess, Liveness, Quality, Verification

__all__ = [
    "Age", "Analysis", "Attributes", "AuditEntry", "CalibrationFacts", "Candidate", "Challenge",
    "Clustering", "Decision", "Detection", "DetectorModel", "EmbedderModel", "Embedding", "Enrolment",
    "Face", "FaceRef", "GallerySize", "GroupedPhoto", "Guess", "Identification", "IdentifiedFace",
    "KeyHolder", "Liveness", "LivenessCalibration", "LivenessModels", "Merged", "Models", "OperatingPoint",
    "People", "Person", "PersonDetail", "PoorFace", "Presence", "Quality", "Rejection", "Sample",
    "Verification",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Detection:
    """The faces of a photo.

    Attributes:
        width: Of the photo, pixels, upright.
        height: Likewise.
        faces: Without embeddings.
    """

    width: int
    height: int
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the faces of a photo look like.

    Attributes:
        width: Of the photo, pixels, upright.
        height: Likewise.
        model: Name of the model that says so.
        fingerprint: Of its file.
        attributes: Those asked for.
        faces: With `attributes`, without embeddings.
    """

    width: int
    height: int
    model: str
    fingerprint: str
    attributes: tuple[str, ...]
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True)
class Embedding:
    """The faces of a photo with their embeddings, and the model these are of.

    Attributes:
        model: Its name.
        fingerprint: Of its file; embeddings of two models cannot be compared.
        flip: Whether they are averaged with the mirrored face's.
        faces: With embeddings `(D,)`.
    """

    model: str
    fingerprint: str
    flip: bool
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person of the gallery and how alike a face is to them; one deleted this moment has no number."""

    person: int | None
    name: str
    similarity: float


@dataclass(frozen=True, slots=True)
class IdentifiedFace:
    """Who one face is.

    Attributes:
        face: Where it is in the photo.
        person: The person's number, or None: a stranger, or no decision.
        name: Likewise.
        similarity: To the best candidate.
        decided: False where there is no threshold to decide by, or the face is too poor.
        candidates: Best first.
        twice: Whether another face of the photo was given the same name, which nobody can have.
        threshold: The threshold decided by, which is higher where both photos are poor; or None.
        note: Why nothing is decided about the face, or empty.
    """

    face: Face
    person: int | None
    name: str | None
    similarity: float
    decided: bool
    candidates: tuple[Candidate, ...]
    twice: bool
    threshold: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The rule that faces were named by: a threshold, the rate it is for, and where it comes from."""

    threshold: float
    fmr: float | None
    fpir: float | None
    source: str


@dataclass(frozen=True, slots=True)
class GallerySize:
    """How many people and samples a search went through."""

    people: int
    samples: int


@dataclass(frozen=True, slots=True)
class Identification:
    """Who is in a photo.

    Attributes:
        width: Of the photo, pixels, upright.
        height: Likewise.
        decision: None where there is nothing to decide by; `note` says why.
        note: Where the threshold comes from, for people.
        gallery: How large it is.
        faces: One an entry, in the order they were found.
    """

    width: int
    height: int
    decision: Decision | None
    note: str
    gallery: GallerySize
    faces: tuple[IdentifiedFace, ...]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in the gallery."""

    id: int
    name: str
    samples: int
    created: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One photo somebody is known by; its quality as the service measured it, or None."""

    id: int
    created: str
    source: str
    quality: Quality | None
    has_photo: bool


@dataclass(frozen=True, slots=True)
class PersonDetail:
    """Somebody in the gallery, with all samples."""

    id: int
    name: str
    created: str
    groups: tuple[str, ...]
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class People:
    """A page of the people in the gallery, and how many there are that the question asks for."""

    people: tuple[Person, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Rejection:
    """A photo that was not enrolled, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What became of photos to enrol.

    Attributes:
        person: The person as they are now.
        added: How many samples are new.
        duplicates: Photos the person had already.
        rejected: Photos that were not taken.
        warnings: Sentences to look at.
    """

    person: Person
    added: int
    duplicates: tuple[str, ...]
    rejected: tuple[Rejection, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Merged:
    """Who two people are now, and how many samples moved."""

    person: Person
    moved: int


@dataclass(frozen=True, slots=True)
class FaceRef:
    """A face: of which photo, and which of that photo's faces, both from 0."""

    photo: int
    face: int


@dataclass(frozen=True, slots=True)
class PoorFace:
    """A face that is too poor to be grouped, and why; numbers as of `FaceRef`."""

    photo: int
    face: int
    reason: str


@dataclass(frozen=True, slots=True)
class GroupedPhoto:
    """One of the photos that were grouped: its faces, or why it could not be read."""

    index: int
    name: str
    error: str | None
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True)
class Challenge:
    """What somebody before a camera is asked to do.

    Attributes:
        challenge: Names it in the answer.
        actions: In order: `turn left`, `turn right` (the person's own), `blink`, `open mouth`; before each
            and after the last they look straight into the camera.
        seconds: For which it can be answered, once, with the same key.
        most_frames: Of an answer.
    """

    challenge: str
    actions: tuple[str, ...]
    seconds: float
    most_frames: int


@dataclass(frozen=True, slots=True, eq=False)
class Presence:
    """What the frames of a challenge came to.

    Attributes:
        passed: Whether one person did all that was asked, in order.
        note: Why not, or empty.
        actions: What was asked.
        done: How many of them were.
        frame: The number of the best frame, from 0, or None.
        liveness: Of all frames, where the service looks for it.
        face: Who it is, where it was passed.
    """

    passed: bool
    note: str
    actions: tuple[str, ...]
    done: int
    frame: int | None
    liveness: Liveness | None
    face: IdentifiedFace | None


@dataclass(frozen=True, slots=True)
class Clustering:
    """Photos grouped into people.

    Attributes:
        groups: The faces of one person each, largest first.
        photos: In the order given.
        method: How they were grouped.
        threshold: Similarity from which on two faces belong together.
        fmr: False match rate of that threshold, or None.
        too_poor: Faces left alone for their quality.
    """

    groups: tuple[tuple[FaceRef, ...], ...]
    photos: tuple[GroupedPhoto, ...]
    method: str
    threshold: float
    fmr: float | None
    too_poor: tuple[PoorFace, ...]


@dataclass(frozen=True, slots=True)
class DetectorModel:
    """The network that finds faces.

    `provider` is what runs it, such as `"cpu"`; `variant` is `"int8"` or `"float"`.
    """

    name: str
    version: str
    licence: str
    fingerprint: str
    provider: str | None
    variant: str | None


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold, and what was measured at it.

    Attributes:
        fmr: The false match rate it is for.
        threshold: Similarity.
        measured_fmr: What was found on the calibration's pairs.
        fnmr: False non-match rate there.
        fnmr_interval: Its 95% interval.
        fmr_interval: Of the measured FMR, or None.
        fmr_elsewhere: The range of FMR on people it was not set on, or None.
    """

    fmr: float
    threshold: float
    measured_fmr: float
    fnmr: float
    fnmr_interval: tuple[float, ...]
    fmr_interval: tuple[float, ...] | None
    fmr_elsewhere: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class CalibrationFacts:
    """What a model's thresholds were measured on.

    Attributes:
        dataset: Its name.
        protocol: How pairs were made of it.
        genuine: Pairs of one person.
        impostors: Pairs of two.
        detector: Which one found the faces.
        same_detector: Whether that is the one in use.
        points: By false match rate.
        score_map: From similarity to probability, as the service tells it, or None.
    """

    dataset: str
    protocol: str
    genuine: int
    impostors: int
    detector: str
    same_detector: bool
    points: tuple[OperatingPoint, ...]
    score_map: Mapping[str, float] | None


@dataclass(frozen=True, slots=True)
class EmbedderModel:
    """The network that tells faces apart; without calibration it decides nothing by itself."""

    name: str
    version: str
    licence: str
    fingerprint: str
    provider: str | None
    variant: str | None
    embedding_size: int
    flip: bool
    calibration: CalibrationFacts | None


@dataclass(frozen=True, slots=True)
class LivenessCalibration:
    """From which score a face is live, and how often that errs (ISO/IEC 30107-3), with 95% intervals."""

    dataset: str
    threshold: float
    apcer: float
    apcer_interval: tuple[float, float]
    bpcer: float
    bpcer_interval: tuple[float, float]
    same_detector: bool


@dataclass(frozen=True, slots=True)
class LivenessModels:
    """The networks that tell live faces from pictures; their answers are averaged."""

    names: tuple[str, ...]
    fingerprints: tuple[str, ...]
    calibration: LivenessCalibration | None


@dataclass(frozen=True, slots=True)
class Models:
    """The models that a service uses; `liveness` where it looks for that."""

    detector: DetectorModel
    embedder: EmbedderModel
    liveness: LivenessModels | None


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """What the service knows of the key that asks."""

    name: str
    scopes: tuple[str, ...]
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit log.

    Attributes:
        time: UTC.
        key: The number of the key, or None.
        action: What was asked for.
        outcome: `ok`, `refused` or `failed`.
        people: Numbers of the people it concerned.
        details: All else.
    """

    time: str
    key: int | None
    action: str
    outcome: str
    people: tuple[int, ...]
    details: Mapping[str, Any]
