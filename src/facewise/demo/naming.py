"""Enrolling people in a gallery, and who is in new photos: theirs, and strangers'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from facewise.demo.blocks import Face, Faces, Section, Table, percent
from facewise.demo.cast import People, spoken
from facewise.demo.choosing import Chosen
from facewise.demo.plan import Plan
from facewise.demo.teller import Teller
from facewise.drawing import AMBER, BLUE, GREEN, RED
from facewise.errors import FacewiseError
from facewise.gallery import Gallery
from facewise.types import Image


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said of one photo.

    Attributes:
        key: The photo.
        truth: Who it is, None for a stranger.
        said: Who it was taken for, None for a stranger.
        similarity: To the best candidate.
    """

    key: str
    truth: str | None
    said: str | None
    similarity: float

    @property
    def right(self) -> bool:
        """Whether it was said rightly."""
        return self.said == self.truth

    @property
    def colour(self) -> tuple[int, int, int]:
        """Green is right, amber not recognised, red a wrong name."""
        if self.right:
            return GREEN
        return AMBER if self.said is None else RED


def name_faces(
    people: People, chosen: Chosen, plan: Plan, out: Path, crops: Mapping[str, Image], teller: Teller
) -> Section:
    """Enrol `cast.enrolled`, then identify their other photos and those of strangers.

    Args:
        people: Whose photos.
        chosen: The model and threshold.
        plan: How many photos of each.
        out: The demo's folder: `gallery.db` is made there.
        crops: Photo → its face, to show; a photo without one is not shown.
        teller: Told of progress.

    Raises:
        GalleryError: Nobody could be enrolled.
    """
    section = Section(f"{chosen.name}, as above.")
    with Gallery.open(out / "gallery.db", pipeline=chosen.pipeline) as gallery:
        enrolled = _enrol(gallery, people, chosen, plan, section, teller)
        answers = _identify(gallery, people, enrolled, chosen, plan, section, teller)
    known = [answer for answer in answers if answer.truth is not None]
    strangers = [answer for answer in answers if answer.truth is None]
    right, wrong = sum(a.right for a in known), sum(a.colour == RED for a in known)
    rows = [
        ["people in the gallery", "the right name", percent(right, len(known))],
        ["people in the gallery", "unknown", percent(len(known) - right - wrong, len(known))],
        ["people in the gallery", "a wrong name", percent(wrong, len(known))],
        ["strangers", "unknown", percent(sum(a.right for a in strangers), len(strangers))],
        ["strangers", "a name", percent(sum(not a.right for a in strangers), len(strangers))],
    ]
    told = (
        f"{len(enrolled)} people were enrolled by at most {plan.enrol_photos} photos each, then {len(known)} "
        f"other photos of them and {len(strangers)} of {len(people.cast.strangers)} strangers identified."
    )
    caution = (
        f"A stranger's photo is compared with every enrolled one, so more than {chosen.fmr:.1%} of strangers "
        "may get a name, though that is the rate of a single comparison."
    )
    section.blocks += [
        told,
        Table(["photos of", "said to be", "photos"], rows, (2,)),
        caution,
        Faces(_sheet(people, enrolled, answers, plan, crops)),
    ]
    unknown = percent(sum(a.right for a in strangers), len(strangers))
    section.short = (
        f"Of photos of people enrolled, {percent(right, len(known))} get the right name and {wrong} a wrong "
        f"one; of strangers' photos, {unknown} are told as unknown."
    )
    section.numbers = {
        "enrolled": len(enrolled),
        "probes": len(known),
        "named_right": right,
        "named_wrong": wrong,
        "missed": len(known) - right - wrong,
        "strangers": len(strangers),
        "strangers_told_as_unknown": sum(a.right for a in strangers),
    }
    return section


def _enrol(
    gallery: Gallery, people: People, chosen: Chosen, plan: Plan, section: Section, teller: Teller
) -> list[str]:
    enrolled, trouble = [], []
    with teller.bar("Enrolling", len(people.cast.enrolled)) as done:
        for name in people.cast.enrolled:
            photos = [people.path(key) for key in _first(people, name, plan)]
            try:
                gallery.enroll(spoken(name), photos, fmr=chosen.fmr)
                enrolled.append(name)
            except FacewiseError as error:
                trouble.append(error)
                section.blocks.append(f"{spoken(name)} could not be enrolled: {error}")
            done()
    if not enrolled:
        raise trouble[0]
    return enrolled


def _identify(
    gallery: Gallery,
    people: People,
    enrolled: Sequence[str],
    chosen: Chosen,
    plan: Plan,
    section: Section,
    teller: Teller,
) -> list[Answer]:
    probes: list[tuple[str, str | None]] = []
    for name in enrolled:
        start = len(_first(people, name, plan))
        probes += [(key, spoken(name)) for key in people.photos[name][start : start + plan.probes]]
    for name in people.cast.strangers:
        probes += [(key, None) for key in people.photos[name][: plan.probes]]
    answers = []
    found = gallery.identify_many([people.path(key) for key, _ in probes], fmr=chosen.fmr)
    with teller.bar("Identifying", len(probes)) as done:
        for (key, truth), (photo, matches) in zip(probes, found, strict=True):
            if photo.error is not None or not matches:
                section.blocks.append(f"Left out: {photo.error or f'no face was found in {key}.'}")
            else:
                answers.append(Answer(key, truth, matches[0].name, matches[0].similarity))
            done()
    return answers


def _first(people: People, name: str, plan: Plan) -> tuple[str, ...]:
    """The photos to enrol somebody by: one is left to identify."""
    photos = people.photos[name]
    return photos[: max(1, min(plan.enrol_photos, len(photos) - 1))]


def _sheet(
    people: People, enrolled: Sequence[str], answers: Sequence[Answer], plan: Plan, crops: Mapping[str, Image]
) -> list[tuple[str, list[Face]]]:
    """A group for each person, the enrolled photos first; the strangers last."""
    groups = []
    for name in enrolled:
        who = spoken(name)
        tiles = [
            Face(crops[key], "enrolled", f"{who}, enrolled", BLUE)
            for key in _first(people, name, plan)
            if key in crops
        ]
        groups.append((who, [*tiles, *_tiles([a for a in answers if a.truth == who], crops)]))
    strangers = _tiles([a for a in answers if a.truth is None], crops)
    groups.append(("Strangers: all should be unknown", strangers))
    return [(title, tiles) for title, tiles in groups if tiles]


def _tiles(answers: Sequence[Answer], crops: Mapping[str, Image]) -> list[Face]:
    verdicts = {GREEN: "right", AMBER: "not recognised", RED: "wrong"}
    return [
        Face(
            crops[a.key],
            f"{a.said or 'unknown'}\n{a.similarity:.2f}",
            f"{a.truth or 'A stranger'}, said to be {a.said or 'unknown'}: {verdicts[a.colour]}",
            a.colour,
        )
        for a in answers
        if a.key in crops
    ]
