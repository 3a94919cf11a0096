"""Predictions drawn on the photos, in a grid: who, how sure, right or wrong."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facewise.classify.classifier import Prediction
from facewise.classify.evaluating import Evaluated, Named
from facewise.classify.vectors import Model, files_of
from facewise.data.source import Source
from facewise.drawing import AMBER, BLUE, GREEN, RED, Tile, contact_sheet, draw_faces, save_image
from facewise.embedding import Embedder
from facewise.gallery.names import told_name
from facewise.image import read_image
from facewise.pipeline import Steps
from facewise.types import Face, Image

_TILE, _COLUMNS = 220, 6
_PAPER = 255


def draw_predictions(
    path: str | os.PathLike[str], photos: Sequence[tuple[Path, Sequence[Face], Sequence[Prediction]]]
) -> None:
    """Photos with a name and a probability at every face; green is a name, amber a stranger, blue undecided.

    Args:
        path: The picture to write.
        photos: Where each is, its faces, and who they are taken for.

    Raises:
        FacewiseError: The picture cannot be written.
    """
    tiles = []
    for photo, faces, predictions in photos:
        colours = [BLUE if one.note else AMBER if one.person is None else GREEN for one in predictions]
        drawn = draw_faces(read_image(photo), faces, [_label(one) for one in predictions], colours)
        tiles.append(Tile(_square(drawn), photo.name, colours[0] if colours else BLUE))
    save_image(path, contact_sheet([("", tiles)], tile=_TILE, columns=_COLUMNS))


def draw_evaluated(
    path: str | os.PathLike[str], found: Evaluated, source: Source, model: Model, *, most: int
) -> int:
    """Photos with who they are taken for; green is right, red is wrong, and then the truth is told.

    Args:
        path: The picture to write.
        found: What was measured.
        source: The photos.
        model: What found the faces; for crops that are aligned, an embedder.
        most: Photos drawn: half of them wrong ones, if there are so many; the others evenly from all.

    Returns:
        How many were drawn.

    Raises:
        FacewiseError: The picture cannot be written.
    """
    files = files_of(source)
    place = {key: i for i, key in enumerate(files.keys)}
    wrong = [one for one in found.photos if not one.right]
    right = [one for one in found.photos if one.right]
    few = wrong[: max(most // 2, most - len(right))]
    shown = [*few, *_evenly(right, most - len(few))]
    tiles = []
    for one in shown:
        image = read_image(files.path(place[one.key]))
        colour = GREEN if one.right else RED
        if not isinstance(model, Embedder):
            faces = model.read(image, Steps(embed=False, main_only=True)).faces
            image = draw_faces(
                image, faces[:1], [_label(one.prediction)][: len(faces)], [colour][: len(faces)]
            )
        tiles.append(Tile(_square(image), f"{_label(one.prediction)}\n{_truth(one)}", colour))
    save_image(path, contact_sheet([("", tiles)], tile=_TILE, columns=_COLUMNS))
    return len(shown)


def _label(one: Prediction) -> str:
    if one.note:
        return one.note
    if one.person is None:
        return f"unknown ({one.likeliest} {one.probability:.2f})"
    return f"{told_name(one.person)} {one.probability:.2f}"


def _truth(one: Named) -> str:
    if one.right:
        return "right"
    return f"wrong: {one.truth}" if one.known else f"wrong: a stranger, {one.truth}"


def _evenly(photos: Sequence[Named], count: int) -> list[Named]:
    if len(photos) <= count:
        return list(photos)
    return [photos[i] for i in np.linspace(0, len(photos) - 1, count).astype(int)]


def _square(image: Image) -> Image:
    """The photo in the middle of a white square: a contact sheet's tiles are square."""
    height, width = image.shape[:2]
    side = max(height, width)
    canvas = np.full((side, side, 3), _PAPER, dtype=np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    canvas[top : top + height, left : left + width] = image
    return canvas
