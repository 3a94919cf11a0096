"""What is known of an API key, and the reasons why a request with one is refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from facewise.errors import FacewiseError
from facewise.serve.ratelimit import Rate
from facewise.serve.scopes import allows


class KeyRefusedError(FacewiseError):
    """A request comes without a key that allows it. `code` names the reason to a program.

    Attributes:
        key: The number of the key that is refused, or None where it is nobody's.
    """

    code = "key_refused"

    def __init__(self, sentence: str, key: int | None = None) -> None:
        super().__init__(sentence)
        self.key = key


class NoKeyError(KeyRefusedError):
    """The request brings no key."""

    code = "no_key"


class BadKeyError(KeyRefusedError):
    """What it brings is not a key, or nobody's."""

    code = "bad_key"


class ExpiredKeyError(KeyRefusedError):
    """The key's time is over."""

    code = "expired_key"


class RevokedKeyError(KeyRefusedError):
    """The key was revoked."""

    code = "revoked_key"


class ScopeError(KeyRefusedError):
    """The key is good, but not for this."""

    code = "wrong_scope"


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What is known of a key, which is not the key.

    Attributes:
        id: Its number; the audit log names it by that.
        name: What its maker called it.
        scopes: Of `scopes.SCOPES`.
        created: When, UTC.
        expires: From when on it is refused, or None.
        revoked: When it was, or None.
        last_used: To the minute, or None.
        rate: Its own rate, or None for the service's.
        hint: Its first characters.
    """

    id: int
    name: str
    scopes: tuple[str, ...]
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
    last_used: datetime | None = None
    rate: Rate | None = None
    hint: str = ""

    def allows(self, scope: str) -> bool:
        """Whether it may do what `scope` is needed for."""
        return allows(self.scopes, scope)

    def require(self, scope: str) -> None:
        """Passes where the key allows `scope`.

        Raises:
            ScopeError: It does not.
        """
        if not self.allows(scope):
            raise ScopeError(
                f"This needs a key with the scope {scope}; {self.name!r} has {', '.join(self.scopes)} only.",
                self.id,
            )

    def state(self, now: datetime) -> str:
        """`revoked`, `expired` or `live`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and now >= self.expires else "live"
