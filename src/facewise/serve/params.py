"""What comes in beside photos, checked on the way in, and told by OpenAPI."""

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
EnrolQuality = Annotated[
    Literal["off", "standard", "strict"],
    Field(description="Which photos are enrolled: all, those one can be known by, or only good ones."),
]
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
    face: Literal["main", "best"] = Field(
        default="main", description="The main face of each photo, or the most alike of all pairs of faces."
    )


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


class AnalyzeParams(Params):
    """Of `POST /v1/analyze`."""

    attributes: list[Literal["age", "gender", "emotion", "race"]] | None = Field(
        default=None, min_length=1, max_length=4,
        description="What to tell; without it all that the model tells but race, which must be named.",
    )  # fmt: skip


class ClusterParams(Params):
    """Of `POST /v1/cluster`."""

    fmr: Fmr
    threshold: Threshold


class AnswerParams(Params):
    """Of `POST /v1/challenge/answer`."""

    challenge: str = Field(min_length=1, max_length=100, description="As issued.")


class EnrolParams(Params):
    """Of `POST /v1/people`."""

    name: Name
    groups: Groups = []
    quality: EnrolQuality = "standard"


class AddParams(Params):
    """Of `POST /v1/people/{person}/samples`."""

    quality: EnrolQuality = "standard"


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
        several = {name for name in ("groups", "attributes") if isinstance(fields.get(name), str)}
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
