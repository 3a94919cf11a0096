"""Videos whose truth is known, of real faces: photos of people moved across a background."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facewise.image import read_image
from facewise.video.writer import video_out

FPS = 25.0
HEIGHT, WIDTH = 540, 960
_CUT = (slice(30, 230), slice(50, 200))
"""What is shown of a photo of LFW: the head, in the middle of its 250 × 250 pixels."""

_POSE = 1.0
"""Seconds for which one photo of a person is shown before the next: another pose, light and year."""


@dataclass(frozen=True)
class Walker:
    """One person on their way, behind those who come later in the list.

    Attributes:
        name: Who.
        photos: Shown in turn.
        start: Seconds.
        seconds: How long.
        path: x from, x to, y, in pixels of the patch's middle.
        height: Of the patch in pixels; a face fills about half of it.
    """

    name: str
    photos: tuple[Path, ...]
    start: float
    seconds: float
    path: tuple[float, float, float]
    height: int

    def at(self, seconds: float) -> tuple[float, float] | None:
        """The middle of the patch, None while they are away."""
        share = (seconds - self.start) / self.seconds
        if not 0 <= share < 1:
            return None
        x = self.path[0] + share * (self.path[1] - self.path[0])
        return x, self.path[2] + 0.03 * self.height * float(np.sin(9 * seconds))


def cast(folder: Path, people: int, seed: int, photos: int = 8) -> dict[str, tuple[Path, ...]]:
    """So many people of a folder with a sub-folder a person, each with so many photos or more."""
    many = [p for p in sorted(folder.iterdir()) if len(list(p.glob("*.jpg"))) >= photos]
    chosen = np.random.default_rng(seed).choice(len(many), people, replace=False)
    return {many[i].name: tuple(sorted(many[i].glob("*.jpg"))[:photos]) for i in chosen}


def stage(people: dict[str, tuple[Path, ...]], seconds: float, seed: int, shown: int = 2) -> list[Walker]:
    """People who cross the picture, some there and back; `shown` photos of each are left for enrolling."""
    rng = np.random.default_rng(seed)
    walkers = []
    for i, (name, photos) in enumerate(people.items()):
        height = int(rng.integers(170, 260))
        left, right = -0.4 * height, WIDTH + 0.4 * height
        start, length = rng.uniform(0, 0.35) * seconds, rng.uniform(0.25, 0.4) * seconds
        ends = (left, right) if i % 2 else (right, left)
        y = float(rng.uniform(0.5 * height, HEIGHT - 0.5 * height))
        walkers.append(Walker(name, photos[shown:], start, length, (*ends, y), height))
        if i % 3 == 0:  # and comes back
            again = min(start + length + 0.1 * seconds, 0.75 * seconds)
            back = (ends[1], ends[0], float(rng.uniform(0.5 * height, HEIGHT - 0.5 * height)))
            walkers.append(Walker(name, photos[shown:][::-1], again, seconds - again, back, height))
    return walkers


def frames(walkers: Sequence[Walker], seconds: float, seed: int = 0) -> Iterator[np.ndarray]:
    """RGB frames: a background that pans, the walkers with motion blur, a pillar in front of all."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(40, 200, (24, 64, 3), dtype=np.uint8)
    wide = cv2.resize(rough, (WIDTH + 400, HEIGHT), interpolation=cv2.INTER_CUBIC)
    patches = {photo: _patch(photo, w.height) for w in walkers for photo in w.photos}
    for i in range(round(seconds * FPS)):
        at = i / FPS
        pan = int(200 + 150 * np.sin(at / 3))
        canvas = wide[:, pan : pan + WIDTH].astype(np.float32)
        for walker in walkers:
            if (middle := walker.at(at)) is not None:
                photo = walker.photos[int((at - walker.start) / _POSE) % len(walker.photos)]
                speed = abs(walker.path[1] - walker.path[0]) / walker.seconds / FPS
                _paste(canvas, *patches[photo], middle, max(1, round(speed / 2)))
        canvas[:, 610:650] = 90
        yield np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def write(path: Path, walkers: Sequence[Walker], seconds: float, seed: int = 0) -> Path:
    """The video as a file."""
    with video_out(path, FPS) as out:
        for i, image in enumerate(frames(walkers, seconds, seed)):
            out.write(image, i / FPS)
    return path


def in_view(walkers: Sequence[Walker], seconds: float) -> dict[str, tuple[float, float, float]]:
    """Whose face can be seen then: middle x, y and size; not those at the edge or behind someone."""
    seen: dict[str, tuple[float, float, float]] = {}
    spots = [(w, m) for w in walkers if (m := w.at(seconds)) is not None]
    for i, (walker, (x, y)) in enumerate(spots):
        size = 0.5 * walker.height
        front = [(u, v, 0.4 * other.height) for other, (u, v) in spots[i + 1 :]]
        hidden = any(abs(u - x) < half + size / 2 and abs(v - y) < half + size / 2 for u, v, half in front)
        pillar = x - size / 2 < 650 and x + size / 2 > 610
        if size / 2 < x < WIDTH - size / 2 and not hidden and not pillar:
            seen[walker.name] = (x, y, size)
    return seen


def _patch(photo: Path, height: int) -> tuple[np.ndarray, np.ndarray]:
    """The head and how much of it covers what is behind, with a soft edge."""
    cut = read_image(photo)[_CUT]
    width = round(height * cut.shape[1] / cut.shape[0])
    head = cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    cover = np.clip((1 - np.hypot(x, y)) / 0.12, 0, 1)[..., None].astype(np.float32)
    return head, cover


def _paste(
    canvas: np.ndarray, head: np.ndarray, cover: np.ndarray, middle: tuple[float, float], blur: int
) -> None:
    if blur > 1:
        head, cover = (cv2.blur(part, (blur, 1)) for part in (head, cover))
        cover = cover.reshape(*cover.shape[:2], 1)
    top, left = round(middle[1] - head.shape[0] / 2), round(middle[0] - head.shape[1] / 2)
    y1, x1 = max(top, 0), max(left, 0)
    y2, x2 = min(top + head.shape[0], HEIGHT), min(left + head.shape[1], WIDTH)
    if y2 > y1 and x2 > x1:
        part = (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
        canvas[y1:y2, x1:x2] += cover[part] * (head[part] - canvas[y1:y2, x1:x2])
