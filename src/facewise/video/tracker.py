"""Which face of this look is which of the looks before.

Detections are joined to tracks by where the track should be now, in the manner of SORT (Bewley et al., ICIP
2016: a constant-velocity prediction, intersection over union), with two changes that were published since:
faces the detector is less sure of may carry a track on, and never start one (ByteTrack: Zhang et al., ECCV
2022), and what a face looks like decides beside where it is, also for those who come back after they were
hidden (DeepSORT: Wojke et al., ICIP 2017). Pairs are taken best first, as faces are few and rarely ambiguous.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facewise.boxes import intersection_over_first, intersection_over_union
from facewise.models.calibration import DEFAULT_FMR, Calibration
from facewise.types import Decision, Face
from facewise.video.reader import Stamp
from facewise.video.track import Track, inside, look_weight

START_SCORE = 0.6
"""Detector confidence from which a face starts a track (ByteTrack's split of sure and less sure ones)."""

LEAST_OVERLAP = 0.3
"""Intersection over union from which place alone says that it may be the same face (SORT's)."""

PART_FMR = 0.01
"""The false match rate whose threshold a face must reach to carry on the track whose place it has: one in a
hundred others would. Looks of one face a moment apart nearly always do, and a track that is broken up
wrongly costs little, as who it is gets told once all the same."""

OUT_OF_SIGHT = 0.25
"""Seconds after which place alone joins no more where looks can be compared: another may be there by now."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """What similarities mean to a tracker: they come from the model's calibration, as all thresholds do.

    Attributes:
        join: From here two looks are one person wherever they are; None: only place joins.
        part: Below it they are two people though in one place; None: appearance never parts.
    """

    join: float | None
    part: float | None

    @classmethod
    def of(cls, calibration: Calibration | None, decision: Decision | None) -> Likeness:
        """By the default false match rate and by `PART_FMR`, or the nearest ones that were measured.

        Args:
            calibration: Of the embedder, or None.
            decision: What names are decided by: where there is no calibration, its threshold joins.
        """
        points = {} if calibration is None else {t.fmr: t.threshold for t in calibration.thresholds}
        if not points:
            return cls(None if decision is None else decision.threshold, None)
        usual = None if calibration is None else calibration.decision(DEFAULT_FMR)
        join = points[min(points)] if usual is None else usual.threshold
        near = min(points, key=lambda fmr: abs(math.log(fmr / PART_FMR)))
        return cls(join, min(points[near], join))


class Tracker:
    """Follows faces through looks at a video.

    Args:
        likeness: What similarities mean.
        patience: Seconds for which a face that is not seen is waited for.
        step: Seconds between two looks, about.
    """

    def __init__(self, likeness: Likeness, *, patience: float = 2.0, step: float = 0.0) -> None:
        self._likeness, self._patience, self._step = likeness, patience, step
        self._open: list[Track] = []
        self._done: list[Track] = []
        self._started = 0

    @property
    def tracks(self) -> list[Track]:
        """All tracks so far, in the order of their starts."""
        return sorted([*self._done, *self._open], key=lambda track: track.number)

    @property
    def waiting(self) -> list[Track]:
        """The tracks that may still go on."""
        return list(self._open)

    def look(
        self, stamp: Stamp, faces: Sequence[Face], size: tuple[int, int] | None = None
    ) -> list[Track | None]:
        """Takes in the faces of one frame, later than all before.

        Args:
            stamp: Which frame.
            faces: All that were found in it.
            size: (height, width) of the frame, to know whose face reaches out of it; None: nobody's.

        Returns:
            The track each face now belongs to; None for one the detector is not sure of and that no track
            expects. No track has two faces of a frame.
        """
        gone = [t for t in self._open if stamp.seconds - t.times[-1] > self._patience]
        self._done += gone
        self._open = [t for t in self._open if stamp.seconds - t.times[-1] <= self._patience]
        weights = _weights(faces, size)
        given: list[Track | None] = [None] * len(faces)
        for track, at in self._pairs(stamp, faces, weights):
            track.add(stamp, faces[at], weights[at])
            given[at] = track
        for i, face in enumerate(faces):
            if given[i] is None and face.score >= START_SCORE:
                self._started += 1
                started = Track(self._started, stamp, face, weights[i])
                given[i] = started
                self._open.append(started)
        return given

    def _pairs(
        self, stamp: Stamp, faces: Sequence[Face], weights: Sequence[float]
    ) -> list[tuple[Track, int]]:
        """The tracks that go on, each with its face's index: first by place, then by looks alone."""
        if not self._open or not faces:
            return []
        found = np.stack([face.box for face in faces])
        expected = np.stack([t.predicted(stamp.seconds) for t in self._open])
        overlap = intersection_over_union(expected[:, None], found[None])
        alike = [[track.likeness(face) for face in faces] for track in self._open]
        near, far = list[tuple[float, int, int]](), list[tuple[float, int, int]]()
        for t, track in enumerate(self._open):
            for f in range(len(faces)):
                like = alike[t][f]
                if overlap[t, f] >= LEAST_OVERLAP:
                    if self._carries_on(like, weights[f], track, stamp):
                        near.append((float(overlap[t, f]) + max(like or 0.0, 0.0), t, f))
                elif self._is_like(like, weights[f], track):
                    far.append((like or 0.0, t, f))
        free_tracks, free_faces = set(range(len(self._open))), set(range(len(faces)))
        pairs = []
        for stage in (near, far):
            # Equal scores: the older track, then the first face; so the outcome is always the same.
            for _, t, f in sorted(stage, key=lambda pair: (-pair[0], pair[1], pair[2])):
                if t in free_tracks and f in free_faces:
                    free_tracks.remove(t)
                    free_faces.remove(f)
                    pairs.append((self._open[t], f))
        return pairs

    def _is_like(self, like: float | None, weight: float, track: Track) -> bool:
        """Whether looks alone say that a face is a track's; poor ones say nothing."""
        if like is None or self._likeness.join is None or track.is_poor(weight):
            return False
        return like >= self._likeness.join

    def _carries_on(self, like: float | None, weight: float, track: Track, stamp: Stamp) -> bool:
        """Whether a face is whose place it has, and not one who stepped there, or is there after a cut."""
        if like is None or self._likeness.join is None:
            return True
        if stamp.seconds - track.times[-1] > max(OUT_OF_SIGHT, 2.5 * self._step):
            return self._is_like(like, weight, track)
        return self._likeness.part is None or like >= self._likeness.part or track.is_poor(weight)


def _weights(faces: Sequence[Face], size: tuple[int, int] | None) -> list[float]:
    """Of each face, with regard to what hides it and to the frame's edge."""
    if not faces:
        return []
    boxes = np.stack([face.box for face in faces])
    shared = intersection_over_first(boxes[:, None], boxes[None])
    np.fill_diagonal(shared, 0.0)
    return [
        look_weight(face, float(hidden), 1.0 if size is None else inside(face, size))
        for face, hidden in zip(faces, shared.max(axis=1), strict=True)
    ]
