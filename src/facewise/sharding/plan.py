"""The plan of a large embedding run: which photos, in which order and parts, by which models.

The plan is made once, by the first process that comes, and every other process and every later run follows
it. Parts are numbered through the whole list, so what is in a part does not depend on how many processes
there are: a run begun on one machine can be finished on eight.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facewise.errors import DatasetError, SettingError
from facewise.files import atomic_write, one_at_a_time
from facewise.pipeline import Pipeline, Steps
from facewise.textfile import listed_path, text_lines

PLAN = "plan.json"
PHOTOS = "photos.jsonl"
PART_SIZE = 1000
"""Photos a part: half a minute of work on 4 VNNI cores, which is the most that a killed process loses."""

_FORMAT = 1
_MOST = 100_000
"""Photos a part can have: one part is kept in memory."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be embedded, and how.

    Attributes:
        folder: Where the plan, the parts and the manifest are.
        settings: Models and options; see `settings_of`.
        sources: What the photos were found by: folders and files, or `list <sha256>`.
        photos: How many there are.
        part_size: Photos a part; the last one may have fewer.
        offsets: Where each part begins in the list of photos, bytes.
        id: sha256 (hex) of all of the above but `folder`, and of the list; parts carry it.
    """

    folder: Path
    settings: dict[str, Any]
    sources: tuple[str, ...]
    photos: int
    part_size: int
    offsets: tuple[int, ...]
    id: str

    def parts_of(self, shard: int, shards: int) -> range:
        """Numbers of the parts that one of several processes does."""
        return range(shard, len(self.offsets), shards)

    def photos_of(self, part: int) -> list[Path]:
        """The photos of one part.

        Raises:
            DatasetError: The list of photos is gone or damaged.
        """
        path = self.folder / PHOTOS
        count = min(self.part_size, self.photos - part * self.part_size)
        try:
            with path.open(encoding="ascii") as file:
                file.seek(self.offsets[part])
                return [Path(json.loads(file.readline())) for _ in range(count)]
        except (OSError, ValueError, TypeError) as error:
            raise DatasetError(
                f"The list of photos {path} cannot be read: begin again in another folder."
            ) from error


def settings_of(pipeline: Pipeline, steps: Steps) -> dict[str, Any]:
    """All that the embeddings depend on: parts made by other settings are not mixed."""
    embedder, detector = pipeline.embedder, pipeline.detector
    return {
        "model": embedder.name,
        "fingerprint": embedder.fingerprint,
        "embedding_size": embedder.embedding_size,
        "flip": embedder.flip,
        "detector": detector.name,
        "detector_fingerprint": detector.fingerprint,
        "detector_settings": asdict(detector.settings),
        "main_only": steps.main_only,
    }


def make_plan(
    folder: Path,
    settings: dict[str, Any],
    sources: tuple[str, ...],
    photos: Callable[[], Iterable[Path]],
    part_size: int | None = None,
) -> Plan:
    """The folder's plan: the one that is there, or a new one. Several processes may ask at once.

    Args:
        folder: Made if missing.
        settings: See `settings_of`.
        sources: What the photos are found by; empty goes on with the plan that is there.
        photos: Finds them; called for a new plan only.
        part_size: Photos a part; None is that of the plan, or 1,000.

    Raises:
        DatasetError: No photos, no plan to go on with, or a damaged one.
        SettingError: The folder's plan is for other photos, models or options, or the part size is no good.
        FacewiseError: The folder cannot be written.
    """
    if part_size is not None and not 1 <= part_size <= _MOST:
        raise SettingError(f"A part has 1 to {_MOST} photos, not {part_size}.")
    with one_at_a_time(folder / ".plan.lock"):
        if (folder / PLAN).exists():
            plan = read_plan(folder)
            _refuse_other(plan, settings, sources, part_size)
            return plan
        if not sources:
            raise DatasetError(f"Nothing was begun in {folder}: name the photos to embed.")
        if any(folder.glob("part-*")):
            raise DatasetError(f"{folder} holds parts but no {PLAN}: name another folder.")
        return _new_plan(folder, settings, sources, photos(), part_size or PART_SIZE)


def read_plan(folder: Path) -> Plan:
    """The plan of a run that was begun.

    Raises:
        DatasetError: There is none, or it is damaged.
    """
    path = folder / PLAN
    try:
        data = json.loads(path.read_bytes())
        plan = Plan(
            folder, data["settings"], tuple(data["sources"]), data["photos"], data["part_size"],
            tuple(data["offsets"]), data["id"],
        )  # fmt: skip
        sound = data["format"] == _FORMAT and plan.id == _identity(plan, data["list_sha256"])
    except FileNotFoundError:
        raise DatasetError(
            f"There is no {path}: {folder} is not the folder of a sharded `facewise embed`."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"The plan {path} cannot be read: begin again in another folder.") from error
    if not sound:
        raise DatasetError(
            f"The plan {path} is damaged or of another version: begin again in another folder."
        )
    return plan


def listed(listing: Path) -> Iterator[Path]:
    """The photos named in a file, one path a line; empty lines are passed over.

    Raises:
        DatasetError: The file cannot be read.
    """
    for line in text_lines(listing, "list", odd_bytes=True):
        if line:
            yield Path(listed_path(line, Path()))


def list_source(listing: Path) -> str:
    """What a list of photos is known by: its content.

    Raises:
        DatasetError: The file cannot be read.
    """
    try:
        with listing.open("rb") as file:
            return f"list {hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise DatasetError(f"Cannot read the list {listing}: {error.strerror or error}.") from error


def _new_plan(
    folder: Path, settings: dict[str, Any], sources: tuple[str, ...], photos: Iterable[Path], part_size: int
) -> Plan:
    digest, offsets, position, count = hashlib.sha256(), [], 0, 0
    with atomic_write(folder / PHOTOS, private=True) as temporary, temporary.open("wb") as file:
        for photo in photos:
            if count % part_size == 0:
                offsets.append(position)
            # The absolute path as JSON: one line whatever the name, also one that is no text.
            line = json.dumps(os.path.abspath(photo)).encode("ascii") + b"\n"  # noqa: PTH100 - follow no link
            file.write(line)
            digest.update(line)
            position += len(line)
            count += 1
        if not count:
            raise DatasetError("No photos were found: name photos, or another folder or list.")
    plan = Plan(folder, settings, sources, count, part_size, tuple(offsets), "")
    identity = _identity(plan, digest.hexdigest())
    data = {
        "format": _FORMAT, "id": identity, "settings": settings, "sources": sources, "photos": count,
        "part_size": part_size, "list_sha256": digest.hexdigest(), "offsets": offsets,
    }  # fmt: skip
    with atomic_write(folder / PLAN, private=True) as temporary:
        temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="ascii")
    return read_plan(folder)


def _identity(plan: Plan, list_sha256: str) -> str:
    facts = [plan.settings, list(plan.sources), plan.photos, plan.part_size, list(plan.offsets), list_sha256]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("ascii")).hexdigest()


def _refuse_other(
    plan: Plan, settings: dict[str, Any], sources: tuple[str, ...], part_size: int | None
) -> None:
    for name, value in settings.items():
        # Through JSON, as the plan's went.
        if (begun := plan.settings.get(name)) != json.loads(json.dumps(value)):
            raise SettingError(
                f"The work in {plan.folder} was begun with {name.replace('_', ' ')} {begun}, not {value}: "
                "go on with the same models and options, or name another folder."
            )
    if sources and sources != plan.sources:
        raise SettingError(
            f"The work in {plan.folder} was begun with other photos ({', '.join(plan.sources[:3])}): "
            "name the same ones or none to go on, or another folder."
        )
    if part_size is not None and part_size != plan.part_size:
        raise SettingError(
            f"The work in {plan.folder} was begun with {plan.part_size} photos a part, not {part_size}."
        )
