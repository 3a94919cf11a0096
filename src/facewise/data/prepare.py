"""From photos to aligned crops on disk: the main face of each, once for all trainings."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import cv2

from facewise.data.content import StoredPhotos
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
from facewise.errors import DatasetError, FacewiseError, SettingError
from facewise.filenames import file_name, same_file
from facewise.files import NAME_REFUSED, one_at_a_time
from facewise.geometry import Cut
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
    """

    folder: Path
    making: Making
    photos: tuple[PreparedPhoto, ...]
    resumed: int

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
) -> Prepared:
    """Cut the main face of every photo into `out/PERSON/PHOTO.png`.

    What was done is kept in a manifest as it is done: started again after it was stopped, the work goes on
    where it was and ends the same. Photos that were unreadable are tried again.

    Args:
        source: The photos.
        pipeline: Its detector is used, and its threads.
        cut: How faces are cut, such as `Preprocess.cut` of a model; a number is the side of 5-point crops.
        out: A new or empty folder, or one of this work not finished.
        progress: Told as photos are done; those of an earlier run at once.
        format: `png`, without loss, or `jpg` at quality 95, a quarter of the size.
        processes: See `Pipeline.read_many`.

    Raises:
        DatasetError: `out` holds something else, crops of other photos, or crops made otherwise.
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
            run = _Run(source, folder, making)
            progress(len(source.keys) - len(run.left))
            run.work(Pipeline(detector, None, cut=cut, threads=pipeline.threads), progress, processes)
            photos = tuple(run.done[key] for key in source.keys)
            write_manifest(folder, making, len(photos), photos)
    except OSError as error:
        raise FacewiseError(f"Cannot write to {source_name(folder)}: {error.strerror or error}.") from error
    return Prepared(folder, making, photos, run.resumed)


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

    def __init__(self, source: Source, folder: Path, making: Making) -> None:
        self.source, self.folder, self.making = source, folder, making
        found, _, photos = read_manifest(folder)
        self._refuse_other(found, photos)
        kept = [photo for photo in photos if photo.status != "unreadable" and self._is_there(photo)]
        self.done = {photo.key: photo for photo in kept}
        self.resumed = len(self.done)
        self.left = [i for i, key in enumerate(source.keys) if key not in self.done]
        self.files = _file_names(source, {p.key: p.crop for p in kept}, making.format)
        # Lines that were not finished, or whose crops are not there, go.
        write_manifest(folder, making, len(source.keys), kept)

    def _refuse_other(self, found: Making, photos: Sequence[PreparedPhoto]) -> None:
        name = source_name(self.folder)
        if found != self.making:
            raise DatasetError(
                f"The crops in {name} were made otherwise ({found.cut.key} pixels, {found.format}, "
                f"detector {found.detector[:12]}): name another folder, or delete this one."
            )
        people = dict(zip(self.source.keys, self.source.labels.tolist(), strict=True))
        others = [
            p.key for p in photos if p.key not in people or self.source.names[people[p.key]] != p.person
        ]
        if others:
            raise DatasetError(
                f"{name} holds {len(others)} crops of photos that {self.source.name} has not or of another "
                f"person, {source_name(others[0])} among them: name another folder, or delete this one."
            )

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
    temporary.write_bytes(data)
    temporary.replace(path)
