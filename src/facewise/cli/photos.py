"""`facewise detect` and `align`: photos in, faces and crops out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.options import (
    Detector,
    Json,
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
    check_output_folder,
    count,
    face_dict,
    named,
    print_json,
    say,
    table,
    tell,
    with_progress,
)

if TYPE_CHECKING:
    from facewise.pipeline import PhotoFaces, Pipeline, Steps

MainOnly = Annotated[bool, typer.Option("--main", help="Only the main face of each photo.")]


@reads_photos
def detect(
    paths: Photos,
    draw: Annotated[
        Path | None, typer.Option("--draw", help="Folder for photos with boxes drawn.", parser=given_path)
    ] = None,
    detector: Detector = None,
    score: Score = 0.5,
    max_size: MaxSize = None,
    min_face: MinFace = 0.0,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    json: Json = False,
) -> None:
    """Find faces: boxes and five landmarks, in pixels of the photo."""
    from facewise.drawing import BLUE, draw_faces, save_image
    from facewise.image import read_image
    from facewise.pipeline import Steps

    if draw is not None:
        check_output_folder(draw)
    pipeline = load_pipeline(
        detector=detector, embed=False, provider=provider, threads=threads, variant=variant,
        score=score, max_size=max_size, min_face=min_face,
    )  # fmt: skip
    bad, results = BadItems("photo"), []
    names = FileNames()
    for path, photo in read_photos(pipeline, paths, Steps(align=False, embed=False), bad, "Detecting"):
        results.append((path, photo))
        if draw is not None:
            labels = [f"{face.score:.2f}" for face in photo.faces]
            with costs_one_photo(path, bad):
                picture = draw_faces(read_image(path), photo.faces, labels, [BLUE] * len(labels))
                save_image(draw / names.of(path, ".jpg"), picture)
    if json:
        told = [_photo_dict(*result) for result in results]
        print_json({"photos": told, "providers": pipeline.providers, **bad.told})
    elif results:
        table(
            "",
            ("photo", "faces", "score", "box (x1 y1 x2 y2)"),
            (_detect_row(photo) for _, photo in results),
            right=(1,),
        )
        found = sum(len(photo.faces) for _, photo in results)
        say(f"{count(found, 'face')} in {count(len(results), 'photo')}.")
        if draw is not None:
            say(f"Drawn in {draw}.")
    bad.finish(len(results))


@reads_photos
def align(
    paths: Photos,
    out: Annotated[Path, typer.Option("--out", help="Folder for the crops.", parser=given_path)],
    size: Annotated[int, typer.Option("--size", min=16, max=1024, help="Side of a crop in pixels.")] = 112,
    main: MainOnly = False,
    detector: Detector = None,
    max_size: MaxSize = None,
    min_face: MinFace = 0.0,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    json: Json = False,
) -> None:
    """Cut aligned face crops, one PNG a face, named after the photo."""
    from facewise.drawing import save_image
    from facewise.pipeline import Pipeline, Steps

    check_output_folder(out)
    loaded = load_pipeline(
        detector=detector,
        embed=False,
        provider=provider,
        threads=threads,
        variant=variant,
        min_face=min_face,
        max_size=max_size,
    )
    pipeline = Pipeline(loaded.detector, None, crop_size=size, threads=threads)
    bad, crops, without, several, photos = BadItems("photo"), [], list[Path](), list[str](), 0
    names = FileNames()
    steps = Steps(embed=False, main_only=main, keep_crops=True)
    for path, photo in read_photos(pipeline, paths, steps, bad, "Aligning"):
        photos += 1
        if photo.crops is None or not photo.faces:
            without.append(path)
            continue
        if photo.others:
            several.append(photo.source)
        files = names.several(path, len(photo.faces), ".png")
        with costs_one_photo(path, bad):
            for name, face, crop in zip(files, photo.faces, photo.crops, strict=True):
                save_image(out / name, crop)
                crops.append({"photo": str(path), "crop": str(out / name), **face_dict(face)})
    if json:
        print_json(
            {
                "crops": crops,
                "without_face": [str(path) for path in without],
                "main_of_several": several,
                "providers": pipeline.providers,
                **bad.told,
            }
        )
    elif photos:
        say(f"{count(len(crops), 'crop')} of {size}×{size} pixels in {out}.")
    tell_without(without)
    tell_several(several)
    bad.finish(photos)


def photos_in(paths: Sequence[Path], bad: BadItems) -> list[Path]:
    """The photos of the given files and folders; `bad` is told what else is in the folders.

    Raises:
        ImageError: There is none, or a folder cannot be listed.
    """
    from facewise.errors import ImageError
    from facewise.photos import search_photos

    found = search_photos(paths)
    bad.leave_out(found.left_out)
    if not found.photos:
        raise ImageError(
            f"No photos were found in {', '.join(map(str, paths))}: name photos, or another folder."
        )
    return found.photos


def read_photos(
    pipeline: Pipeline, paths: Sequence[Path], steps: Steps, bad: BadItems, label: str
) -> Iterator[tuple[Path, PhotoFaces]]:
    """Every readable photo with its path; the others go to `bad`."""
    photos = photos_in(paths, bad)
    found = zip(photos, pipeline.read_many(photos, steps, processes=True), strict=True)
    for path, photo in with_progress(label, found, len(photos)):
        if photo.error is not None:
            bad.add(str(path), photo.error)
        else:
            yield path, photo


@contextmanager
def costs_one_photo(path: Path, bad: BadItems) -> Iterator[None]:
    """Within the block a name that cannot be had, or a photo that is gone, costs the photo, not the run."""
    from facewise.errors import FileNameError, ImageError
    from facewise.image import source_name

    try:
        yield
    except ImageError as error:
        bad.add(str(path), error)
    except FileNameError as error:
        bad.add(str(path), f"{error} Rename {source_name(path)}.")


class FileNames:
    """File names for results: the photo's stem, numbered where another result already has it."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, photo: Path, ending: str) -> str:
        """The name of a photo's one result."""
        return self.several(photo, 1, ending)[0]

    def several(self, photo: Path, results: int, ending: str) -> list[str]:
        """The names of a photo's results: `stem_0`, `stem_1`, … before the ending if there are several."""
        from facewise.filenames import file_name, same_file

        marks = [""] if results == 1 else [f"_{i}" for i in range(results)]
        for number in itertools.chain([""], (f"-{i}" for i in itertools.count(2))):
            taken = {same_file(file_name(photo.stem, number + mark)) for mark in marks}
            if self._taken.isdisjoint(taken):
                break
        self._taken |= taken
        return [file_name(photo.stem, number + mark + ending) for mark in marks]


def _photo_dict(path: Path, photo: PhotoFaces) -> dict[str, Any]:
    return {
        "photo": str(path),
        "sha256": photo.sha256,
        "width": photo.size[1],
        "height": photo.size[0],
        "faces": [face_dict(face) for face in photo.faces],
    }


def _detect_row(photo: PhotoFaces) -> tuple[object, ...]:
    boxes = "\n".join(" ".join(f"{v:.1f}" for v in face.box) for face in photo.faces)
    return photo.source, len(photo.faces), "\n".join(f"{face.score:.3f}" for face in photo.faces), boxes


def tell_without(without: Sequence[Path]) -> None:
    """Names the photos in which no face was found, on stderr."""
    from facewise.image import source_name

    if without:
        names = ", ".join(source_name(path) for path in without)
        tell(f"{count(len(without), 'photo has', 'photos have')} no face: {names}")


def tell_several(several: Sequence[str]) -> None:
    """Says, on stderr, of how many photos with several faces the main one alone was taken."""
    if several:
        photos = count(len(several), "photo has several faces", "photos have several faces")
        tell(f"{photos}, of which the main one was taken: {named(several)}")
