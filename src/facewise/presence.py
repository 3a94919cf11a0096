"""Whether the frames that answer a challenge show one live person who did what was asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from facewise.analysis.challenge import Action, follow, look_of
from facewise.models.calibration import Calibration
from facewise.models.liveness import LivenessCalibration, pooled
from facewise.pipeline import PhotoFaces
from facewise.recognizer import compare_faces
from facewise.types import Face, Liveness


@dataclass(frozen=True, slots=True, eq=False)
class Presence:
    """What the frames of a challenge came to.

    Attributes:
        passed: Whether one live person did all that was asked, in order.
        note: Why not, in words; empty where it passed.
        done: How many actions were.
        face: The best face that looks straight into the camera, to tell who it was; None where there is none.
        frame: The number of its frame, or None.
        liveness: Of all frames, by the mean of their scores; None where it was not asked.
    """

    passed: bool
    note: str
    done: int
    face: Face | None
    frame: int | None
    liveness: Liveness | None


def judge_presence(
    actions: Sequence[Action],
    frames: Sequence[PhotoFaces],
    calibration: Calibration | None,
    liveness: LivenessCalibration | None = None,
) -> Presence:
    """Whether frames show one live person who does what was asked.

    The main face of each frame counts. Whoever looks straight into the camera before, between and after the
    actions has to be one person: none of these faces may be somebody else's than the best of them by the
    embedder's calibration (without one that is not looked at). Where the faces have scores of liveness, their
    mean must be live.

    Args:
        actions: In the order asked for.
        frames: In the order taken, faces embedded.
        calibration: Of the embedder, or None.
        liveness: Of the liveness networks, or None.

    Raises:
        SettingError: There is no such action.
    """
    faces = [frame.faces[0] if frame.faces else None for frame in frames]
    found = follow(actions, [None if face is None else look_of(face) for face in faces])
    straight = {i: face for i in found.rests if (face := faces[i]) is not None}
    best = max(straight, key=lambda i: _usable(straight[i])) if straight else None
    scores = [face.liveness.score for face in faces if face is not None and face.liveness is not None]
    alive = pooled(scores, liveness)
    note = found.note
    if not note and best is not None and _anybody_else(straight[best], straight.values(), calibration):
        note = "not everybody who looked into the camera is the same person"
    if not note and alive is not None and alive.live is False:
        note = f"the face {alive.note}"
    face = None if best is None else straight[best]
    return Presence(not note, note, found.done, face, best, alive)


def _usable(face: Face) -> tuple[float, float]:
    quality = face.quality
    return (0.0, 0.0) if quality is None else (quality.value or 0.0, quality.sharpness)


def _anybody_else(best: Face, others: Iterable[Face], calibration: Calibration | None) -> bool:
    return any(
        compare_faces((best, face), calibration).same is False
        for face in others
        if face is not best and face.embedding is not None and best.embedding is not None
    )
