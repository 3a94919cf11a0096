"""Pictures for people: boxes and names on photos, contact sheets of crops."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import TypeAlias

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from facewise.errors import SettingError
from facewise.filenames import unshowable
from facewise.files import atomic_write
from facewise.types import Face, Image, Mesh

GREEN, RED, AMBER, BLUE = (46, 160, 67), (218, 54, 51), (210, 153, 34), (56, 122, 223)
"""For a known person, a wrong one, a stranger, and a plain face."""

_PAPER, _INK = (255, 255, 255), (36, 41, 47)
_GAP, _CAPTION, _HEADING = 8, 30, 28
"""Of a contact sheet in pixels: between tiles, for two lines under a tile, for a heading."""

_SMALLEST = 320
"""Longer side up to which a small photo is enlarged before it is drawn on: a label has to fit."""

_FALLBACKS = (
    "NotoSans-Regular.ttf", "DejaVuSans.ttf", "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf", "Arial Unicode.ttf", "msyh.ttc", "arial.ttf",
)  # fmt: skip
"""Fonts systems commonly have, for scripts that the one inside Pillow lacks."""

_DRAWABLE = (".jpg", ".jpeg", ".png", ".webp")

_NOSE = 1
_OUTLINES = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7, 33),
    (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249, 263),
    (469, 470, 471, 472, 469),
    (474, 475, 476, 477, 474),
    (46, 53, 52, 65, 55, 107, 66, 105, 63, 70, 46),
    (276, 283, 282, 295, 285, 336, 296, 334, 293, 300, 276),
    (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146, 61),
    (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95, 78),
    (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176,
     149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109, 10),
)  # fmt: skip
"""Lines through points of MediaPipe's Face Mesh: lids, irises, brows, lips, the face's edge."""

_Font: TypeAlias = PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont


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
        A new (H', W', 3) RGB uint8: the photo's size, or a whole multiple of it for a very small photo.
    """
    times = max(1, _SMALLEST // max(image.shape[:2]))
    canvas = PIL.Image.fromarray(image)
    canvas = canvas.resize((canvas.width * times, canvas.height * times), PIL.Image.Resampling.BICUBIC)
    draw = PIL.ImageDraw.Draw(canvas)
    for face, label, colour in zip(faces, labels, colours, strict=True):
        box, width = face.box * times, face.width * times
        line, dot = max(2, round(width / 90)), max(1.5, width / 45)
        draw.rectangle([float(v) for v in box], outline=colour, width=line)
        for x, y in (face.landmarks * times).tolist():
            draw.ellipse([x - dot, y - dot, x + dot, y + dot], fill=colour)
        if label:
            _draw_label(draw, (float(box[0]), float(box[1])), width, label, colour, canvas.size)
    return np.array(canvas)


def draw_meshes(image: Image, meshes: Sequence[Mesh]) -> Image:
    """A photo with the points of each mesh, its outlines, and its pose as three axes from the nose.

    The axes are the head's own: red to its side, which is the image's right of a face from the front; green
    down; blue to where it looks.

    Args:
        image: (H, W, 3) RGB uint8; left as it is.
        meshes: What to draw.

    Returns:
        A new (H', W', 3) RGB uint8, as `draw_faces`.
    """
    times = max(1, _SMALLEST // max(image.shape[:2]))
    canvas = PIL.Image.fromarray(image)
    canvas = canvas.resize((canvas.width * times, canvas.height * times), PIL.Image.Resampling.BICUBIC)
    draw = PIL.ImageDraw.Draw(canvas)
    for mesh in meshes:
        points = mesh.points[:, :2].astype(np.float64) * times
        size = float(np.ptp(points, axis=0).max())
        dot, line = max(0.5, size / 500), max(1, round(size / 200))
        for x, y in points.tolist():
            draw.ellipse([x - dot, y - dot, x + dot, y + dot], fill=BLUE)
        for outline in _OUTLINES:
            draw.line([tuple(points[i]) for i in outline], fill=_PAPER, width=line)
        axes = mesh.pose.rotation[:2].T * (size / 2)
        for axis, colour in zip(axes, (RED, GREEN, BLUE), strict=True):
            draw.line([tuple(points[_NOSE]), tuple(points[_NOSE] + axis)], fill=colour, width=3 * line)
    return np.array(canvas)


def contact_sheet(rows: Sequence[tuple[str, Sequence[Tile]]], *, tile: int = 112, columns: int = 10) -> Image:
    """Groups of pictures, each under a heading; long groups wrap, short ones share a line.

    Args:
        rows: Heading and pictures of each group.
        tile: Side of a picture in pixels.
        columns: Pictures side by side at most.

    Returns:
        (H, W, 3) RGB uint8.

    Raises:
        SettingError: There is nothing to draw.
    """
    if not any(tiles for _, tiles in rows):
        raise SettingError("There is nothing to draw on the contact sheet.")
    step = tile + _GAP
    lines = list(_lines(rows, step, columns))
    width = max(_GAP + step * max(start + span for line in lines for start, span, *_ in line), _SMALLEST)
    heights = [_HEADING * any(title for *_, title, _ in line) + tile + _CAPTION + _GAP for line in lines]
    canvas = PIL.Image.new("RGB", (width, _GAP + sum(heights)), _PAPER)
    draw = PIL.ImageDraw.Draw(canvas)
    y = _GAP
    for line, height in zip(lines, heights, strict=True):
        below = y + height - (tile + _CAPTION + _GAP)
        for start, span, title, tiles in line:
            x = _GAP + start * step
            # The last heading of a line may run on to the edge.
            room = (width - x if line[-1][0] == start else span * step) - _GAP
            _write(draw, (x, y + 4), title, 16, room)
            for i, item in enumerate(tiles):
                _draw_tile(canvas, draw, item, (x + i * step, below), tile)
        y += height
    return np.array(canvas)


_Line: TypeAlias = list[tuple[int, int, str, Sequence[Tile]]]
"""Parts of one line of a contact sheet: first column, columns taken, heading, tiles."""


def _lines(rows: Sequence[tuple[str, Sequence[Tile]]], step: int, columns: int) -> Iterator[_Line]:
    """Lay groups out: one after the other in a line while they fit, a long one over several lines."""
    line: _Line = []
    taken = 0
    for title, tiles in rows:
        heading = ceil((_font_for(title, 16)[0].getlength(title) + 2 * _GAP) / step) if title else 1
        span = min(max(len(tiles), heading), columns)
        if line and taken + span > columns:
            yield line
            line, taken = [], 0
        if len(tiles) <= columns:
            line.append((taken, span, title, tiles))
            taken += span
            continue
        for i in range(0, len(tiles), columns):
            yield [(0, columns, title if i == 0 else "", tiles[i : i + columns])]
    if line:
        yield line


def check_drawable(path: str | os.PathLike[str]) -> None:
    """Refuses, before any work is done for it, a picture whose name ends in no format it can have.

    Raises:
        SettingError: Another ending than .jpg, .jpeg, .png or .webp.
    """
    if os.path.splitext(os.fspath(path))[1].lower() not in _DRAWABLE:  # noqa: PTH122  any path-like
        raise SettingError(f"Cannot draw to {os.fspath(path)}: name it with one of {', '.join(_DRAWABLE)}.")


def save_image(path: str | os.PathLike[str], image: Image) -> None:
    """Write a picture; the format follows the name's ending.

    Raises:
        SettingError: Another ending than .jpg, .jpeg, .png or .webp.
        FacewiseError: The file cannot be written.
    """
    check_drawable(path)
    with atomic_write(path) as temporary:
        PIL.Image.fromarray(image).save(temporary, quality=92)


def _draw_tile(
    canvas: PIL.Image.Image, draw: PIL.ImageDraw.ImageDraw, item: Tile, at: tuple[int, int], tile: int
) -> None:
    x, y = at
    picture = PIL.Image.fromarray(item.image).resize((tile, tile), PIL.Image.Resampling.BILINEAR)
    canvas.paste(picture, (x, y))
    draw.rectangle([x, y, x + tile - 1, y + tile - 1], outline=item.colour, width=3)
    for row, text in enumerate(item.caption.split("\n")[:2]):
        _write(draw, (x, y + tile + 2 + 13 * row), text, 11, tile)


def _draw_label(
    draw: PIL.ImageDraw.ImageDraw,
    corner: tuple[float, float],
    face_width: float,
    label: str,
    colour: tuple[int, int, int],
    size: tuple[int, int],
) -> None:
    """The label over the box, or inside it where the photo ends."""
    font, label = _font_for(label, min(max(12, round(face_width / 6)), max(12, size[0] // 20)))
    label = _fit(label, font, size[0] - 8)
    left, top, right, bottom = draw.textbbox((0, 0), label, font=font)
    width, height = right - left + 8, bottom - top + 8
    x = min(max(0.0, corner[0]), max(0.0, size[0] - width))
    y = min(max(0.0, corner[1] - height), max(0.0, size[1] - height))
    draw.rectangle([x, y, x + width, y + height], fill=colour)
    draw.text((x + 4 - left, y + 4 - top), label, fill=_PAPER, font=font)


def _write(draw: PIL.ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, room: int) -> None:
    font, text = _font_for(text, size)
    draw.text(at, _fit(text, font, room), fill=_INK, font=font)


def _fit(text: str, font: _Font, width: int) -> str:
    """The text, its middle left out if it is too long: files often differ in how their names end."""
    if font.getlength(text) <= width:
        return text
    for kept in range(min(len(text), width) - 1, 0, -1):
        shorter = text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :]
        if font.getlength(shorter) <= width:
            return shorter
    return "…"


def _font_for(text: str, size: int) -> tuple[_Font, str]:
    """A font that has every character of the text; where none has, `?` stands for those that are missing."""
    text = "".join("?" if unshowable(c) else " " if c.isspace() else c for c in text)
    best, lacks = "", _lacking("", text)
    for name in _FALLBACKS if lacks else ():
        missing = _lacking(name, text)
        if len(missing) < len(lacks):
            best, lacks = name, missing
    for c in lacks:
        # An accent or an emoji's modifier is no character of its own: it goes without a trace.
        text = text.replace(c, "" if unicodedata.category(c) in ("Mn", "Me", "Cf") else "?")
    return _font(best, size) or PIL.ImageFont.load_default(size), text


def _lacking(name: str, text: str) -> set[str]:
    return {c for c in text if not c.isascii() and not _has(name, c)}


@cache
def _has(name: str, character: str) -> bool:
    font = _font(name, 16)
    if not isinstance(font, PIL.ImageFont.FreeTypeFont):
        return False
    # A font draws what it lacks like a code point that never is a character.
    return bytes(font.getmask(character)) != bytes(font.getmask("\U0010ffff"))


@cache
def _font(name: str, size: int) -> _Font | None:
    """A font of the system, None if it is not there; Pillow's own for an empty name."""
    if not name:
        return PIL.ImageFont.load_default(size)
    try:
        return PIL.ImageFont.truetype(name, size)
    except OSError:
        return None
