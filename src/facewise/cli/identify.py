"""`facewise identify` and `facewise cluster`: who is in the photos, with names and without."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.gallery import open_gallery
from facewise.cli.options import (
    DEFAULT_GALLERY,
    Detector,
    Flip,
    Fmr,
    GalleryPath,
    Json,
    MinFace,
    Model,
    Photos,
    Provider,
    Threads,
    ThresholdOption,
    load_pipeline,
)
from facewise.cli.output import BadItems, face_dict, print_json, say, table, tell, with_progress

if TYPE_CHECKING:
    from facewise.types import Face, Match


def identify(
    paths: Photos,
    gallery: GalleryPath = DEFAULT_GALLERY,
    fmr: Fmr = None,
    threshold: ThresholdOption = None,
    draw: Annotated[Path | None, typer.Option("--draw", help="Folder for photos with names drawn.")] = None,
    detector: Detector = None,
    model: Model = None,
    flip: Flip = None,
    min_face: MinFace = 0.0,
    provider: Provider = "cpu",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Who is in each photo; strangers are told as unknown."""
    from facewise.cli.photos import _Names
    from facewise.errors import ImageError
    from facewise.models import NO_CALIBRATION
    from facewise.photos import find_photos

    photos = find_photos(paths)
    if not photos:
        raise ImageError(f"No photos were found in {', '.join(map(str, paths))}.")
    bad, results, names = BadItems("photo"), [], _Names()
    with open_gallery(
        gallery,
        detector=detector,
        model=model,
        flip=flip,
        provider=provider,
        threads=threads,
        min_face=min_face,
    ) as opened:
        found = opened.identify_many(photos, fmr=fmr, threshold=threshold)
        for photo, matches in with_progress("Identifying", found, len(photos)):
            if photo.error is not None:
                bad.add(photo.source, photo.error)
                continue
            results.append((photo.source, matches))
            if draw is not None:
                _draw(draw / f"{names.of(photo.source)}.jpg", photo.source, matches)
    if json:
        photos_json = [{"photo": p, "faces": [_match_dict(m) for m in matches]} for p, matches in results]
        print_json({"photos": photos_json, "bad": bad.items})
    else:
        rows = (row for photo, matches in results for row in _rows(photo, matches))
        table("", ("photo", "who", "similarity", "next best"), rows, right=(2,))
        if any(not match.decided for _, matches in results for match in matches):
            say(f"{NO_CALIBRATION}.")
        if draw is not None:
            say(f"Drawn in {draw}.")
    bad.finish()


def cluster(
    paths: Photos,
    fmr: Fmr = None,
    threshold: ThresholdOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="A .csv file: photo, face, group.")] = None,
    draw: Annotated[Path | None, typer.Option("--draw", help="A picture of the groups.")] = None,
    detector: Detector = None,
    model: Model = None,
    flip: Flip = None,
    min_face: MinFace = 0.0,
    provider: Provider = "cpu",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Group the faces of a pile of photos by person, with no names given."""
    import numpy as np

    from facewise.cli.photos import _read
    from facewise.errors import SettingError
    from facewise.gallery import cluster as group
    from facewise.models import NO_CALIBRATION, choose_decision
    from facewise.pipeline import Steps

    pipeline = load_pipeline(
        detector=detector, model=model, flip=flip, provider=provider, threads=threads, min_face=min_face
    )
    decision = choose_decision(pipeline.embedder.calibration, fmr=fmr, threshold=threshold)
    if decision is None:
        raise SettingError(f"Grouping needs a threshold: {NO_CALIBRATION}.")
    bad, faces, without = BadItems("photo"), list[tuple[str, int, Any]](), []
    steps = Steps(keep_crops=draw is not None)
    crops = []
    for photo in _read(pipeline, paths, steps, bad, "Reading"):
        faces += [(photo.source, i, face) for i, face in enumerate(photo.faces)]
        crops += list(photo.crops) if photo.crops is not None else []
        if not photo.faces:
            without.append(photo.source)
    vectors = np.stack([face.embedding for *_, face in faces]) if faces else np.empty((0, 1), np.float32)
    labels = group(vectors, decision.threshold) if faces else np.empty(0, np.int64)
    groups: dict[int, list[int]] = defaultdict(list)
    for i, label in enumerate(labels.tolist()):
        groups[label].append(i)
    if out is not None:
        _write_csv(out, faces, labels.tolist())
    if draw is not None and faces:
        _draw_groups(draw, groups, crops, faces)
    _print_groups(groups, faces, without, bad, decision.threshold, json=json)
    bad.finish()


def _print_groups(
    groups: dict[int, list[int]],
    faces: list[tuple[str, int, Face]],
    without: list[str],
    bad: BadItems,
    threshold: float,
    *,
    json: bool,
) -> None:
    several = sum(len(members) > 1 for members in groups.values())
    if json:
        people = [
            [{"photo": faces[i][0], "face": faces[i][1], **face_dict(faces[i][2])} for i in members]
            for members in groups.values()
        ]
        print_json({"threshold": threshold, "groups": people, "without_face": without, "bad": bad.items})
    else:
        rows = (
            (label + 1, len(members), ", ".join(sorted({Path(faces[i][0]).name for i in members})))
            for label, members in groups.items()
            if len(members) > 1
        )
        table("", ("group", "faces", "photos"), rows, right=(0, 1))
        say(
            f"{len(faces)} faces: {several} groups of two or more, {len(groups) - several} faces alone "
            f"(threshold {threshold:.3f})."
        )
    if without:
        tell(f"{len(without)} photos have no face: {', '.join(without)}")


def _write_csv(path: Path, faces: list[tuple[str, int, Face]], labels: list[int]) -> None:
    from facewise.files import atomic_write

    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("photo", "face", "group"))
        for (photo, i, _), label in zip(faces, labels, strict=True):
            writer.writerow((photo, i, label + 1))


def _draw_groups(path: Path, groups: dict[int, list[int]], crops: list[Any], faces: list[Any]) -> None:
    from facewise.drawing import Tile, contact_sheet, save_image

    rows = [
        (
            f"Group {label + 1}: {len(members)} faces",
            [Tile(crops[i], Path(faces[i][0]).name) for i in members[:20]],
        )
        for label, members in list(groups.items())[:40]
        if len(members) > 1
    ]
    alone = [Tile(crops[m[0]], Path(faces[m[0]][0]).name) for m in groups.values() if len(m) == 1]
    if alone:
        rows.append((f"Alone: {len(alone)} faces", alone[:40]))
    save_image(path, contact_sheet(rows, tile=84))


def _draw(path: Path, photo: str, matches: list[Match]) -> None:
    from facewise.drawing import AMBER, BLUE, GREEN, draw_faces, save_image
    from facewise.image import read_image

    colours = [BLUE if not m.decided else GREEN if m.name else AMBER for m in matches]
    labels = [f"{_who(m)} {m.similarity:.2f}" for m in matches]
    save_image(path, draw_faces(read_image(photo), [m.face for m in matches], labels, colours))


def _who(match: Match) -> str:
    if match.name is not None:
        return match.name
    if match.decided or not match.candidates:
        return "unknown"
    return f"{match.candidates[0].name}?"


def _rows(photo: str, matches: list[Match]) -> list[tuple[object, ...]]:
    if not matches:
        return [(photo, "no face", "", "")]
    rows: list[tuple[object, ...]] = []
    for i, match in enumerate(matches):
        # A known person's runner-up tells how clear the answer is; a stranger's nearest, how close a call.
        rest = match.candidates[1:3] if match.name or not match.decided else match.candidates[:2]
        others = ", ".join(f"{c.name} {c.similarity:.2f}" for c in rest)
        rows.append((photo if i == 0 else "", _who(match), f"{match.similarity:.3f}", others))
    return rows


def _match_dict(match: Match) -> dict[str, Any]:
    return {
        **face_dict(match.face),
        "name": match.name,
        "decided": match.decided,
        "similarity": match.similarity,
        "threshold": match.threshold,
        "fmr": match.fmr,
        "candidates": [{"name": c.name, "similarity": c.similarity} for c in match.candidates],
    }
