"""From photos to aligned crops on disk: the main face of each, once for all trainings."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import cv2

from facewise.concurrency import side_by_side
from facewise.data.content import StoredPhotos, photo_hash
from facewise.data.prepared import (
    MANIFEST,
    Making,
    PreparedPhoto,
    PreparedSource,
    is_prepared,
    manifest_line,
    read_manifest,
    write_manifest,
)
from facewise.data.source import Source
from facewise.errors import DatasetError, FacewiseError, ImageError, SettingError
from facewise.filenames import file_name, same_file
from facewise.files import NAME_REFUSED, one_at_a_time
from facewise.geometry import Cut
from facewise.hardware import available_threads
from facewise.image import source_name
from facewise.pipeline import PhotoFaces, Pipeline, Steps
from facewise.types import Image

Progress: TypeAlias = Callable[[int], None]
Format = Literal["png", "jpg"]

_UNSAFE = frozenset('%/\\:*?"<>|')
"""Characters some file system cannot have in a name, and the one they are written with."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What became of a dataset.

    Attributes:
        folder: Where the crops are.
        making: How they were made.
        photos: One entry a photo, in the order of the dataset.
        resumed: How many of them an earlier run had done.
        added: How many were not in the dataset then.
        replaced: How many were done then, with another content or of another person.
        gone: How many that were done then are in the dataset no more; their crops are deleted.
    """

    folder: Path
    making: Making
    photos: tuple[PreparedPhoto, ...]
    resumed: int
    added: int = 0
    replaced: int = 0
    gone: int = 0

    def of(self, *status: str) -> list[PreparedPhoto]:
        """The photos that came out so."""
        return [photo for photo in self.photos if photo.status in status]

    def counts(self) -> dict[str, int]:
        """How many came out how."""
        found = Counter(photo.status for photo in self.photos)
        return {status: found[status] for status in ("ok", "several faces", "no face", "unreadable")}

    def source(self) -> PreparedSource:
        """The crops as a dataset.

        Raises:
            DatasetError: No photo has one.
        """
        return PreparedSource(self.folder, self.making, self.photos)


def prepare(
    source: Source,
    pipeline: Pipeline,
    cut: Cut | int,
    out: str | os.PathLike[str],
    progress: Progress = lambda _: None,
    *,
    format: Format = "png",  # noqa: A002  the word for it
    processes: bool = False,
    unchanged: bool = False,
) -> Prepared:
    """Cut the main face of every photo into `out/PERSON/PHOTO.png`.

    What was done is kept in a manifest as it is done: started again after it was stopped, the work goes on
    where it was and ends the same. Photos that were unreadable are tried again, and so are those that have
    another content than then; the crops of photos that are gone are deleted.

    Args:
        source: The photos.
        pipeline: Its detector is used, and its threads.
        cut: How faces are cut, such as `Preprocess.cut` of a model; a number is the side of 5-point crops.
        out: A new or empty folder, or one of this work not finished.
        progress: Told as photos are done; those of an earlier run at once.
        format: `png`, without loss, or `jpg` at quality 95, a quarter of the size.
        processes: See `Pipeline.read_many`.
        unchanged: The caller knows that no photo has changed, so that none is read to see.

    Raises:
        DatasetError: `out` holds something else, crops of other photos for the most part, or crops made
            otherwise.
        FacewiseError: It cannot be written to.
        SettingError: Size or format make no sense.
    """
    cut = Cut(cut) if isinstance(cut, int) and cut > 0 else cut
    size = cut if isinstance(cut, int) else cut.size
    if isinstance(cut, int) or not 16 <= size <= 1024 or format not in ("png", "jpg"):
        raise SettingError(f"Crops are 16 to 1024 pixels, png or jpg, not {size} and {format}.")
    folder = Path(out)
    detector = pipeline.detector
    settings = asdict(detector.settings)
    making = Making(size, format, detector.fingerprint, settings, cut.alignment, cut.margin)
    _begin(folder, making, source)
    busy = DatasetError(f"{source_name(folder)} is being prepared already; wait for it to end.")
    try:
        with one_at_a_time(folder / ".prepare.lock", busy):
            run = _Run(source, folder, making, unchanged=unchanged)
            progress(len(source.keys) - len(run.left))
            run.work(Pipeline(detector, None, cut=cut, threads=pipeline.threads), progress, processes)
            photos = tuple(run.done[key] for key in source.keys)
            write_manifest(folder, making, len(photos), photos)
    except OSError as error:
        raise FacewiseError(f"Cannot write to {source_name(folder)}: {error.strerror or error}.") from error
    return Prepared(folder, making, photos, run.resumed, run.added, run.replaced, run.gone)


def _begin(folder: Path, making: Making, source: Source) -> None:
    """Make sure that `folder` is one to work in, and has a manifest."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if is_prepared(folder):
            return
        if any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise DatasetError(f"{source_name(folder)} holds other files: name a new folder for the crops.")
    except FileExistsError:
        raise FacewiseError(f"{source_name(folder)} is a file: name another folder.") from None
    except OSError as error:
        raise FacewiseError(f"Cannot use {source_name(folder)}: {error.strerror or error}.") from error
    write_manifest(folder, making, len(source.keys), ())


class _Run:
    """What is done and what is left to do in one folder."""

    def __init__(self, source: Source, folder: Path, making: Making, *, unchanged: bool) -> None:
        self.source, self.folder, self.making = source, folder, making
        found, total, photos = read_manifest(folder)
        self._refuse_otherwise(found)
        there = self._still_there(photos)
        same = set(there) if unchanged else self._same(there)
        self.gone, self.replaced = len(photos) - len(there), len(there) - len(same)
        self.added = max(0, len(source.keys) - total + self.gone) if photos else 0
        # Before their lines: what has a line is there, and nothing else is.
        self._delete([photo for photo in photos if photo not in same])
        kept = [p for p in there if p in same and p.status != "unreadable" and self._is_there(p)]
        self.done = {photo.key: photo for photo in kept}
        self.resumed = len(self.done)
        self.left = [i for i, key in enumerate(source.keys) if key not in self.done]
        self.files = _file_names(source, {p.key: p.crop for p in kept}, making.format)
        # Lines that were not finished, or whose crops are not there, go.
        write_manifest(folder, making, len(source.keys), kept)

    def _refuse_otherwise(self, found: Making) -> None:
        if found != self.making:
            raise DatasetError(
                f"The crops in {source_name(self.folder)} were made otherwise ({found.cut.key} pixels, "
                f"{found.format}, detector {found.detector[:12]}): name another folder, or delete this one."
            )

    def _still_there(self, photos: Sequence[PreparedPhoto]) -> list[PreparedPhoto]:
        """Those done that are in the dataset."""
        keys = set(self.source.keys)
        there = [photo for photo in photos if photo.key in keys]
        gone = [photo.key for photo in photos if photo.key not in keys]
        if 2 * len(gone) > len(photos):  # rather a slip than a dataset that changed
            raise DatasetError(
                f"{source_name(self.folder)} holds {len(gone)} crops of photos that {self.source.name} has "
                f"not, {source_name(gone[0])} among them: name another folder, or delete this one."
            )
        return there

    def _same(self, photos: Sequence[PreparedPhoto]) -> set[PreparedPhoto]:
        """Those of the content and the person that they were of; every photo is read, none decoded."""
        number = {key: i for i, key in enumerate(self.source.keys)}
        labels, names = self.source.labels, self.source.names

        def same(photo: PreparedPhoto) -> bool:
            index = number[photo.key]
            if names[labels[index]] != photo.person:
                return False
            try:
                return photo.status == "unreadable" or photo_hash(self.source, index) == photo.sha256
            except ImageError:
                return False

        looked = side_by_side(same, photos, available_threads())
        return {photo for photo, good in zip(photos, looked, strict=True) if good}

    def _delete(self, photos: Sequence[PreparedPhoto]) -> None:
        """The crops of photos that are gone or are others now, and the folders that this leaves empty."""
        for photo in photos:
            if photo.crop:
                crop = self.folder / photo.crop
                crop.unlink(missing_ok=True)
                with suppress(OSError):  # not empty
                    crop.parent.rmdir()

    def _is_there(self, photo: PreparedPhoto) -> bool:
        if not photo.crop:
            return True
        crop = self.folder / photo.crop
        # After a power cut a file may be there without its content.
        return crop.is_file() and crop.stat().st_size == photo.bytes

    def work(self, pipeline: Pipeline, progress: Progress, processes: bool) -> None:
        """Do what is left."""
        photos = StoredPhotos(self.source, self.left)
        steps = Steps(embed=False, keep_crops=True)
        results = pipeline.read_many(photos, steps, processes=processes)
        with (self.folder / MANIFEST).open("a", encoding="ascii") as manifest:
            for i, found in zip(self.left, results, strict=True):
                photo = self._keep(i, found, photos.errors.pop(i, found.error))
                self.done[photo.key] = photo
                manifest.write(manifest_line(photo))
                manifest.flush()
                progress(1)

    def _keep(self, index: int, found: PhotoFaces, error: FacewiseError | None) -> PreparedPhoto:
        """Write the crop of one photo."""
        key = self.source.keys[index]
        person = self.source.names[self.source.labels[index]]
        if error is not None:
            return PreparedPhoto(key, person, "unreadable", error=str(error))
        if not found.faces or found.crops is None:
            return PreparedPhoto(key, person, "no face", sha256=found.sha256)
        main, data = found.faces[0], _encode(found.crops[0], self.making.format)
        try:
            _write(self.folder / self.files[key], data)
        except OSError as problem:
            # One photo's name, or the person's, must not cost all the others.
            if problem.errno not in NAME_REFUSED:
                raise
            told = f"Cannot write the crop of {source_name(key)}: {problem.strerror}; rename the photo."
            return PreparedPhoto(key, person, "unreadable", error=told)
        return PreparedPhoto(
            key,
            person,
            "several faces" if len(found.faces) > 1 else "ok",
            self.files[key],
            len(data),
            len(found.faces),
            round(main.score, 6),
            tuple((round(float(x), 3), round(float(y), 3)) for x, y in main.landmarks),
            found.sha256,
        )


def _file_names(source: Source, taken: dict[str, str], ending: str) -> dict[str, str]:
    """Key → file of its crop: the photo's name, numbered where the person has another of that name.

    Args:
        source: The photos.
        taken: The files of those that have one.
        ending: Of the files.
    """
    used = {same_file(file) for file in taken.values()}
    files = dict(taken)
    for key, label in zip(source.keys, source.labels, strict=True):
        if files.get(key):
            continue
        person, stem = file_name(_safe(source.names[label]), ""), _safe(Path(key).stem)
        numbers = itertools.chain([""], (f"-{i}" for i in itertools.count(2)))
        candidates = (f"{person}/{file_name(stem, f'{number}.{ending}')}" for number in numbers)
        files[key] = next(file for file in candidates if same_file(file) not in used)
        used.add(same_file(files[key]))
    return files


def _safe(name: str) -> str:
    """A name as one that every file system can have and that is not hidden; others are written like `%2F`."""
    hidden = name.startswith(".") or not name
    safe = "".join(f"%{ord(c):02X}" if c in _UNSAFE or ord(c) < 32 else c for c in name)
    return f"%2E{safe[1:]}" if hidden else safe


def _encode(crop: Image, ending: str) -> bytes:
    bgr = cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)
    good, data = cv2.imencode(f".{ending}", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95] if ending == "jpg" else [])
    if not good:
        raise FacewiseError(f"A crop could not be written as {ending}.")
    return data.tobytes()


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all; not synced, as the manifest tells a crop that a power cut took."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(".part")  # one at a time, and short: the photo's name may fill all the room
    if temporary.is_symlink():
        temporary.unlink()
    temporary.write_bytes(data)
    temporary.replace(path)
