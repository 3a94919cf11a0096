"""`facewise challenge`: is somebody before the camera who does what is asked, and who is it?"""

from __future__ import annotations

from typing import Annotated

import typer

from facewise.cli import NO_DECISION
from facewise.cli.gallery import open_gallery
from facewise.cli.identify_video import ctrl_c_asks, end_if_stopped
from facewise.cli.options import (
    DEFAULT_GALLERY,
    Detector,
    Flip,
    Fmr,
    Fpir,
    GalleryPath,
    Json,
    KeyFile,
    Landmarker,
    Liveness,
    LivenessModel,
    MaxSize,
    Mesh,
    Model,
    Provider,
    Threads,
    ThresholdOption,
    Variant,
)
from facewise.cli.output import face_dict, liveness_dict, print_json, say, tell

PROMPTS = {
    None: "Look straight into the camera.",
    "turn left": "Turn your head to your left.",
    "turn right": "Turn your head to your right.",
    "blink": "Close your eyes for a second.",
    "open mouth": "Open your mouth wide.",
}


def challenge(
    camera: Annotated[int, typer.Option("--camera", min=0, help="Which camera, from 0.")] = 0,
    seconds: Annotated[float, typer.Option("--seconds", min=1.0, help="To do all that is asked.")] = 30.0,
    gallery: GalleryPath = DEFAULT_GALLERY,
    key_file: KeyFile = None,
    fmr: Fmr = None,
    fpir: Fpir = None,
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
    landmarker: Landmarker = None,
    json: Json = False,
) -> None:
    """Ask somebody before a camera to turn their head as nobody can know before, and say who they are.

    Exit code 4: they did not do as asked, or not one person did.
    """
    from facewise.analysis.challenge import ACTIONS, TURNS, random_actions
    from facewise.gallery.identification import if_live
    from facewise.pipeline import Pipeline
    from facewise.video.challenge import challenge_camera

    with open_gallery(
        gallery, key_file=key_file, detector=detector, max_size=max_size, model=model, flip=flip,
        provider=provider, threads=threads, variant=variant, liveness=liveness, liveness_model=liveness_model,
        mesh=landmarker or mesh,
    ) as opened:  # fmt: skip
        pipeline = opened.pipeline
        assert isinstance(pipeline, Pipeline)  # noqa: S101  these options make one
        decision = opened.search_decision(fmr=fmr, fpir=fpir, threshold=threshold)
        actions = random_actions(TURNS if pipeline.landmarker is None else ACTIONS)
        with ctrl_c_asks() as stop:
            found = challenge_camera(
                camera, pipeline, actions, lambda action: tell(PROMPTS[action]), seconds=seconds, stop=stop
            )
            end_if_stopped(stop())
        who = None
        if found.passed and found.face is not None and found.face.embedding is not None:
            embedder = pipeline.embedder
            told = opened.identify_embeddings(
                [found.face.embedding], fingerprint=embedder.fingerprint, model=embedder.name,
                flip=embedder.flip, decision=decision, calibration=embedder.calibration,
                qualities=[found.face.quality],
            )  # fmt: skip
            (who,) = if_live(told, [found.face])
    if json:
        print_json({
            "passed": found.passed, "note": found.note, "actions": list(actions), "done": found.done,
            "liveness": None if found.liveness is None else liveness_dict(found.liveness),
            "face": None if who is None or found.face is None else {
                **face_dict(found.face), "name": who.name, "decided": who.decided,
                "similarity": who.similarity, "threshold": who.threshold, "fmr": who.fmr, "note": who.note,
            },
        })  # fmt: skip
    elif who is None:
        say(f"Not passed: {found.note}.")
    else:
        name = who.name or ("unknown" if who.decided else who.note or "not decided")
        say(f"Passed: {name}, similarity {who.similarity:.3f}.")
    if not found.passed:
        raise typer.Exit(NO_DECISION)
