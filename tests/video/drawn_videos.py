"""Videos with a known truth: drawn people moved across a grey, uneven background, occluded, blurred, cut."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facewise.boxes import intersection_over_first, intersection_over_union
from tiny_models import person

FPS = 25.0
SIZE = (240, 320)

Faces = list[tuple[float, float, float, int]]
"""Centre x, y, diameter and person; a later one is in front."""

Scene = Callable[[float], Faces]
"""Who is where at a time in seconds."""


@dataclass(frozen=True)
class Bar:
    """Something grey that hides what is behind it: x1, y1, x2, y2."""

    box: tuple[int, int, int, int]


def frame(
    at: float, scene: Scene, size: tuple[int, int] = SIZE, *, bars: Sequence[Bar] = (), blur: float = 0.0
) -> np.ndarray:
    """RGB; `blur` is for how many seconds the shutter stays open."""
    moments = [at] if not blur else [at + blur * share for share in np.linspace(-0.5, 0.5, 7)]
    return np.rint(np.mean([_still(scene(t), size, bars) for t in moments], axis=0)).astype(np.uint8)


def _still(faces: Faces, size: tuple[int, int], bars: Sequence[Bar]) -> np.ndarray:
    y, x = np.mgrid[0 : size[0], 0 : size[1]] + 0.5
    grey = 70 + 30 * np.sin(x / 23) * np.cos(y / 17)
    canvas = np.repeat(grey[..., None], 3, axis=2)
    for cx, cy, diameter, who in faces:
        reach = diameter / 2 + 2
        rows = slice(max(int(cy - reach), 0), max(int(cy + reach), 0))
        columns = slice(max(int(cx - reach), 0), max(int(cx + reach), 0))
        part, px, py = canvas[rows, columns], x[rows, columns], y[rows, columns]
        cover = np.clip(diameter / 2 - np.hypot(px - cx, py - cy) + 0.5, 0, 1)[..., None]
        colour = np.array(person(who), dtype=np.float64)[2 * (py > cy).astype(int) + (px > cx).astype(int)]
        canvas[rows, columns] = part * (1 - cover) + colour * cover
    for bar in bars:
        x1, y1, x2, y2 = bar.box
        canvas[y1:y2, x1:x2] = 120
    return canvas


def write_frames(path: Path, frames: Sequence[np.ndarray], fps: float = FPS, codec: str = "") -> Path:
    codec = codec or {".avi": "MJPG", ".webm": "VP80"}.get(path.suffix, "mp4v")
    size = (frames[0].shape[1], frames[0].shape[0])
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), fps, size)
    assert writer.isOpened()
    for image in frames:
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def write_scene(path: Path, scene: Scene, seconds: float, fps: float = FPS, **look) -> Path:
    return write_frames(path, [frame(i / fps, scene, **look) for i in range(round(seconds * fps))], fps)


def boxes(faces: Faces) -> np.ndarray:
    rows = [(x - d / 2, y - d / 2, x + d / 2, y + d / 2) for x, y, d, _ in faces]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def in_view(faces: Faces, size: tuple[int, int] = SIZE, bars: Sequence[Bar] = ()) -> list[int]:
    """Who can be seen whole, or nearly: less than a tenth out of the picture or behind something."""
    where = boxes(faces)
    seen = []
    for i, (*_, who) in enumerate(faces):
        screen = np.array([0.0, 0.0, size[1], size[0]])
        hidden = 1 - float(intersection_over_first(where[i], screen))
        front = [*where[i + 1 :], *[np.array(bar.box, dtype=np.float64) for bar in bars]]
        hidden += sum(float(intersection_over_first(where[i], one)) for one in front)
        if hidden < 0.1:
            seen.append(who)
    return seen


def switches(tracks, scene: Scene) -> int:
    """How often a track goes over from one true person to another."""
    total = 0
    for track in tracks:
        before = None
        for at, box in zip(track.times, track.boxes, strict=True):
            faces = scene(at)
            overlap = intersection_over_union(boxes(faces), box)
            clear = np.sort(np.append(overlap, [0.0, 0.0]))
            if clear[-1] < 0.3 or clear[-2] > 0.1:  # nobody, or two behind each other
                continue
            who = faces[int(overlap.argmax())][3]
            total += before is not None and who != before
            before = who
    return total


def coverage(told, scene: Scene, who: int, seconds: float, fps: float = FPS, **view) -> tuple[float, float]:
    """Of the frames in which somebody is in view, the share in their intervals; and of those, the share true.

    `told` are the intervals of who they were said to be.
    """
    truth = np.array([who in in_view(scene(i / fps), **view) for i in range(round(seconds * fps))])
    said = np.zeros(len(truth), dtype=bool)
    for interval in told:
        said[interval.first_frame : interval.last_frame + 1] = True
    both = float((truth & said).sum())
    return both / max(truth.sum(), 1), both / max(said.sum(), 1)


# Bytes of MP4 files


def _replace(data: bytes, path: Sequence[bytes], make: Callable[[bytes], bytes]) -> bytes:
    """The file with the body of one box made anew, and the sizes of all that hold it."""
    at, out = 0, b""
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + size]
        if kind == path[0]:
            body = make(body) if len(path) == 1 else _replace(body, path[1:], make)
        out += struct.pack(">I4s", len(body) + 8, kind) + body
        at += size
    return out


def with_times(path: Path, milliseconds: Sequence[int]) -> Path:
    """An MP4 of OpenCV's with other times for its frames: a variable frame rate."""
    data = path.read_bytes()
    scale = 1000

    def header(body: bytes) -> bytes:  # version 0: created, modified, time scale, duration
        return body[:12] + struct.pack(">II", scale, sum(steps)) + body[20:]

    steps = [*np.diff(milliseconds).tolist(), 40]
    table = struct.pack(">II", 0, len(steps)) + b"".join(struct.pack(">II", 1, step) for step in steps)
    data = _replace(data, (b"moov", b"trak", b"mdia", b"mdhd"), header)
    data = _replace(data, (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"), lambda _: table)
    # The edit list speaks of the old duration.
    data = _replace(data, (b"moov", b"trak"), lambda body: body.replace(b"edts", b"free", 1))
    path.write_bytes(data)
    return path


def rotated(path: Path, degrees: int) -> Path:
    """An MP4 that asks to be shown turned clockwise, as telephones' videos do."""
    c, s = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    one = 1 << 16
    matrix = struct.pack(">9i", c * one, s * one, 0, -s * one, c * one, 0, 0, 0, 1 << 30)
    data = _replace(
        path.read_bytes(), (b"moov", b"trak", b"tkhd"), lambda body: body[:40] + matrix + body[76:]
    )
    path.write_bytes(data)
    return path
