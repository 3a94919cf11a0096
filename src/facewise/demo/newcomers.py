"""Drawn people introduced, and what finds their faces."""

from __future__ import annotations

import itertools

from facewise.demo.blocks import Face, Faces, Section
from facewise.demo.cast import People, people_of, spoken
from facewise.demo.detectors import detecting
from facewise.demo.drawn import Known, KnownFaces, draw_people
from facewise.demo.finding import choose_on_drawn, try_on_drawn
from facewise.demo.story import Story
from facewise.detection import Detector


def draw_and_find(story: Story, detector: Detector | None) -> tuple[People, Detector]:
    """Draw people, and choose what finds their faces.

    Args:
        story: The demo.
        detector: The default one, or None where none is installed.
    """
    plan, teller = story.plan, story.teller
    made: list[tuple[People, dict[str, Known]]] = []

    def draw() -> Section:
        total = plan.people * plan.photos
        count = itertools.count(1)
        with teller.bar("Drawing", total) as done:

            def drawn() -> None:
                done()
                story.clock.advance(next(count) / total)

            source, known = draw_people(story.out / "people", plan, story.threads, drawn)
        people = people_of(source, plan, drawn=True)
        made.append((people, known))
        return _introduce(people)

    story.step("Drawing people who do not exist", draw, "drawing")
    people, known = made[0]
    used: list[Detector] = []

    def find() -> Section:
        name, finding = "", None
        if detector is not None:
            name = detector.name
            finding = try_on_drawn(detecting(detector, story), people, known, plan, teller)
        if detector is None or finding is None or not finding.good:
            paths = {key: people.path(key) for key in people.source.keys}
            used.append(KnownFaces(known, paths, story.threads))
        else:
            used.append(detector)
        return choose_on_drawn(name, finding)

    story.step("Finding the faces", find, "finding")
    return people, used[0]


def _introduce(people: People) -> Section:
    """Who was drawn, and what for."""
    cast = people.cast
    section = Section()
    section.blocks.append(
        f"{len(people.source.names)} people were drawn, {len(people.source.keys)} photos: {len(cast.learn)} "
        f"people to learn from, {len(cast.measure)} to measure on, {len(cast.enrolled)} to enrol and "
        f"{len(cast.strangers)} strangers. The four groups share nobody. Numbers on drawn people show that "
        "the parts work together; they say nothing of how good a model is on photos."
    )
    shown = [*cast.enrolled[:4], *cast.strangers[:2]]
    tiles = [
        (
            spoken(name),
            [
                Face(
                    people.source.read(people.source.keys.index(key)), "", f"A drawn photo of {spoken(name)}"
                )
                for key in people.photos[name][:3]
            ],
        )
        for name in shown
    ]
    section.blocks.append(Faces(tiles))
    section.numbers = {
        "people": len(people.source.names),
        "photos": len(people.source.keys),
        "learn": len(cast.learn),
        "measure": len(cast.measure),
        "enrolled": len(cast.enrolled),
        "strangers": len(cast.strangers),
    }
    return section
