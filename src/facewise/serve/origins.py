"""Whose page a request comes from: another site's page may ask nothing of the API.

A browser lets any page send requests to any address, this machine's included; it only keeps the answers
from the page. So a request that changes something would be carried out, with `--no-auth` by anybody's
page. Browsers say where a request comes from, and no page can change what they say: `Sec-Fetch-Site`
(Fetch Metadata; over HTTPS and to this machine), or `Origin` (RFC 6454; with everything but a plain GET).
Programs send neither.

The third part is `Host`: a page can make its own name point here (DNS rebinding), and then all is of one
origin; see `ServiceSettings.allows_host`.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers

_OWN = frozenset({"same-origin", "none"})
_PORTS = {"http": 80, "https": 443}


def is_foreign(headers: Headers) -> bool:
    """Whether a browser says that another site's page sent this: another port is another site."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site.lower() not in _OWN
    origin = headers.get("origin")
    return origin is not None and not _is_host(origin, headers.get("host", ""))


def _is_host(origin: str, host: str) -> bool:
    try:
        ours, theirs = urlsplit(f"//{host}"), urlsplit(origin)
        usual = _PORTS.get(theirs.scheme)
        return usual is not None and _place(ours, usual) == _place(theirs, usual)
    except ValueError:
        return False


def _place(url: SplitResult, usual: int) -> tuple[str | None, int]:
    return url.hostname, url.port or usual
