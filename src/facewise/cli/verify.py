"""`facewise verify A B`: the same person?"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facewise.cli import NO_DECISION
from facewise.cli.options import (
    Detector,
    Flip,
    Fmr,
    Json,
    Liveness,
    LivenessModel,
    MaxSize,
    Model,
    Provider,
    Threads,
    ThresholdOption,
    Variant,
    given_path,
    load_pipeline,
    reads_photos,
    tell_other_detector,
)
from facewise.cli.output import check_output_file, count, face_dict, print_json, say, tell

if TYPE_CHECKING:
    from facewise.types import Verification


class FaceChoice(StrEnum):
    """What `--face` takes; see `facewise.recognizer.WhichFace`."""

    main = "main"
    best = "best"


@reads_photos
def verify(
    a: Annotated[Path, typer.Argument(help="A photo.", metavar="A", parser=given_path)],
    b: Annotated[Path, typer.Argument(help="Another photo.", metavar="B", parser=given_path)],
    fmr: Fmr = None,
    threshold: ThresholdOption = None,
    prior: Annotated[
        float | None,
        typer.Option(
            "--prior", help="Share of such pairs that are one person, for the probability. (default: 0.5)"
        ),
    ] = None,
    face: Annotated[
        FaceChoice,
        typer.Option("--face", help="Of several faces compare the main ones, or all for the best pair."),
    ] = FaceChoice.main,
    draw: Annotated[
        Path | None, typer.Option("--draw", help="Picture of both faces side by side.", parser=given_path)
    ] = None,
    detector: Detector = None,
    max_size: MaxSize = None,
    model: Model = None,
    flip: Flip = None,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    liveness: Liveness = False,
    liveness_model: LivenessModel = None,
    json: Json = False,
) -> None:
    """Are two photos of the same person? Compares the main face of each.

    Where a photo has several faces that is said, and `--face best` compares all of one with all of the other.
    Exit code 4: the photos are too poor to tell, or with --liveness, a face does not look live.
    """
    from facewise.models.liveness import not_live
    from facewise.recognizer import Recognizer

    if draw is not None:
        _check_draw(draw)
    pipeline = load_pipeline(
        detector=detector, model=model, flip=flip, provider=provider, threads=threads, variant=variant,
        max_size=max_size, liveness=liveness, liveness_model=liveness_model,
    )  # fmt: skip
    result = Recognizer(pipeline=pipeline).verify(
        a, b, fmr=fmr, threshold=threshold, prior=prior, face=face.value
    )
    _tell_several(a, b, result)
    if threshold is None:
        tell_other_detector(pipeline)
    if draw is not None:
        _draw(draw, a, b, result)
    if json:
        print_json(
            {
                "same": result.same,
                "similarity": result.similarity,
                "threshold": result.threshold,
                "fmr": result.fmr,
                "probability": result.probability,
                "prior": result.prior,
                "note": result.note,
                "model": pipeline.embedder.name,
                "fingerprint": pipeline.embedder.fingerprint,
                "providers": pipeline.providers,
                "variants": {part: runs.name for part, runs in pipeline.variants.items()},
                "face": face.value,
                "faces": [face_dict(face) for face in result.faces],
                "found": list(result.found),
                "comparisons": result.comparisons,
            }
        )
    else:
        _say(result, draw)
    # There is a rule, but the photos are too poor for it, or show no live face.
    if result.same is None and (result.fmr is not None or not_live(result.faces) is not None):
        raise typer.Exit(NO_DECISION)


def _say(result: Verification, draw: Path | None) -> None:
    if result.same is None:
        say(f"similarity {result.similarity:.3f}; {result.note}.")
    else:
        answer = "the same person" if result.same else "different people"
        rate = f"at FMR {result.fmr:g} " if result.fmr is not None else ""
        say(
            f"{answer}: similarity {result.similarity:.3f}, threshold {result.threshold:.3f} "
            f"{rate}({result.note})"
        )
    if result.probability is not None:
        say(f"Probability {_chance(result.probability)}, if {result.prior:g} of such pairs are one person.")
    looks = [face.liveness for face in result.faces]
    if all(look is not None for look in looks):
        scores = " and ".join(f"{look.score:.3f}" for look in looks if look is not None)
        decided = next(look.live is not None for look in looks if look is not None)
        say(f"Liveness {scores}{'' if decided else ', by which nothing is decided'}.")
    if draw is not None:
        say(f"Drawn in {draw}.")


def _tell_several(a: Path, b: Path, result: Verification) -> None:
    """Says which face was taken of a photo that has several."""
    main = result.comparisons == 1
    which = "the main one" if main else "that of the most alike pair"
    more = "; --face best compares all" if main else ""
    for photo, face, found in zip((a, b), result.faces, result.found, strict=True):
        if found > 1:
            left, top, right, bottom = (round(float(edge)) for edge in face.box)
            taken = f"{which} was taken, from {left},{top} to {right},{bottom}"
            tell(f"{photo} has {count(found, 'face')}: {taken}{more}.")


def _chance(probability: float) -> str:
    """Never more certain than it is: four places, and what rounds to 0 or 1 is told as beyond them."""
    if 0.0001 <= probability <= 0.9999:
        return f"{probability:.4f}"
    return "above 0.9999" if probability > 0.5 else "below 0.0001"


def _check_draw(path: Path) -> None:
    from facewise.drawing import check_drawable

    check_output_file(path)
    check_drawable(path)


def _draw(path: Path, a: Path, b: Path, result: Verification) -> None:
    from facewise.drawing import AMBER, GREEN, RED, Tile, contact_sheet, save_image
    from facewise.geometry import align
    from facewise.image import read_image

    colour = AMBER if result.same is None else GREEN if result.same else RED
    tiles = [
        Tile(align(read_image(photo), face.landmarks, 224), photo.name, colour)
        for photo, face in zip((a, b), result.faces, strict=True)
    ]
    answer = {None: "no decision", True: "the same person", False: "different people"}[result.same]
    save_image(path, contact_sheet([(f"{answer}, similarity {result.similarity:.3f}", tiles)], tile=224))
