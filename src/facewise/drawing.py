"""Pictures for people: boxes and names on photos, contact sheets of crops."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from facewise.errors import SettingError
from facewise.files import atomic_write
from facewise.types import Face, Image

GREEN, RED, AMBER, BLUE = (46, 160, 67), (218, 54, 51), (210, 153, 34), (56, 122, 223)
"""For a known person, a wrong one, a stranger, and a plain face."""

_PAPER, _INK = (255, 255, 255), (36, 41, 47)
_DRAWABLE = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture of a contact sheet.

    Attributes:
        image: (H, W, 3) RGB; scaled to the sheet's tile size.
        caption: Up to two lines under it.
        colour: Of its frame.
    """

    image: Image
    caption: str
    colour: tuple[int, int, int] = BLUE


def draw_faces(
    image: Image, faces: Sequence[Face], labels: Sequence[str], colours: Sequence[tuple[int, int, int]]
) -> Image:
    """A photo with a box, five points and a label for each face.

    Args:
        image: (H, W, 3) RGB uint8; left as it is.
        faces: What to draw.
        labels: One a face, may be empty.
        colours: One a face.

    Returns:
        A new (H, W, 3) RGB uint8.
    """
    canvas = PIL.Image.fromarray(image)
    draw = PIL.ImageDraw.Draw(canvas)
    line = max(2, round(max(image.shape[:2]) / 400))
    for face, label, colour in zip(faces, labels, colours, strict=True):
        draw.rectangle([float(v) for v in face.box], outline=colour, width=line)
        for x, y in face.landmarks.tolist():
            draw.ellipse([x - line, y - line, x + line, y + line], fill=colour)
        if label:
            _draw_label(draw, face, label, colour, canvas.size)
    return np.array(canvas)


def contact_sheet(rows: Sequence[tuple[str, Sequence[Tile]]], *, tile: int = 112, columns: int = 10) -> Image:
    """Rows of pictures, each under a heading; long rows wrap.

    Args:
        rows: Heading and pictures of each row.
        tile: Side of a picture in pixels.
        columns: Pictures side by side at most.

    Returns:
        (H, W, 3) RGB uint8.

    Raises:
        SettingError: There is nothing to draw.
    """
    if not any(tiles for _, tiles in rows):
        raise SettingError("There is nothing to draw on the contact sheet.")
    gap, caption, heading = 8, 30, 28
    wide = max(1, min(columns, max(len(tiles) for _, tiles in rows)))
    lines = [(title, [tiles[i : i + wide] for i in range(0, len(tiles), wide)]) for title, tiles in rows]
    height = gap + sum(heading * bool(title) + len(parts) * (tile + caption + gap) for title, parts in lines)
    width = max(gap + wide * (tile + gap), 320)
    canvas = PIL.Image.new("RGB", (width, height), _PAPER)
    draw = PIL.ImageDraw.Draw(canvas)
    y = gap
    for title, parts in lines:
        if title:
            draw.text((gap, y + 4), title, fill=_INK, font=_font(16))
            y += heading
        for part in parts:
            for i, item in enumerate(part):
                _draw_tile(canvas, draw, item, (gap + i * (tile + gap), y), tile)
            y += tile + caption + gap
    return np.array(canvas)


def save_image(path: str | os.PathLike[str], image: Image) -> None:
    """Write a picture; the format follows the name's ending.

    Raises:
        SettingError: Another ending than .jpg, .jpeg, .png or .webp.
        FacewiseError: The file cannot be written.
    """
    if os.path.splitext(os.fspath(path))[1].lower() not in _DRAWABLE:  # noqa: PTH122  any path-like
        raise SettingError(f"Cannot draw to {os.fspath(path)}: name it with one of {', '.join(_DRAWABLE)}.")
    with atomic_write(path) as temporary:
        PIL.Image.fromarray(image).save(temporary, quality=92)


def _draw_tile(
    canvas: PIL.Image.Image, draw: PIL.ImageDraw.ImageDraw, item: Tile, at: tuple[int, int], tile: int
) -> None:
    x, y = at
    picture = PIL.Image.fromarray(item.image).resize((tile, tile), PIL.Image.Resampling.BILINEAR)
    canvas.paste(picture, (x, y))
    draw.rectangle([x, y, x + tile - 1, y + tile - 1], outline=item.colour, width=3)
    font = _font(11)
    for row, text in enumerate(item.caption.split("\n")[:2]):
        draw.text((x, y + tile + 2 + 13 * row), _fit(text, font, tile), fill=_INK, font=font)


def _draw_label(
    draw: PIL.ImageDraw.ImageDraw,
    face: Face,
    label: str,
    colour: tuple[int, int, int],
    size: tuple[int, int],
) -> None:
    """The label over the box, or inside it where the photo ends."""
    font = _font(min(max(12, round(face.width / 6)), max(12, size[0] // 20)))
    left, top, right, bottom = draw.textbbox((0, 0), label, font=font)
    width, height = right - left + 8, bottom - top + 8
    x = min(max(0.0, float(face.box[0])), max(0.0, size[0] - width))
    y = float(face.box[1]) - height
    y = min(max(0.0, y), max(0.0, size[1] - height))
    draw.rectangle([x, y, x + width, y + height], fill=colour)
    draw.text((x + 4 - left, y + 4 - top), label, fill=_PAPER, font=font)


def _fit(text: str, font: PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _font(size: int) -> PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont:
    return PIL.ImageFont.load_default(size)
