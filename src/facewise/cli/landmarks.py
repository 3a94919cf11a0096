"""`facewise landmarks`: photos in; 478 points, head pose and expression of each face out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.options import (
    Csv,
    Detector,
    Json,
    Landmarker,
    MaxSize,
    MinFace,
    Photos,
    Provider,
    Score,
    Threads,
    Variant,
    given_path,
    load_pipeline,
    reads_photos,
)
from facewise.cli.output import (
    BadItems,
    check_output_file,
    check_output_folder,
    count,
    face_dict,
    print_json,
    say,
    table,
)
from facewise.cli.photos import FileNames, MainOnly, costs_one_photo, read_photos, tell_several

if TYPE_CHECKING:
    from facewise.pipeline import PhotoFaces
    from facewise.types import Face, Mesh

_TOLD = 3
"""Blendshapes told of a face in the table, of those that are at least this:"""
_CLEAR = 0.3


@reads_photos
def landmarks(
    paths: Photos,
    main: MainOnly = False,
    draw: Annotated[
        Path | None,
        typer.Option("--draw", help="Folder for photos with points and pose drawn.", parser=given_path),
    ] = None,
    csv: Csv = None,
    landmarker: Landmarker = None,
    detector: Detector = None,
    score: Score = 0.5,
    max_size: MaxSize = None,
    min_face: MinFace = 0.0,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    json: Json = False,
) -> None:
    """478 points of each face in 3-D, how the head is turned in degrees, and what the face does.

    Needs MediaPipe's Face Landmarker: see docs/landmarks.md.
    """
    from facewise.drawing import draw_meshes, save_image
    from facewise.image import read_image
    from facewise.pipeline import Steps

    if draw is not None:
        check_output_folder(draw)
    if csv is not None:
        check_output_file(csv)
    pipeline = load_pipeline(
        detector=detector, embed=False, provider=provider, threads=threads, variant=variant,
        score=score, max_size=max_size, min_face=min_face, mesh=landmarker or True,
    )  # fmt: skip
    bad, names, several = BadItems("photo"), FileNames(), list[str]()
    results: list[tuple[Path, PhotoFaces]] = []
    steps = Steps(embed=False, main_only=main)
    for path, photo in read_photos(pipeline, paths, steps, bad, "Finding points"):
        results.append((path, photo))
        if photo.others:
            several.append(photo.source)
        for why in _without_mesh(photo):
            bad.add(str(path), why)
        if draw is not None:
            with costs_one_photo(path, bad):
                meshes = [face.mesh for face in photo.faces if face.mesh is not None]
                save_image(draw / names.of(path, ".jpg"), draw_meshes(read_image(path), meshes))
    if csv is not None:
        _write_csv(csv, results)
    if json:
        print_json(
            {
                "photos": [
                    {"photo": str(path), "sha256": photo.sha256, "width": photo.size[1],
                     "height": photo.size[0], "faces": [_told(face) for face in photo.faces]}
                    for path, photo in results
                ],
                "main_of_several": several, "providers": pipeline.providers, **bad.told,
            }
        )  # fmt: skip
    else:
        _show(results, draw)
    tell_several(several)
    bad.finish(len({path for path, _, _ in _meshes(results)}))


def _told(face: Face) -> dict[str, Any]:
    """A face with its mesh for JSON; the pose is in degrees, as its key says."""
    mesh = face.mesh
    told = (
        None
        if mesh is None
        else {
            "presence": round(mesh.presence, 4),
            "pose_degrees": {
                name: round(angle, 2)
                for name, angle in zip(("yaw", "pitch", "roll"), mesh.pose.degrees, strict=True)
            },
            "eyes_open": [round(value, 4) for value in mesh.eyes_open],
            "blendshapes": {name: round(value, 4) for name, value in mesh.blendshapes.items()},
            "points": [[round(float(v), 2) for v in point] for point in mesh.points],
        }
    )
    return {**face_dict(face), "mesh": told}


def _without_mesh(photo: PhotoFaces) -> list[str]:
    """A sentence for a photo without a face, or for each of its faces that has no points."""
    from facewise.analysis.mesh import SMALLEST
    from facewise.recognizer import no_face

    if not photo.faces:
        return [str(no_face(photo.source))]
    told = []
    for i, face in enumerate(photo.faces):
        if face.mesh is None:
            side = max(face.width, face.height)
            which = f"face {i + 1}" if len(photo.faces) > 1 else "its face"
            small = f"is {side:.0f} pixels large, and points need {SMALLEST:.0f}: take one from nearer"
            unseen = "is none that the landmarker can see: take a clearer one, from the front"
            told.append(f"{photo.source} gets no points: {which} {small if side < SMALLEST else unseen}.")
    return told


def _show(results: Sequence[tuple[Path, PhotoFaces]], draw: Path | None) -> None:
    faces = list(_meshes(results))
    if faces:
        columns = ("photo", "face", "yaw°", "pitch°", "roll°", "eyes open", "expression")
        table("", columns, (_row(*face) for face in faces), right=(1, 2, 3, 4))
    if results:
        say(f"{count(len(faces), 'face')} in {count(len(results), 'photo')}.")
        if draw is not None:
            say(f"Drawn in {draw}.")


def _meshes(results: Sequence[tuple[Path, PhotoFaces]]) -> Iterator[tuple[Path, int, Mesh]]:
    """Each face that has points: its photo, its number there from 1, and its mesh."""
    for path, photo in results:
        for i, face in enumerate(photo.faces):
            if face.mesh is not None:
                yield path, i + 1, face.mesh


def _row(photo: Path, number: int, mesh: Mesh) -> tuple[object, ...]:
    from facewise.image import source_name

    strongest = sorted(mesh.blendshapes.items(), key=lambda one: -one[1])[:_TOLD]
    told = ", ".join(f"{name} {value:.2f}" for name, value in strongest if value >= _CLEAR)
    eyes = " ".join(f"{value:.2f}" for value in mesh.eyes_open)
    return source_name(photo), number, *(f"{angle:+.0f}" for angle in mesh.pose.degrees), eyes, told


def _write_csv(path: Path, results: Sequence[tuple[Path, PhotoFaces]]) -> None:
    """A row a face that has points."""
    import csv

    from facewise.files import atomic_write

    first = next((mesh for _, _, mesh in _meshes(results)), None)
    shapes = [] if first is None else list(first.blendshapes)
    points = [] if first is None else [f"{axis}{i}" for i in range(len(first.points)) for axis in "xyz"]
    heads = ("photo", "face", "presence", "yaw", "pitch", "roll", "eye_open_left", "eye_open_right")
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*heads, *shapes, *points])
        for name, i, mesh in _meshes(results):
            numbers = [mesh.presence, *mesh.pose.degrees, *mesh.eyes_open, *mesh.blendshapes.values()]
            writer.writerow(
                [name, i, *(f"{v:.4f}" for v in numbers), *(f"{v:.2f}" for v in mesh.points.ravel())]
            )
