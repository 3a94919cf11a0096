"""`facewise embed`: photos in, embeddings out; into one file, or a folder that many processes fill."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.options import (
    Detector,
    EnrolQuality,
    Flip,
    Json,
    KeyFile,
    MaxSize,
    MinFace,
    Model,
    Provider,
    QualityChoice,
    Threads,
    Variant,
    gallery_place,
    given_path,
    load_pipeline,
    reads_photos,
)
from facewise.cli.output import (
    BadItems,
    check_output_file,
    check_output_folder,
    count,
    print_json,
    progress_bar,
    say,
    tell,
    told_changes,
    usage_error,
)
from facewise.cli.photos import MainOnly, read_photos, tell_several, tell_without

if TYPE_CHECKING:
    from facewise.models import Calibration
    from facewise.pipeline import Pipeline
    from facewise.sharding import Manifest, ShardResult


@reads_photos
def embed(
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="The .npz file to write; or a folder, for parts that many can work on.",
            parser=given_path,
        ),
    ],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Photos, or folders of photos.", metavar="[PATH…]", parser=given_path),
    ] = None,
    main: MainOnly = False,
    listing: Annotated[
        Path | None,
        typer.Option("--list", parser=given_path, help="A file with a photo's path on each line, instead."),
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option("--shards", min=1, help="How many share the work. (default: as torchrun says, or 1)"),
    ] = None,
    shard: Annotated[
        int | None, typer.Option("--shard", min=0, help="Which of them this is, from 0.")
    ] = None,
    part_size: Annotated[
        int | None,
        typer.Option("--part-size", min=1, max=100_000, help="Photos a part of the folder. (default: 1000)"),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only hold the folder's parts against their checksums.")
    ] = False,
    merge: Annotated[
        Path | None,
        typer.Option("--merge", parser=given_path, help="Only join the folder's parts into this .npz file."),
    ] = None,
    into: Annotated[
        Any,
        typer.Option(
            "--into",
            parser=gallery_place,
            metavar="GALLERY",
            help="Only enrol the folder's faces into this gallery, by folder = person.",
        ),
    ] = None,
    detector: Detector = None,
    max_size: MaxSize = None,
    model: Model = None,
    flip: Flip = None,
    min_face: MinFace = 0.0,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    key_file: KeyFile = None,
    quality: EnrolQuality = QualityChoice.standard,
    json: Json = False,
) -> None:
    """Embed faces: one row a face, with its photo and the model's fingerprint.

    With a folder for --out the work is cut into parts: several processes or machines share it (--shards and
    --shard, or torchrun), and after any interruption the same command goes on where it stopped.
    """
    if sum((check, merge is not None, into is not None)) > 1:
        usage_error("--check, --merge and --into are done one at a time.")
    if check or merge is not None or into is not None:
        if paths or listing is not None:
            usage_error("--check, --merge and --into take no photos: name the folder with --out.")
        _finished(out, merge, into, key_file, quality, json)
        return
    if paths and listing is not None:
        usage_error("Name photos, or a --list of them, not both.")
    if out.suffix == ".npz":
        if not paths or shards is not None or shard is not None or part_size is not None:
            usage_error("A .npz file takes photos and no shards: name a folder with --out to share the work.")
        _into_file(
            paths, out, main, json,
            load_pipeline(
                detector=detector, max_size=max_size, model=model, flip=flip, provider=provider,
                threads=threads,
                variant=variant, min_face=min_face,
            ),
        )  # fmt: skip
        return
    if out.suffix and not out.is_dir():
        usage_error(f"--out must name a .npz file or a folder, not {out}.")
    which = _which(shard, shards)
    from facewise.sharding.ranks import threads_here

    pipeline = load_pipeline(
        detector=detector, max_size=max_size, model=model, flip=flip, provider=provider, min_face=min_face,
        threads=threads or threads_here(), variant=variant,
    )  # fmt: skip
    _into_folder(paths or [], listing, out, which, main, part_size, pipeline, json)


def _into_file(paths: list[Path], out: Path, main: bool, json: bool, pipeline: Pipeline) -> None:
    import numpy as np

    from facewise.files import atomic_write
    from facewise.pipeline import Steps
    from facewise.sharding.rows import FaceRow, face_arrays

    check_output_file(out)
    bad, rows, without, several = BadItems("photo"), list[FaceRow](), list[Path](), list[str]()
    started, photos = time.perf_counter(), 0
    for path, photo in read_photos(pipeline, paths, Steps(main_only=main), bad, "Embedding"):
        photos += 1
        rows += [(str(path), photo.sha256, i, face) for i, face in enumerate(photo.faces)]
        if not photo.faces:
            without.append(path)
        if photo.others:
            several.append(photo.source)
    seconds = time.perf_counter() - started
    embedder = pipeline.embedder
    arrays = face_arrays(rows, embedder.name, embedder.fingerprint, embedder.flip, embedder.embedding_size)
    with atomic_write(out, private=True) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)
    summary: dict[str, Any] = {
        "out": str(out), "photos": photos, "faces": len(rows), "seconds": round(seconds, 3),
        "photos_per_second": round(photos / max(seconds, 1e-9), 2), "model": embedder.name,
        "fingerprint": embedder.fingerprint, "flip": embedder.flip, "providers": pipeline.providers,
        "without_face": [str(path) for path in without], "main_of_several": several, **bad.told,
    }  # fmt: skip
    if json:
        print_json(summary)
    else:
        say(
            f"{count(len(rows), 'face')} of {count(photos, 'photo')} in {out} "
            f"({seconds:.1f} s, {summary['photos_per_second']} photos/s, {embedder.name})."
        )
    tell_without(without)
    tell_several(several)
    bad.finish(photos)


def _which(shard: int | None, shards: int | None) -> tuple[int, int]:
    """This process's share: as the options say, else as a launcher says, else all of it."""
    from facewise.sharding.ranks import check_shard, launched_as

    if shard is None and shards is None:
        return launched_as() or (0, 1)
    if shard is None or shards is None:
        usage_error("Give both --shard and --shards.")
    check_shard(shard, shards)
    return shard, shards


def _into_folder(
    paths: list[Path],
    listing: Path | None,
    out: Path,
    which: tuple[int, int],
    main: bool,
    part_size: int | None,
    pipeline: Pipeline,
    json: bool,
) -> None:
    from facewise.sharding import embed_shard

    check_output_folder(out)
    shard, shards = which
    items = BadItems("photo")
    started = time.perf_counter()
    with progress_bar(f"Embedding, shard {shard} of {shards}", None) as done:
        result = embed_shard(
            out, paths, shard=shard, shards=shards, listing=listing, pipeline=pipeline, main_only=main,
            part_size=part_size, processes=True, on_photo=lambda _, total: done(total=total),
            on_left_out=items.leave_out,
        )  # fmt: skip
    seconds = time.perf_counter() - started
    photos = sum(part.photos for part in result.done)
    parts = (*result.before, *result.done)
    bad = [item for part in parts for item in part.bad]
    several = [path for part in parts for path in part.several]
    if json:
        print_json(
            {
                "out": str(out), "shard": shard, "shards": shards, "parts_done": len(result.done),
                "parts_before": len(result.before), "photos": photos,
                "faces": sum(part.faces for part in result.done), "seconds": round(seconds, 3),
                "photos_per_second": round(photos / max(seconds, 1e-9), 2),
                "model": pipeline.embedder.name, "fingerprint": pipeline.embedder.fingerprint,
                "flip": pipeline.embedder.flip, "providers": pipeline.providers, "bad": bad,
                "main_of_several": several,
                "left_out": items.left_out, "changes": asdict(result.changes),
                "manifest": _manifest(result.manifest),
            }
        )  # fmt: skip
    else:
        _say_shard(result, photos, seconds, out)
    tell_several(several)
    for item in bad:
        tell(f"facewise: {item['error']}")
    # A launcher stops all others when one fails: of several, each is done when its parts are; the manifest
    # and --check name the bad photos of all.
    if bad and shards == 1:
        tell(f"facewise: {count(len(bad), 'bad photo')}, named above; the good ones are done.")
        raise typer.Exit(3)


def _say_shard(result: ShardResult, photos: int, seconds: float, out: Path) -> None:
    if result.changes:
        say(told_changes(**asdict(result.changes)))
    before = f" ({len(result.before)} were done before)" if result.before else ""
    rate = f", {photos / max(seconds, 1e-9):.1f} photos/s" if photos else ""
    say(
        f"Shard {result.shard} of {result.shards}: {count(len(result.done), 'part')} of "
        f"{count(photos, 'photo')} in {out}{before}; {seconds:.1f} s{rate}."
    )
    if result.manifest is not None:
        _say_manifest(result.manifest)
    else:
        say("Other shards have parts to do; whoever finishes last writes the manifest.")


def _say_manifest(manifest: Manifest) -> None:
    say(
        f"Complete: {count(manifest.faces, 'face')} of {count(manifest.photos, 'photo')} in "
        f"{count(manifest.parts, 'part')}, {manifest.without_face} without a face, {len(manifest.bad)} bad; "
        f"{manifest.path}."
    )


def _manifest(manifest: Manifest | None) -> dict[str, Any] | None:
    if manifest is None:
        return None
    return {
        "path": str(manifest.path), "photos": manifest.photos, "faces": manifest.faces,
        "without_face": manifest.without_face, "bad": manifest.bad, "parts": manifest.parts,
    }  # fmt: skip


def _finished(
    out: Path,
    merge: Path | None,
    into: Any,
    key_file: Path | None,
    quality: QualityChoice,
    json: bool,
) -> None:
    """What is done with a run's folder afterwards."""
    if merge is not None:
        _merge(out, merge, json)
    elif into is not None:
        _enrol(out, into, key_file, quality, json)
    else:
        _check(out, json)


def _check(out: Path, json: bool) -> None:
    from facewise.sharding import check_run, read_plan

    checked = check_run(read_plan(out))
    if json:
        print_json(
            {
                "out": str(out), "parts": checked.parts, "missing": checked.missing,
                "damaged": checked.damaged, "manifest": _manifest(checked.manifest),
            }
        )  # fmt: skip
    elif checked.manifest is not None:
        _say_manifest(checked.manifest)
    else:
        say(f"{count(checked.parts, 'part')} whole.")
    for what, parts in (("missing", checked.missing), ("damaged", checked.damaged)):
        if parts:
            names = ", ".join(map(str, parts[:20])) + (" …" if len(parts) > 20 else "")
            tell(f"facewise: {count(len(parts), f'{what} part')}: {names}; embed again to make them.")
    for item in checked.manifest.bad if checked.manifest else ():
        tell(f"facewise: {item['error']}")
    if checked.manifest is None or checked.manifest.bad:
        raise typer.Exit(3)


def _merge(out: Path, target: Path, json: bool) -> None:
    from facewise.sharding import merge, read_plan

    if target.suffix != ".npz":
        usage_error(f"--merge must name a .npz file, not {target}.")
    check_output_file(target)
    faces = merge(read_plan(out), target)
    if json:
        print_json({"out": str(target), "faces": faces})
    else:
        say(f"{count(faces, 'face')} in {target}.")


def _enrol(out: Path, gallery: Any, key_file: Path | None, quality: QualityChoice, json: bool) -> None:
    from facewise.gallery import Gallery
    from facewise.sharding import into_gallery, read_plan

    plan = read_plan(out)
    calibration = _calibration(plan.settings)
    bad, added, known, people = BadItems("photo"), 0, 0, set[str]()
    with Gallery.open(gallery, key_file=key_file) as opened, progress_bar("Enrolling", None) as done:
        for enrollment in into_gallery(plan, opened, calibration=calibration, quality=quality.value):
            added += enrollment.added
            known += len(enrollment.duplicates)
            people |= {enrollment.name} if enrollment.added or enrollment.duplicates else set()
            for warning in enrollment.warnings:
                tell(warning)
            for rejection in enrollment.rejected:
                bad.add(rejection.source, f"{rejection.source}: {rejection.reason}")
            done()
    if json:
        print_json(
            {"gallery": str(gallery), "people": len(people), "added": added, "known": known, "bad": bad.items}
        )
    else:
        there = f", {known} were there already" if known else ""
        say(f"{count(added, 'sample')} of {count(len(people), 'person', 'people')} in {gallery}{there}.")
    bad.finish(added + known)


def _calibration(settings: dict[str, Any]) -> Calibration | None:
    """That of the model which made the embeddings, where it is still there."""
    from facewise.errors import ModelError
    from facewise.models import find_model

    try:
        model = find_model(settings["model"], kind="embedder")
    except ModelError:
        model = None
    if model is None or model.fingerprint != settings["fingerprint"]:
        tell(f"There is no model {settings['model']} here, so nothing is asked of the photos' quality.")
        return None
    calibration = model.card.calibration
    return calibration if calibration is not None and calibration.flip == settings["flip"] else None
