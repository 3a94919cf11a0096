"""Names as people see them, and the names that results are given on disk."""

from __future__ import annotations

import hashlib
import os
import unicodedata

LONGEST = 255
"""Bytes of a file name that the usual file systems have room for."""

# Control characters and line breaks move the cursor or break a line, lone surrogates stand for bytes that are
# no text, and the bidirectional overrides reorder what is around them. The joiners of Persian names and of
# emoji, and the blanks that macOS puts into the names of screenshots, are none of these.
_UNSHOWABLE = {"Cc", "Cs", "Zl", "Zp"}
_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def unshowable(character: str) -> bool:
    """Whether a character would break the line or the terminal that it is shown on."""
    return character in _OVERRIDES or unicodedata.category(character) in _UNSHOWABLE


def shown(name: str) -> str:
    """A name as it is; one that is empty or cannot be shown so, quoted and escaped as Python has it."""
    return repr(name) if not name or (not name.isprintable() and any(map(unshowable, name))) else name


def escaped(text: str) -> str:
    """Text with an escape in place of each character that would break its line; line breaks stay."""
    if text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode() if c != "\n" and unshowable(c) else c for c in text)


def file_name(stem: str, tail: str) -> str:
    """The file name `stem` + `tail`; a stem that has not the room is cut, and told apart by its hash.

    Args:
        stem: Any text that a file name may have, however long.
        tail: What the name ends in whatever its length, such as `-2.png`.
    """
    room = LONGEST - len(os.fsencode(tail))
    if len(os.fsencode(stem)) <= room:
        return stem + tail
    mark = "~" + hashlib.sha256(os.fsencode(stem)).hexdigest()[:12]
    kept, used = 0, len(mark)
    for character in stem:
        used += len(os.fsencode(character))
        if used > room:
            break
        kept += 1
    return stem[:kept] + mark + tail


def same_file(name: str) -> str:
    """What two names have in common where some file system takes them for one."""
    # macOS tells neither capitals from small letters nor the two ways to write an accent.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
