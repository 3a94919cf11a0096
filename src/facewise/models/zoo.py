"""The zoo: public models that can be downloaded, each with its sha256, licence and sources.

The facts live in `zoo.json`. An entry is there only if its sha256 is documented by somebody; `hash_source`
says where. `docs/models/zoo.md` lists them, and what is known but not listed.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

from facewise.errors import ModelError

FORMAT = 1
KINDS = ("detector", "embedder", "pack")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.onnx")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One published number.

    Attributes:
        metric: What was measured, on what.
        value: In per cent.
        source: Where it was published.
    """

    metric: str
    value: float
    source: str


@dataclass(frozen=True, slots=True)
class ZooMember:
    """One model inside a zip.

    Attributes:
        path: Its name in the zip.
        file: The name it gets on disk.
        kind: `"detector"` or `"embedder"`.
        sha256: Of the unpacked file, or None where nobody documents it.
        size: Bytes unpacked, or None where nobody documents it.
        usable: Whether this version of Facewise can run it.
        reason: Why not, else None.
        facewise: As in `ZooEntry`.
    """

    path: str
    file: str
    kind: str
    sha256: str | None
    size: int | None
    usable: bool
    reason: str | None
    facewise: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """One downloadable model, or pack of models.

    Attributes:
        name: Its name in the model store.
        kind: `"detector"`, `"embedder"` or `"pack"` (a zip of models).
        description: One sentence.
        urls: Where it is, the first choice first; all give the same bytes.
        sha256: Of the download.
        hash_source: Where that sha256 is documented.
        size: Bytes of the download, or None where nobody documents it.
        size_source: Where that size is documented.
        members: For a pack, the models in it that matter here.
        licence: SPDX name or words.
        commercial: Whether that licence allows commercial use: True, False or `"unclear"`.
        licence_note: What the licence is taken from, and the doubts.
        source: Page of the model.
        accuracy: Published numbers.
        usable: Whether this version of Facewise can run it (for a pack: see its members).
        reason: Why not, else None.
        facewise: What is needed to run it: `preprocess`, and `embedding_size` or `decoder`, in the form of
            the model file's metadata; None for a pack.
    """

    name: str
    kind: str
    description: str
    urls: tuple[str, ...]
    sha256: str
    hash_source: str
    size: int | None
    size_source: str | None
    members: tuple[ZooMember, ...]
    licence: str
    commercial: bool | Literal["unclear"]
    licence_note: str
    source: str
    accuracy: tuple[Accuracy, ...]
    usable: bool
    reason: str | None
    facewise: Mapping[str, Any] | None

    @property
    def filename(self) -> str:
        """Name of the downloaded file on disk: the entry's name, as addresses share names."""
        return self.name + (".zip" if self.members else ".onnx")


@cache
def zoo() -> Mapping[str, ZooEntry]:
    """All entries by name, in the order of the manifest.

    Raises:
        ModelError: The packaged manifest is damaged.
    """
    try:
        text = files("facewise.models").joinpath("zoo.json").read_text(encoding="utf-8")
    except OSError as error:
        raise ModelError(f"The zoo manifest cannot be read ({error}): install Facewise again.") from error
    return parse(text)


def find(name: str) -> ZooEntry:
    """The entry called `name`.

    Raises:
        ModelError: There is none; the nearest known name is told.
    """
    known = zoo()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.0)
    hint = f": did you mean {near[0]}?" if near else "."
    raise ModelError(f"The zoo has no model named {name!r}{hint}")


def parse(text: str) -> Mapping[str, ZooEntry]:
    """Read and check a manifest.

    Args:
        text: The JSON of `zoo.json`.

    Raises:
        ModelError: It is not JSON, of another format, or an entry is wrong.
    """
    try:
        data = json.loads(text)
        if data["format"] != FORMAT:
            raise ModelError(f"The zoo manifest has format {data['format']}, this Facewise reads {FORMAT}.")
        raw = list(data["entries"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"The zoo manifest is malformed ({error}).") from error
    entries: dict[str, ZooEntry] = {}
    for fields in raw:
        name = fields.get("name") if isinstance(fields, dict) else None
        try:
            entry = _entry(fields)
            _require(entry.name not in entries, "its name is there twice")
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"The zoo manifest's entry {name!r} is wrong: {error}.") from error
        entries[entry.name] = entry
    return MappingProxyType(entries)


def _entry(fields: Mapping[str, Any]) -> ZooEntry:
    """One entry out of its JSON; a ValueError, TypeError or KeyError says what is wrong."""
    changed = {
        "urls": tuple(fields["urls"]),
        "members": tuple(ZooMember(**member) for member in fields["members"]),
        "accuracy": tuple(Accuracy(**number) for number in fields["accuracy"]),
    }
    entry = ZooEntry(**{**fields, **changed})
    _require(bool(_NAME.fullmatch(entry.name)), "the name may hold a-z, 0-9, '.', '_' and '-' only")
    _require(entry.kind in KINDS, f"kind is not one of {', '.join(KINDS)}")
    _require((entry.kind == "pack") == bool(entry.members), "a pack has members and a single model has none")
    _require(bool(entry.urls), "it has no url")
    for url in entry.urls:
        _require(urlsplit(url).scheme == "https" and bool(urlsplit(url).hostname), f"{url!r} is not https")
    _require(bool(_SHA256.fullmatch(entry.sha256)), "sha256 is not 64 lower-case hex digits")
    _require_size(entry.size)
    for field in ("description", "licence", "licence_note", "source", "hash_source"):
        _require(isinstance(getattr(entry, field), str) and getattr(entry, field).strip(), f"no {field}")
    _require(entry.commercial in (True, False, "unclear"), "commercial is not true, false or 'unclear'")
    _require(entry.usable or bool(entry.reason), "it is not usable and no reason is given")
    for member in entry.members:
        _check_member(member)
    return entry


def _check_member(member: ZooMember) -> None:
    _require(bool(_FILE.fullmatch(member.file)), f"{member.file!r} is not a plain name of an ONNX file")
    parts = PurePosixPath(member.path).parts
    _require(".." not in parts and not member.path.startswith("/"), f"{member.path!r} leaves the zip")
    _require(member.kind in KINDS[:2], f"kind of {member.file} is neither detector nor embedder")
    _require(member.sha256 is None or bool(_SHA256.fullmatch(member.sha256)), f"sha256 of {member.file}")
    _require_size(member.size)
    _require(member.usable or bool(member.reason), f"{member.file} is not usable and no reason is given")


def _require_size(size: int | None) -> None:
    good = size is None or (isinstance(size, int) and not isinstance(size, bool) and size > 0)
    _require(good, "size is neither null nor a positive number of bytes")


def _require(good: object, message: str) -> None:
    if not good:
        raise ValueError(message)
