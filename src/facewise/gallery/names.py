"""People's names: one form a name, none that a terminal or a database trips over."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable

from facewise.errors import GalleryError, UnknownPersonError
from facewise.filenames import unshowable

MAX_NAME = 200
"""Longest name, in characters."""


def clean_name(name: str) -> str:
    """The one form a name is kept in: NFC, without blanks around it.

    Raises:
        GalleryError: The name is empty, too long, or holds control characters.
    """
    clean = unicodedata.normalize("NFC", name).strip()
    if not clean:
        raise GalleryError("A person's name cannot be empty.")
    if len(clean) > MAX_NAME:
        raise GalleryError(
            f"A person's name has at most {MAX_NAME} characters, and {clean[:20]!r}… has {len(clean)}."
        )
    if any(unicodedata.category(c) == "Cs" for c in clean):
        raise GalleryError(f"A person's name is text, and {clean!a} has bytes that are no UTF-8: rename it.")
    if any(map(unshowable, clean)):
        raise GalleryError(f"A person's name cannot hold control characters, and {clean!a} does.")
    return clean


_SAID_OF_STRANGERS = re.compile(
    r"unknown( [0-9]+)?|nobody|no face|not decided|.*\?|.*\(twice\)", re.IGNORECASE
)


def told_name(name: str) -> str:
    """A name as it is told to people: in quotes where it would read like what is said of who has none."""
    return f'"{name}"' if _SAID_OF_STRANGERS.fullmatch(name) else name


def clean_group(name: str) -> str:
    """The one form a group's name is kept in: as a person's, without commas, which separate groups.

    Raises:
        GalleryError: The name is empty, too long, or holds control characters or a comma.
    """
    try:
        clean = clean_name(name)
    except GalleryError as error:
        raise GalleryError(str(error).replace("person's name", "group's name")) from error
    if "," in clean:
        raise GalleryError(f"A group's name cannot hold a comma, and {clean!r} does.")
    return clean


def clean_groups(names: Iterable[str]) -> tuple[str, ...]:
    """Groups' names in the form they are kept in, each once, sorted; see `clean_group`."""
    return tuple(sorted({clean_group(name) for name in names}))


def unknown_name(name: str, known: Iterable[str], gallery: str) -> UnknownPersonError:
    """The error for a name that nobody in the gallery has: it names the nearest one that somebody has."""
    names = list(known)
    by_folded = {n.casefold(): n for n in names}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=1)
    if near:
        return UnknownPersonError(f"There is no {name!r} in {gallery}; did you mean {by_folded[near[0]]!r}?")
    return UnknownPersonError(f"There is no {name!r} in {gallery}, which holds {len(names)} people.")
