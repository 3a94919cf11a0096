"""`facewise enroll` and `facewise gallery …`: people into a gallery, and looking after it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli import gallery_keys
from facewise.cli.options import (
    DEFAULT_GALLERY,
    CounterFile,
    Detector,
    EnrolQuality,
    Flip,
    Fmr,
    GalleryPath,
    Json,
    KeyFile,
    Liveness,
    LivenessModel,
    MaxSize,
    Mesh,
    Model,
    Provider,
    QualityChoice,
    Threads,
    ThresholdOption,
    Variant,
    given_path,
    load_pipeline,
    reads_photos,
)
from facewise.cli.output import BadItems, count, print_json, say, table, tell, usage_error, with_progress

if TYPE_CHECKING:
    from facewise.gallery import Enrollment, Gallery, Person
    from facewise.types import Quality

app = typer.Typer(help="Look after a gallery of people.", no_args_is_help=True)


class KeepChoice(StrEnum):
    """What `--keep` takes; see `facewise.gallery.photos.Keep`."""

    none = "none"
    face = "face"
    photo = "photo"


Name = Annotated[str, typer.Argument(help="A person of the gallery.")]


@reads_photos
def enroll(
    name: Annotated[str | None, typer.Argument(help="Who is in the photos.")] = None,
    photos: Annotated[
        list[Path] | None, typer.Argument(help="Photos of them.", metavar="PHOTO…", parser=given_path)
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder", help="Instead: a folder with one sub-folder of photos a person.", parser=given_path
        ),
    ] = None,
    gallery: GalleryPath = DEFAULT_GALLERY,
    key_file: KeyFile = None,
    keep: Annotated[
        KeepChoice,
        typer.Option("--keep", help="Keep a portrait of each face, or the photo, beside the embedding."),
    ] = KeepChoice.none,
    groups: Annotated[
        str, typer.Option("--groups", help="Groups to put everybody enrolled into, separated by commas.")
    ] = "",
    quality: EnrolQuality = QualityChoice.standard,
    fmr: Fmr = None,
    threshold: ThresholdOption = None,
    detector: Detector = None,
    max_size: MaxSize = None,
    model: Model = None,
    flip: Flip = None,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    liveness: Liveness = False,
    liveness_model: LivenessModel = None,
    mesh: Mesh = False,
    json: Json = False,
) -> None:
    """Put people into a gallery: one photo is enough, more are better."""
    from facewise.cli.photos import photos_in
    from facewise.photos import endings_left_out, search_people

    if (folder is None) == (name is None):
        usage_error("give NAME PHOTO…, or --folder DIR.")
    if name is not None and not photos:
        usage_error(f"give at least one photo of {name}.")
    bad, done, of = BadItems("photo"), [], [group for group in groups.split(",") if group.strip()]
    how: dict[str, Any] = {
        "fmr": fmr, "threshold": threshold, "keep": keep.value, "groups": of, "quality": quality.value,
    }  # fmt: skip
    with open_gallery(
        gallery,
        create=True,
        key_file=key_file,
        detector=detector,
        max_size=max_size,
        model=model,
        flip=flip,
        provider=provider,
        threads=threads,
        variant=variant,
        liveness=liveness,
        liveness_model=liveness_model,
        mesh=mesh,
    ) as opened:
        if folder is not None:
            count = sum(1 for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else 0
            people = opened.enroll_folder(folder, tell=tell, **how)
            bad.left_out = endings_left_out(search_people(folder))
            for enrollment in with_progress("Enrolling people", people, count):
                done.append(enrollment)
                _tell(enrollment, bad)
        elif name is not None:
            given = photos_in(photos or [], bad)
            done.append(opened.enroll(name, given, **how))
            _tell(done[0], bad)
        used = providers(opened)
    if json:
        enrolled = [asdict(e) for e in done]
        print_json({"gallery": str(gallery), "enrolled": enrolled, "providers": used, **bad.told})
    else:
        say(f"{_enrolled(done)} enrolled in {gallery}.")
    bad.finish(sum(e.added + len(e.duplicates) for e in done))


@app.command("list")
def list_people(gallery: GalleryPath = DEFAULT_GALLERY, key_file: KeyFile = None, json: Json = False) -> None:
    """Everybody in the gallery."""
    with open_gallery(gallery, key_file=key_file) as opened:
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
    rows = ((p.name, p.samples, p.created, ", ".join(p.groups)) for p in people)
    columns = ("name", "photos", "since", "groups")
    shown = len(columns) if any(p.groups for p in people) else 3
    table("", columns[:shown], (row[:shown] for row in rows), right=(1,))
    of = "no model yet" if space is None else f"{space.model}, {space.fingerprint[:12]}"
    say(f"{_census(people)} ({of}).")


@app.command()
def show(
    name: Name, gallery: GalleryPath = DEFAULT_GALLERY, key_file: KeyFile = None, json: Json = False
) -> None:
    """One person's samples, with their quality."""
    with open_gallery(gallery, key_file=key_file) as opened:
        person = opened.show(name)
    if json:
        samples = [
            {
                "id": s.id, "source": s.source, "source_sha256": s.source_hash, "fingerprint": s.fingerprint,
                "created": s.created, "quality": None if s.quality is None else asdict(s.quality),
                "has_photo": s.has_photo,
            }
            for s in person.samples
        ]  # fmt: skip
        print_json(
            {
                "id": person.id,
                "name": person.name,
                "created": person.created,
                "groups": person.groups,
                "samples": samples,
            }
        )
        return
    rows = (
        (s.id, s.source, s.created)
        + (("", "", "", "") if s.quality is None else _quality_cells(s.quality))
        + ("yes" if s.has_photo else "",)
        for s in person.samples
    )
    columns = ("id", "photo", "enrolled", "score", "eyes px", "sharpness", "yaw°", "kept")
    shown = len(columns) if any(s.has_photo for s in person.samples) else len(columns) - 1
    of = f" ({', '.join(person.groups)})" if person.groups else ""
    table(f"{person.name}{of}", columns[:shown], (row[:shown] for row in rows), right=(0, 3, 4, 5, 6))


@app.command()
def groups(
    name: Name,
    group: Annotated[list[str] | None, typer.Argument(help="The groups.", metavar="GROUP…")] = None,
    none: Annotated[bool, typer.Option("--none", help="Out of all groups.")] = False,
    gallery: GalleryPath = DEFAULT_GALLERY,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Put a person into these groups and no others: searches can be limited to some."""
    if bool(group) == none:
        usage_error("give the groups, or --none.")
    with open_gallery(gallery, key_file=key_file) as opened:
        opened.set_groups(name, group or [])
        person = opened.show(name)
    done = f"{person.name} is in {', '.join(person.groups) or 'no group'}."
    _tell_done({"gallery": str(gallery), "name": person.name, "groups": person.groups}, done, json=json)


@app.command()
def photo(
    sample: Annotated[int, typer.Argument(help="A sample's id, as `facewise gallery show` lists them.")],
    path: Annotated[Path, typer.Argument(help="The .jpg file to write.", parser=given_path)],
    gallery: GalleryPath = DEFAULT_GALLERY,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Write the photo that is kept with a sample to a file."""
    from facewise.errors import GalleryError
    from facewise.files import atomic_write
    from facewise.gallery.beside import is_beside
    from facewise.gallery.uri import parse_uri

    file = parse_uri(gallery).path
    if file is not None and is_beside(file, path):
        raise GalleryError(f"{path} is a file of the gallery itself: name another.")
    with open_gallery(gallery, key_file=key_file) as opened:
        jpeg = opened.photo(sample)
    if jpeg is None:
        raise GalleryError(f"No photo is kept with sample {sample} of {gallery}.")
    with atomic_write(path, private=True) as temporary:
        temporary.write_bytes(jpeg)
    done = f"The photo of sample {sample} written to {path}."
    _tell_done({"gallery": str(gallery), "sample": sample, "out": str(path)}, done, json=json)


@app.command()
def remove(
    name: Name,
    sample: Annotated[int | None, typer.Option("--sample", help="Only this sample, by its id.")] = None,
    gallery: GalleryPath = DEFAULT_GALLERY,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Delete a person, or one of their samples, for good: no byte of the embeddings stays."""
    from facewise.errors import GalleryError

    with open_gallery(gallery, key_file=key_file) as opened:
        if sample is None:
            photos = opened.remove(name)
            done = f"{name} and {count(photos, 'photo')} removed."
        elif sample in {s.id for s in opened.show(name).samples}:
            opened.remove_sample(sample)
            photos, done = 1, f"Sample {sample} of {name} removed."
        else:
            raise GalleryError(f"{name} has no sample {sample}; `facewise gallery show` lists them.")
    _tell_done({"gallery": str(gallery), "name": name, "removed": photos}, done, json=json)


@app.command()
def rename(
    old: Name,
    new: Annotated[str, typer.Argument(help="The new name.")],
    gallery: GalleryPath = DEFAULT_GALLERY,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Give a person another name."""
    with open_gallery(gallery, key_file=key_file) as opened:
        opened.rename(old, new)
    _tell_done({"gallery": str(gallery), "old": old, "new": new}, f"{old} is now {new}.", json=json)


@app.command()
def merge(
    into: Annotated[str, typer.Argument(help="Who stays.")],
    other: Annotated[str, typer.Argument(help="Whose photos move, and who goes.")],
    gallery: GalleryPath = DEFAULT_GALLERY,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Two entries are one person: move the second's photos to the first."""
    with open_gallery(gallery, key_file=key_file) as opened:
        moved = opened.merge(into, other)
    done = f"{count(moved, 'photo')} of {other} moved to {into}."
    _tell_done({"gallery": str(gallery), "into": into, "from": other, "moved": moved}, done, json=json)


@app.command("export")
def export_gallery(
    path: Annotated[Path, typer.Argument(help="The .npz file to write.", parser=given_path)],
    gallery: GalleryPath = DEFAULT_GALLERY,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Write everything to one .npz file. It holds biometric data, not encrypted: keep it safe."""
    with open_gallery(gallery, key_file=key_file) as opened:
        photos = opened.export(path)
    done = f"{count(photos, 'photo')} written to {path}."
    _tell_done({"gallery": str(gallery), "out": str(path), "photos": photos}, done, json=json)


@app.command("import")
def import_gallery(
    path: Annotated[Path, typer.Argument(help="An exported .npz file.", parser=given_path)],
    gallery: GalleryPath = DEFAULT_GALLERY,
    key_file: KeyFile = None,
    json: Json = False,
) -> None:
    """Add everybody of an exported file; another model's export is refused."""
    bad = BadItems("photo")
    with open_gallery(gallery, create=True, key_file=key_file) as opened:
        done = opened.import_(path)
    for enrollment in done:
        _tell(enrollment, bad)
    if json:
        print_json({"gallery": str(gallery), "imported": [asdict(e) for e in done], "bad": bad.items})
    else:
        say(f"{_enrolled(done)} imported into {gallery}.")
    bad.finish(sum(e.added + len(e.duplicates) for e in done))


@app.command()
def check(
    gallery: GalleryPath = DEFAULT_GALLERY,
    key_file: KeyFile = None,
    counter_file: CounterFile = None,
    json: Json = False,
) -> None:
    """Look for damage: the file, the embeddings, who they are of, the models they came from."""
    from facewise.gallery import Gallery

    with Gallery.open(gallery, create=False, key_file=key_file, counter_file=counter_file) as opened:
        problems = opened.check()
        advice = opened.advice()
        people = [] if problems else opened.people()
    for one in advice:
        tell(one)
    if json:
        print_json({"gallery": str(gallery), "problems": problems, "advice": advice})
    elif not problems:
        say(f"{gallery} is sound: {_census(people)}.")
    if problems:
        for problem in problems:
            tell(f"facewise: {problem}")
        raise typer.Exit(3)


def open_gallery(
    gallery: str | os.PathLike[str],
    *,
    create: bool = False,
    key_file: Path | None = None,
    **options: Any,
) -> Gallery:
    """A gallery with the pipeline these options ask for; without options, one that never needs a pipeline."""
    from facewise.errors import GalleryError
    from facewise.gallery import Gallery
    from facewise.gallery.uri import parse_uri

    path = parse_uri(gallery).path
    if path is not None and create and not path.parent.is_dir():
        raise GalleryError(
            f"There is no folder {path.parent} to keep the gallery {path.name} in: make it first."
        )
    if not options:
        return Gallery.open(gallery, create=create, key_file=key_file)
    if options.get("flip") is None and (path is None or path.exists()):
        # A gallery stays with the flip setting it was begun with.
        with Gallery.open(gallery, create=path is None and create, key_file=key_file) as existing:
            options["flip"] = existing.space.flip if existing.space is not None else None
    return Gallery.open(gallery, pipeline=load_pipeline(**options), create=create, key_file=key_file)


def providers(gallery: Gallery) -> dict[str, str]:
    """Where the networks of an open gallery's pipeline run: see `Pipeline.providers`."""
    from facewise.pipeline import Pipeline

    return gallery.pipeline.providers if isinstance(gallery.pipeline, Pipeline) else {}


def _tell_done(data: dict[str, Any], text: str, *, json: bool) -> None:
    if json:
        print_json(data)
    else:
        say(text)


def _enrolled(done: Sequence[Enrollment]) -> str:
    people = sum(1 for enrollment in done if enrollment.added)
    photos = sum(enrollment.added for enrollment in done)
    return f"{count(photos, 'photo')} of {count(people, 'person', 'people')}"


def _census(people: Sequence[Person]) -> str:
    photos = sum(person.samples for person in people)
    return f"{count(len(people), 'person', 'people')}, {count(photos, 'photo')}"


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


for command in (gallery_keys.new_key, gallery_keys.rekey):
    app.command()(command)
