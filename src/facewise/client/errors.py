"""What can go wrong with a service, each a `FacewiseError`; where the library has the error, that too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facewise.errors import FacewiseError, NameTakenError, StorageFullError, UnknownPersonError


class ServiceError(FacewiseError):
    """A service could not be asked, or refused. `str(error)` is one sentence.

    Attributes:
        status: The HTTP status, or None where there was no answer.
        code: The reason for programs, such as `wrong_scope`, or None.
        retry_after: Seconds after which it is worth asking again, or None.
    """

    def __init__(
        self,
        sentence: str,
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status, self.code, self.retry_after = status, code, retry_after


class UnreachableError(ServiceError):
    """There is no answer: no connection, none in time, or it broke off."""


class AnswerError(ServiceError):
    """The answer is none of a Facewise service."""


class AccessError(ServiceError):
    """No key, a wrong, expired or revoked one (401), or one that does not allow this (403)."""


class RequestError(ServiceError):
    """The service does not accept what was sent: no image, too large, a setting out of range (400–422)."""


class MissingError(ServiceError, UnknownPersonError):
    """There is no such person, sample, photo or report (404)."""


class ConflictError(ServiceError, NameTakenError):
    """Somebody has that name, or the change goes against what is there (409)."""


class BusyError(ServiceError):
    """Too many requests (429), the service is starting or stopping (503), or it took too long (504)."""


class FullError(ServiceError, StorageFullError):
    """The service has no room to store this; nothing of it was stored (507)."""


_BY_STATUS: Mapping[int, type[ServiceError]] = {
    401: AccessError, 403: AccessError, 404: MissingError, 409: ConflictError, 429: BusyError, 503: BusyError,
    504: BusyError, 507: FullError,
}  # fmt: skip


def error_of(status: int, problem: Any, retry_after: float | None = None) -> ServiceError:
    """The error of an answer.

    Args:
        status: Its HTTP status, 400 or more.
        problem: Its JSON, or None where it has none (a proxy's own page).
        retry_after: Its `Retry-After`, in seconds.
    """
    told = problem if isinstance(problem, Mapping) else {}
    detail, code = told.get("detail"), told.get("code")
    if not isinstance(detail, str) or not detail:
        detail = f"The service answered with HTTP status {status}."
    kind = _BY_STATUS.get(status, RequestError if 400 <= status < 500 else ServiceError)
    return kind(detail, status=status, code=code if isinstance(code, str) else None, retry_after=retry_after)
