"""What the faces of a video look like: one answer a track, and the emotion over time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from facewise.analysis.attributes import AttributeModel
from facewise.analysis.pooling import pooled
from facewise.analysis.told import attributes_dict, in_one_line
from facewise.drawing import BLUE
from facewise.errors import ImageError
from facewise.image import ImageSource
from facewise.pipeline import PhotoFaces, Pipeline, Steps
from facewise.types import Attributes, Face, Guess
from facewise.video.annotate import BoxesByFrame, Label, annotate
from facewise.video.reader import Stamp, VideoFile
from facewise.video.track import Track, inside, look_weight
from facewise.video.tracker import Likeness
from facewise.video.watch import Asked, Follower, Progress, VideoSettings
from facewise.video.writer import check_out, video_out

_AROUND = 0.25
"""Seconds before and after a look whose looks count for its emotion too, lest one odd frame be told."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time for which the same was said of the emotion of a face.

    Attributes:
        start: Seconds from the start of the video to the first look.
        end: To the last.
        emotion: Pooled over its looks; None where nothing could be said.
        faces: How many looks there were.
    """

    start: float
    end: float
    emotion: Guess | None
    faces: int


@dataclass(frozen=True, slots=True)
class AnalyzedTrack:
    """One face of a video, followed without a longer gap.

    Attributes:
        number: Of the track, from 1.
        start: Seconds from the start of the video to the first look.
        end: To the last.
        first_frame: The frame of the first look.
        last_frame: Of the last.
        faces: How many looks there were.
        attributes: Pooled over all of them.
        timeline: The emotion over time; empty where it was not asked for.
    """

    number: int
    start: float
    end: float
    first_frame: int
    last_frame: int
    faces: int
    attributes: Attributes
    timeline: tuple[Stretch, ...] = ()


@dataclass(frozen=True, slots=True)
class VideoAnalysis:
    """What the faces of a video look like.

    Attributes:
        source: The file as given.
        width: Of a frame, pixels.
        height: Likewise.
        fps: Frames a second, on average where they vary.
        frames: How many were read.
        looked_at: In how many of them faces were searched for.
        seconds: From the start to the last frame read.
        asked: The attributes asked for.
        tracks: In the order in which they began.
        brief: Tracks of too few looks to tell anything by, left out.
        problem: What was wrong with the file, in one sentence; what was read before it is told. Or None.
        stopped: Whether it was stopped before the end.
        out: The annotated video, or None.
    """

    source: str
    width: int
    height: int
    fps: float
    frames: int
    looked_at: int
    seconds: float
    asked: tuple[str, ...]
    tracks: tuple[AnalyzedTrack, ...]
    brief: int
    problem: str | None = None
    stopped: bool = False
    out: str | None = None


def analyze_video(
    path: str | os.PathLike[str],
    pipeline: Pipeline,
    *,
    attributes: Sequence[str] | None = None,
    settings: VideoSettings | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> VideoAnalysis:
    """Says what the faces of a video file look like.

    Faces are searched for and followed as for `facewise.video.identify_video`, by what they look like too, so
    that no track goes on with another person after a cut; each track has one answer, pooled over its looks.

    Args:
        path: A local file whose content is a video, whatever it is called.
        pipeline: With an embedder and a model of attributes.
        attributes: What to tell; None is all that the model tells but race.
        settings: How to look; None is the usual way.
        out: Where to write the video again with boxes and answers (no sound).
        progress: Called as frames are done, on the calling thread.
        stop: Asked at each frame; once it says True, what was seen until then is told.

    Raises:
        ImageError: The file is missing, no video, over a limit, or damaged from its start.
        SettingError: The pipeline lacks a model, an attribute that it does not tell, a setting out of range,
            or an ending or codec that cannot be written.
        FacewiseError: `out` cannot be written.
    """
    settings = settings or VideoSettings()
    if out is not None:
        check_out(out, path)
    model = pipeline.attributes
    asked = model.check(attributes)
    limits: dict[str, Any] = {"max_pixels": settings.max_pixels, "max_seconds": settings.max_seconds}
    with VideoFile(path, **limits) as video:
        analyst = _Analyst(pipeline, asked, settings, video.fps)
        asking = Asked(stop)
        problem = analyst.watch(video, asking, progress, video.frames)
        frames = analyst.newest.frame + 1
        if not frames and not asking.stopped:
            raise ImageError(f"{video.name} has no frame that can be read: it is damaged or cut short.")
        seconds = max(analyst.newest.seconds, 0.0)
        tracks, brief = analyst.told(model)
        result = VideoAnalysis(
            os.fsdecode(path), video.width, video.height,
            (frames - 1) / seconds if seconds > 0 and frames > 1 else video.fps,
            frames, analyst.looked_at, seconds, asked, tuple(tracks), brief, problem or video.problem,
            asking.stopped,
        )  # fmt: skip
    if out is not None:
        labels = {one.number: Label(in_one_line(one.attributes), BLUE) for one in tracks}
        boxes = BoxesByFrame(analyst.tracker.tracks, labels, analyst.gap)
        with VideoFile(path, **limits) as again, video_out(out, video.fps) as file:
            annotate(again, boxes, file, result.frames, progress)
        result = replace(result, out=os.fspath(out))
    return result


class _Reader:
    """A pipeline that tells attributes of every face it reads."""

    def __init__(self, pipeline: Pipeline, asked: tuple[str, ...]) -> None:
        self._pipeline, self._steps = pipeline.upright_only(), Steps(attributes=asked)
        self.threads, self.embedder = pipeline.threads, pipeline.embedder

    def read(self, photo: ImageSource) -> PhotoFaces:
        return self._pipeline.read(photo, self._steps)

    def read_many(self, photos: Iterable[ImageSource]) -> Iterator[PhotoFaces]:
        return self._pipeline.read_many(photos, self._steps)


class _Analyst(Follower):
    """Collects what is said of the faces of each track."""

    def __init__(
        self, pipeline: Pipeline, asked: tuple[str, ...], settings: VideoSettings, fps: float
    ) -> None:
        likeness = Likeness.of(pipeline.embedder.calibration, None)
        super().__init__(_Reader(pipeline, asked), settings, fps, likeness)
        self._asked = asked
        self._looks: dict[int, list[_Look]] = {}

    def look(self, stamp: Stamp, faces: tuple[Face, ...], size: tuple[int, int]) -> None:
        """What was found in a frame of (height, width)."""
        self.looked_at += 1
        for face, track in zip(faces, self.tracker.look(stamp, faces, size), strict=True):
            if track is not None and face.attributes is not None:
                weight = look_weight(face, shown=inside(face, size))
                look = _Look(stamp.seconds, face.attributes, weight)
                self._looks.setdefault(track.number, []).append(look)

    def told(self, model: AttributeModel) -> tuple[list[AnalyzedTrack], int]:
        """The tracks, and how many were too brief to tell anything by."""
        tracks, brief = self.tracks()
        return [self._track(track, model.least) for track in tracks], brief

    def _track(self, track: Track, least: Mapping[str, float]) -> AnalyzedTrack:
        looks = self._looks[track.number]
        return AnalyzedTrack(
            track.number, track.times[0], track.times[-1], track.frames[0], track.frames[-1], len(track),
            _pool(looks, least), _timeline(looks, least, self.gap) if "emotion" in self._asked else (),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Look:
    seconds: float
    attributes: Attributes
    weight: float


def _pool(looks: Sequence[_Look], least: Mapping[str, float]) -> Attributes:
    return pooled([look.attributes for look in looks], [look.weight for look in looks], least)


def _timeline(looks: Sequence[_Look], least: Mapping[str, float], gap: float) -> tuple[Stretch, ...]:
    """Looks one after another of which the same is said, told together; parted where there was a gap."""
    said = []
    for look in looks:
        around = [one for one in looks if abs(one.seconds - look.seconds) <= _AROUND]
        emotion = _pool(around, least).emotion
        said.append((emotion is None, None if emotion is None else emotion.answer))
    cuts = [
        i + 1
        for i, ((a, b), (before, after)) in enumerate(zip(pairwise(looks), pairwise(said), strict=True))
        if before != after or b.seconds - a.seconds > gap
    ]
    return tuple(
        Stretch(looks[a].seconds, looks[b - 1].seconds, _told(looks[a:b], said[a], least), b - a)
        for a, b in pairwise([0, *cuts, len(looks)])
    )


def _told(looks: Sequence[_Look], said: tuple[bool, str | None], least: Mapping[str, float]) -> Guess | None:
    emotion = _pool(looks, least).emotion
    return None if emotion is None else replace(emotion, answer=said[1])


def analysis_dict(result: VideoAnalysis) -> dict[str, Any]:
    """The result as plain Python, for JSON."""
    return {
        "video": result.source,
        "width": result.width,
        "height": result.height,
        "fps": round(result.fps, 4),
        "frames": result.frames,
        "looked_at": result.looked_at,
        "seconds": round(result.seconds, 3),
        "tracks": [_track_dict(track, result.asked) for track in result.tracks],
        "brief_tracks_left_out": result.brief,
        "problem": result.problem,
        "stopped": result.stopped,
        "out": result.out,
    }


def _track_dict(track: AnalyzedTrack, asked: Sequence[str]) -> dict[str, Any]:
    timeline = [
        {
            "from": round(one.start, 3),
            "to": round(one.end, 3),
            "emotion": attributes_dict(Attributes(emotion=one.emotion), ["emotion"])["emotion"],
            "faces": one.faces,
        }
        for one in track.timeline
    ]
    return {
        "track": track.number,
        "from": round(track.start, 3),
        "to": round(track.end, 3),
        "from_frame": track.first_frame,
        "to_frame": track.last_frame,
        "faces": track.faces,
        "attributes": attributes_dict(track.attributes, asked),
        **({"timeline": timeline} if "emotion" in asked else {}),
    }
