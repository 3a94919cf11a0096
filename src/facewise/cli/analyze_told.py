"""What `facewise analyze` prints and writes: JSON, tables, CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facewise.analysis.told import NOT_SURE, attributes_dict, in_words
from facewise.cli.identify_video import clock
from facewise.cli.output import BadItems, count, face_dict, say, table, tell
from facewise.filenames import shown
from facewise.files import write_bytes
from facewise.models.attributes import WORDS
from facewise.pipeline import PhotoFaces, Pipeline
from facewise.types import Age, Attributes

if TYPE_CHECKING:
    from facewise.video.analyze import AnalyzedTrack, VideoAnalysis

NO_FACE = "no face"

_MOST_STRETCHES = 12
"""Of a track's emotion, told in a table."""


def document(
    results: Sequence[tuple[Path, PhotoFaces]],
    watched: Sequence[VideoAnalysis],
    pipeline: Pipeline,
    asked: tuple[str, ...],
    bad: BadItems,
    *,
    videos: bool,
) -> dict[str, Any]:
    """What `--json` prints."""
    model = pipeline.attributes
    photos = [
        {
            "photo": str(path), "sha256": photo.sha256, "width": photo.size[1], "height": photo.size[0],
            "faces": [
                {
                    **face_dict(face),
                    "attributes": face.attributes and attributes_dict(face.attributes, asked),
                }
                for face in photo.faces
            ],
        }
        for path, photo in results
    ]  # fmt: skip
    return {
        "photos": photos,
        **(_videos(watched) if videos else {}),
        "attributes": list(asked),
        "model": model.name,
        "fingerprint": model.fingerprint,
        "providers": pipeline.providers,
        **bad.told,
    }


def _videos(watched: Sequence[VideoAnalysis]) -> dict[str, Any]:
    from facewise.video.analyze import analysis_dict

    return {"videos": [analysis_dict(result) for result in watched]}


def show(
    results: Sequence[tuple[Path, PhotoFaces]],
    watched: Sequence[VideoAnalysis],
    asked: tuple[str, ...],
    draw: Path | None,
) -> None:
    """The tables."""
    if results:
        rows = [row for _, photo in results for row in _photo_rows(photo, asked)]
        table("", ("photo", "face", *asked, "note"), rows, right=(1,))
        faces = sum(len(photo.faces) for _, photo in results)
        say(f"{count(faces, 'face')} in {count(len(results), 'photo')}.")
    if watched:
        over_time = ("emotion over time",) if "emotion" in asked else ()
        columns = ("video", "face", "from", "to", "looks", *asked, "note", *over_time)
        table("", columns, [row for one in watched for row in _video_rows(one, asked)], right=(1, 2, 3, 4))
        for one in watched:
            brief = f"; {count(one.brief, 'face')} seen too briefly to tell left out" if one.brief else ""
            say(
                f"{one.source}: {count(len(one.tracks), 'face')} in {clock(one.seconds)}, {one.looked_at} of "
                f"{count(one.frames, 'frame')} looked at{brief}."
            )
    if draw is not None and (results or watched):
        say(f"Drawn in {draw}.")


def _photo_rows(photo: PhotoFaces, asked: tuple[str, ...]) -> list[tuple[object, ...]]:
    if not photo.faces:
        return [(photo.source, "", *[""] * len(asked), NO_FACE)]
    return [
        (photo.source if i == 0 else "", i + 1, *_cells(face.attributes, asked))
        for i, face in enumerate(photo.faces)
    ]


def _video_rows(result: VideoAnalysis, asked: tuple[str, ...]) -> list[tuple[object, ...]]:

    over_time = "emotion" in asked
    if not result.tracks:
        return [(shown(result.source), *[""] * (4 + len(asked)), NO_FACE, *[""] * over_time)]
    return [
        (
            shown(result.source) if i == 0 else "", track.number, clock(track.start), clock(track.end),
            track.faces, *_cells(track.attributes, asked), *([_over_time(track)] if over_time else []),
        )
        for i, track in enumerate(result.tracks)
    ]  # fmt: skip


def _cells(told: Attributes | None, asked: tuple[str, ...]) -> list[str]:

    if told is None:
        return [""] * (len(asked) + 1)
    return [*(in_words(getattr(told, name)) for name in asked), told.note]


def _over_time(track: AnalyzedTrack) -> str:

    lines = [f"{clock(one.start)} {in_words(one.emotion) or 'nothing'}" for one in track.timeline]
    rest = len(lines) - _MOST_STRETCHES
    return "\n".join(lines[:_MOST_STRETCHES] + ([f"and {rest} more, see --csv"] if rest > 0 else []))


def write_csv(
    path: Path,
    results: Sequence[tuple[Path, PhotoFaces]],
    watched: Sequence[VideoAnalysis],
    asked: tuple[str, ...],
) -> None:
    """One row a face, UTF-8; of a video one a stretch of one emotion, or one a face without emotions.

    A photo without a face has a row that says so.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    where = ("file", "face", "from_seconds", "to_seconds", "looks", "x1", "y1", "x2", "y2", "score")
    writer.writerow([*where, *(column for name in asked for column in _columns(name)), "note"])
    for file, photo in results:
        if not photo.faces:
            writer.writerow([file, *[""] * 9, *_values(Attributes(note=NO_FACE), asked)])
        for i, face in enumerate(photo.faces):
            box = [f"{v:.1f}" for v in face.box.tolist()]
            writer.writerow(
                [file, i + 1, "", "", "", *box, f"{face.score:.4f}", *_values(face.attributes, asked)]
            )
    for result in watched:
        for track in result.tracks:
            for start, end, looks, told in _stretches(track):
                times = (f"{start:.3f}", f"{end:.3f}", looks)
                writer.writerow([result.source, track.number, *times, *[""] * 5, *_values(told, asked)])
    write_bytes(path, text.getvalue().encode("utf-8", "surrogateescape"))
    tell(f"What the faces look like is in {path}.")


def _stretches(track: AnalyzedTrack) -> Iterator[tuple[float, float, int, Attributes]]:
    """Each stretch of one emotion with what is told of the whole track, or the whole track at once."""
    if not track.timeline:
        yield track.start, track.end, track.faces, track.attributes
    for one in track.timeline:
        yield one.start, one.end, one.faces, replace(track.attributes, emotion=one.emotion)


def _columns(name: str) -> list[str]:

    return ["age", "age_low", "age_high"] if name == "age" else [name, *(f"{name}_{w}" for w in WORDS[name])]


def _values(told: Attributes | None, asked: tuple[str, ...]) -> list[str]:

    values: list[str] = []
    for name in asked:
        one = None if told is None else getattr(told, name)
        if one is None:
            values += [""] * len(_columns(name))
        elif isinstance(one, Age):
            values += [f"{v:.1f}" for v in (one.mean, one.low, one.high)]
        else:
            values.append(NOT_SURE if one.answer is None else one.answer)
            values += [f"{p:.4f}" if (p := one.probabilities.get(w)) is not None else "" for w in WORDS[name]]
    return [*values, "" if told is None else told.note]
