"""Whether a test set holds what a model was trained on: photos by content and by look, people by name.

A model file remembers its training photos as hashes (`facewise.models.trained_on`). A test on photos it has
seen says nothing of photos it has not, and a test on other photos of people it has seen little of strangers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from facewise.data.look import looks_alike
from facewise.models.file import ModelCard
from facewise.models.trained_on import TrainedOn
from facewise.types import Image

How = Literal["is", "looks like"]

NAMED = 5
"""Photos and people named in a sentence; the others are in the JSON."""


@dataclass(frozen=True, slots=True)
class TestedPhoto:
    """A photo of a test set.

    Attributes:
        name: What to call it.
        sha256: Of its file, hex; empty if it could not be read.
        look: Of its aligned crop, see `facewise.data.look`; empty where that was not looked at, or no face
            was found.
        person: Who it shows; empty where nobody says.
    """

    __test__ = False  # no test of pytest's

    name: str
    sha256: str
    look: bytes = b""
    person: str = ""


@dataclass(frozen=True, slots=True)
class CommonPhoto:
    """A photo of a test set that was trained on.

    Attributes:
        photo: Its name in the test set.
        how: `is`: a file of the same content was trained on; `looks like`: a photo whose face looks the same
            was, as that of one saved again or scaled.
        person: Who it shows; empty where nobody says.
    """

    photo: str
    how: How
    person: str


@dataclass(frozen=True, slots=True)
class Leakage:
    """What a test set has in common with what a model was trained on.

    Attributes:
        model: What the model is called.
        training_photos: How many photos it was trained on; None where that is not recorded.
        photos_checked: Whether the photos could be looked for.
        looks_checked: Whether their looks could.
        photos: Those in common, in the order of the test set.
        people: Names in common, sorted; names can be of different people.
        caveats: What could not be checked, a sentence each.
    """

    model: str
    training_photos: int | None
    photos_checked: bool
    looks_checked: bool
    photos: tuple[CommonPhoto, ...]
    people: tuple[str, ...]
    caveats: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether there is anything in common."""
        return bool(self.photos or self.people)

    @property
    def everybody(self) -> set[str]:
        """People in common by name, and those the photos in common show."""
        return set(self.people) | {common.person for common in self.photos if common.person}

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {
            "training_photos": self.training_photos,
            "photos_checked": self.photos_checked,
            "looks_checked": self.looks_checked,
            "photos_in_common": [asdict(common) for common in self.photos],
            "people_in_common": list(self.people),
            "not_checked": list(self.caveats),
        }

    def photos_told(self) -> str:
        """Which photos, for people: how many, and the first few by name."""
        same = sum(common.how == "is" for common in self.photos)
        alike = len(self.photos) - same
        parts = [f"{same} the same" if same else "", f"{alike} that look the same" if alike else ""]
        names = _some([common.photo for common in self.photos])
        return f"{' and '.join(filter(None, parts))}: {names}"

    def people_told(self) -> str:
        """Which names, for people."""
        return _some(self.people)


def find_leakage(
    card: ModelCard,
    photos: Sequence[TestedPhoto],
    people: Iterable[str] = (),
    *,
    name: str | None = None,
    trained_on: TrainedOn | None = None,
    crop_of: Callable[[int], Image | None] | None = None,
) -> Leakage:
    """What a test set has in common with what a model was trained on.

    Args:
        card: Of the model.
        photos: Of the test set, each once; see `facewise.evaluation.leak_check` for where to get them.
        people: Names of the test set's people.
        name: What to call the model; None is its own name.
        trained_on: What it was trained on, where its file does not say: see `facewise.data.seen.read_run`.
        crop_of: Place in `photos` → the aligned crop, for photos whose look is near one trained on; see
            `facewise.data.look.looks_alike`.
    """
    called = card.name if name is None else name
    record = card.trained_on if trained_on is None else trained_on
    if record is None:
        caveat = f"What {called} was trained on is not recorded, so leakage cannot be checked."
        return Leakage(called, None, False, False, (), (), (caveat,))
    is_same = record.has_contents(photo.sha256 for photo in photos)
    is_like = looks_alike([photo.look for photo in photos], record.look_words(), crop_of)
    common = tuple(
        CommonPhoto(photo.name, "is" if same else "looks like", photo.person)
        for photo, same, alike in zip(photos, is_same, is_like, strict=True)
        if same or alike
    )
    names = sorted(set(people))
    return Leakage(
        model=called,
        training_photos=record.photos if record.photos or record.listed else None,
        photos_checked=record.listed,
        looks_checked=record.listed and any(photo.look for photo in photos),
        photos=common,
        people=tuple(n for n, known in zip(names, record.has_names(names), strict=True) if known),
        caveats=tuple(_caveats(called, card, record)),
    )


def _caveats(called: str, card: ModelCard, record: TrainedOn) -> Iterable[str]:
    if not record.listed:
        count = f"its {record.photos:,} training photos" if record.photos else "its training photos"
        yield (
            f"{called} comes without a list of {count}, so only people were looked for, by name; "
            "--trained-on RUN names the run that has it."
        )
    teachers = card.training.get("teachers")
    if isinstance(teachers, list) and teachers:
        told = ", ".join(str(one.get("name", "?")) if isinstance(one, dict) else "?" for one in teachers)
        yield f"{called} learned from {told}, whose own training photos are not looked for."


def _some(names: Sequence[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
