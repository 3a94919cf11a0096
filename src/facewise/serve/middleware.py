"""What every request passes: a check of the host's name, the clock, the access log, the answer's headers."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facewise.serve.errors import problem
from facewise.serve.origins import is_foreign
from facewise.serve.ratelimit import Rate, RateLimiter, neighbourhood
from facewise.serve.routing import client_of
from facewise.serve.service import Service
from facewise.serve.turns import GoneError, Turn

ACCESS = logging.getLogger("facewise.access")
_LOG = logging.getLogger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})

_LINES = Rate(600, 60)
"""Lines of the access log on requests without a key that an address may cause: strangers fill no disk."""

_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
"""Of every answer that does not say otherwise."""


_WRONG_HOST = (
    "The service is not served under this name: call it by its address, or start it with "
    "`--allowed-host NAME`."
)
_FOREIGN = "A page of another site asks nothing of this service: open the service's own page."

_ANYBODYS = ("/assets/", "/v1/health", "/v1/ready")
"""What any page may ask, beside the page itself: there is nothing in the answers."""


class Doorway:
    """The outermost layer of the application.

    Args:
        app: What is within.
        service: Whose settings and metrics.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        self._strangers = RateLimiter(_LINES)
        self._secure = service.settings.tls_cert is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = self._within(scope)
        began, status, unread, gone = time.perf_counter(), 0, _has_body(scope), False

        async def incoming() -> Message:
            nonlocal unread
            message = await receive()
            unread = message.get("more_body", False)
            return message

        async def outgoing(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                turn.give()  # how long the client takes to read is nobody else's business
                headers = MutableHeaders(scope=message)
                self._dress(headers)
                if unread:  # whoever goes on sending what nobody wants is not heard
                    headers["Connection"] = "close"
            await send(message)

        turn = self._service.turns.of(neighbourhood(client_of(scope)))
        if (place := scope.get("facewise.place")) is not None:
            place.left = turn.leave
        try:
            async with turn:
                scope["facewise.admitted"] = partial(self._admitted, turn, scope.get("facewise.admitted"))
                refused = self._refused(scope)
                await (self._app if refused is None else refused)(scope, incoming, outgoing)
        except GoneError:
            gone = True
        except Exception:
            _LOG.exception("A request failed.")
            if status:
                raise
            answer = problem(500, "bug", "Something went wrong in the service; its log says what.")
            await answer(scope, receive, outgoing)
        finally:
            if not gone:
                self._tell(scope, status, time.perf_counter() - began)

    def _refused(self, scope: Scope) -> Response | None:
        """What is said of a request that a browser was tricked into, or None."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._service.settings.allows_host(hosts[0]):
            return problem(400, "wrong_host", _WRONG_HOST, {"Connection": "close"})
        path = scope["path"]
        if path != "/" and not path.startswith(_ANYBODYS) and is_foreign(headers):
            return problem(403, "foreign_page", _FOREIGN)
        return None

    def _admitted(self, turn: Turn, by_key: Callable[[], None] | None) -> None:
        """A request was let in: it no longer counts as a stranger's."""
        turn.give()
        if by_key is not None and self._service.keys is not None:
            by_key()

    def _within(self, scope: Scope) -> Scope:
        """The request as it is to the routes, which know nothing of a proxy's path before them."""
        root = self._service.settings.root_path
        path = scope["path"]
        if not root or not (path == root or path.startswith(f"{root}/")):
            return scope
        raw = scope.get("raw_path") or path.encode()
        return {**scope, "path": path[len(root) :] or "/", "raw_path": raw[len(root) :] or b"/"}

    def _dress(self, headers: MutableHeaders) -> None:
        for name, value in _SAFE.items():
            headers.setdefault(name, value)
        if self._secure:
            headers.setdefault("Strict-Transport-Security", "max-age=31536000")

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        """The route as it was declared: a path could hold a name, a query does."""
        route: Any = scope.get("route")
        path = getattr(route, "path", None) or "(none)"
        method = scope["method"] if scope["method"] in _METHODS else "(other)"
        self._service.metrics.request(method, path, status, seconds)
        key = scope.get("facewise.key")
        if ACCESS.isEnabledFor(logging.INFO) and not (
            key is None and self._strangers.take(neighbourhood(client_of(scope)))
        ):
            line = {
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "method": method, "route": path,
                "status": status, "ms": round(seconds * 1000, 1), "key": key,
            }  # fmt: skip
            ACCESS.info("%s", json.dumps(line))


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )
