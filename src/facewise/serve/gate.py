"""Who is let in: a request's key is checked, its scope, and its pace, in that order, in one place.

A good key is never made to wait because of its address: behind a proxy or a household's router, one client
with a wrong key would lock out all others. Only refusals are counted, by address, or by the key where it is
one (of another scope, expired, revoked), so that neither guessing (hopeless at 2^256) nor asking again can
fill the audit log or keep the disk busy: beyond the rate they are refused unrecorded.
"""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime

from facewise.errors import FacewiseError
from facewise.serve.audit import AuditLog
from facewise.serve.keys import KeyInfo, KeyRefusedError, KeyStore
from facewise.serve.ratelimit import Rate, RateLimiter, neighbourhood
from facewise.serve.scopes import ADMIN

_LOG = logging.getLogger(__name__)

ANYBODY = KeyInfo(0, "anybody", (ADMIN,), datetime.fromtimestamp(0, UTC))
"""Whoever asks a service that runs without keys."""

FAILURES = Rate(20, 60)
"""Refused keys an address may send, and refusals that a key may get: 20 a minute."""


class TooFastError(FacewiseError):
    """Somebody asks faster than they may.

    Attributes:
        seconds: How long to wait, whole seconds of at least 1, as `Retry-After` wants them.
    """

    code = "too_fast"

    def __init__(self, sentence: str, wait: float) -> None:
        super().__init__(sentence)
        self.seconds = max(1, math.ceil(wait))


class Gate:
    """Lets requests in, or says why not.

    Args:
        keys: The keys; None lets everybody in (`--no-auth`).
        audit: Where refusals are recorded, or None.
        rates: Of keys; each key's own rate goes before its default.
        failures: Of addresses that send no key or a wrong one, and of keys that are refused.
    """

    def __init__(
        self,
        keys: KeyStore | None,
        audit: AuditLog | None = None,
        *,
        rates: RateLimiter | None = None,
        failures: RateLimiter | None = None,
    ) -> None:
        self._keys, self._audit = keys, audit
        self._rates = RateLimiter() if rates is None else rates
        self._failures = RateLimiter(FAILURES) if failures is None else failures

    def admit(self, text: str | None, scope: str | None, address: str, action: str = "request") -> KeyInfo:
        """Whose request this is.

        Args:
            text: The key that came with it, or None.
            scope: What it needs; None where any key will do.
            address: Where it comes from.
            action: What is asked for, as the audit log calls it.

        Raises:
            KeyRefusedError: No key, a wrong, expired or revoked one, or one without the scope.
            TooFastError: The key, or the address with its refused keys, asks too fast.
            KeyStoreError: The keys file is gone or damaged.
        """
        if self._keys is None:
            return ANYBODY
        try:
            info = self._keys.check(text)
            self._pace(info)
            if scope is not None:
                info.require(scope)
        except KeyRefusedError as error:
            self._count(address, error.key)
            self._record(error.key, action, error.code, address)
            raise
        return info

    def _record(self, key: int | None, action: str, code: str, address: str) -> None:
        if self._audit is None:
            return
        try:
            self._audit.record(key, action, outcome="refused", code=code, address=address)
        except FacewiseError as error:  # a refusal is a refusal, recorded or not; the log counts what it lost
            _LOG.warning("%s", error)

    def _pace(self, info: KeyInfo) -> None:
        wait = self._rates.take(info.id, info.rate)
        if wait:
            raise TooFastError(f"The key {info.name!r} asks faster than it may: wait and ask again.", wait)

    def _count(self, address: str, key: int | None) -> None:
        wait = self._failures.take(neighbourhood(address) if key is None else key)
        if wait and key is None:
            raise TooFastError("Too many requests with no good key came from this address: wait.", wait)
        if wait:
            raise TooFastError("This key was refused too often: wait.", wait)


def bearer(authorization: str | None, api_key: str | None) -> str | None:
    """The key in a request's headers: `Authorization: Bearer …`, or `X-API-Key: …`; None if there is none."""
    if authorization is not None:
        scheme, _, text = authorization.strip().partition(" ")
        return text.strip() if scheme.lower() == "bearer" else ""
    return None if api_key is None else api_key.strip()
