"""One HTTP request for a download: which addresses are followed, and what each failure means."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from typing import IO, Any, cast
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from facewise.errors import ModelError

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_LONGEST_WAIT = 120.0  # seconds a server may ask us to wait before we rather tell the user
_PASSING = (408, 425, 429)  # besides 5xx: refusals that another attempt may not meet


class MirrorError(ModelError):
    """This address will not give the file; another might."""


class RetryError(Exception):
    """This attempt failed in a way that another attempt may cure.

    Attributes:
        wait: Seconds the server asks for, or None.
        unreachable: Whether the server was not even reached.
    """

    def __init__(self, why: str, wait: float | None = None, *, unreachable: bool = False) -> None:
        super().__init__(why)
        self.wait, self.unreachable = wait, unreachable


class RangeError(Exception):
    """The server has no bytes where we want to go on.

    Attributes:
        total: Size of its file as it was told, or None.
    """

    def __init__(self, total: int | None) -> None:
        super().__init__("the server has no bytes at the place the download broke")
        self.total = total


def get(url: str, headers: dict[str, str], timeout: float) -> HTTPResponse:
    """Open `url`; the body is yet to be read.

    Raises:
        MirrorError: It is refused, or leads to where Facewise does not follow.
        RetryError: It may be tried again.
        RangeError: Answer 416.
    """
    _check(url)
    # Not `build_opener`: that one would bring handlers for file:, ftp: and data: with it.
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.UnknownHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    asked = request.Request(url, headers={"User-Agent": "facewise", **headers})  # noqa: S310 (checked above)
    try:
        return cast("HTTPResponse", opener.open(asked, timeout=timeout))
    except HTTPError as error:
        with error:
            raise _refused(url, error) from error
    except URLError as error:
        raise _unreached(url, error.reason) from error
    except (OSError, HTTPException) as error:
        raise broken(error) from error
    except ValueError as error:  # urllib takes a redirect apart before it asks `redirect_request`
        raise MirrorError(f"{url} leads to what is not an address ({error}).") from error


def broken(error: Exception) -> RetryError:
    """A connection that broke after it was made."""
    return RetryError(f"the connection broke: {error or type(error).__name__}")


def validator(headers: Message) -> str:
    """What tells this version of the file from another: a strong ETag, else the date, else ''."""
    etag = headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")


class _Redirects(request.HTTPRedirectHandler):
    """Follows redirects to http(s) only, and never from https to http."""

    def redirect_request(
        self, req: request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> request.Request | None:
        _check(newurl, before=req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check(url: str, before: str | None = None) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise MirrorError(f"{url} is not an address ({error}).") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise MirrorError(f"{url} is not an http or https address: not followed.")
    downgrade = before is not None and urlsplit(before).scheme == "https" and parts.scheme == "http"
    if downgrade and parts.hostname not in _LOOPBACK:
        raise MirrorError(f"{before} redirects to {url}, without encryption: not followed.")


def _refused(url: str, error: HTTPError) -> MirrorError | RetryError | RangeError:
    """What an answer other than 2xx means."""
    code, host = error.code, urlsplit(url).hostname
    if code == 416:
        told = error.headers.get("Content-Range", "").rpartition("*/")[2]
        return RangeError(int(told) if told.isdecimal() else None)
    if 300 <= code < 400:
        return MirrorError(f"{url} redirects to where Facewise does not follow ({error.reason}).")
    if code in _PASSING or code >= 500:
        wait = _retry_after(error.headers)
        if wait is not None and wait > _LONGEST_WAIT:
            return MirrorError(f"{host} asks to wait {wait:.0f} seconds (answer {code}): try again then.")
        return RetryError(f"{host} answered {code}", wait)
    if code in (404, 410):
        return MirrorError(f"There is no file at {url} any more (answer {code}).")
    return MirrorError(f"{host} refuses {url} (answer {code}).")


def _unreached(url: str, reason: object) -> MirrorError | RetryError:
    """What it means that no answer came at all."""
    if isinstance(reason, ssl.SSLCertVerificationError):
        host = urlsplit(url).hostname
        return MirrorError(f"The certificate of {host} is not valid ({reason.verify_message}): not trusted.")
    if isinstance(reason, TimeoutError | ConnectionResetError | ssl.SSLError):
        return RetryError(f"no answer: {reason}")
    why = reason.strerror or str(reason) if isinstance(reason, OSError) else str(reason)
    return RetryError(why, unreachable=True)


def _retry_after(headers: Message) -> float | None:
    """Seconds that the `Retry-After` header asks for, in either of its two forms."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
