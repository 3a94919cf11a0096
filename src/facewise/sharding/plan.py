"""The plan of a large embedding run: which photos, in which order and parts, by which models.

The plan is made by the first process that comes, and every other process and every later run follows it.
Parts are numbered through the whole list, so what is in a part does not depend on how many processes there
are: a run begun on one machine can be finished on eight. Where a later run that names the photos finds others
than before, the plan is changed: what is gone leaves its part, which is then made again, and what is new gets
parts of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
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

_FORMAT = 2
_LIST = "list "
"""What the source begins with that is a file with a list; a folder's begins with a slash."""

_MOST = 100_000
"""Photos a part can have: one part is kept in memory."""


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """A part as it is to be.

    Attributes:
        offset: Where it begins in the list of photos, bytes.
        photos: How many it has; 0 where all it had are gone.
        id: Of its photos and the run's settings, hex; what was made of others does not count.
    """

    offset: int
    photos: int
    id: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be embedded, and how.

    Attributes:
        folder: Where the plan, the parts and the manifest are.
        settings: Models and options; see `settings_of`.
        sources: What the photos were found by: folders and files, or `list <sha256>`.
        photos: How many there are.
        part_size: Photos a part at most.
        parts: The parts, by number.
        list_sha256: Of the list of photos, hex.
        id: sha256 (hex) of all of the above but `folder`.
    """

    folder: Path
    settings: dict[str, Any]
    sources: tuple[str, ...]
    photos: int
    part_size: int
    parts: tuple[PlannedPart, ...]
    list_sha256: str
    id: str

    def parts_of(self, shard: int, shards: int) -> range:
        """Numbers of the parts that one of several processes does."""
        return range(shard, len(self.parts), shards)

    def photos_of(self, part: int) -> list[Path]:
        """The photos of one part.

        Raises:
            DatasetError: The list of photos is gone or damaged.
        """
        path = self.folder / PHOTOS
        try:
            with path.open(encoding="ascii") as file:
                file.seek(self.parts[part].offset)
                return [Path(json.loads(file.readline())) for _ in range(self.parts[part].photos)]
        except (OSError, ValueError, TypeError) as error:
            raise DatasetError(
                f"The list of photos {path} cannot be read: begin again in another folder."
            ) from error


@dataclass(frozen=True, slots=True)
class Before:
    """What a plan was before it was changed.

    Attributes:
        plan: It; None where it was not changed.
        photos: Part → its photos, of the parts that are others now.
        added: How many photos it did not have.
        gone: How many photos are not there any more.
    """

    plan: Plan | None = None
    photos: dict[int, list[Path]] = field(default_factory=dict)
    added: int = 0
    gone: int = 0


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
) -> tuple[Plan, Before]:
    """The folder's plan: the one that is there, brought up to date, or a new one.

    Several processes may ask at once.

    Args:
        folder: Made if missing.
        settings: See `settings_of`.
        sources: What the photos are found by; empty goes on with the plan that is there.
        photos: Finds them; may be called twice.
        part_size: Photos a part; None is that of the plan, or 1,000.

    Returns:
        The plan, and what it was before where it was changed now.

    Raises:
        DatasetError: No photos, no plan to go on with, or a damaged one.
        SettingError: The folder's plan is for other photos, models or options, or the part size is no good.
        FacewiseError: The folder cannot be written.
    """
    if part_size is not None and not 1 <= part_size <= _MOST:
        raise SettingError(f"A part has 1 to {_MOST} photos, not {part_size}.")
    with one_at_a_time(folder / ".plan.lock"):
        if not (folder / PLAN).exists():
            if not sources:
                raise DatasetError(f"Nothing was begun in {folder}: name the photos to embed.")
            if any(folder.glob("part-*")):
                raise DatasetError(f"{folder} holds parts but no {PLAN}: name another folder.")
            size = part_size or PART_SIZE
            return _write_plan(folder, settings, sources, size, _chunks(map(_line, photos()), size)), Before()
        plan = read_plan(folder)
        _refuse_other(plan, settings, sources, part_size)
    # Outside the lock, as all processes look at once; a list of millions is not held in memory for that.
    if not sources or _digest(map(_line, photos())) == plan.list_sha256:
        return plan, Before()
    lines = list(map(_line, photos()))
    with one_at_a_time(folder / ".plan.lock"):
        return _changed(read_plan(folder), sources, lines)


def _changed(plan: Plan, sources: tuple[str, ...], lines: list[bytes]) -> tuple[Plan, Before]:
    """The plan for the photos that are there now; another process may have changed it already."""
    there = set(lines)
    was = {part: plan.photos_of(part) for part in range(len(plan.parts))}
    kept = [[line for line in map(_line, photos) if line in there] for photos in was.values()]
    there.difference_update(*kept)
    added = [line for line in lines if line in there]
    gone = plan.photos - sum(map(len, kept))
    if not added and not gone:
        return plan, Before()
    if 2 * gone > plan.photos:
        raise SettingError(
            f"{gone} of the {plan.photos} photos that the work in {plan.folder} was begun with are gone: "
            "name another folder, or no photos to go on with those of then."
        )
    parted = [*kept, *_chunks(added, plan.part_size)]
    new = _write_plan(plan.folder, plan.settings, sources, plan.part_size, parted)
    changed = {part: photos for part, photos in was.items() if new.parts[part].id != plan.parts[part].id}
    return new, Before(plan, changed, len(added), gone)


def read_plan(folder: Path) -> Plan:
    """The plan of a run that was begun.

    Raises:
        DatasetError: There is none, or it is damaged.
    """
    path = folder / PLAN
    try:
        data = json.loads(path.read_bytes())
        plan = Plan(
            folder, data["settings"], tuple(data["sources"]), data["photos"], data["part_size"], _parts(data),
            data["list_sha256"], data["id"],
        )  # fmt: skip
        sound = data["format"] in (1, _FORMAT) and plan.id == _identity(plan, data["format"])
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
            return f"{_LIST}{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise DatasetError(f"Cannot read the list {listing}: {error.strerror or error}.") from error


def _parts(data: dict[str, Any]) -> tuple[PlannedPart, ...]:
    if data["format"] != 1:
        return tuple(
            PlannedPart(int(offset), int(photos), str(name)) for offset, photos, name in data["parts"]
        )
    # Of a run that was begun before plans could change, all parts carry the plan's own id.
    size, photos = data["part_size"], data["photos"]
    return tuple(
        PlannedPart(offset, min(size, photos - i * size), data["id"])
        for i, offset in enumerate(data["offsets"])
    )


def _line(photo: Path) -> bytes:
    """The absolute path as JSON: one line whatever the name, also one that is no text."""
    return json.dumps(os.path.abspath(photo)).encode("ascii") + b"\n"  # noqa: PTH100 - follow no link


def _digest(lines: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
    return digest.hexdigest()


def _chunks(lines: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    rest = iter(lines)
    while chunk := list(islice(rest, size)):
        yield chunk


def _write_plan(
    folder: Path,
    settings: dict[str, Any],
    sources: tuple[str, ...],
    part_size: int,
    parted: Iterable[list[bytes]],
) -> Plan:
    digest, parts, position, count = hashlib.sha256(), list[PlannedPart](), 0, 0
    of_settings = json.dumps(settings, sort_keys=True).encode("ascii")
    with atomic_write(folder / PHOTOS, private=True) as temporary, temporary.open("wb") as file:
        for lines in parted:
            parts.append(PlannedPart(position, len(lines), _digest([of_settings, *lines])[:32]))
            for line in lines:
                file.write(line)
                digest.update(line)
                position += len(line)
            count += len(lines)
        if not count:
            raise DatasetError("No photos were found: name photos, or another folder or list.")
    plan = Plan(folder, settings, sources, count, part_size, tuple(parts), digest.hexdigest(), "")
    data = {
        "format": _FORMAT, "id": _identity(plan, _FORMAT), "settings": settings, "sources": sources,
        "photos": count, "part_size": part_size, "list_sha256": plan.list_sha256,
        "parts": [[part.offset, part.photos, part.id] for part in parts],
    }  # fmt: skip
    with atomic_write(folder / PLAN, private=True) as temporary:
        temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="ascii")
    return read_plan(folder)


def _identity(plan: Plan, form: int) -> str:
    parts: list[Any] = [[part.offset, part.photos, part.id] for part in plan.parts]
    if form == 1:
        parts = [part.offset for part in plan.parts]
    facts = [plan.settings, list(plan.sources), plan.photos, plan.part_size, parts, plan.list_sha256]
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
    lists = all(named[:1] and named[0].startswith(_LIST) for named in (sources, plan.sources))
    if sources and sources != plan.sources and not lists:
        raise SettingError(
            f"The work in {plan.folder} was begun with other photos ({', '.join(plan.sources[:3])}): "
            "name the same ones or none to go on, or another folder."
        )
    if part_size is not None and part_size != plan.part_size:
        raise SettingError(
            f"The work in {plan.folder} was begun with {plan.part_size} photos a part, not {part_size}."
        )
