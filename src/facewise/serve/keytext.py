"""The text of an API key: `fw_`, 256 random bits, and a checksum.

43 letters and digits hold the secret, 6 more its CRC-32, so that a key that was mistyped or cut is told from
one that nobody has, without asking the database, and a scanner for leaked secrets finds keys with no false
alarms.

A key is stored as its SHA-256. A password needs a slow hash because people choose few of them: whoever
steals the hashes tries the likely ones. Nobody can try 2^256 random keys, at any speed, so a slow hash would
protect nothing here; it would only cost every request tens of milliseconds, and let anybody who sends wrong
keys keep the processor busy.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib

PREFIX = "fw_"

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET, _CHECK = 43, 6  # 62^43 > 2^256; 62^6 > 2^32
LENGTH = len(PREFIX) + _SECRET + _CHECK
_FORM = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_SECRET + _CHECK}}}")


def new_text() -> str:
    """A new key: 256 bits from the system's source of randomness."""
    body = PREFIX + _base62(secrets.randbits(256), _SECRET)
    return body + _checksum(body)


def is_well_formed(text: str) -> bool:
    """Whether this could be a key: its form and checksum are right, whoever may have it."""
    if len(text) != LENGTH or _FORM.fullmatch(text) is None:
        return False
    return _checksum(text[:-_CHECK]) == text[-_CHECK:]  # of no secrecy: anybody can compute it


def digest(text: str) -> bytes:
    """`(32,)` bytes: what is stored of a key."""
    return hashlib.sha256(b"facewise api key\0" + text.encode()).digest()


def hint(text: str) -> str:
    """The key's beginning, by which its owner knows it again: 24 of its 256 bits."""
    return text[: len(PREFIX) + 4]


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK)


def _base62(number: int, length: int) -> str:
    letters = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        letters.append(_DIGITS[digit])
    return "".join(reversed(letters))
