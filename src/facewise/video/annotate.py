"""Names and boxes on the frames of a video."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from facewise.drawing import AMBER, BLUE, GREEN, draw_faces
from facewise.errors import ImageError
from facewise.types import Face, FloatArray, Image
from facewise.video.reader import FrameSource
from facewise.video.results import Appearance
from facewise.video.track import Track
from facewise.video.writer import VideoOut


@dataclass(frozen=True, slots=True, eq=False)
class Label:
    """What is written at a box."""

    text: str
    colour: tuple[int, int, int]


def label_of(name: str | None, label: str, similarity: float, decided: bool) -> Label:
    """As on photos: green for a known person, amber for a stranger, blue where nothing was decided."""
    colour = GREEN if name is not None else AMBER if decided else BLUE
    return Label(f"{label} {similarity:.2f}" if similarity > -1 else label, colour)


def labels_by_track(people: Sequence[Appearance]) -> dict[int, Label]:
    """What to write at each track's boxes."""
    return {
        interval.track: label_of(person.name, person.label, interval.similarity, person.decided)
        for person in people
        for interval in person.intervals
    }


class BoxesByFrame:
    """Where every labelled track is at any frame: at the looks themselves, and on a straight line between.

    Args:
        tracks: All tracks.
        labels: By track number; those without one are left out.
        gap: Seconds between two looks from which there is no box between them.
    """

    def __init__(self, tracks: Sequence[Track], labels: Mapping[int, Label], gap: float) -> None:
        self._labels = labels
        self._gap = gap
        self._tracks = sorted(
            (
                (np.array(t.frames), np.array(t.times), t.boxes, t.number)
                for t in tracks
                if t.number in labels
            ),
            key=lambda one: int(one[0][0]),
        )
        self._next = 0
        self._open: list[int] = []

    def at(self, frame: int) -> list[tuple[FloatArray, Label]]:
        """Boxes and labels of a frame; frames are asked for in order."""
        while self._next < len(self._tracks) and self._tracks[self._next][0][0] <= frame:
            self._open.append(self._next)
            self._next += 1
        self._open = [i for i in self._open if self._tracks[i][0][-1] >= frame]
        shown = []
        for i in self._open:
            frames, times, boxes, number = self._tracks[i]
            after = int(np.searchsorted(frames, frame))
            if frames[after] == frame:
                shown.append((boxes[after], self._labels[number]))
            elif times[after] - times[after - 1] <= self._gap:
                share = (frame - frames[after - 1]) / (frames[after] - frames[after - 1])
                box = boxes[after - 1] + np.float32(share) * (boxes[after] - boxes[after - 1])
                shown.append((box, self._labels[number]))
        return shown


def drawn(image: Image, boxes: Sequence[tuple[FloatArray, Label]]) -> Image:
    """The frame with boxes and names, as `facewise.drawing.draw_faces` draws them on photos."""
    nowhere = np.empty((0, 2), np.float32)  # between looks there are no landmarks to show
    faces = [Face(box, 1.0, nowhere) for box, _ in boxes]
    return draw_faces(image, faces, [label.text for _, label in boxes], [label.colour for _, label in boxes])


def annotate(
    source: FrameSource,
    boxes: BoxesByFrame,
    out: VideoOut,
    frames: int,
    progress: Callable[[int, int | None], None] | None = None,
) -> None:
    """Writes the first frames of a source, drawn on.

    Args:
        source: Opened anew.
        boxes: What to draw.
        out: Where to.
        frames: How many.
        progress: Told how many are done, of how many.
    """
    for stamp in source.stamps():
        if stamp.frame >= frames:
            return
        try:
            image = source.image()
        except ImageError:
            return  # the same damage that ended the search for faces
        out.write(drawn(image, boxes.at(stamp.frame)), stamp.seconds)
        if progress is not None:
            progress(stamp.frame + 1, frames)
        if stamp.frame + 1 >= frames:
            return
