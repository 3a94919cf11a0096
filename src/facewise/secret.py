"""What nobody may read over a shoulder, in a log, an error or a file: its text is stars, wherever it goes."""

from __future__ import annotations

import hmac
from typing import NoReturn

_STARS = "********"


class Secret:
    """A password, a token or a key.

    Whatever prints, formats, logs or copies it gets stars; pickling it, and so any file or process that
    others may read, is refused. `reveal` is for whoever needs it to open something, there and then.

    Args:
        text: The secret; an empty one is none.

    Examples:
        >>> f"the password is {Secret('swordfish')}"
        'the password is ********'
    """

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself."""
        return self._text

    def hidden_in(self, text: str) -> str:
        """The text with stars where the secret, or its part after a colon, is in it."""
        parts = {self._text, self._text.partition(":")[2]}
        for part in sorted((one for one in parts if one), key=len, reverse=True):
            text = text.replace(part, _STARS)
        return text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret | str):
            return NotImplemented
        text = other if isinstance(other, str) else other._text
        return hmac.compare_digest(self._text.encode(), text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return _STARS if self._text else "''"

    def __str__(self) -> str:
        return _STARS if self._text else ""

    def __format__(self, how: str) -> str:
        return format(str(self), how)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, _: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written to files or sent to processes")


NO_SECRET = Secret()
