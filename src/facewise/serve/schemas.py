"""What goes out, as OpenAPI tells it.

Answers are plain dictionaries made by `answers`: that costs a tenth of building models, and a test holds each
answer against its model.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """What a route answers."""

    model_config = ConfigDict(extra="forbid")


class QualityOut(Answer):
    """How usable a face is."""

    score: float
    size: float = Field(description="Pixels between the eyes.")
    sharpness: float
    yaw: float = Field(description="Radians.")
    pitch: float
    roll: float
    value: float | None = Field(
        description="From 0 to 1 is best; null where the model's calibration knows nothing of quality."
    )
    reasons: list[str] = Field(description="Why nothing can be decided by it, in words; mostly empty.")
    remarks: list[str] = Field(
        description="What a better photo would not have (eyes closed, mouth open, turned); by a mesh."
    )


class LivenessOut(Answer):
    """Whether a face is before the camera, or a picture of one is."""

    score: float = Field(description="From 0 to 1, 1 looks live.")
    live: bool | None = Field(description="null where the service's liveness models were not calibrated.")
    note: str


class FaceOut(Answer):
    """One face of a photo."""

    box: list[float] = Field(min_length=4, max_length=4, description="x1, y1, x2, y2 in pixels.")
    landmarks: list[list[float]] = Field(min_length=5, max_length=5)
    score: float
    quality: QualityOut | None
    liveness: LivenessOut | None = Field(description="null where the service does not look for it.")


class DetectOut(Answer):
    """A photo and its faces, the main one first."""

    width: int
    height: int
    faces: list[FaceOut]


class AgeOut(Answer):
    """How old a face looks."""

    mean: float = Field(description="Years.")
    low: float = Field(description="The age is between low and high for 90 of 100 faces.")
    high: float


class GuessOut(Answer):
    """Which of a few words fits a face."""

    answer: str | None = Field(description="null where no word is probable enough: not sure.")
    probabilities: dict[str, float] = Field(description="Calibrated, of each word.")


class AttributesOut(Answer):
    """What a face looks like; null what was not asked for, or nothing can be said of."""

    age: AgeOut | None
    gender: GuessOut | None
    emotion: GuessOut | None
    race: GuessOut | None
    note: str = Field(description="Why nothing can be said of this face, or empty.")


class AnalyzedFaceOut(FaceOut):
    """A face, and what it looks like."""

    attributes: AttributesOut | None


class AnalyzeOut(Answer):
    """What the faces of a photo look like, by which model."""

    width: int
    height: int
    model: str
    fingerprint: str
    attributes: list[str] = Field(description="Those asked for.")
    faces: list[AnalyzedFaceOut]


class EmbeddedFaceOut(FaceOut):
    """A face with its embedding."""

    embedding: list[float] = Field(description="Of unit length.")


class EmbedOut(Answer):
    """Embedded faces, and the model they can be compared within."""

    model: str
    fingerprint: str
    flip: bool
    faces: list[EmbeddedFaceOut]


class VerifyOut(Answer):
    """Whether two faces are of one person."""

    same: bool | None = Field(
        description="null where there is nothing to decide by, or the photos are too poor; `note` says which."
    )
    similarity: float
    threshold: float | None
    fmr: float | None
    probability: float | None
    prior: float | None
    note: str
    faces: list[FaceOut] = Field(min_length=2, max_length=2, description="Those compared.")
    found: list[int] = Field(min_length=2, max_length=2, description="How many faces each photo has.")
    comparisons: int = Field(description="Pairs of faces of which this is the most alike one.")


class DecisionOut(Answer):
    """The rule a search was decided by."""

    threshold: float
    fmr: float | None
    fpir: float | None
    source: str


class GallerySizeOut(Answer):
    """With how much each face was compared."""

    people: int
    samples: int


class CandidateOut(Answer):
    """One person, and how alike."""

    person: int | None
    name: str
    similarity: float


class IdentifiedFaceOut(FaceOut):
    """A face, and who it is."""

    person: int | None
    name: str | None = Field(description="null for a stranger, or where nothing is decided.")
    similarity: float
    decided: bool = Field(description="false where nothing can be: by no threshold, or by a face so poor.")
    threshold: float | None = Field(description="Decided by; higher where both photos are poor.")
    note: str = Field(description="Why nothing is decided about this face, or empty.")
    candidates: list[CandidateOut]
    twice: bool = Field(description="Whether another face of the photo was given this name.")


class IdentifyOut(Answer):
    """Who is in a photo."""

    width: int
    height: int
    decision: DecisionOut | None
    note: str
    gallery: GallerySizeOut
    faces: list[IdentifiedFaceOut]


class PersonOut(Answer):
    """One person."""

    id: int
    name: str
    samples: int
    created: str
    groups: list[str]


class PeopleOut(Answer):
    """A page of people, and how many there are in all."""

    people: list[PersonOut]
    total: int


class SampleOut(Answer):
    """One sample of a person."""

    id: int
    created: str
    quality: QualityOut | None
    source: str
    has_photo: bool


class PersonDetailOut(Answer):
    """One person with all samples."""

    id: int
    name: str
    created: str
    groups: list[str]
    samples: list[SampleOut]


class RejectionOut(Answer):
    """A photo that was not enrolled."""

    source: str
    reason: str


class EnrolOut(Answer):
    """What an enrolment did."""

    person: PersonOut
    added: int
    duplicates: list[str]
    rejected: list[RejectionOut]
    warnings: list[str]


class ChallengeOut(Answer):
    """What somebody is asked to do."""

    challenge: str = Field(description="Names it in the answer.")
    actions: list[str] = Field(
        description="In order: turn left, turn right (the person's own), blink, open mouth; before each and "
        "after the last one looks straight into the camera."
    )
    seconds: float = Field(description="For which it can be answered, once, with the same key.")
    most_frames: int


class PresenceOut(Answer):
    """What the frames of a challenge came to."""

    passed: bool = Field(description="Whether one person did all that was asked, in order.")
    note: str = Field(description="Why not; empty where it passed.")
    actions: list[str]
    done: int = Field(description="How many actions were.")
    frame: int | None = Field(
        description="The number of the best frame, from 0, by which it is told who it is."
    )
    liveness: LivenessOut | None = Field(description="Of all frames; null where it is not looked for.")
    face: IdentifiedFaceOut | None = Field(description="Who it is; null where the challenge was not passed.")


class MergeOut(Answer):
    """Who stays, and how many samples moved."""

    person: PersonOut
    moved: int


class ClusterFaceOut(Answer):
    """A face, by its photo and its place there."""

    photo: int
    face: int


class PoorFaceOut(ClusterFaceOut):
    """A face that is too poor to be grouped, and why."""

    reason: str


class ClusterPhotoOut(Answer):
    """One photo of a pile."""

    index: int
    name: str
    error: str | None
    faces: list[FaceOut]


class ClusterOut(Answer):
    """Faces by person."""

    groups: list[list[ClusterFaceOut]]
    too_poor: list[PoorFaceOut] = Field(description="Faces left alone for their quality.")
    photos: list[ClusterPhotoOut]
    method: str
    threshold: float
    fmr: float | None


class MeOut(Answer):
    """A key."""

    name: str
    scopes: list[str]
    expires: str | None


class StatusOut(Answer):
    """How the service is."""

    status: str


class AuditOut(Answer):
    """Entries, newest first."""

    entries: list[dict[str, Any]]


class DetectorOut(Answer):
    """A detector."""

    name: str
    version: str
    licence: str
    fingerprint: str
    provider: str | None
    variant: str | None


class PointOut(Answer):
    """One measured operating point."""

    fmr: float
    threshold: float
    measured_fmr: float
    fnmr: float
    fnmr_interval: list[float]
    fmr_interval: list[float] | None
    fmr_elsewhere: list[float] | None


class ScoreMapOut(Answer):
    """From similarity to probability."""

    slope: float
    offset: float
    low: float
    high: float
    prior: float


class CalibrationOut(Answer):
    """What was measured, and on what."""

    dataset: str
    protocol: str
    genuine: int
    impostors: int
    detector: str
    same_detector: bool
    points: list[PointOut]
    score_map: ScoreMapOut | None


class EmbedderOut(DetectorOut):
    """An embedder."""

    embedding_size: int
    flip: bool
    calibration: CalibrationOut | None


class LivenessCalibrationOut(Answer):
    """From which score a face is live, and how often that errs (ISO/IEC 30107-3)."""

    dataset: str
    threshold: float
    apcer: float = Field(description="Of the kind of attack that passes most often.")
    apcer_interval: list[float] = Field(min_length=2, max_length=2)
    bpcer: float
    bpcer_interval: list[float] = Field(min_length=2, max_length=2)
    same_detector: bool


class LivenessModelsOut(Answer):
    """The liveness models, whose answers are averaged."""

    names: list[str]
    fingerprints: list[str]
    calibration: LivenessCalibrationOut | None


class ModelsOut(Answer):
    """The models in use."""

    detector: DetectorOut
    embedder: EmbedderOut
    liveness: LivenessModelsOut | None = Field(description="null where the service does not look for it.")
