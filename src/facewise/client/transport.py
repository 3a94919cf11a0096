"""Requests to a service: the key, waiting when told to wait, and every failure as one sentence."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from facewise._version import __version__
from facewise.client.errors import AnswerError, UnreachableError, error_of
from facewise.client.uploads import Upload
from facewise.errors import SettingError

if TYPE_CHECKING:
    import httpx

KEY_VARIABLE = "FACEWISE_API_KEY"

_WAIT = frozenset({429, 503})
_FIRST_WAIT = 0.5
"""Seconds before the first new attempt where the service does not say; then twice as long each time."""


class Transport:
    """One service, over kept connections; any thread may use it.

    Args:
        url: Where the service is, such as `http://127.0.0.1:8000`, with a path if a proxy adds one.
        key: The API key; None takes the environment's FACEWISE_API_KEY, and none where that is empty.
        timeout: Seconds to wait for a connection, and for each part of an answer.
        patience: Seconds to wait in all when told to try later, over all attempts of one request.
        ca: A file of certificates to trust instead of the system's, for a service with its own authority.
        insecure: Whether a key may go unencrypted over the network.
        sleep: How to wait.

    Raises:
        SettingError: The URL is none, or the key would go over the network unencrypted; or httpx is missing.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        timeout: float,
        patience: float,
        ca: str | os.PathLike[str] | None,
        insecure: bool,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = _checked_url(url)
        key = key or os.environ.get(KEY_VARIABLE) or None
        local = _is_loopback(parts.hostname or "")
        if key and parts.scheme == "http" and not local and not insecure:
            raise SettingError(
                f"The API key would go to {parts.hostname} unencrypted: use https, or insecure=True in a "
                "network that nobody else can listen to."
            )
        if key and not (key.isascii() and key.isprintable()):
            raise SettingError("The API key has characters that no key has: copy it again.")
        self.url, self._patience, self._sleep = url.rstrip("/"), patience, sleep
        headers = {"User-Agent": f"facewise/{__version__}", "Accept": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self._httpx = _httpx()
        self._client = self._httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=timeout,
            verify=_certificates(ca) if parts.scheme == "https" else True,
            follow_redirects=False,  # the key is for this host
            trust_env=not local,  # nor is it for a proxy, on the way to one's own machine
        )

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        again: bool,
        parameters: Mapping[str, Any] | None = None,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        files: Sequence[Upload] | None = None,
    ) -> httpx.Response:
        """The answer to a request, of status below 400.

        Args:
            method: GET, POST …
            path: From `/v1` on.
            again: Whether asking twice does the same as asking once: only then a request is repeated, after
                the service said that it is busy.
            parameters: Of the URL; None values are left out.
            json: Body.
            data: Form fields; None values are left out.
            files: Uploads.

        Raises:
            ServiceError: One of its children; what went wrong in one sentence.
        """
        waited, wait = 0.0, _FIRST_WAIT
        while True:
            answer = self._once(
                method, path, params=_given(parameters), json=json, data=_given(data), files=files or None
            )
            if answer.status_code < 400:
                return self._checked(answer)
            told = _retry_after(answer.headers.get("retry-after"))
            error = error_of(answer.status_code, _json_or_none(answer), told)
            # No shorter than the first wait: a service that says 0 again and again is not asked without end.
            delay = wait if told is None else max(told, _FIRST_WAIT)
            if not again or answer.status_code not in _WAIT or waited + delay > self._patience:
                raise error
            self._sleep(delay)
            waited, wait = waited + delay, 2 * wait

    def _once(self, method: str, path: str, **request: Any) -> httpx.Response:
        errors = self._httpx
        try:
            answer: httpx.Response = self._client.request(method, path, **request)
        except errors.TimeoutException as error:
            raise UnreachableError(
                f"The service at {self.url} did not answer in time: is it busy?"
            ) from error
        except errors.ConnectError as error:
            raise UnreachableError(
                f"There is no connection to a service at {self.url} ({error}): is it running there?"
            ) from error
        except errors.TransportError as error:
            raise UnreachableError(
                f"The connection to the service at {self.url} broke off ({error or type(error).__name__})."
            ) from error
        return answer

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        if answer.status_code >= 300:
            raise AnswerError(
                f"{self.url} sends requests elsewhere (HTTP status {answer.status_code}): use the service's "
                "own address.",
                status=answer.status_code,
            )
        return answer


def json_of(answer: httpx.Response) -> Any:
    """The JSON of an answer.

    Raises:
        AnswerError: It is none.
    """
    try:
        return answer.json()
    except ValueError:
        raise AnswerError(
            f"{answer.url.host} answered with something else than JSON: is it a Facewise service?",
            status=answer.status_code,
        ) from None


def _json_or_none(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _given(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if values is None else {name: value for name, value in values.items() if value is not None}


def _retry_after(text: str | None) -> float | None:
    """`Retry-After` in seconds from now, whether it was told in seconds or as a date; None if not at all."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _checked_url(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  a port out of range is told when it is asked for
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise SettingError(f"{url!r} is no address of a service: write it as http://127.0.0.1:8000.")
    if parts.username is not None or parts.password is not None:
        raise SettingError("The service's address holds a user name or password: give the API key as `key`.")
    return parts


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _certificates(ca: str | os.PathLike[str] | None) -> ssl.SSLContext | bool:
    if ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:  # ssl.SSLError is one
        raise SettingError(
            f"The certificates {os.fspath(ca)} cannot be read: {error.strerror or error}."
        ) from error


def _httpx() -> Any:
    try:
        import httpx  # noqa: PLC0415  an extra
    except ImportError:
        raise SettingError("Talking to a service needs httpx: `pip install facewise[client]`.") from None
    return httpx
