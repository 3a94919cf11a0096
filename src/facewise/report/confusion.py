"""Who is taken for whom: the confusion matrix as a picture, its worst part as a table, and the photos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facewise.metrics.classification_result import ClassificationResult
from facewise.report.figure import framed, image
from facewise.report.html import EMPTY, Html, count, grid, heading, join, note, photo, shown, text
from facewise.report.run_data import RunPhotos
from facewise.training.heldout import HeldOutPhotos

MOST_WHOLE = 200
"""Classes up to which the whole matrix is drawn: of more, a cell is less than a pixel or two."""

_WORST = 12
_NAMED = 30
_SIDE, _NAMES = 560.0, 130.0
CONFUSIONS = 10


def matrix_chart(result: ClassificationResult) -> Html:
    """The whole confusion matrix, a row a person, each row as shares of the person's photos."""
    classes = len(result.names)
    if classes > MOST_WHOLE:
        return note(
            f"The whole confusion matrix has {classes:,} × {classes:,} cells; up to {MOST_WHOLE} people are "
            "drawn whole, of more only the worst part."
        )
    matrix = result.confusion
    left = _NAMES if classes <= _NAMED else 8.0
    cell = _SIDE / classes
    marks = [f'<rect class="edge" x="{left}" y="8" width="{_SIDE}" height="{_SIDE}"/>']
    for i, j in np.argwhere(matrix).tolist():
        part = matrix[i, j] / matrix[i].sum()
        tone = "--heat" if i == j else "--miss"
        marks.append(
            f'<rect x="{left + j * cell:.1f}" y="{8 + i * cell:.1f}" width="{cell:.2f}" height="{cell:.2f}" '
            f'fill="rgba(var({tone}), {0.25 + 0.75 * part:.2f})"><title>{text(result.names[i])} taken for '
            f"{text(result.names[j])}: {count(int(matrix[i, j]), 'photo')}</title></rect>"
        )
    if classes <= _NAMED:
        marks += [
            f'<text x="{left - 6}" y="{8 + (i + 0.5) * cell + 4:.1f}" text-anchor="end">'
            f"{text(shown(name)[:18])}</text>"
            for i, name in enumerate(result.names)
        ]
    told = (
        f"A row for each of {classes} people in the photos, a column for each name given, in the same order. "
        "Blue is right, orange wrong, the stronger the larger the share of the person's photos."
    )
    size = (left + _SIDE + 8, _SIDE + 16)
    return framed("Confusion matrix", told, image("Confusion matrix", told, size, Html("\n".join(marks))))


def worst_part(result: ClassificationResult) -> Html:
    """The rows and columns of the people in the commonest confusions, with their counts."""
    names: list[str] = []
    for one in result.most_confused(_WORST):
        names += [name for name in (one.true, one.predicted) if name not in names]
    chosen = names[:_WORST]
    if not chosen:
        return note("Nobody was taken for anybody else.")
    rows = [result.names.index(name) for name in chosen]
    matrix = result.confusion
    head = "".join(f'<th scope="col">{text(shown(name))}</th>' for name in chosen)
    body = "\n".join(
        f'<tr><th scope="row">{text(shown(result.names[i]))}</th>'
        + "".join(_cell(int(matrix[i, j]), int(matrix[i].sum()), right=i == j) for j in rows)
        + "</tr>"
        for i in rows
    )
    return Html(
        '<div class="scroll" tabindex="0" role="region" aria-label="Most confused people">'
        '<table class="matrix"><caption>Rows: who is in the photos. Columns: who they were taken for. '
        f"The people in the commonest confusions.</caption><thead><tr><td></td>{head}</tr></thead>"
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _cell(photos: int, of: int, *, right: bool) -> str:
    if not photos:
        return "<td></td>"
    tone = "--heat" if right else "--miss"
    return f'<td style="background:rgba(var({tone}), {0.12 + 0.5 * photos / of:.2f})">{photos}</td>'


def confused_faces(
    result: ClassificationResult, known: HeldOutPhotos, photos: RunPhotos | None
) -> list[Html]:
    """For each common confusion a photo that was misnamed, beside one of whom it was taken for.

    Args:
        result: Of the same photos in the same order.
        known: Their keys.
        photos: Gives crops; None where they are left out.
    """
    confusions = result.most_confused(CONFUSIONS)
    if not confusions:
        return []
    pairs = [_examples(result, known, photos, one.true, one.predicted) for one in confusions]
    crops = {} if photos is None else photos.crops(key for two in pairs for key in two if key)
    tiles = []
    for one, (wrong, other) in zip(confusions, pairs, strict=True):
        two = EMPTY
        if photos is not None:
            two = Html(
                '<div class="two">'
                + join(
                    (
                        photo(crops.get(wrong), f"{one.true}, misnamed"),
                        photo(crops.get(other), f"{one.predicted}, whom it was taken for"),
                    ),
                    "",
                )
                + "</div>"
            )
        tiles.append(
            Html(
                f'<div class="pair">{two}<b>{one.count} of {round(one.count / one.share)}</b>'
                f'<span class="who">{text(shown(one.true))}<br>taken for '
                f"{text(shown(one.predicted))}</span></div>"
            )
        )
    return [
        heading("Most confused people"),
        Html("<p>Left a held-out photo that was misnamed, right a photo of whom it was taken for.</p>"),
        grid(tiles, "pairs"),
    ]


def _examples(
    result: ClassificationResult, known: HeldOutPhotos, photos: RunPhotos | None, true: str, predicted: str
) -> tuple[str, str]:
    """A misnamed photo, and one of the person it was taken for, held out or learned from; may be empty."""
    i, j = result.names.index(true), result.names.index(predicted)
    wrong = np.flatnonzero((result.labels == i) & (result.predicted == j))
    of: Sequence[int] = np.flatnonzero(result.labels == j).tolist()
    other = known.keys[of[0]] if of else ""
    if not other and photos is not None:
        other = next(iter(photos.of_person(predicted)), "")
    return known.keys[int(wrong[0])], other
