"""`facewise identify`: who is in photos and videos, and before a camera."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.gallery import open_gallery, providers
from facewise.cli.identify_video import (
    VideoOptions,
    ctrl_c_asks,
    end_if_stopped,
    identify_videos,
    tell_videos,
    write_csv,
)
from facewise.cli.options import (
    DEFAULT_GALLERY,
    Detector,
    EveryFrame,
    Flip,
    Fmr,
    Fpir,
    GalleryPath,
    Json,
    KeyFile,
    Liveness,
    LivenessModel,
    MaxSize,
    Mesh,
    MinFace,
    Model,
    Provider,
    Threads,
    ThresholdOption,
    Variant,
    given_path,
    reads_photos,
    tell_other_detector,
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
    usage_error,
    with_progress,
)
from facewise.cli.photos import FileNames, costs_one_photo

if TYPE_CHECKING:
    from facewise.gallery import Gallery
    from facewise.types import Decision, Match
    from facewise.video import VideoResult


@reads_photos
def identify(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Photos, videos, or folders of them.", metavar="[PATH]…", parser=given_path),
    ] = None,
    gallery: GalleryPath = DEFAULT_GALLERY,
    key_file: KeyFile = None,
    fmr: Fmr = None,
    fpir: Fpir = None,
    threshold: ThresholdOption = None,
    groups: Annotated[
        str | None,
        typer.Option("--groups", help="Look among the people of these groups only, separated by commas."),
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option("--draw", help="Folder for photos and videos with names drawn.", parser=given_path),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The video again, with names drawn.", parser=given_path)
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Table of who was in the videos when.", parser=given_path)
    ] = None,
    every: EveryFrame = None,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", min=0.001, help="Only the first seconds of a video or camera."),
    ] = None,
    camera: Annotated[
        int | None, typer.Option("--camera", min=0, help="Instead of files: this camera, until Ctrl-C.")
    ] = None,
    detector: Detector = None,
    max_size: MaxSize = None,
    model: Model = None,
    flip: Flip = None,
    min_face: MinFace = 0.0,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    liveness: Liveness = False,
    liveness_model: LivenessModel = None,
    mesh: Mesh = False,
    json: Json = False,
) -> None:
    """Who is in each photo, and in each video when; strangers are told as unknown."""
    from facewise.pipeline import Pipeline

    among = None if groups is None else _groups(groups)
    options = VideoOptions(out, csv, every, seconds, camera, fmr, fpir, threshold, among)
    photos, videos, left_out = _sorted_out(paths or [], options)
    if draw is not None:
        check_output_folder(draw)
    bad, names = BadItems(_what(photos, videos)), FileNames()
    bad.leave_out(left_out)
    results: list[tuple[Path, str, list[Match]]] = []
    watched: list[VideoResult] = []
    stopped = False
    with open_gallery(
        gallery,
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
        min_face=min_face,
    ) as opened:
        if not opened.page(limit=1)[1]:
            tell(f"The gallery {gallery} holds nobody yet, so everybody is unknown.")
        if among is not None:
            _refuse_unknown(among, opened)
        asked: dict[str, Any] = {"fmr": fmr, "fpir": fpir, "threshold": threshold, "groups": among}
        rule = _rule(opened, among, opened.search_decision(**asked))
        if threshold is None and isinstance(opened.pipeline, Pipeline):
            tell_other_detector(opened.pipeline)
        answers = opened.identify_many(photos, **asked)
        found = zip(photos, answers, strict=True)
        for path, (photo, matches) in with_progress("Identifying", found, len(photos)):
            if photo.error is not None:
                bad.add(str(path), photo.error)
                continue
            results.append((path, photo.source, matches))
            if draw is not None:
                with costs_one_photo(path, bad):
                    _draw(draw / names.of(path, ".jpg"), path, matches)
        if videos or camera is not None:
            with ctrl_c_asks() as stop:
                watched = identify_videos(
                    opened, videos, options, bad, stop,
                    lambda path: None if draw is None else draw / names.of(path, ".mp4"),
                )  # fmt: skip
                stopped = stop()
    if csv is not None:
        write_csv(csv, watched)
    if json:
        print_json(_document(results, watched, rule, bad, videos=bool(videos) or camera is not None))
    else:
        _show(results, watched, rule, draw)
    end_if_stopped(stopped or any(result.stopped for result in watched))
    bad.finish(len(results) + len(watched))


def _sorted_out(paths: list[Path], options: VideoOptions) -> tuple[list[Path], list[Path], dict[str, int]]:
    """The photos and videos among the paths, and what is neither; what makes no sense ends the command."""
    from facewise.errors import ImageError
    from facewise.video.content import search_photos_and_videos, told_apart

    if not paths and options.camera is None:
        usage_error("give photos or videos, or --camera N.")
    found = search_photos_and_videos(paths)
    photos, videos = told_apart(found.photos)
    options.check(videos, paths)
    if paths and not photos and not videos:
        raise ImageError(
            f"No photos or videos were found in {', '.join(map(str, paths))}: name some, or another folder."
        )
    return photos, videos, found.left_out


def _what(photos: list[Path], videos: list[Path]) -> str:
    return "file" if photos and videos else "photo" if photos else "video"


def _document(
    results: list[tuple[Path, str, list[Match]]],
    watched: list[VideoResult],
    rule: dict[str, Any],
    bad: BadItems,
    *,
    videos: bool,
) -> dict[str, Any]:
    from facewise.video.results import result_dict

    found = [{"photo": str(p), "faces": [_match_dict(m) for m in matches]} for p, _, matches in results]
    told = {"videos": [result_dict(result) for result in watched]} if videos else {}
    return {"photos": found, **told, **rule, **bad.told}


def _show(
    results: list[tuple[Path, str, list[Match]]],
    watched: list[VideoResult],
    rule: dict[str, Any],
    draw: Path | None,
) -> None:
    if results:
        rows = (row for _, name, matches in results for row in _rows(name, matches))
        table("", ("photo", "who", "similarity", "next best"), rows, right=(2,))
        if draw is not None:
            say(f"Drawn in {draw}.")
    if watched:
        tell_videos(watched)
    _tell_twice(results)
    if any(matches for *_, matches in results) or any(result.people for result in watched):
        say(_told(rule))


def _tell_twice(results: list[tuple[Path, str, list[Match]]]) -> None:
    """Says what "(twice)" means, where it is."""
    photos = [name for _, name, matches in results if any(match.twice for match in matches)]
    if photos:
        tell(
            f"One name for several faces: {named(photos)}. Nobody is in a photo twice, so at most one of "
            "them is right."
        )


def _groups(text: str) -> tuple[str, ...]:
    from facewise.gallery.names import clean_groups

    found = clean_groups(group for group in text.split(",") if group.strip())
    if not found:
        usage_error("--groups names no group.")
    return found


def _refuse_unknown(groups: tuple[str, ...], gallery: Gallery) -> None:
    """A group that nobody is in is a slip of the pen, by which everybody would be a stranger."""
    from facewise.errors import GalleryError

    for group in groups:
        if not gallery.page(limit=1, group=group)[1]:
            known = sorted({group for person in gallery.people() for group in person.groups})
            there = f"there are: {', '.join(known)}" if known else "nobody is in any group"
            raise GalleryError(f"There is no group {group!r} in the gallery; {there}.")


def _rule(gallery: Gallery, groups: tuple[str, ...] | None, decision: Decision | None) -> dict[str, Any]:
    """What is decided by, and what that means among so many people."""
    from facewise.models import no_decision

    return {
        "gallery": {
            "people": gallery.comparisons("mean", groups),
            "samples": gallery.comparisons("best", groups),
        },
        "decision": None
        if decision is None
        else {
            "threshold": decision.threshold,
            "fmr": decision.fmr,
            "fpir": decision.fpir,
            "source": decision.source,
        },
        "providers": providers(gallery),
        "note": no_decision(gallery.pipeline.embedder.calibration) if decision is None else "",
    }


def _told(rule: dict[str, Any]) -> str:
    decision, gallery = rule["decision"], rule["gallery"]
    if decision is None:
        return f"{rule['note']}."
    if decision["fpir"] is None:
        return f"Threshold {decision['threshold']:.3f}, {decision['source']}."
    among = f"{count(gallery['samples'], 'sample')} of {count(gallery['people'], 'person', 'people')}"
    return (
        f"Threshold {decision['threshold']:.3f} at FMR {decision['fmr']:g} ({decision['source']}): compared "
        f"with {among}, up to {decision['fpir']:.2g} of all strangers are given a name (FPIR)."
    )


def _draw(path: Path, photo: Path, matches: list[Match]) -> None:
    from facewise.drawing import AMBER, BLUE, GREEN, draw_faces, save_image
    from facewise.image import read_image

    colours = [BLUE if not m.decided else GREEN if m.name else AMBER for m in matches]
    labels = [m.note or f"{_who(m)} {m.similarity:.2f}" for m in matches]
    save_image(path, draw_faces(read_image(photo), [m.face for m in matches], labels, colours))


def _who(match: Match) -> str:
    from facewise.gallery.names import told_name

    if match.name is not None:
        return told_name(match.name)
    if match.note:
        return match.note
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
        who = f"{_who(match)} (twice)" if match.twice else _who(match)
        rows.append((photo if i == 0 else "", who, f"{match.similarity:.3f}", others))
    return rows


def _match_dict(match: Match) -> dict[str, Any]:
    return {
        **face_dict(match.face),
        "name": match.name,
        "decided": match.decided,
        "similarity": match.similarity,
        "threshold": match.threshold,
        "fmr": match.fmr,
        "fpir": match.fpir,
        "twice": match.twice,
        "note": match.note,
        "candidates": [{"name": c.name, "similarity": c.similarity} for c in match.candidates],
    }
