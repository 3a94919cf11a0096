"""What goes wrong, as HTTP tells it: `application/problem+json` (RFC 9457) with one plain sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import Response

from facewise.errors import (
    FaceNotFoundError,
    FacewiseError,
    GalleryError,
    ImageError,
    NameTakenError,
    NotLiveError,
    PhotoTooLargeError,
    PoorPhotoError,
    ReadOnlyError,
    SettingError,
    StorageFullError,
    UnknownPersonError,
    UnusableGalleryError,
)
from facewise.serve.gate import TooFastError
from facewise.serve.keys import KeyRefusedError, ScopeError

PROBLEM = "application/problem+json"


class ProblemError(FacewiseError):
    """A request is answered with an error.

    Args:
        status: The HTTP status.
        code: The reason in a word, for programs.
        detail: The reason in one plain sentence, for people.
        headers: To send along.
        close: Whether the rest of the request is not worth reading: the connection ends with the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        *,
        close: bool = False,
    ) -> None:
        super().__init__(detail)
        self.status, self.code = status, code
        self.headers = {**(headers or {}), **({"Connection": "close"} if close else {})}

    def response(self) -> Response:
        """The answer."""
        return problem(self.status, self.code, str(self), self.headers)


def problem(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error's answer."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": " ".join(detail.split()),
        "code": code,
    }
    # Escaped, so that a name with half a character in it cannot break the answer about it.
    return Response(json.dumps(body).encode("ascii"), status, media_type=PROBLEM, headers=dict(headers or {}))


@dataclass(frozen=True, slots=True)
class _Kind:
    error: type[FacewiseError]
    status: int
    code: str


_KINDS = (
    _Kind(UnknownPersonError, 404, "not_found"),
    _Kind(NameTakenError, 409, "name_taken"),
    _Kind(StorageFullError, 507, "storage_full"),
    _Kind(PhotoTooLargeError, 413, "photo_too_large"),
    _Kind(ImageError, 422, "bad_photo"),
    _Kind(FaceNotFoundError, 422, "no_face"),
    _Kind(NotLiveError, 422, "not_live"),
    _Kind(PoorPhotoError, 422, "poor_photo"),
    _Kind(SettingError, 422, "bad_setting"),
)
"""What Facewise says no with, the special before the general."""


def told(error: Exception) -> ProblemError:
    """Any error as a problem; of what nobody foresaw only that it happened is told."""
    match error:
        case ProblemError():
            found = error
        case TooFastError():
            found = ProblemError(429, error.code, str(error), {"Retry-After": str(error.seconds)})
        case ScopeError():
            found = ProblemError(403, error.code, str(error))
        case KeyRefusedError():
            challenge = {"WWW-Authenticate": 'Bearer realm="facewise"'}
            found = ProblemError(401, error.code, str(error), challenge)
        case FacewiseError():
            kind = next((kind for kind in _KINDS if isinstance(error, kind.error)), None)
            found = ProblemError(kind.status, kind.code, str(error)) if kind else _general(error)
        case _:
            found = ProblemError(500, "bug", "Something went wrong in the service; its log says what.")
    return found


def _general(error: FacewiseError) -> ProblemError:
    if isinstance(error, ReadOnlyError):
        return ProblemError(
            403, "read_only", "The gallery is read-only here: it can be searched, and not changed."
        )
    if isinstance(error, GalleryError):
        return _of_gallery(error)
    return ProblemError(
        503, "unavailable", "The service cannot do this now; its log says why.", {"Retry-After": "10"}
    )


def _of_gallery(error: GalleryError) -> ProblemError:
    """A gallery's error: what the request is to blame for is told, what its file is, is for the log."""
    of_file = isinstance(error, UnusableGalleryError) or isinstance(error.__cause__, OSError)
    if of_file or type(error.__cause__).__module__ == "sqlite3":
        return ProblemError(
            503, "gallery_unavailable", "The gallery cannot be used now; the service's log says why.",
            {"Retry-After": "10"},
        )  # fmt: skip
    return ProblemError(422, "refused", str(error))


def problem_schema() -> dict[str, Any]:
    """The schema of an error."""
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"type": "string", "const": "about:blank"},
            "title": {"type": "string", "description": "The status in words."},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What is wrong and what to do, in one sentence."},
            "code": {"type": "string", "description": "What is wrong, in a word for programs."},
        },
    }
