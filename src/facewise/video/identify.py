"""Who is in a video, and when: from a file or a camera to people with intervals."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from facewise.errors import ImageError
from facewise.gallery import Gallery
from facewise.gallery.names import told_name
from facewise.gallery.search import Scoring
from facewise.types import FloatArray
from facewise.video.annotate import BoxesByFrame, Label, annotate, drawn, label_of, labels_by_track
from facewise.video.people import identified
from facewise.video.reader import Camera, VideoFile
from facewise.video.results import VideoResult
from facewise.video.watch import Asked, Progress, VideoSettings, Watcher
from facewise.video.writer import check_out, codec_for, video_out

DEFAULT_SETTINGS = VideoSettings()

SHOWN = 0.5
"""Seconds for which a camera's annotated video shows where somebody should be who is not found just now."""


def identify_video(
    path: str | os.PathLike[str],
    gallery: Gallery,
    *,
    fmr: float | None = None,
    fpir: float | None = None,
    threshold: float | None = None,
    scoring: Scoring = "best",
    top: int = 5,
    groups: Collection[str] | None = None,
    settings: VideoSettings = DEFAULT_SETTINGS,
    out: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> VideoResult:
    """Says who is in a video file, and when.

    Faces are searched for in some of the frames, followed from one to the next, and each track is decided
    once, by the quality-weighted mean of its embeddings. See `docs/video.md` for how, and what it is worth.

    Args:
        path: A local file whose content is a video, whatever it is called.
        gallery: Who is known; its pipeline finds and embeds the faces.
        fmr: As for `Gallery.identify`.
        fpir: Likewise.
        threshold: Likewise.
        scoring: Likewise.
        top: How many candidates to name.
        groups: As for `Gallery.identify`.
        settings: How to look.
        out: Where to write the video again with boxes and names (no sound), by the ending .mp4, .m4v, .mov,
            .mkv, .avi or .webm.
        progress: Called as frames are done, on the calling thread.
        stop: Asked at each frame; once it says True, what was seen until then is told.

    Returns:
        Everybody with their times. A file that is damaged somewhere is told up to there, with its `problem`.

    Raises:
        ImageError: The file is missing, no video, over a limit, or damaged from its start.
        GalleryError: The gallery is of another model.
        SettingError: A setting out of range, or an ending or codec that cannot be written.
        FacewiseError: `out` cannot be written.
    """
    if out is not None:
        check_out(out, path)
    rule = {"fmr": fmr, "fpir": fpir, "threshold": threshold}
    decision = gallery.search_decision(**rule, scoring=scoring, groups=groups)
    limits = {"max_pixels": settings.max_pixels, "max_seconds": settings.max_seconds}
    with VideoFile(path, **limits) as video:  # type: ignore[arg-type]
        watcher = Watcher(gallery, settings, video.fps, decision, scoring, top, groups)
        asked = Asked(stop)
        problem = watcher.watch(video, asked, progress, video.frames)
        result = _result(watcher, video, problem or video.problem, stopped=asked.stopped)
    result = replace(result, source=os.fsdecode(path))
    if out is not None:
        boxes = BoxesByFrame(watcher.tracker.tracks, labels_by_track(result.people), watcher.gap)
        with VideoFile(path, **limits) as again, video_out(out, video.fps) as file:  # type: ignore[arg-type]
            annotate(again, boxes, file, result.frames, progress)
        result = replace(result, out=os.fspath(out))
    return result


def identify_camera(
    number: int,
    gallery: Gallery,
    *,
    fmr: float | None = None,
    fpir: float | None = None,
    threshold: float | None = None,
    scoring: Scoring = "best",
    top: int = 5,
    groups: Collection[str] | None = None,
    settings: VideoSettings = DEFAULT_SETTINGS,
    out: str | os.PathLike[str] | None = None,
    seen: Callable[[float, str, float], None] | None = None,
    stop: Callable[[], bool] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> VideoResult:
    """Says who comes before a camera, until `stop` or the settings' `seconds`.

    What was seen is told as for a file. In the annotated video of a camera each frame bears what was known by
    then: a name appears when a track has one.

    Args:
        number: Which camera, from 0.
        gallery: As for `identify_video`, and so are the other arguments.
        fmr: Likewise.
        fpir: Likewise.
        threshold: Likewise.
        scoring: Likewise.
        top: Likewise.
        groups: Likewise.
        settings: Likewise.
        out: Likewise.
        seen: Told the time, what to call them and the similarity when somebody comes or is called otherwise.
        stop: Asked at each frame.
        clock: Seconds that never go back.

    Raises:
        ImageError: The camera cannot be opened, or gave no frame.
        GalleryError: The gallery is of another model.
        SettingError: A setting out of range, or an ending or codec that cannot be written.
        FacewiseError: `out` cannot be written.
    """
    if out is not None:
        codec_for(Path(out).suffix)
    asked = Asked(stop)
    rule = {"fmr": fmr, "fpir": fpir, "threshold": threshold}
    decision = gallery.search_decision(**rule, scoring=scoring, groups=groups)
    with ExitStack() as stack:
        camera = stack.enter_context(Camera(number, clock=clock))
        watcher = Watcher(gallery, settings, camera.fps, decision, scoring, top, groups)
        file = None if out is None else stack.enter_context(video_out(out, camera.fps))
        live = _Live(watcher, seen)
        for stamp in camera.stamps():
            if asked() or (settings.seconds is not None and stamp.seconds >= settings.seconds):
                break
            watcher.newest = stamp
            looked = watcher.due(stamp)
            if not (looked or file):
                continue
            image = camera.image()
            if looked:
                faces = tuple(watcher.reader.read(image).faces)
                watcher.look(stamp, faces, (image.shape[0], image.shape[1]))
                live.tell(stamp.seconds)
            if file is not None:
                file.write(drawn(image, live.boxes(stamp.seconds)), stamp.seconds)
        result = _result(watcher, camera, camera.problem, stopped=asked.stopped)
    return result if out is None else replace(result, out=os.fspath(out))


class _Live:
    """What is known of those before a camera now."""

    def __init__(self, watcher: Watcher, seen: Callable[[float, str, float], None] | None) -> None:
        self._watcher, self._seen = watcher, seen
        self._told: dict[int, tuple[str | None, str, float, bool]] = {}

    def tell(self, seconds: float) -> None:
        """After a look: who is there, told where that is news."""
        tracks = [t for t in self._watcher.tracker.waiting if t.times[-1] == seconds and len(t) > 1]
        for track, _, who in identified(tracks, self._watcher.who, self._watcher.liveness):
            unsure = not who.decided and who.candidates
            label = who.note or (f"{who.candidates[0].name}?" if unsure else "unknown")
            if who.name is not None:
                label = told_name(who.name)
            before = self._told.get(track.number)
            if self._seen is not None and (before is None or before[1] != label):
                self._seen(seconds, label, who.similarity)
            self._told[track.number] = (who.name, label, who.similarity, who.decided)

    def boxes(self, seconds: float) -> list[tuple[FloatArray, Label]]:
        """Where they should be now, with what to call them; who was just missed once is still shown."""
        shown = []
        for track in self._watcher.tracker.waiting:
            told = self._told.get(track.number)
            if told is not None and seconds - track.times[-1] <= SHOWN:
                shown.append((track.predicted(seconds).astype(np.float32), label_of(*told)))
        return shown


def _result(
    watcher: Watcher, source: VideoFile | Camera, problem: str | None, *, stopped: bool
) -> VideoResult:
    frames = watcher.newest.frame + 1
    if not frames and not stopped:
        raise ImageError(f"{source.name} has no frame that can be read: it is damaged or cut short.")
    people, brief = watcher.people()
    seconds = max(watcher.newest.seconds, 0.0)
    fps = (frames - 1) / seconds if seconds > 0 and frames > 1 else source.fps
    return VideoResult(
        source.name, source.width, source.height, fps, frames, watcher.looked_at, seconds, tuple(people),
        brief, watcher.decision, problem, stopped,
    )  # fmt: skip
