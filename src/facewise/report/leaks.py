"""Whether the models were trained on what they are measured on: said loudly, at the top of the page."""

from __future__ import annotations

from facewise.evaluation.leak_check import LeakCheck, LeakPolicy
from facewise.evaluation.leakage import Leakage
from facewise.evaluation.pairs import photos_of
from facewise.report.html import Html, count, heading, note
from facewise.report.measured import Measurements


def leaks_of(measured: Measurements) -> tuple[Leakage, ...]:
    """What the data have in common with what each model was trained on."""
    data, people = measured.data, measured.data.people()
    photos = [(photo, data.file.root / photo, people.get(photo, "")) for photo in photos_of(data.file.pairs)]
    models = [one.model for one in measured.models]
    check = LeakCheck(models, [one.name for one in measured.models], LeakPolicy.MARK)
    return check.find(photos, cache=measured.cache).found


def leak_warnings(found: tuple[Leakage, ...]) -> list[str]:
    """For the top of the page: one sentence a model that has seen photos of the data."""
    return [
        f"{one.model} was trained on {count(len(one.photos), 'photo')} of these data "
        f"({one.photos_told()}): its figures flatter it and say little of photos it has not seen."
        for one in found
        if one.photos
    ]


def leak_notes(found: tuple[Leakage, ...]) -> list[Html]:
    """For the section on provenance: what was looked for, and what could not be."""
    parts = [heading("Training photos among the data")]
    for one in found:
        told = []
        if one.photos_checked and not one.photos:
            told.append(f"{one.model}: none of its training photos is among the data.")
        if one.photos:
            told.append(f"{one.model}: {one.photos_told()}.")
        if one.people:
            told.append(f"People of the same names were learned: {one.people_told()}.")
        parts += [note(sentence) for sentence in (*told, *one.caveats)]
    return parts
