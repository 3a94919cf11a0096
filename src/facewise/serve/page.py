"""The web page: static files of the wheel, served with the headers that keep them harmless.

There is no data in these files: everything the page shows it asks of `/v1` with the user's key. All are read
once, at start (a hundred kilobytes), so no path of a request ever reaches the file system. The digest of them
all is part of every address (`/assets/<digest>/…`): a browser keeps a file for good, and a new version of the
page is new addresses.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from importlib import resources
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from facewise.errors import FacewiseError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; media-src 'self' blob:; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""What the page may do: nothing inline, nothing from anywhere else."""

FRAME_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-scripts"
)
"""What the evaluation report may do in its frame: its own inline script and style, in an origin of its own
that reaches neither the page, nor the key, nor any network."""

_FRAME = "report.html"

_COMMON = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# A frame without an origin of its own asks for its script as a stranger would.
_FRAME_SCRIPT = {**_COMMON, "Cross-Origin-Resource-Policy": "cross-origin"}


@dataclass(frozen=True, slots=True)
class Assets:
    """The page's files.

    Attributes:
        files: By path below `web/`, with forward slashes.
        digest: Of all of them, 16 hexadecimal digits.
    """

    files: dict[str, bytes]
    digest: str


@lru_cache(maxsize=1)
def assets() -> Assets:
    """The page's files, read once.

    Raises:
        FacewiseError: They are not in this installation.
    """
    files: dict[str, bytes] = {}
    try:
        _collect(resources.files("facewise.serve") / "web", "", files)
    except OSError as error:
        raise FacewiseError(
            f"The files of the web page cannot be read ({error}): install Facewise again."
        ) from error
    if "index.html" not in files:
        raise FacewiseError("The files of the web page are missing: install Facewise again.")
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path}\0{len(files[path])}\0".encode())
        digest.update(files[path])
    return Assets(files, digest.hexdigest()[:16])


def _collect(folder: Traversable, prefix: str, files: dict[str, bytes]) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            _collect(entry, f"{prefix}{entry.name}/", files)
        elif entry.name.rpartition(".")[2] in _TYPES:
            files[prefix + entry.name] = entry.read_bytes()


def page_router(
    *,
    auth: bool = True,
    max_photos: int = 50,
    max_bytes: int = 10 * 2**20,
    max_body: int = 64 * 2**20,
    report: bool = True,
    attributes: bool = False,
    root_path: str = "",
) -> APIRouter:
    """The routes `/` and `/assets/…`, to be included in the service.

    Args:
        auth: Whether the service wants an API key: the page then asks for one.
        max_photos: Most photos of one request, which the page tells before it sends more.
        max_bytes: Most bytes of one photo, likewise.
        max_body: Most bytes of one request, likewise.
        report: Whether there is an evaluation report to ask for.
        attributes: Whether the service says what faces look like.
        root_path: What stands before these routes for browsers, such as `/faces`.
    """
    bundle = assets()
    index = _filled(
        bundle,
        {
            "assets": f"{root_path}/assets/{bundle.digest}",
            "auth": "key" if auth else "none",
            "photos": max_photos,
            "bytes": max_bytes,
            "body": max_body,
            "report": "yes" if report else "no",
            "attributes": "yes" if attributes else "no",
        },
    )
    tag = f'"{hashlib.sha256(index).hexdigest()[:16]}"'
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def page(request: Request) -> Response:
        headers = {**_page_headers(), "Cache-Control": "no-cache", "ETag": tag}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(index, media_type=_TYPES["html"], headers=headers)

    @router.api_route("/assets/{digest}/{path:path}", methods=["GET", "HEAD"])
    async def asset(digest: str, path: str) -> Response:
        content = bundle.files.get(path) if digest == bundle.digest and path != "index.html" else None
        if content is None:
            return Response(
                "There is no such file: reload the page.\n",
                404,
                media_type="text/plain; charset=utf-8",
                headers={**_page_headers(), "Cache-Control": "no-store"},
            )
        kept = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(
            content, media_type=_TYPES[path.rpartition(".")[2]], headers={**_asset_headers(path), **kept}
        )

    return router


def _filled(bundle: Assets, facts: dict[str, object]) -> bytes:
    text = bundle.files["index.html"].decode()
    for name, value in facts.items():
        text = text.replace("{{" + name + "}}", escape(str(value)))
    return text.encode()


def _page_headers() -> dict[str, str]:
    return {**_COMMON, "Content-Security-Policy": PAGE_POLICY, "X-Frame-Options": "DENY"}


def _asset_headers(path: str) -> dict[str, str]:
    if path == _FRAME:
        return {**_COMMON, "Content-Security-Policy": FRAME_POLICY, "X-Frame-Options": "SAMEORIGIN"}
    if path == "js/report-frame.js":
        return {**_FRAME_SCRIPT, "Content-Security-Policy": "default-src 'none'"}
    return {**_page_headers(), "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
