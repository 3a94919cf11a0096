"""What every request passes: a check of the host's name, the clock, the access log, the answer's headers."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facewise.serve.errors import problem
from facewise.serve.service import Service

ACCESS = logging.getLogger("facewise.access")
_LOG = logging.getLogger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})

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


class Doorway:
    """The outermost layer of the application.

    Args:
        app: What is within.
        service: Whose settings and metrics.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        self._secure = service.settings.tls_cert is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = self._within(scope)
        began, status = time.perf_counter(), 0

        async def outgoing(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._dress(MutableHeaders(scope=message))
            await send(message)

        try:
            if self._service.settings.allows_host(Headers(scope=scope).get("host", "")):
                await self._app(scope, receive, outgoing)
            else:
                await problem(400, "wrong_host", _WRONG_HOST)(scope, receive, outgoing)
        except Exception:
            _LOG.exception("A request failed.")
            if status:
                raise
            answer = problem(500, "bug", "Something went wrong in the service; its log says what.")
            await answer(scope, receive, outgoing)
        finally:
            self._tell(scope, status, time.perf_counter() - began)

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
        if ACCESS.isEnabledFor(logging.INFO):
            line = {
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "method": method, "route": path,
                "status": status, "ms": round(seconds * 1000, 1), "key": scope.get("facewise.key"),
            }  # fmt: skip
            ACCESS.info("%s", json.dumps(line))
