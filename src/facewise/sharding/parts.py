"""One part of a large embedding run: its rows in a `.npz`, and a JSON that says the part is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facewise.concurrency import side_by_side
from facewise.errors import ImageError
from facewise.files import atomic_write, remove_leftovers
from facewise.hardware import available_threads
from facewise.image import content_hash, load
from facewise.pipeline import PhotoFaces
from facewise.sharding.plan import Plan
from facewise.sharding.rows import FaceRow, face_arrays, quality_array, reasons_array


@dataclass(frozen=True, slots=True)
class PartFacts:
    """What is known of a part that is done.

    Attributes:
        part: Its number.
        file: Name of its `.npz`.
        bytes: Size of that file.
        sha256: Of that file, hex.
        photos: Photos that could be read.
        faces: Rows in the file.
        without_face: Paths of photos in which no face was found.
        bad: Photos that could not be read: `photo` and `error` each.
        seen: The beginning of the sha256 (hex) of each photo, empty where it could not be read at all; none
            where the part was made before this was kept.
        several: Paths of photos with several faces, of which the main one alone was taken.
    """

    part: int
    file: str
    bytes: int
    sha256: str
    photos: int
    faces: int
    without_face: tuple[str, ...] = ()
    bad: tuple[dict[str, str], ...] = field(default=())
    seen: tuple[str, ...] = ()
    several: tuple[str, ...] = ()


def write_part(plan: Plan, part: int, photos: Iterable[tuple[Path, PhotoFaces]]) -> PartFacts:
    """Writes one part: first its rows, then the JSON that makes it count. Killed between, it does not.

    The files hold nothing but what the photos and the plan say, so a part that is done again is the same to
    the byte.

    Raises:
        FacewiseError: The disk is full, or the folder cannot be written.
    """
    rows: list[FaceRow] = []
    without, bad, seen, several, good = [], [], [], [], 0
    for path, found in photos:
        seen.append((found.sha256 or _sha256(path))[:_SEEN])
        if found.error is not None:
            bad.append({"photo": str(path), "error": " ".join(str(found.error).split())})
            continue
        good += 1
        rows += [(str(path), found.sha256, i, face) for i, face in enumerate(found.faces)]
        if not found.faces:
            without.append(str(path))
        if found.others:
            several.append(str(path))
    settings, path = plan.settings, _rows_file(plan, part)
    arrays = face_arrays(rows, settings["model"], settings["fingerprint"], settings["flip"],
                         settings["embedding_size"])  # fmt: skip
    with atomic_write(path, private=True) as temporary:
        with temporary.open("wb") as file:
            np.savez(file, **arrays, quality=quality_array(rows), reasons=reasons_array(rows))
        data = temporary.read_bytes()
    facts = PartFacts(
        part, path.name, len(data), hashlib.sha256(data).hexdigest(), good, len(rows), tuple(without),
        tuple(bad), tuple(seen), tuple(several),
    )  # fmt: skip
    with atomic_write(_facts_file(plan, part), private=True) as temporary:
        temporary.write_text(json.dumps(_as_json(plan, facts), indent=1) + "\n", encoding="ascii")
    return facts


def read_part(plan: Plan, part: int, *, verify: bool = True) -> PartFacts | None:
    """What is known of a part, or None where it is not done, is damaged, or belongs to another plan.

    Args:
        plan: The run's.
        part: The part's number.
        verify: Hold the rows' file against its sha256, not only against its size.
    """
    try:
        data = json.loads(_facts_file(plan, part).read_bytes())
        facts = PartFacts(
            data["part"], data["file"], data["bytes"], data["sha256"], data["photos"], data["faces"],
            tuple(data["without_face"]), tuple(data["bad"]), tuple(data.get("seen", ())),
            tuple(data.get("main_of_several", ())),
        )  # fmt: skip
        rows = _rows_file(plan, part)
        if data["plan"] != plan.parts[part].id or facts.part != part or facts.file != rows.name:
            return None
        if rows.stat().st_size != facts.bytes:
            return None
        if verify:
            with rows.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != facts.sha256:
                    return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return facts


def changed_photos(facts: PartFacts, photos: Sequence[Path], now: Sequence[Path]) -> tuple[int, int]:
    """How many photos of a part have another content than when it was made, and how many are not there.

    Every photo is read, none decoded.

    Args:
        facts: The part's.
        photos: What it was made of.
        now: Those of them that it is still to be made of.
    """
    wanted = set(now)
    then = [(path, digest) for path, digest in zip(photos, facts.seen, strict=False) if path in wanted]
    found = side_by_side(_sha256, (path for path, _ in then), available_threads())
    pairs = [(one[:_SEEN], digest) for one, (_, digest) in zip(found, then, strict=True)]
    gone = sum(not one and bool(digest) for one, digest in pairs)
    return sum(one != digest for one, digest in pairs) - gone, gone


_SEEN = 16
"""Digits kept of a photo's sha256: nobody fakes a photo here, and they are many."""


def _sha256(path: Path) -> str:
    """Of a photo; empty where it cannot be read."""
    try:
        return content_hash(load(path))
    except ImageError:
        return ""


def facts_sha256(plan: Plan, part: int) -> str:
    """sha256 (hex) of the JSON of a part."""
    return hashlib.sha256(_facts_file(plan, part).read_bytes()).hexdigest()


def part_exists(plan: Plan, part: int) -> bool:
    """Whether anything of a part is there, whole or not."""
    return _facts_file(plan, part).exists()


def part_rows(plan: Plan, facts: PartFacts) -> Any:
    """The rows of a part, as `numpy.load` gives them; close it."""
    return np.load(plan.folder / facts.file, allow_pickle=False)


def reasons_of(rows: Any) -> np.ndarray[Any, np.dtype[np.str_]]:
    """The column of `reasons_array`; empty reasons in a part of before they were kept."""
    return rows["reasons"] if "reasons" in rows.files else np.zeros(len(rows["face"]), np.str_)


def remove_part_leftovers(plan: Plan, part: int) -> None:
    """Removes what a killed process left half-written of a part."""
    remove_leftovers(_rows_file(plan, part))
    remove_leftovers(_facts_file(plan, part))


def _as_json(plan: Plan, facts: PartFacts) -> dict[str, Any]:
    return {
        "part": facts.part, "plan": plan.parts[facts.part].id, "file": facts.file, "bytes": facts.bytes,
        "sha256": facts.sha256, "photos": facts.photos, "faces": facts.faces,
        "without_face": facts.without_face, "bad": facts.bad, "seen": facts.seen,
        "main_of_several": facts.several,
    }  # fmt: skip


def _rows_file(plan: Plan, part: int) -> Path:
    return plan.folder / f"part-{part:06d}.npz"


def _facts_file(plan: Plan, part: int) -> Path:
    return plan.folder / f"part-{part:06d}.json"
