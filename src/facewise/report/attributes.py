"""The page of `facewise eval attributes --report`: figures, groups, confusion, and the faces told wrongly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from facewise.evaluation.attributes import AttributesResult, GroupFigure, WordFigures, Wrong
from facewise.metrics import Interval
from facewise.models.attributes import WORDS
from facewise.report.html import (
    EMPTY,
    Html,
    Tile,
    count,
    grid,
    heading,
    note,
    number,
    paragraph,
    photo,
    plain_table,
    share,
    span,
    text,
    tiles,
)
from facewise.report.page import Page, Section
from facewise.types import Image


def attributes_page(
    title: str,
    lead: Sequence[str],
    result: AttributesResult,
    wrong: Mapping[str, Sequence[Wrong]],
    crops: Mapping[int, Image],
    *,
    photos: bool = True,
) -> Page:
    """The report of one model on one CSV.

    Args:
        title: What was measured.
        lead: Sentences on how.
        result: All figures.
        wrong: Attribute → faces told wrongly.
        crops: Their crops, by place.
        photos: Whether to show them.
    """
    sections = []
    if result.age is not None:
        sections.append(_age(result))
    sections += [_words(name, figures, result) for name, figures in result.words.items()]
    if any(wrong.values()):
        sections.append(_wrong(wrong, crops, photos=photos))
    return Page(title, "Age, gender, emotion, race", list(lead), _top(result), sections)


def _top(result: AttributesResult) -> Html:
    items = []
    if result.age is not None:
        mae = result.age.mae
        items.append(Tile("age: mean absolute error", f"{number(mae.estimate, 2)} years", _ends(mae)))
    for name, figures in result.words.items():
        items.append(Tile(f"{name}: accuracy", share(figures.accuracy.estimate), span(figures.accuracy)))
    return tiles(items) if items else EMPTY


def _age(result: AttributesResult) -> Section:
    age = result.age
    assert age is not None  # noqa: S101  asked before
    lead = (
        f"Of {count(age.faces, 'face')}, {share(age.within_5)} are told within five years; the bias is "
        f"{number(age.bias, 2)} years. The 90% interval covers {share(age.coverage.estimate)} "
        f"({span(age.coverage)}) and is {number(age.width, 1)} years wide on average."
    )
    rows = [
        (
            group.group,
            f"{group.faces:,}",
            number(group.value.estimate, 2),
            _ends(group.value),
            *_covered(group),
        )
        for group in result.groups["age"]
    ]
    columns = (
        "group",
        "faces",
        "mean absolute error, years",
        "95% interval",
        "interval covers",
        "95% interval",
    )
    body = [plain_table(columns, rows, right=(1, 2, 4), caption="Age by group"), _worst("age", result, 2)]
    return Section("Age", "age", lead, body)


def _words(name: str, figures: WordFigures, result: AttributesResult) -> Section:
    answered = figures.accuracy_answered
    right = (
        "" if answered is None else f", and right in {share(answered.estimate)} ({span(answered)}) of these"
    )
    lead = (
        f"Of {count(figures.faces, 'face')}: macro F1 {share(figures.macro_f1.estimate)} "
        f"({span(figures.macro_f1)}), macro recall {share(figures.macro_recall.estimate)} "
        f"({span(figures.macro_recall)}), calibration error {share(figures.ece)}. The answer is sure for "
        f"{share(figures.answered)}{right}."
    )
    words = WORDS[name]
    matrix = [
        (word, *row, share(figures.recalls[word].estimate), span(figures.recalls[word]))
        for word, row in zip(words, figures.confusion, strict=True)
        if word in figures.recalls
    ]
    groups = [
        (group.group, f"{group.faces:,}", share(group.value.estimate), span(group.value))
        for group in result.groups[name]
    ]
    body = [
        heading("Labelled, told"),
        plain_table(
            ("labelled", *words, "right", "95% interval"),
            matrix,
            right=range(1, len(words) + 2),
            caption=f"{name}: labelled (row), told (column)",
        ),
    ]
    if groups:
        columns = ("group", "faces", "accuracy", "95% interval")
        body += [heading("By group"), plain_table(columns, groups, right=(1, 2), caption=f"{name} by group")]
    return Section(name.capitalize(), name, lead, [*body, _worst(name, result, 4)])


def _wrong(wrong: Mapping[str, Sequence[Wrong]], crops: Mapping[int, Image], *, photos: bool) -> Section:
    section = Section(
        "Faces told wrongly",
        "wrong",
        "Ages that are farthest off, and wrong words with the highest probability. Wrong labels show up here "
        "first.",
    )
    if not photos:
        section.body.append(note("Photos were left out on request (`--no-photos`)."))
    for name, faces in wrong.items():
        if faces:
            section.body += [
                heading(name.capitalize()),
                grid([_tile(face, crops, photos) for face in faces], "pairs"),
            ]
    return section


def _tile(face: Wrong, crops: Mapping[int, Image], photos: bool) -> Html:
    picture = photo(crops.get(face.place), f"Face labelled {face.labelled}") if photos else EMPTY
    sure = "" if face.probability is None else f" {number(face.probability, 2)}"
    return Html(
        f'<div class="pair">{picture}<b>{text(face.told)}{text(sure)}</b>'
        f'<span class="who">labelled {text(face.labelled)}</span></div>'
    )


def _worst(name: str, result: AttributesResult, digits: int) -> Html:
    group = result.worst(name)
    if group is None:
        return EMPTY
    return paragraph(
        f"Worst of the groups of 30 faces or more: {group.group}, {number(group.value.estimate, digits)} "
        f"({_ends(group.value, digits)}) of {count(group.faces, 'face')}."
    )


def _covered(group: GroupFigure) -> tuple[str, str]:
    return ("", "") if group.coverage is None else (share(group.coverage.estimate), span(group.coverage))


def _ends(interval: Interval, digits: int = 2) -> str:
    return f"{number(interval.low, digits)} – {number(interval.high, digits)}"
