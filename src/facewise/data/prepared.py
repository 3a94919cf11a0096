"""A folder of aligned crops and the manifest that says what became of every photo.

`manifest.jsonl` begins with a line on how the crops were made; every other line is a `PreparedPhoto`. A line
is added when its crop is on disk, so that work that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from facewise.data.source import FileSource
from facewise.errors import DatasetError, SettingError
from facewise.files import write_bytes
from facewise.geometry import Alignment, Cut
from facewise.image import source_name

MANIFEST = "manifest.jsonl"
_VERSION = 1

Status = Literal["ok", "several faces", "no face", "unreadable"]


@dataclass(frozen=True, slots=True)
class PreparedPhoto:
    """What became of one photo.

    Attributes:
        key: Of the photo in its dataset.
        person: Who it shows.
        status: Of `several faces` the main one was taken.
        crop: File of the crop relative to the folder, with `/`; empty where there is none.
        bytes: Size of that file.
        faces: How many faces were found.
        score: The detector's confidence in the face taken; 0 without one.
        landmarks: Five (x, y) in pixels of the photo; none without a face.
        sha256: Of the photo's bytes; empty if it is unreadable.
        error: Why it is unreadable, or empty.
    """

    key: str
    person: str
    status: Status
    crop: str = ""
    bytes: int = 0
    faces: int = 0
    score: float = 0.0
    landmarks: tuple[tuple[float, float], ...] = ()
    sha256: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Making:
    """How the crops of a folder were made: all that has to be the same for work to go on.

    Attributes:
        size: Side of a crop in pixels.
        format: `png` or `jpg`.
        detector: Fingerprint of the detector.
        settings: Of the detector.
        alignment: How faces were cut, see `facewise.geometry.Cut`.
        margin: See there.
    """

    size: int
    format: str
    detector: str
    settings: dict[str, Any]
    alignment: Alignment = "5-point"
    margin: float = 0.0

    @property
    def cut(self) -> Cut:
        """How faces were cut.

        Raises:
            SettingError: There is no such cut.
        """
        return Cut(self.size, self.alignment, self.margin)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; alignment and margin are left out where crops are the plain 5-point ones."""
        plain = asdict(self)
        if self.alignment == "5-point":
            del plain["alignment"], plain["margin"]
        return plain


class PreparedSource(FileSource):
    """Aligned crops as a dataset. Keys are those of the photos, so that splits of the dataset hold for it.

    Attributes:
        size: Side of the crops in pixels.
        cut: How faces were cut.
        without: Keys of the photos that have no crop, for want of a face or because they are unreadable.
    """

    def __init__(
        self, folder: str | os.PathLike[str], making: Making, photos: Sequence[PreparedPhoto]
    ) -> None:
        cut = [photo for photo in photos if photo.crop]
        if not cut:
            raise DatasetError(f"There are no crops in {source_name(folder)}: no photo has a face.")
        people = sorted({photo.person for photo in cut})
        number = {person: i for i, person in enumerate(people)}
        labels = np.array([number[photo.person] for photo in cut], np.int64)
        super().__init__(source_name(folder), folder, [photo.key for photo in cut], labels, people)
        self.files = tuple(photo.crop for photo in cut)
        self.size, self.cut = making.size, making.cut
        self.without = frozenset(photo.key for photo in photos if not photo.crop)

    def path(self, index: int) -> Path:
        """Where the crop lies."""
        return self.root / self.files[index]


def is_prepared(path: str | os.PathLike[str]) -> bool:
    """Whether a folder holds crops that `prepare` made, all of them or not yet."""
    return (Path(path) / MANIFEST).is_file()


def open_prepared(folder: str | os.PathLike[str]) -> PreparedSource:
    """The crops that `prepare` made.

    Raises:
        DatasetError: There are none, or the work was not finished.
    """
    making, total, photos = read_manifest(Path(folder))
    if len(photos) != total:
        raise DatasetError(
            f"{source_name(folder)} is prepared in part, {len(photos)} of {total} photos: "
            "run `facewise data prepare` again, it goes on where it was."
        )
    return PreparedSource(folder, making, photos)


def read_manifest(folder: Path) -> tuple[Making, int, list[PreparedPhoto]]:
    """How a folder was made, how many photos were to be, and what became of those done.

    A last line that was not finished is left out.

    Raises:
        DatasetError: There is no manifest, or it is damaged; the line is named.
    """
    path = folder / MANIFEST
    name = source_name(path)
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        raise DatasetError(
            f"{source_name(folder)} was not prepared: run `facewise data prepare` on it."
        ) from None
    except OSError as error:
        raise DatasetError(f"Cannot read {name}: {error.strerror or error}.") from error
    number = 1
    try:
        header = json.loads(lines[0])
        if header.pop("facewise_prepared") != _VERSION:
            raise DatasetError(f"{name} is of another version of Facewise: prepare the photos again.")
        total = int(header.pop("photos"))
        making = Making(**header)
        _ = making.cut  # it has to make sense
        photos = []
        for number, line in enumerate(lines[1:], start=2):  # noqa: B007  named in the error
            photos.append(_parse(line))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, SettingError) as error:
        raise DatasetError(f"Line {number} of {name} is damaged: prepare the photos again.") from error
    return making, total, photos


def write_manifest(folder: Path, making: Making, total: int, photos: Iterable[PreparedPhoto]) -> None:
    """Write a whole manifest, at once or not at all.

    Raises:
        FacewiseError: It cannot be written.
    """
    header = json.dumps({"facewise_prepared": _VERSION, "photos": total, **making.to_dict()})
    write_bytes(folder / MANIFEST, "".join([header + "\n", *map(manifest_line, photos)]).encode())


def manifest_line(photo: PreparedPhoto) -> str:
    """A line of the manifest, with its end."""
    return json.dumps(asdict(photo)) + "\n"


def _parse(line: bytes) -> PreparedPhoto:
    data = json.loads(line)
    data["landmarks"] = tuple((float(x), float(y)) for x, y in data["landmarks"])
    photo = PreparedPhoto(**data)
    inside = Path(photo.crop)
    if not isinstance(photo.key, str) or not isinstance(photo.person, str):
        raise TypeError("names are text")
    if inside.is_absolute() or ".." in inside.parts:
        raise ValueError("a crop lies in its folder")
    return photo
