"""`facewise identify`: who is in the photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.gallery import open_gallery
from facewise.cli.options import (
    DEFAULT_GALLERY,
    Detector,
    Flip,
    Fmr,
    Fpir,
    GalleryPath,
    Json,
    MinFace,
    Model,
    Photos,
    Provider,
    Threads,
    ThresholdOption,
    tell_other_detector,
)
from facewise.cli.output import (
    BadItems,
    check_output_folder,
    count,
    face_dict,
    print_json,
    say,
    table,
    tell,
    with_progress,
)
from facewise.cli.photos import FileNames, photos_in

if TYPE_CHECKING:
    from facewise.gallery import Gallery
    from facewise.types import Decision, Match


def identify(
    paths: Photos,
    gallery: GalleryPath = DEFAULT_GALLERY,
    fmr: Fmr = None,
    fpir: Fpir = None,
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
    from facewise.pipeline import Pipeline

    if draw is not None:
        check_output_folder(draw)
    photos = photos_in(paths)
    bad, names = BadItems("photo"), FileNames()
    results: list[tuple[Path, str, list[Match]]] = []
    with open_gallery(
        gallery,
        detector=detector,
        model=model,
        flip=flip,
        provider=provider,
        threads=threads,
        min_face=min_face,
    ) as opened:
        if not opened.people():
            tell(f"The gallery {gallery} holds nobody yet, so everybody is unknown.")
        rule = _rule(opened, opened.search_decision(fmr=fmr, fpir=fpir, threshold=threshold))
        if threshold is None and isinstance(opened.pipeline, Pipeline):
            tell_other_detector(opened.pipeline)
        answers = opened.identify_many(photos, fmr=fmr, fpir=fpir, threshold=threshold)
        found = zip(photos, answers, strict=True)
        for path, (photo, matches) in with_progress("Identifying", found, len(photos)):
            if photo.error is not None:
                bad.add(str(path), photo.error)
                continue
            results.append((path, photo.source, matches))
            if draw is not None:
                _draw(draw / f"{names.of(path)}.jpg", path, matches)
    if json:
        found_json = [{"photo": str(p), "faces": [_match_dict(m) for m in found]} for p, _, found in results]
        print_json({"photos": found_json, **rule, "bad": bad.items})
    elif results:
        rows = (row for _, name, matches in results for row in _rows(name, matches))
        table("", ("photo", "who", "similarity", "next best"), rows, right=(2,))
        if any(matches for *_, matches in results):
            say(_told(rule))
        if draw is not None:
            say(f"Drawn in {draw}.")
    bad.finish(len(results))


def _rule(gallery: Gallery, decision: Decision | None) -> dict[str, Any]:
    """What is decided by, and what that means among so many people."""
    from facewise.models import no_decision

    people = gallery.people()
    return {
        "gallery": {"people": len(people), "samples": sum(person.samples for person in people)},
        "decision": None
        if decision is None
        else {
            "threshold": decision.threshold,
            "fmr": decision.fmr,
            "fpir": decision.fpir,
            "source": decision.source,
        },
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
        "fpir": match.fpir,
        "candidates": [{"name": c.name, "similarity": c.similarity} for c in match.candidates],
    }
