"""What comes in beside photos, checked; and what goes out, as OpenAPI tells it.

Parameters are checked by these models on the way in. Answers are plain dictionaries made by `answers`: that
costs a tenth of building models, and a test holds each answer against its model.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from facewise.serve.errors import ProblemError
from facewise.serve.uploads import Sent

Fmr = Annotated[
    float | None,
    Field(default=None, gt=0, le=1, allow_inf_nan=False, description="False match rate to decide at."),
]
Threshold = Annotated[
    float | None,
    Field(default=None, ge=-1, le=1, allow_inf_nan=False, description="Similarity to decide by instead."),
]
Name = Annotated[str, Field(min_length=1, max_length=200, description="A person's name.")]
Group = Annotated[str, Field(min_length=1, max_length=200)]
Groups = Annotated[list[Group], Field(max_length=100, description="Groups of people.")]
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]


class Params(BaseModel):
    """Parameters of a request; one that is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoParams(Params):
    """None at all."""


class EmbedParams(Params):
    """Of `POST /v1/embed`."""

    main_only: bool = Field(default=False, description="Only the main face of the photo.")


class VerifyParams(Params):
    """Of `POST /v1/verify`."""

    fmr: Fmr
    threshold: Threshold
    prior: float | None = Field(
        default=None, gt=0, lt=1, allow_inf_nan=False,
        description="Share of such pairs that are of one person, for the probability.",
    )  # fmt: skip


class IdentifyParams(Params):
    """Of `POST /v1/identify`."""

    fmr: Fmr
    fpir: float | None = Field(
        default=None, gt=0, lt=1, allow_inf_nan=False, description="Share of strangers who may get a name."
    )
    threshold: Threshold
    top: int = Field(default=5, ge=1, le=100, description="Candidates to name for each face.")
    scoring: Literal["best", "mean"] = Field(
        default="best", description="By a person's best sample, or by the mean of all."
    )
    groups: Groups | None = Field(default=None, description="Look among the people of these groups only.")


class ClusterParams(Params):
    """Of `POST /v1/cluster`."""

    fmr: Fmr
    threshold: Threshold


class EnrolParams(Params):
    """Of `POST /v1/people`."""

    name: Name
    groups: Groups = []


class ChangeParams(Params):
    """Of `PATCH /v1/people/{person}`; what is left out stays."""

    name: Name | None = None
    groups: Groups | None = None


class MergeParams(Params):
    """Of `POST /v1/people/{person}/merge`."""

    from_: Id = Field(alias="from", description="The person whose samples move, and who is deleted.")


class PeopleQuery(Params):
    """Which page of the people."""

    offset: int = Field(default=0, ge=0, le=2**53)
    limit: int = Field(default=100, ge=1, le=1000)
    search: str | None = Field(default=None, max_length=200, description="Part of a name, in any case.")
    group: str | None = Field(default=None, max_length=200, description="Only people of this group.")


class AuditQuery(Params):
    """How many entries."""

    limit: int = Field(default=100, ge=1, le=1000)


class NoQuery(Params):
    """No query at all."""


def checked(kind: type[Params], sent: Sent) -> Any:
    """The parameters of a body.

    Raises:
        ProblemError: One is unknown, missing, of another type or out of range.
    """
    fields = sent.fields
    if sent.is_form:
        several = {name for name in ("groups",) if isinstance(fields.get(name), str)}
        fields = {k: [v] if k in several else v for k, v in fields.items()}
    return _validated(kind, fields, strict=not sent.is_form)


def checked_query(kind: type[Params], query: Any) -> Any:
    """The parameters of a query string; errors as for `checked`."""
    fields = dict(query)
    if len(fields) != len(query.multi_items()):
        raise ProblemError(422, "bad_field", "The query names a parameter twice.")
    return _validated(kind, fields, strict=False)


def _validated(kind: type[Params], fields: dict[str, Any], *, strict: bool) -> Any:
    try:
        return kind.model_validate(fields, strict=strict)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "body"
        name = name if name.isprintable() and len(name) <= 60 else "of the request"
        if first["type"] == "extra_forbidden":
            known = ", ".join(f.alias or n for n, f in kind.model_fields.items()) or "none"
            sentence = f"There is no parameter {name!r} here; there are: {known}."
        elif first["type"] == "missing":
            sentence = f"The field {name} is missing."
        else:
            sentence = f"The field {name} is wrong: {first['msg'][:1].lower()}{first['msg'][1:]}."
        raise ProblemError(422, "bad_field", sentence) from None


# Answers


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


class FaceOut(Answer):
    """One face of a photo."""

    box: list[float] = Field(min_length=4, max_length=4, description="x1, y1, x2, y2 in pixels.")
    landmarks: list[list[float]] = Field(min_length=5, max_length=5)
    score: float
    quality: QualityOut | None


class DetectOut(Answer):
    """A photo and its faces, the main one first."""

    width: int
    height: int
    faces: list[FaceOut]


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

    same: bool | None = Field(description="null where there is nothing to decide by.")
    similarity: float
    threshold: float | None
    fmr: float | None
    probability: float | None
    prior: float | None
    note: str
    faces: list[FaceOut] = Field(min_length=2, max_length=2)


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
    name: str | None = Field(description="null for a stranger.")
    similarity: float
    decided: bool
    candidates: list[CandidateOut]


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


class MergeOut(Answer):
    """Who stays, and how many samples moved."""

    person: PersonOut
    moved: int


class ClusterFaceOut(Answer):
    """A face, by its photo and its place there."""

    photo: int
    face: int


class ClusterPhotoOut(Answer):
    """One photo of a pile."""

    index: int
    name: str
    error: str | None
    faces: list[FaceOut]


class ClusterOut(Answer):
    """Faces by person."""

    groups: list[list[ClusterFaceOut]]
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


class ModelsOut(Answer):
    """The models in use."""

    detector: DetectorOut
    embedder: EmbedderOut
