"""`facewise analyze`: what the faces in photos and videos look like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.identify_video import ctrl_c_asks, end_if_stopped, frames_bar
from facewise.cli.options import (
    AttributesModel,
    Detector,
    EveryFrame,
    Flip,
    Json,
    MaxSize,
    MinFace,
    Model,
    Provider,
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
    print_json,
    tell,
    usage_error,
    with_progress,
)
from facewise.cli.photos import FileNames, MainOnly, costs_one_photo, tell_several
from facewise.errors import FacewiseError

if TYPE_CHECKING:
    from facewise.pipeline import PhotoFaces, Pipeline
    from facewise.video.analyze import VideoAnalysis


@reads_photos
def analyze(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Photos, videos, or folders of them.", metavar="PATH…", parser=given_path),
    ],
    attributes: Annotated[
        str | None,
        typer.Option(
            "--attributes",
            help="What to tell, separated by commas: age, gender, emotion, race. "
            "(default: all that the model tells but race)",
        ),
    ] = None,
    main: MainOnly = False,
    draw: Annotated[
        Path | None,
        typer.Option("--draw", help="Folder for photos and videos with answers drawn.", parser=given_path),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", help="Table: a row a face; of videos, a row a stretch of one emotion.",
                     parser=given_path),
    ] = None,
    every: EveryFrame = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=0.001, help="Only the first seconds of a video.")
    ] = None,
    attributes_model: AttributesModel = None,
    detector: Detector = None,
    max_size: MaxSize = None,
    model: Model = None,
    flip: Flip = None,
    min_face: MinFace = 0.0,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    json: Json = False,
) -> None:  # fmt: skip
    """What faces look like: age with an interval, gender, emotion, and race only if asked.

    It is the look of a photo, with how sure that is, and not who somebody is. Whether emotion or race may be
    told at all is a question of law: see docs/attributes.md.
    """
    from facewise.cli.analyze_told import document, show, write_csv
    from facewise.pipeline import Steps
    from facewise.video.content import search_photos_and_videos, told_apart

    wanted = None if attributes is None else _named(attributes)
    found = search_photos_and_videos(paths)
    photos, videos = told_apart(found.photos)
    if not found.photos:
        raise FacewiseError(
            f"No photos or videos were found in {', '.join(map(str, paths))}: name some, or another folder."
        )
    given = {"--every": every, "--seconds": seconds}
    if (only := ", ".join(option for option, value in given.items() if value is not None)) and not videos:
        usage_error(f"{only}: for videos only, and no PATH is a video.")
    if draw is not None:
        check_output_folder(draw)
    if csv is not None:
        check_output_file(csv)
    bad = BadItems("file" if photos and videos else "photo" if photos else "video")
    bad.leave_out(found.left_out)
    # Only in videos is it of use to know who is whom: a track is to stay with one person.
    pipeline = load_pipeline(
        detector=detector, model=model, embed=bool(videos), flip=flip, provider=provider, threads=threads,
        variant=variant, max_size=max_size, min_face=min_face, attributes=attributes_model or True,
    )  # fmt: skip
    asked = pipeline.attributes.check(wanted)
    names, several = FileNames(), list[str]()
    results: list[tuple[Path, PhotoFaces]] = []
    steps = Steps(embed=False, main_only=main, attributes=asked)
    seen = zip(photos, pipeline.read_many(photos, steps, processes=True), strict=True)
    for path, photo in with_progress("Analyzing", seen, len(photos)):
        if photo.error is not None:
            bad.add(str(path), photo.error)
            continue
        results.append((path, photo))
        if photo.others:
            several.append(photo.source)
        if (why := _nothing_told(photo)) is not None:
            bad.add(str(path), why)
        if draw is not None:
            with costs_one_photo(path, bad):
                _draw(draw / names.of(path, ".jpg"), path, photo)
    with ctrl_c_asks() as stop:
        folder = None if draw is None else (draw, names)
        watched = list(_watched(pipeline, videos, asked, every, seconds, folder, bad, stop))
        stopped = stop()
    if csv is not None:
        write_csv(csv, results, watched, asked)
    if json:
        print_json(document(results, watched, pipeline, asked, bad, videos=bool(videos)))
    else:
        show(results, watched, asked, draw)
    tell_several(several)
    end_if_stopped(stopped or any(result.stopped for result in watched))
    bad.finish(len(results) + len(watched))


def _named(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        usage_error("--attributes names no attribute.")
    return names


def _nothing_told(photo: PhotoFaces) -> FacewiseError | None:
    """Why nothing is said of anybody in a photo, in one sentence; None where something is."""
    from facewise.recognizer import no_face

    if not photo.faces:
        return no_face(photo.source)
    notes = [face.attributes.note for face in photo.faces if face.attributes is not None]
    if not all(notes):
        return None
    faces = "the face" if len(notes) == 1 else f"any of the {len(notes)} faces"
    return FacewiseError(
        f"Nothing can be said of {faces} in {photo.source}: {'; '.join(dict.fromkeys(notes))}."
    )


def _watched(
    pipeline: Pipeline,
    videos: Sequence[Path],
    asked: tuple[str, ...],
    every: int | None,
    seconds: float | None,
    folder: tuple[Path, FileNames] | None,
    bad: BadItems,
    stop: Any,
) -> Iterator[VideoAnalysis]:
    """Each video that can be read, analyzed; what is bad goes to `bad`."""
    if not videos:
        return
    from facewise.video.analyze import analyze_video
    from facewise.video.watch import VideoSettings

    settings = VideoSettings(every=every, seconds=seconds)
    for path in videos:
        if stop():
            tell(f"{path} was not looked at.")
            continue
        out = None if folder is None else folder[0] / folder[1].of(path, ".mp4")
        try:
            with frames_bar(f"Watching {path.name}", 2 if out else 1) as progress:
                result = analyze_video(
                    path, pipeline, attributes=asked, settings=settings, out=out, progress=progress, stop=stop
                )
        except FacewiseError as error:
            bad.add(str(path), error)
            continue
        yield result
        if result.problem is not None:
            bad.add(str(path), result.problem)
        elif not result.tracks and not result.stopped:
            bad.add(str(path), f"No face was found in {result.source}, upright.")


def _draw(path: Path, photo: Path, found: PhotoFaces) -> None:
    from facewise.analysis.told import in_one_line
    from facewise.drawing import BLUE, draw_faces, save_image
    from facewise.image import read_image

    labels = ["" if face.attributes is None else in_one_line(face.attributes) for face in found.faces]
    save_image(path, draw_faces(read_image(photo), found.faces, labels, [BLUE] * len(labels)))
