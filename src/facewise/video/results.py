"""What is told of a video: who was there, and when. Frozen, slotted, typed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from facewise.types import Candidate, Decision, FloatArray, Liveness


@dataclass(frozen=True, slots=True)
class Interval:
    """One time for which somebody was in view without a longer gap.

    Attributes:
        start: Seconds from the start of the video to the first look at them.
        end: To the last; they left between it and the next look.
        first_frame: The frame of the first look.
        last_frame: Of the last.
        faces: How many looks there were.
        track: The number of the track.
        similarity: Of that track's pooled embedding to who it is said to be; of a stranger's to the person
            most alike, -1 where the gallery is empty.
    """

    start: float
    end: float
    first_frame: int
    last_frame: int
    faces: int
    track: int
    similarity: float


@dataclass(frozen=True, slots=True, eq=False)
class Appearance:
    """One person of a video, told once however often they came and went.

    Attributes:
        name: Who it is, or None: a stranger, or no decision possible (see `decided`).
        label: What to call them: the name (see `told_name`); `unknown 1`, `unknown 2` … for strangers; `Ada?`
            where nothing could be decided; the note where the face is too poor for a decision.
        decided: False where neither a calibration nor a given threshold allows a decision, or the face is too
            poor for one in every look.
        similarity: The highest of the tracks'.
        intervals: When, in order.
        candidates: The most alike people, by the track that is most alike.
        embedding: `(D,)` pooled over all looks, of unit length.
        note: Why nothing is decided about the face, or empty.
        liveness: Whether they are live, by the mean score of all looks; None where that was not asked.
    """

    name: str | None
    label: str
    decided: bool
    similarity: float
    intervals: tuple[Interval, ...]
    candidates: tuple[Candidate, ...]
    embedding: FloatArray = field(repr=False)
    note: str = ""
    liveness: Liveness | None = None

    @property
    def faces(self) -> int:
        """How many looks there were."""
        return sum(interval.faces for interval in self.intervals)

    @property
    def tracks(self) -> tuple[int, ...]:
        """The numbers of the tracks."""
        return tuple(sorted({interval.track for interval in self.intervals}))


@dataclass(frozen=True, slots=True, eq=False)
class VideoResult:
    """Who was in a video, and when.

    Attributes:
        source: The file as given, or `camera 0`.
        width: Of a frame, pixels.
        height: Likewise.
        fps: Frames a second, on average where they vary.
        frames: How many were read.
        looked_at: In how many of them faces were searched for.
        seconds: From the start to the last frame read.
        people: Everybody, in the order in which they came.
        brief: Tracks of too few looks to tell anything by, left out.
        decision: The rule the names were decided by, or None.
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
    people: tuple[Appearance, ...]
    brief: int
    decision: Decision | None
    problem: str | None = None
    stopped: bool = False
    out: str | None = None


CSV_COLUMNS = (
    "video", "person", "known", "track", "from_seconds", "to_seconds", "from_frame", "to_frame", "faces",
    "similarity", "threshold", "fmr",
)  # fmt: skip


def csv_rows(result: VideoResult) -> list[tuple[object, ...]]:
    """One row an interval, by time, as `CSV_COLUMNS` says."""
    rule = result.decision
    rows = [
        (
            result.source,
            person.label if person.name is None else person.name,
            "yes" if person.name is not None else "no" if person.decided else "",
            i.track,
            f"{i.start:.3f}",
            f"{i.end:.3f}",
            i.first_frame,
            i.last_frame,
            i.faces,
            f"{i.similarity:.4f}",
            "" if rule is None else f"{rule.threshold:.4f}",
            "" if rule is None or rule.fmr is None else f"{rule.fmr:g}",
        )
        for person in result.people
        for i in person.intervals
    ]
    return sorted(rows, key=lambda row: (row[6], row[3]))


def result_dict(result: VideoResult) -> dict[str, Any]:
    """The result as plain Python, for JSON; without embeddings."""
    rule = result.decision
    return {
        "video": result.source,
        "width": result.width,
        "height": result.height,
        "fps": round(result.fps, 4),
        "frames": result.frames,
        "looked_at": result.looked_at,
        "seconds": round(result.seconds, 3),
        "people": [
            {
                "name": person.name,
                "label": person.label,
                "decided": person.decided,
                "note": person.note,
                **({} if person.liveness is None else {"liveness": asdict(person.liveness)}),
                "similarity": person.similarity,
                "threshold": None if rule is None else rule.threshold,
                "fmr": None if rule is None else rule.fmr,
                "fpir": None if rule is None else rule.fpir,
                "faces": person.faces,
                "intervals": [
                    {
                        "from": round(i.start, 3), "to": round(i.end, 3), "from_frame": i.first_frame,
                        "to_frame": i.last_frame, "faces": i.faces, "track": i.track,
                        "similarity": i.similarity,
                    }
                    for i in person.intervals
                ],
                "candidates": [{"name": c.name, "similarity": c.similarity} for c in person.candidates],
            }
            for person in result.people
        ],
        "brief_tracks_left_out": result.brief,
        "problem": result.problem,
        "stopped": result.stopped,
        "out": result.out,
    }  # fmt: skip
