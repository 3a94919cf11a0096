"""Doing one process's share of a large embedding run, from wherever it stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

from facewise.errors import FacewiseError
from facewise.files import one_at_a_time
from facewise.photos import search_photos
from facewise.pipeline import PhotoFaces, Pipeline, Steps
from facewise.sharding.manifest import MANIFEST, Manifest, write_manifest_if_done
from facewise.sharding.parts import PartFacts, changed_photos, read_part, remove_part_leftovers, write_part
from facewise.sharding.plan import Before, Plan, list_source, listed, make_plan, settings_of
from facewise.sharding.ranks import check_shard

OnPart = Callable[[PartFacts], None]


@dataclass(frozen=True, slots=True)
class Changes:
    """What is different from the last time.

    Attributes:
        added: Photos that were not there.
        replaced: Photos that had another content.
        gone: Photos that are not there any more.
    """

    added: int = 0
    replaced: int = 0
    gone: int = 0

    def __bool__(self) -> bool:
        return bool(self.added or self.replaced or self.gone)


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What one process did.

    Attributes:
        shard: Its number.
        shards: Of how many.
        done: Its parts that this run made.
        before: Its parts that were there already, whole.
        manifest: The whole run's, where nothing is left to do for anybody; else None.
        changes: What this process found changed since the run was last at work: photos added and gone in all
            of it, photos replaced in its own parts.
    """

    shard: int
    shards: int
    done: tuple[PartFacts, ...]
    before: tuple[PartFacts, ...]
    manifest: Manifest | None
    changes: Changes = Changes()


def embed_shard(
    folder: str | os.PathLike[str],
    photos: Iterable[str | os.PathLike[str]] = (),
    *,
    shard: int = 0,
    shards: int = 1,
    listing: str | os.PathLike[str] | None = None,
    pipeline: Pipeline | None = None,
    main_only: bool = False,
    part_size: int | None = None,
    processes: bool = False,
    on_photo: Callable[[int, int], None] | None = None,
    on_part: OnPart | None = None,
    on_left_out: Callable[[dict[str, int]], None] = lambda _: None,
) -> ShardResult:
    """Embeds one share of many photos into `folder`, which all processes of the run share.

    It may be called again after any interruption, also with another number of shards: parts that are there
    and whole are kept, and the same files come out. All arguments but `pipeline` and the callbacks can be
    sent to another machine, so a Ray task or any other queue can call it.

    Args:
        folder: For the plan, the parts and the manifest; made if missing.
        photos: Files and folders; none goes on with what was begun in `folder`.
        shard: Which share, from 0.
        shards: How many there are.
        listing: A file with one path a line, instead of `photos`.
        pipeline: Detector and embedder; None is the default ones.
        main_only: Only the main face of each photo.
        part_size: Photos a part; None is 1,000. A killed process loses what it had of one part.
        processes: See `Pipeline.read_many`.
        on_photo: Told after each photo how many are done and how many there are, in this run and share.
        on_part: Told of each part that was made.
        on_left_out: Told what else is in the folders, where they are searched: see `facewise.photos.Found`.

    Raises:
        DatasetError: No photos, or a damaged plan.
        SettingError: The folder's work was begun with other photos, models or options; or no such shard.
        FacewiseError: The folder cannot be written, or another process is at this shard.
    """
    check_shard(shard, shards)
    pipeline = pipeline or Pipeline.load()
    steps = Steps(main_only=main_only)
    target = Path(folder)
    plan, old = _plan(target, photos, listing, settings_of(pipeline, steps), part_size, on_left_out)
    busy = FacewiseError(f"Another process is at shard {shard} of {shards} in {target}: let it finish.")
    done: list[PartFacts] = []
    with one_at_a_time(target / f".shard-{shard}-of-{shards}.lock", busy):
        before, missing, changes = _look(plan, plan.parts_of(shard, shards), old)
        if changes:
            (target / MANIFEST).unlink(missing_ok=True)  # it is of what was
        for facts in _embed(plan, missing, pipeline, steps, processes, on_photo):
            done.append(facts)
            if on_part is not None:
                on_part(facts)
    return ShardResult(shard, shards, tuple(done), tuple(before), write_manifest_if_done(plan), changes)


def _plan(
    folder: Path,
    photos: Iterable[str | os.PathLike[str]],
    listing: str | os.PathLike[str] | None,
    settings: dict[str, object],
    part_size: int | None,
    on_left_out: Callable[[dict[str, int]], None],
) -> tuple[Plan, Before]:
    @cache
    def search() -> list[Path]:
        found = search_photos(given)
        on_left_out(found.left_out)
        return found.photos

    given = [Path(path) for path in photos]
    if listing is not None:
        file = Path(listing)
        return make_plan(folder, settings, (list_source(file),), lambda: listed(file), part_size)
    sources = tuple(os.path.abspath(path) for path in given)  # noqa: PTH100 - follow no link
    return make_plan(folder, settings, sources, search, part_size)


def _look(plan: Plan, parts: Iterable[int], old: Before) -> tuple[list[PartFacts], list[int], Changes]:
    """The parts that are whole and of the photos there are, the numbers of the others, and what changed."""
    there: list[PartFacts] = []
    missing: list[int] = []
    replaced, gone = 0, old.gone
    for part in parts:
        facts, photos = read_part(plan, part), plan.photos_of(part)
        done = facts
        if done is None and old.plan is not None and part in old.photos:
            done = read_part(old.plan, part, verify=False)
        others, lost = (0, 0) if done is None else changed_photos(done, old.photos.get(part, photos), photos)
        replaced, gone = replaced + others, gone + lost
        if facts is None or others or lost:
            remove_part_leftovers(plan, part)
            missing.append(part)
        else:
            there.append(facts)
    return there, missing, Changes(old.added, replaced, gone)


class _Photos:
    """The photos of some parts, read from the list as they are needed."""

    def __init__(self, plan: Plan, parts: list[int]) -> None:
        self._plan, self._parts = plan, parts
        self._sizes = [plan.parts[part].photos for part in parts]

    def __len__(self) -> int:
        return sum(self._sizes)

    def __iter__(self) -> Iterator[Path]:
        for part in self._parts:
            yield from self._plan.photos_of(part)

    def sizes(self) -> Iterator[tuple[int, int]]:
        """Each part with its number of photos."""
        return zip(self._parts, self._sizes, strict=True)


def _embed(
    plan: Plan,
    parts: list[int],
    pipeline: Pipeline,
    steps: Steps,
    processes: bool,
    on_photo: Callable[[int, int], None] | None,
) -> Iterator[PartFacts]:
    """Makes parts one after another; photos are read ahead over their borders, so no worker waits there."""
    photos = _Photos(plan, parts)
    if not parts:
        return
    found = _counted(pipeline.read_many(photos, steps, processes=processes), len(photos), on_photo)
    for part, size in photos.sizes():
        results = islice(found, size)
        yield write_part(plan, part, zip(plan.photos_of(part), results, strict=True))


def _counted(
    found: Iterable[PhotoFaces], total: int, on_photo: Callable[[int, int], None] | None
) -> Iterator[PhotoFaces]:
    for number, photo in enumerate(found, 1):
        yield photo
        if on_photo is not None:
            on_photo(number, total)
