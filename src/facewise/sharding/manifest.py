"""The manifest of a large embedding run that is complete, and holding a run's files against it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facewise.errors import DatasetError
from facewise.files import atomic_write
from facewise.sharding.parts import PartFacts, facts_sha256, part_exists, read_part
from facewise.sharding.plan import Plan

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A complete run.

    Attributes:
        path: Of the manifest's file.
        photos: Photos that could be read.
        faces: Rows of all parts together.
        without_face: How many photos have no face; the parts' JSON files name them.
        bad: Photos that could not be read: `photo` and `error` each.
        parts: How many parts there are.
    """

    path: Path
    photos: int
    faces: int
    without_face: int
    bad: tuple[dict[str, str], ...]
    parts: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of looking at every file of a run.

    Attributes:
        parts: The parts that are there and whole.
        missing: Numbers of parts nobody has made yet.
        damaged: Numbers of parts whose files are not what they were.
        manifest: Written where all parts are whole, else None.
    """

    parts: int
    missing: tuple[int, ...]
    damaged: tuple[int, ...]
    manifest: Manifest | None


def check_run(plan: Plan) -> Checked:
    """Holds every part against its sha256, and writes the manifest where all are whole.

    Raises:
        FacewiseError: The manifest cannot be written.
    """
    numbers = range(len(plan.parts))
    parts = {part: read_part(plan, part) for part in numbers}
    bad = [part for part, facts in parts.items() if facts is None]
    damaged = tuple(part for part in bad if part_exists(plan, part))
    missing = tuple(part for part in bad if part not in damaged)
    whole = [facts for facts in parts.values() if facts is not None]
    return Checked(len(whole), missing, damaged, None if bad else _write(plan, whole))


def write_manifest_if_done(plan: Plan) -> Manifest | None:
    """The manifest, if no part is missing; whoever finishes last writes it.

    Raises:
        FacewiseError: It cannot be written.
    """
    if not all(read_part(plan, part, verify=False) for part in range(len(plan.parts))):
        return None
    return check_run(plan).manifest


def whole_parts(plan: Plan) -> Iterator[PartFacts]:
    """Every part of a complete run, each verified as it is reached.

    Raises:
        DatasetError: One is missing or damaged.
    """
    for part in range(len(plan.parts)):
        facts = read_part(plan, part)
        if facts is None:
            raise DatasetError(
                f"Part {part} of {plan.folder} is missing or damaged: run `facewise embed --out "
                f"{plan.folder}` again, which makes what is missing."
            )
        yield facts


def _write(plan: Plan, parts: list[PartFacts]) -> Manifest:
    bad = tuple(item for facts in parts for item in facts.bad)
    manifest = Manifest(
        plan.folder / MANIFEST,
        sum(facts.photos for facts in parts),
        sum(facts.faces for facts in parts),
        sum(len(facts.without_face) for facts in parts),
        bad,
        len(parts),
    )
    # No time and no host: the same photos and models give the same manifest.
    data: dict[str, Any] = {
        "format": 1, "plan": plan.id, "settings": plan.settings, "sources": plan.sources,
        "photos": manifest.photos, "faces": manifest.faces, "without_face": manifest.without_face,
        "bad": bad,
        "parts": [
            {
                "part": facts.part, "file": facts.file, "bytes": facts.bytes, "sha256": facts.sha256,
                "facts_sha256": facts_sha256(plan, facts.part), "photos": facts.photos, "faces": facts.faces,
            }
            for facts in parts
        ],
    }  # fmt: skip
    with atomic_write(manifest.path, private=True) as temporary:
        temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="ascii")
    return manifest
