"""What a model file remembers of the photos and people it was trained on, to know them again in a test set.

No photo and no name can be read from it, but whoever has a photo, or guesses a name, can test whether it is
among them: that is what it is for. `data.record_photos=false` leaves it out.
"""

from __future__ import annotations

import base64
import hashlib
import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.errors import ModelError

MOST_PHOTOS = 200_000
"""Photos of which a model file keeps a list; of more the training run alone does."""

PREFIX = 6
"""Bytes kept of a sha256: the chance that one of 13,000 other photos is taken for one of 200,000 is 1e-5."""

LOOK = 16
"""Bytes of a look, see `facewise.data.look`."""

Hashes = NDArray[np.uint64]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """Photos and people, as hashes.

    Attributes:
        photos: How many photos.
        people: How many people.
        contents: Starts of the sha256 of files, of the photos and of crops that were cut from them, `PREFIX`
            bytes each, rising, each once.
        looks: Looks of the aligned crops, `LOOK` bytes each, rising, each once.
        names: Starts of the sha256 of names, as `contents`; see `name_hash`.
        listed: False where there were more than `MOST_PHOTOS`: then contents and looks are empty.
    """

    photos: int
    people: int
    contents: bytes = field(default=b"", repr=False)
    looks: bytes = field(default=b"", repr=False)
    names: bytes = field(default=b"", repr=False)
    listed: bool = True

    @classmethod
    def of(
        cls,
        photos: int,
        names: Iterable[str],
        contents: Iterable[str],
        looks: Iterable[bytes],
        *,
        most: int = MOST_PHOTOS,
    ) -> TrainedOn:
        """Put a record together.

        Args:
            photos: How many photos there were.
            names: Of the people.
            contents: sha256 of files, in hex.
            looks: `LOOK` bytes each; empty ones are left out.
            most: Photos above which contents and looks are left out.
        """
        people = set(names)
        hashed = _joined({name_hash(name) for name in people})
        if photos > most:
            return cls(photos, len(people), names=hashed, listed=False)
        starts = {bytes.fromhex(digest)[:PREFIX] for digest in contents if digest}
        return cls(photos, len(people), _joined(starts), _joined({look for look in looks if look}), hashed)

    def joined(self, other: TrainedOn) -> TrainedOn:
        """Both together; photos and people that are in both are counted twice."""

        def both(name: str, size: int) -> bytes:
            parts = (_parted(getattr(one, name), size) for one in (self, other))
            return _joined({part for packed in parts for part in packed})

        return TrainedOn(
            self.photos + other.photos,
            self.people + other.people,
            both("contents", PREFIX),
            both("looks", LOOK),
            both("names", PREFIX),
            self.listed and other.listed,
        )

    def has_contents(self, digests: Iterable[str]) -> list[bool]:
        """Whether each of these sha256 (hex) is of a file trained on; an empty one is not."""
        known = set(_parted(self.contents, PREFIX))
        return [bool(digest) and bytes.fromhex(digest)[:PREFIX] in known for digest in digests]

    def has_names(self, names: Iterable[str]) -> list[bool]:
        """Whether somebody of each of these names was trained on."""
        known = set(_parted(self.names, PREFIX))
        return [name_hash(name) in known for name in names]

    def look_words(self) -> Hashes:
        """(L, 2) the looks as two words each."""
        return np.frombuffer(self.looks, ">u8").reshape(-1, 2).astype(np.uint64)

    def to_text(self) -> str:
        """The JSON kept in the model file."""
        data: dict[str, Any] = {"format": _FORMAT, "photos": self.photos, "people": self.people}
        data |= {"listed": self.listed}
        for name in ("contents", "looks", "names"):
            data[name] = base64.b64encode(getattr(self, name)).decode()
        return json.dumps(data)

    @classmethod
    def from_text(cls, text: str) -> TrainedOn:
        """Read the JSON of a model file.

        Raises:
            ModelError: It is of a newer format, or damaged.
        """
        try:
            data = json.loads(text)
            if int(data["format"]) > _FORMAT:
                raise ModelError("This model file was written by a newer Facewise; please upgrade Facewise.")
            packed = {
                name: base64.b64decode(data[name], validate=True) for name in ("contents", "looks", "names")
            }
            found = cls(int(data["photos"]), int(data["people"]), listed=bool(data["listed"]), **packed)
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ModelError(
                f"The model file's record of its training photos is damaged ({error})."
            ) from error
        for packed_hashes, size in ((found.contents, PREFIX), (found.looks, LOOK), (found.names, PREFIX)):
            if len(packed_hashes) % size:
                raise ModelError("The model file's record of its training photos is cut short.")
        return found


def name_hash(name: str) -> bytes:
    """What is kept of a name: `Abel_Pacheco` and `abel  pacheco` are the same."""
    plain = " ".join(unicodedata.normalize("NFKC", name).replace("_", " ").casefold().split())
    return hashlib.sha256(b"name\0" + plain.encode("utf-8", "surrogateescape")).digest()[:PREFIX]


def _joined(hashes: Iterable[bytes]) -> bytes:
    return b"".join(sorted(hashes))


def _parted(packed: bytes, size: int) -> Iterable[bytes]:
    return (packed[start : start + size] for start in range(0, len(packed), size))
