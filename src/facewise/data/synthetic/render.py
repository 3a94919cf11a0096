"""A person and a view to a photo and what is known of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facewise.data.synthetic.background import background
from facewise.data.synthetic.camera import Camera
from facewise.data.synthetic.canvas import GAMMA, Pixels
from facewise.data.synthetic.figure import figure
from facewise.data.synthetic.glasses import put_on
from facewise.data.synthetic.light import shade
from facewise.data.synthetic.mesh import places_in
from facewise.data.synthetic.person import Person
from facewise.data.synthetic.raster import rasterise
from facewise.data.synthetic.truth import Truth, truth_of
from facewise.data.synthetic.view import View
from facewise.types import Image

SAMPLES = 1.5
"""A side is drawn with this many times its pixels and then scaled down, which smooths edges."""

_LEVELS = 4096
_SCREEN = np.round(255 * (np.arange(_LEVELS) / (_LEVELS - 1)) ** (1 / GAMMA), 3).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """A drawn photo.

    Attributes:
        image: (size, size, 3) RGB uint8, before it becomes a JPEG file.
        truth: What is known of it.
    """

    image: Image
    truth: Truth


def render(person: Person, view: View) -> Rendered:
    """Draws a person as a view has them; the same pixels every time."""
    cut, truth = cut_out(person, view)
    rng = np.random.default_rng([view.seed, view.person, view.photo, 2])
    picture = background(rng, view.size, view.size)
    lay_over(picture, cut)
    if view.cover > 0:
        _hold_before(picture, truth, view.cover, rng)
    return Rendered(developed(picture, view, rng), truth)


def cut_out(person: Person, view: View) -> tuple[Pixels, Truth]:
    """A person before nothing: (size, size, 4) linear colour times cover, and cover."""
    made = figure(person)
    posed = made.posed(view)
    camera = Camera.of(view)
    side = round(view.size * SAMPLES)
    large = camera.enlarged(side / view.size)
    points = large.planes(posed.mesh.points).reshape(3, -1)
    seen = rasterise(points, places_in(posed.mesh.rows), posed.mesh.triangles, side)
    planes = np.zeros((4, side * side), np.float32)
    planes[3, seen.pixels] = 1
    for plane, values in zip(planes, shade(posed, view, seen), strict=False):
        plane[seen.pixels] = values
    square = np.asarray(cv2.merge([*planes.reshape(4, side, side)]), np.float32)
    put_on(square, seen.depth.reshape(side, side), made.head, view, posed.rotation, large)
    cut = cv2.resize(square, (view.size, view.size), interpolation=cv2.INTER_AREA)
    return np.asarray(cut, np.float32), truth_of(person, view)


def lay_over(picture: Pixels, cut: Pixels) -> None:
    """Puts a cut-out (H, W, 4) before a picture (H, W, 3)."""
    cv2.multiply(picture, cv2.merge([1 - cut[..., 3]] * 3), dst=picture)
    cv2.add(picture, cv2.cvtColor(cut, cv2.COLOR_RGBA2RGB), dst=picture)


def developed(picture: Pixels, view: View, rng: np.random.Generator) -> Image:
    """Linear colour to a photo: exposure, lens, screen colour, grain."""
    if view.blur > 0.05:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), view.blur), np.float32)
    index = picture * np.float32(view.exposure * (_LEVELS - 1))
    index += np.float32(0.5)
    screen = _SCREEN[np.clip(index, 0, _LEVELS - 1, out=index).astype(np.uint16)]
    if view.noise > 0:
        screen += _grain(screen.shape, view.noise, rng)
    screen += np.float32(0.5)
    return np.clip(screen, 0, 255, out=screen).astype(np.uint8)


def _grain(shape: tuple[int, ...], deviation: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise that is as good as normal: sums of four bytes, much quicker to draw."""
    count = math.prod(shape)
    first, second, third, fourth = np.frombuffer(rng.bytes(4 * count), np.uint8).reshape(4, count)
    total = np.add(first, second, dtype=np.uint16) + np.add(third, fourth, dtype=np.uint16)
    found = total.astype(np.float32)
    found -= np.float32(4 * 127.5)
    found *= np.float32(deviation / math.sqrt(4 * (256**2 - 1) / 12))
    return found.reshape(shape)


def _hold_before(picture: Pixels, truth: Truth, share: float, rng: np.random.Generator) -> None:
    """Something plain that covers a share of the face's box, from one of its sides."""
    x1, y1, x2, y2 = (float(v) for v in truth.box)
    edge = int(rng.integers(3))
    width, height = x2 - x1, y2 - y1
    rectangle = (
        (x1 - width, y1 - height, x1 + share * width, y2 + height),
        (x2 - share * width, y1 - height, x2 + width, y2 + height),
        (x1 - width, y2 - share * height, x2 + width, y2 + height),
    )[edge]
    left, top, right, bottom = (int(np.clip(v, 0, picture.shape[0])) for v in rectangle)
    tone = rng.uniform(0.05, 0.6, 3).astype(np.float32)
    mask: Pixels = np.zeros(picture.shape[:2], np.float32)
    mask[top:bottom, left:right] = 1
    turn = cv2.getRotationMatrix2D(((x1 + x2) / 2, (y1 + y2) / 2), float(rng.uniform(-25, 25)), 1.0)
    mask = np.asarray(cv2.warpAffine(mask, turn, (picture.shape[1], picture.shape[0])), np.float32)
    picture += mask[..., None] * (tone - picture)


def encode(image: Image, quality: int) -> bytes:
    """A photo as a JPEG file, colour at full resolution."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY, quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]  # fmt: skip
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return data.tobytes()
