"""Which photos a training has seen, so that a test on one of them is noticed.

A photo is known by the content of its file, and by the look of its aligned crop where its file was saved
anew. Trainings see crops and tests see photos, or the other way round: of a crop that `facewise data prepare`
cut, the content of the photo it was cut from is kept beside its own, as the manifest has it.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TypeAlias

from facewise.concurrency import side_by_side
from facewise.data.content import photo_hash
from facewise.data.csvfile import read_csv
from facewise.data.look import look_of
from facewise.data.people import read_people
from facewise.data.prepared import is_prepared, read_manifest
from facewise.data.source import FileSource, Source, Subset
from facewise.errors import DatasetError, ImageError
from facewise.files import write_bytes
from facewise.hardware import available_threads
from facewise.image import source_name
from facewise.models.file import ModelFile, read_model, save_trained_on
from facewise.models.trained_on import LOOK, MOST_PHOTOS, TrainedOn
from facewise.types import Image

PHOTOS, PEOPLE = "photos.csv", "people.txt"
"""Files of a training run: what it has seen, and who."""

_COLUMNS = ("key", "person", "photo", "crop", "look")
_HASH, _LOOK = re.compile(r"([0-9a-f]{64})?"), re.compile(rf"([0-9a-f]{{{2 * LOOK}}})?")

CropOf: TypeAlias = Callable[[int], Image]
Progress: TypeAlias = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class SeenPhoto:
    """One photo of a training.

    Attributes:
        key: Of the photo in its dataset.
        person: Who it is said to show.
        photo: sha256 (hex) of the photo's file; empty where it is not known.
        crop: sha256 (hex) of the file of its crop; empty where the crop is no file of its own.
        look: Of the crop, hex; empty where there is nothing to be seen.
    """

    key: str
    person: str
    photo: str
    crop: str
    look: str


def seen_photos(
    source: Source,
    indices: Sequence[int] | None = None,
    *,
    crop_of: CropOf | None = None,
    progress: Progress = lambda _: None,
) -> list[SeenPhoto]:
    """What is to be remembered of photos that are trained on.

    Args:
        source: The aligned crops: as they were prepared, or as the user has them.
        indices: Which of them; None is all.
        crop_of: Place in `indices` → its crop, where that is at hand; None reads it from the source.
        progress: Told as photos are done.

    Returns:
        One a photo, in order. A file that cannot be read leaves its hashes empty.
    """
    rows = list(range(len(source.keys))) if indices is None else [int(i) for i in indices]
    originals = _Originals()

    def look_at(place: int) -> SeenPhoto:
        i = rows[place]
        photo, crop = _contents(source, i, originals)
        try:
            image = source.read(i) if crop_of is None else crop_of(place)
        except ImageError:
            look = b""
        else:
            look = look_of(image)
        person = source.names[source.labels[i]]
        return SeenPhoto(source.keys[i], person, photo, crop, look.hex())

    for i in rows:  # manifests are read once, before threads ask for them
        path = _path(source, i)
        if path is not None:
            originals.of(path)
    found = []
    for one in side_by_side(look_at, range(len(rows)), available_threads()):
        found.append(one)
        progress(1)
    return found


def write_seen(folder: Path, photos: Iterable[SeenPhoto]) -> None:
    """Write `photos.csv` of a run.

    Raises:
        FacewiseError: It cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(astuple(photo) for photo in photos)
    write_bytes(folder / PHOTOS, text.getvalue().encode("utf-8", "surrogateescape"))


def read_seen(folder: str | os.PathLike[str]) -> list[SeenPhoto]:
    """Read `photos.csv` of a run.

    Raises:
        DatasetError: It is missing or damaged; the line is named.
    """
    path = Path(folder) / PHOTOS
    if not path.is_file():
        raise DatasetError(
            f"There is no {PHOTOS} in {source_name(folder)}: name the folder of a training run that "
            "recorded its photos."
        )
    photos = []
    for line, fields in read_csv(path, _COLUMNS, blank=_COLUMNS[1:]):
        photo = SeenPhoto(*fields)
        if not (_HASH.fullmatch(photo.photo) and _HASH.fullmatch(photo.crop) and _LOOK.fullmatch(photo.look)):
            raise DatasetError(f"Line {line} of {source_name(path)} is damaged: a hash is malformed.")
        photos.append(photo)
    return photos


def trained_on(
    photos: Sequence[SeenPhoto], people: Iterable[str] | None = None, *, most: int = MOST_PHOTOS
) -> TrainedOn:
    """What a model file is to say of photos.

    Args:
        photos: What was seen.
        people: Names; None takes those of the photos.
        most: See `TrainedOn.of`.
    """
    return TrainedOn.of(
        len(photos),
        {photo.person for photo in photos} if people is None else people,
        (digest for photo in photos for digest in (photo.photo, photo.crop)),
        (bytes.fromhex(photo.look) for photo in photos),
        most=most,
    )


def read_run(folder: str | os.PathLike[str]) -> TrainedOn:
    """What a training run has seen, however much it was; of one without a record of photos, its people.

    Raises:
        DatasetError: The folder is no run, or its record is damaged.
    """
    if not (Path(folder) / PHOTOS).is_file() and (Path(folder) / PEOPLE).is_file():
        return TrainedOn.of(0, read_people(Path(folder) / PEOPLE), (), (), most=-1)
    photos = read_seen(folder)
    return trained_on(photos, most=len(photos))


def record_in_model(
    path: str | os.PathLike[str], photos: Sequence[SeenPhoto], people: Iterable[str] | None = None
) -> ModelFile:
    """Write into a model file, in place and atomically, what it was trained on; the fingerprint stays.

    For a model that was trained before Facewise kept a record:
    `record_in_model("model.onnx", seen_photos(open_source("crops.csv")))`.

    Args:
        path: The model file.
        photos: See `seen_photos`.
        people: See `trained_on`.

    Raises:
        ModelError: It is no model file.
        FacewiseError: It cannot be written.
    """
    return save_trained_on(read_model(path), trained_on(photos, people))


class _Originals:
    """The photos that crops were cut from, by the manifests of the folders they lie in."""

    def __init__(self) -> None:
        self._folders: dict[Path, Mapping[str, str]] = {}

    def of(self, crop: Path) -> str | None:
        """The sha256 of the photo a file was cut from; None where it is no crop of ours."""
        folder = crop.parent.parent  # crops lie in a folder a person
        if folder not in self._folders:
            self._folders[folder] = _manifest(folder)
        return self._folders[folder].get(f"{crop.parent.name}/{crop.name}")


def _manifest(folder: Path) -> Mapping[str, str]:
    if not is_prepared(folder):
        return {}
    return {photo.crop: photo.sha256 for photo in read_manifest(folder)[2] if photo.crop}


def _path(source: Source, index: int) -> Path | None:
    """Where the photo lies; None where it is no file. Nothing is read."""
    if isinstance(source, Subset):
        return _path(source.source, int(source.indices[index]))
    return source.path(index) if isinstance(source, FileSource) else None


def _contents(source: Source, index: int, originals: _Originals) -> tuple[str, str]:
    """The sha256 of the photo's file, and that of its crop's."""
    path = _path(source, index)
    try:
        digest = photo_hash(source, index)
    except ImageError:  # gone since its crop was read
        digest = ""
    original = None if path is None else originals.of(path)
    return (digest, "") if original is None else (original, digest)
