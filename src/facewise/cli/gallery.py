"""`facewise enroll` and `facewise gallery …`: people into a gallery, and looking after it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.options import (
    DEFAULT_GALLERY,
    Detector,
    Flip,
    Fmr,
    GalleryPath,
    Json,
    Model,
    Provider,
    Threads,
    ThresholdOption,
    load_pipeline,
)
from facewise.cli.output import BadItems, print_json, say, table, tell, usage_error, with_progress

if TYPE_CHECKING:
    from facewise.gallery import Enrollment, Gallery
    from facewise.types import Quality

app = typer.Typer(help="Look after a gallery of people.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A person of the gallery.")]


def enroll(
    name: Annotated[str | None, typer.Argument(help="Who is in the photos.")] = None,
    photos: Annotated[list[Path] | None, typer.Argument(help="Photos of them.", metavar="PHOTO…")] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="Instead: a folder with one sub-folder of photos a person."),
    ] = None,
    gallery: GalleryPath = DEFAULT_GALLERY,
    fmr: Fmr = None,
    threshold: ThresholdOption = None,
    detector: Detector = None,
    model: Model = None,
    flip: Flip = None,
    provider: Provider = "cpu",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Put people into a gallery: one photo is enough, more are better."""
    from facewise.errors import ImageError
    from facewise.photos import find_photos

    if (folder is None) == (name is None):
        usage_error("give NAME PHOTO…, or --folder DIR.")
    if name is not None and not photos:
        usage_error(f"give at least one photo of {name}.")
    bad, done = BadItems("photo"), []
    with open_gallery(
        gallery, create=True, detector=detector, model=model, flip=flip, provider=provider, threads=threads
    ) as opened:
        if folder is not None:
            count = sum(1 for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else 0
            people = opened.enroll_folder(folder, fmr=fmr, threshold=threshold)
            for enrollment in with_progress("Enrolling people", people, count):
                done.append(enrollment)
                _tell(enrollment, bad)
        elif name is not None:
            found = find_photos(photos or [])
            if not found:
                raise ImageError(f"No photos were found in {', '.join(map(str, photos or []))}.")
            done.append(opened.enroll(name, found, fmr=fmr, threshold=threshold))
            _tell(done[0], bad)
    if json:
        print_json({"gallery": str(gallery), "enrolled": [asdict(e) for e in done]})
    else:
        people_count = sum(1 for e in done if e.added)
        say(f"{sum(e.added for e in done)} photos of {people_count} people enrolled in {gallery}.")
    bad.finish()


@app.command("list")
def list_people(gallery: GalleryPath = DEFAULT_GALLERY, json: Json = False) -> None:
    """Everybody in the gallery."""
    with open_gallery(gallery) as opened:
        people, space = opened.people(), opened.space
    if json:
        print_json(
            {
                "gallery": str(gallery),
                "model": None if space is None else space.model,
                "fingerprint": None if space is None else space.fingerprint,
                "people": [asdict(person) for person in people],
            }
        )
        return
    table("", ("name", "photos", "since"), ((p.name, p.samples, p.created) for p in people), right=(1,))
    of = "no model yet" if space is None else f"{space.model}, {space.fingerprint[:12]}"
    say(f"{len(people)} people, {sum(p.samples for p in people)} photos ({of}).")


@app.command()
def show(name: Name, gallery: GalleryPath = DEFAULT_GALLERY, json: Json = False) -> None:
    """One person's samples, with their quality."""
    with open_gallery(gallery) as opened:
        person = opened.show(name)
    if json:
        samples = [
            {
                "id": s.id, "source": s.source, "source_sha256": s.source_hash, "fingerprint": s.fingerprint,
                "created": s.created, "quality": None if s.quality is None else asdict(s.quality),
            }
            for s in person.samples
        ]  # fmt: skip
        print_json({"name": person.name, "created": person.created, "samples": samples})
        return
    rows = (
        (s.id, s.source, s.created) + (("", "", "", "") if s.quality is None else _quality_cells(s.quality))
        for s in person.samples
    )
    columns = ("id", "photo", "enrolled", "score", "eyes px", "sharpness", "yaw°")
    table(person.name, columns, rows, right=(0, 3, 4, 5, 6))


@app.command()
def remove(
    name: Name,
    sample: Annotated[int | None, typer.Option("--sample", help="Only this sample, by its id.")] = None,
    gallery: GalleryPath = DEFAULT_GALLERY,
) -> None:
    """Delete a person, or one of their samples, for good: no byte of the embeddings stays."""
    from facewise.errors import GalleryError

    with open_gallery(gallery) as opened:
        if sample is None:
            say(f"{name} and {opened.remove(name)} photos removed.")
            return
        if sample not in {s.id for s in opened.show(name).samples}:
            raise GalleryError(f"{name} has no sample {sample}; `facewise gallery show` lists them.")
        opened.remove_sample(sample)
        say(f"Sample {sample} of {name} removed.")


@app.command()
def rename(
    old: Name,
    new: Annotated[str, typer.Argument(help="The new name.")],
    gallery: GalleryPath = DEFAULT_GALLERY,
) -> None:
    """Give a person another name."""
    with open_gallery(gallery) as opened:
        opened.rename(old, new)
    say(f"{old} is now {new}.")


@app.command()
def merge(
    into: Annotated[str, typer.Argument(help="Who stays.")],
    other: Annotated[str, typer.Argument(help="Whose photos move, and who goes.")],
    gallery: GalleryPath = DEFAULT_GALLERY,
) -> None:
    """Two entries are one person: move the second's photos to the first."""
    with open_gallery(gallery) as opened:
        say(f"{opened.merge(into, other)} photos of {other} are now {into}'s.")


@app.command("export")
def export_gallery(
    path: Annotated[Path, typer.Argument(help="The .npz file to write.")],
    gallery: GalleryPath = DEFAULT_GALLERY,
) -> None:
    """Write everything to one .npz file. It holds biometric data: keep it safe."""
    with open_gallery(gallery) as opened:
        say(f"{opened.export(path)} photos written to {path}.")


@app.command("import")
def import_gallery(
    path: Annotated[Path, typer.Argument(help="An exported .npz file.")],
    gallery: GalleryPath = DEFAULT_GALLERY,
    json: Json = False,
) -> None:
    """Add everybody of an exported file; another model's export is refused."""
    bad = BadItems("photo")
    with open_gallery(gallery, create=True) as opened:
        done = opened.import_(path)
    for enrollment in done:
        _tell(enrollment, bad)
    if json:
        print_json({"gallery": str(gallery), "imported": [asdict(e) for e in done]})
    else:
        say(f"{sum(e.added for e in done)} photos of {len(done)} people imported into {gallery}.")
    bad.finish()


@app.command()
def check(gallery: GalleryPath = DEFAULT_GALLERY, json: Json = False) -> None:
    """Look for damage: the file, the embeddings, the models they came from."""
    with open_gallery(gallery) as opened:
        problems = opened.check()
        people = opened.people()
    if json:
        print_json({"gallery": str(gallery), "problems": problems})
    elif not problems:
        say(f"{gallery} is sound: {len(people)} people, {sum(p.samples for p in people)} photos.")
    if problems:
        for problem in problems:
            tell(f"facewise: {problem}")
        raise typer.Exit(3)


def open_gallery(path: Path, *, create: bool = False, **options: Any) -> Gallery:
    """A gallery with the pipeline these options ask for; without options, one that never needs a pipeline."""
    from facewise.gallery import Gallery

    if not options:
        return Gallery.open(path, create=create)
    if options.get("flip") is None and path.exists():
        # A gallery stays with the flip setting it was begun with.
        with Gallery.open(path, create=False) as existing:
            options["flip"] = existing.space.flip if existing.space is not None else None
    return Gallery.open(path, pipeline=load_pipeline(**options), create=create)


def _tell(enrollment: Enrollment, bad: BadItems) -> None:
    for source in enrollment.duplicates:
        tell(f"{source} is already enrolled as {enrollment.name}: not stored again.")
    for warning in enrollment.warnings:
        tell(f"{warning}")
    for rejection in enrollment.rejected:
        bad.add(rejection.source, f"{rejection.source}: {rejection.reason}")


def _quality_cells(quality: Quality) -> tuple[str, str, str, str]:
    import math

    yaw = f"{math.degrees(quality.yaw):.0f}"
    return f"{quality.score:.3f}", f"{quality.size:.0f}", f"{quality.sharpness:.0f}", yaw
