"""From tracks to people: one decision a track, each person told once, strangers kept apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from facewise.gallery.identification import undecided
from facewise.gallery.names import told_name
from facewise.gallery.results import Identification
from facewise.models.decisions import refused
from facewise.models.liveness import LivenessCalibration, pooled
from facewise.types import Candidate, Decision, FloatArray
from facewise.video.results import Appearance, Interval
from facewise.video.track import Track

GAP = 1.0
"""Seconds without a look after which somebody counts as having been away, where looks are not rarer."""

TOGETHER = 2
"""Frames looked at in which two tracks are both seen, from which they cannot be one person."""


@dataclass(slots=True, eq=False)
class _Told:
    """A track with what was found out of it."""

    track: Track
    pooled: FloatArray
    who: Identification
    name: str | None = None
    similarity: float = -1.0


def people_of(
    tracks: Sequence[Track],
    identify: Callable[[FloatArray], list[Identification]],
    decision: Decision | None,
    join: float | None,
    gap: float = GAP,
    liveness: LivenessCalibration | None = None,
) -> list[Appearance]:
    """Everybody of the tracks.

    A track is who its pooled embedding says. Nobody is in two places at once: where two tracks seen together
    are both most like one person, the one that is more alike is them, and the other is the next person it is
    like enough, or a stranger. A track that does not look live, or whose looks are all too poor to decide by,
    is nobody's, and told by itself. Strangers' tracks are one stranger where their pools are alike, and they
    were not seen together.

    Args:
        tracks: In the order of their starts.
        identify: From `(P, D)` pooled embeddings to who each is by itself.
        decision: The rule, or None: then everybody is told by who they are most like, undecided.
        join: Similarity from which two tracks of strangers are one; None keeps each by itself.
        gap: Seconds without a look after which somebody counts as having been away.
        liveness: What tells live faces by the looks' scores, or None: then nothing is decided by them.

    Returns:
        In the order in which they came.
    """
    told = [
        _Told(track, pooled, who, similarity=who.similarity)
        for track, pooled, who in identified(tracks, identify, liveness)
    ]
    if not told:
        return []
    groups = _named(told, decision)
    groups += [[one] for one in told if one.who.note]
    strangers = [one for one in told if one.name is None and not one.who.note]
    groups += _strangers(strangers, None if decision is None else join)
    groups.sort(key=lambda group: min((one.track.frames[0], one.track.number) for one in group))
    return _appearances(groups, gap, liveness)


def identified(
    tracks: Sequence[Track],
    identify: Callable[[FloatArray], list[Identification]],
    liveness: LivenessCalibration | None = None,
) -> list[tuple[Track, FloatArray, Identification]]:
    """Tracks that have a pool, with it and who it is; nobody where nothing can be decided by it."""
    pools = [(track, pool) for track in tracks if (pool := track.pooled) is not None]
    if not pools:
        return []
    found = identify(np.stack([pool for _, pool in pools]))
    return [
        (track, pool, who if (why := _refusal(track, liveness)) is None else undecided(who.candidates, why))
        for (track, pool), who in zip(pools, found, strict=True)
    ]


def _refusal(track: Track, liveness: LivenessCalibration | None) -> str | None:
    """Why nothing can be decided by a track, or None where it can."""
    if track.reasons:
        return refused(track.reasons)
    look = pooled(track.scores, liveness)
    return f"the face {look.note}" if look is not None and look.live is False else None


def _named(told: Sequence[_Told], decision: Decision | None) -> list[list[_Told]]:
    """Gives names, the surest first, and returns the tracks of each."""
    people: dict[str, list[_Told]] = {}
    if decision is None:
        return []
    for one in sorted(told, key=lambda one: (-one.who.similarity, one.track.number)):
        if not one.who.decided:
            continue
        # Where its quality asks for more than the rule, of the next person too.
        needed = max(decision.threshold, one.who.threshold or -1.0)
        for candidate in one.who.candidates:
            if candidate.similarity < needed:
                break
            theirs = people.setdefault(candidate.name, [])
            if not any(_together(one.track, other.track) for other in theirs):
                one.name, one.similarity = candidate.name, candidate.similarity
                theirs.append(one)
                break
    return [group for group in people.values() if group]


def _strangers(told: Sequence[_Told], join: float | None) -> list[list[_Told]]:
    """Tracks of nobody known, each with those that are alike; in one pass, for there may be many."""
    groups: list[list[_Told]] = []
    sums: list[FloatArray] = []
    for one in told:
        best, at = -1.0, -1
        for i, (group, total) in enumerate(zip(groups, sums, strict=True)):
            like = float(one.pooled @ total) / max(float(np.linalg.norm(total)), 1e-12)
            if like > best and not any(_together(one.track, other.track) for other in group):
                best, at = like, i
        if join is not None and best >= join:
            groups[at].append(one)
            sums[at] = sums[at] + len(one.track) * one.pooled
        else:
            groups.append([one])
            sums.append(len(one.track) * one.pooled)
    return groups


def _together(a: Track, b: Track) -> bool:
    """Whether both are seen in several of the same frames (one may be a detector's slip)."""
    if a.frames[-1] < b.frames[0] or b.frames[-1] < a.frames[0]:
        return False
    return len(set(a.frames) & set(b.frames)) >= TOGETHER


def _appearances(
    groups: Sequence[Sequence[_Told]], gap: float, liveness: LivenessCalibration | None
) -> list[Appearance]:
    people, strangers = [], 0
    for group in groups:
        best = max(group, key=lambda one: (one.similarity, -one.track.number))
        if best.name is not None:
            label = told_name(best.name)
        elif best.who.note:
            label = best.who.note
        elif best.who.decided or not best.who.candidates:
            strangers += 1
            label = f"unknown {strangers}"
        else:
            label = f"{best.who.candidates[0].name}?"
        total = np.sum([len(one.track) * one.pooled.astype(np.float64) for one in group], axis=0)
        unit = np.asarray(total / max(float(np.linalg.norm(total)), 1e-12), dtype=np.float32)
        intervals = [interval for one in group for interval in intervals_of(one.track, one.similarity, gap)]
        people.append(
            Appearance(
                best.name,
                label,
                best.who.decided,
                best.similarity,
                tuple(sorted(intervals, key=lambda i: (i.start, i.track))),
                _own_first(best),
                unit,
                best.who.note,
                pooled([score for one in group for score in one.track.scores], liveness),
            )
        )
    return people


def _own_first(told: _Told) -> tuple[Candidate, ...]:
    """The candidates; who the track was said to be comes first, also if another was more alike."""
    return tuple(sorted(told.who.candidates, key=lambda c: c.name != told.name))


def intervals_of(track: Track, similarity: float, gap: float = GAP) -> list[Interval]:
    """When a track was seen, parted where it was not for longer than `gap` seconds."""
    times = np.array(track.times)
    cuts = [0, *(np.flatnonzero(np.diff(times) > gap) + 1).tolist(), len(times)]
    return [
        Interval(
            float(times[a]),
            float(times[b - 1]),
            track.frames[a],
            track.frames[b - 1],
            b - a,
            track.number,
            similarity,
        )
        for a, b in pairwise(cuts)
    ]
