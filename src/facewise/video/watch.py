"""Looking at frames: which are looked at, what was found in them, who it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from facewise.errors import ImageError, SettingError
from facewise.gallery import Gallery
from facewise.gallery.reader import FaceReader
from facewise.gallery.results import Identification
from facewise.gallery.search import Scoring
from facewise.models.decisions import rule_of
from facewise.pipeline import Pipeline
from facewise.types import Decision, Face, Image, Quality
from facewise.video.people import GAP, people_of
from facewise.video.reader import MAX_PIXELS, MAX_SECONDS, FrameSource, Stamp
from facewise.video.results import Appearance
from facewise.video.track import Track
from facewise.video.tracker import Likeness, Tracker

Progress = Callable[[int, int | None], None]
"""Told how many frames are done, and of how many if that is known."""

LOOKS_A_SECOND = 8.0
"""How often faces are searched for unless asked otherwise (docs/video.md has what more and fewer cost)."""

_IN_FLIGHT = 48_000_000
"""Pixels of a frame × threads above which frames are looked at one by one, lest memory fill with them."""

_RARE = 2.5
"""Looks that may be missed before somebody counts as away, where looks are so rare that `GAP` has fewer."""


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """How a video is looked at.

    Attributes:
        every: Search for faces in each N-th frame; None is `LOOKS_A_SECOND` by the times of the frames.
        seconds: Only the first so many seconds; None is all.
        patience: Seconds for which a face that is not seen is waited for; who comes back later gets a new
            track, and is told once all the same.
        min_faces: Tracks of fewer looks, or that last for less than that many looks at `LOOKS_A_SECOND` do,
            are left out, and counted: most are a detector's slips.
        max_pixels: Refuse larger frames.
        max_seconds: What comes later is left out, and told.

    Raises:
        SettingError: A value out of range.
    """

    every: int | None = None
    seconds: float | None = None
    patience: float = 2.0
    min_faces: int = 2
    max_pixels: int = MAX_PIXELS
    max_seconds: float = MAX_SECONDS

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 1:
            raise SettingError(f"Faces are searched for in every N-th frame, N at least 1, not {self.every}.")
        if self.seconds is not None and not self.seconds > 0:
            raise SettingError(f"The seconds to look at must be more than 0, not {self.seconds}.")
        if not (self.patience >= 0 and self.min_faces >= 1 and self.max_pixels >= 1 and self.max_seconds > 0):
            raise SettingError("Patience is at least 0, and the other limits of a video are above 0.")


class Asked:
    """Asks whether to stop, if there is anybody to ask, and remembers that it did."""

    def __init__(self, stop: Callable[[], bool] | None) -> None:
        self._stop = stop
        self.stopped = False

    def __call__(self) -> bool:
        """Whether to stop."""
        self.stopped = self.stopped or (self._stop is not None and self._stop())
        return self.stopped


class Follower:
    """Looks at some of the frames of a file or camera, and follows the faces from one to the next.

    Args:
        reader: Finds faces, and embeds them, so that a track is of one person.
        settings: How to look.
        fps: Of the source.
        likeness: What similarities mean.
    """

    def __init__(self, reader: FaceReader, settings: VideoSettings, fps: float, likeness: Likeness) -> None:
        self.reader, self._settings, self._likeness = reader, settings, likeness
        step = 1 / LOOKS_A_SECOND if settings.every is None else settings.every / fps
        self.gap = max(GAP, _RARE * step)
        self.tracker = Tracker(likeness, patience=max(settings.patience, _RARE * step), step=step)
        self.looked_at = 0
        self._half_frame, self._due = 0.5 / fps, 0.0
        self.newest = Stamp(-1, 0.0)

    def due(self, stamp: Stamp) -> bool:
        """Whether faces are searched for in this frame."""
        if self._settings.every is not None:
            return stamp.frame % self._settings.every == 0
        if stamp.seconds < self._due - self._half_frame:
            return False
        # From the last look that was due, so that rounding to frames does not add up; after a pause from now.
        self._due = max(self._due, stamp.seconds - 1 / LOOKS_A_SECOND) + 1 / LOOKS_A_SECOND
        return True

    def look(self, stamp: Stamp, faces: tuple[Face, ...], size: tuple[int, int]) -> None:
        """What was found in a frame of (height, width)."""
        self.looked_at += 1
        self.tracker.look(stamp, faces, size)

    def tracks(self) -> tuple[list[Track], int]:
        """The tracks that tell something, and how many were too brief to."""
        tracks, least = self.tracker.tracks, self._settings.min_faces
        # In time as well, so that who is told does not depend on how often was looked.
        shortest = (least - 1) / LOOKS_A_SECOND - self._half_frame
        told = [t for t in tracks if len(t) >= least and t.times[-1] - t.times[0] >= shortest]
        if self.looked_at <= 2 * least:
            told = tracks  # of a video of two or three looks, one is what there is
        return told, len(tracks) - len(told)

    def watch(
        self,
        source: FrameSource,
        stop: Callable[[], bool],
        progress: Progress | None,
        total: int | None,
    ) -> str | None:
        """Looks at a source to its end, or until told to stop; frames are looked at side by side.

        Returns:
            What was wrong with a frame that ended it, or None.

        Raises:
            ImageError: The first frame cannot be decoded.
        """
        looks: deque[tuple[Stamp, tuple[int, int]]] = deque()
        problems: list[str] = []

        def images() -> Iterator[Image]:
            for stamp in source.stamps():
                if self._settings.seconds is not None and stamp.seconds >= self._settings.seconds:
                    return
                if stop():
                    return
                if self.due(stamp):
                    try:
                        image = source.image()
                    except ImageError as error:
                        if stamp.frame == 0:
                            raise
                        problems.append(str(error))
                        return
                    looks.append((stamp, (image.shape[0], image.shape[1])))
                    yield image
                self.newest = stamp
                if progress is not None:
                    progress(stamp.frame + 1, total)

        for faces in self._read(images(), source):
            stamp, size = looks.popleft()
            self.look(stamp, faces, size)
        return problems[0] if problems else None

    def _read(self, images: Iterable[Image], source: FrameSource) -> Iterator[tuple[Face, ...]]:
        reader = self.reader
        pixels = getattr(source, "width", 0) * getattr(source, "height", 0)
        large = pixels * getattr(reader, "threads", 1) > _IN_FLIGHT
        for one in map(reader.read, images) if large else reader.read_many(images):
            if one.error is not None:
                raise one.error
            yield tuple(one.faces)


class Watcher(Follower):
    """Collects what is seen, and says who it was; for files and cameras alike.

    Args:
        gallery: Who is known, with the pipeline that finds and embeds faces.
        settings: How to look.
        fps: Of the source.
        decision: The rule.
        scoring: How a person's samples make a score.
        top: How many candidates to name.
        groups: Only people in any of these; None is everybody.
    """

    def __init__(
        self,
        gallery: Gallery,
        settings: VideoSettings,
        fps: float,
        decision: Decision | None,
        scoring: Scoring = "best",
        top: int = 5,
        groups: Collection[str] | None = None,
    ) -> None:
        calibration = gallery.pipeline.embedder.calibration
        reader = gallery.pipeline
        # Most frames without a sure face show none: looking at them in four ways takes four times as long.
        reader = reader.upright_only() if isinstance(reader, Pipeline) else reader
        super().__init__(reader, settings, fps, Likeness.of(calibration, decision))
        self._gallery, self._scoring, self._top, self._groups = gallery, scoring, top, groups
        self.decision = decision
        alive = reader.liveness if isinstance(reader, Pipeline) else None
        self.liveness = None if alive is None else alive.calibration
        self._by_quality = rule_of(decision, calibration) is not None
        self._refuse_foreign()

    def _refuse_foreign(self) -> None:
        """Before the work rather than after it."""
        self.who(np.empty((0, self._gallery.pipeline.embedder.embedding_size), np.float32))

    def look(self, stamp: Stamp, faces: tuple[Face, ...], size: tuple[int, int]) -> None:
        """What was found in a frame of (height, width)."""
        if not self._by_quality:
            faces = tuple(replace(face, quality=_as_measured(face.quality)) for face in faces)
        super().look(stamp, faces, size)

    def who(self, embeddings: ArrayLike) -> list[Identification]:
        """Who each of `(P, D)` embeddings is."""
        embedder = self._gallery.pipeline.embedder
        return self._gallery.identify_embeddings(
            embeddings,
            fingerprint=embedder.fingerprint,
            model=embedder.name,
            flip=embedder.flip,
            decision=self.decision,
            scoring=self._scoring,
            top=self._top,
            groups=self._groups,
            calibration=embedder.calibration,
        )

    def people(self) -> tuple[list[Appearance], int]:
        """Everybody so far, and how many tracks were too brief to tell."""
        told, brief = self.tracks()
        join = self._likeness.join
        return people_of(told, self.who, self.decision, join, self.gap, self.liveness), brief


def _as_measured(quality: Quality | None) -> Quality | None:
    """Without what nothing is decided by, where the user gave the threshold or the model knows no quality."""
    return None if quality is None else replace(quality, value=None, reasons=())
