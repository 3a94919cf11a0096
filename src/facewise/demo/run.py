"""All steps in order: faces, models, recognition, report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from facewise.demo.blocks import Section
from facewise.demo.cast import People
from facewise.demo.choosing import Candidate, Chosen, choose
from facewise.demo.detectors import default_detector, detecting, is_missing
from facewise.demo.faces import ReadFace, read_faces
from facewise.demo.finding import count_on_photos
from facewise.demo.folder import check_apart, claim
from facewise.demo.grouping import group_faces
from facewise.demo.lfw_folds import measure_folds
from facewise.demo.naming import name_faces
from facewise.demo.newcomers import draw_and_find
from facewise.demo.plan import Plan
from facewise.demo.real import RealPhotos, import_beside, open_photos
from facewise.demo.report import save_sheet, write_report
from facewise.demo.story import Story
from facewise.demo.teller import Teller
from facewise.demo.verifying import verify_pairs
from facewise.detection import Detector
from facewise.embedding import Embedder
from facewise.errors import DatasetError, FacewiseError
from facewise.hardware import available_threads
from facewise.models import ModelFile, find_model
from facewise.pipeline import Pipeline
from facewise.types import Image

_NOTHING = (
    "Nothing recognises here: no embedder is installed and none was trained. `facewise models list "
    "--available` lists models to download; `pip install facewise[train]` lets the demo train its own."
)

_FEWEST_FACES = 2

_TRAINING_NEEDS = ("torch", "pydantic", "yaml", "safetensors", "onnx", "matplotlib")


def run(
    data: Path | None, out: Path, *, plan: Plan | None = None, threads: int | None = None, teller: Teller
) -> Story:
    """The whole demo, ending in `OUT/report.html`.

    Args:
        data: A folder per person of real photos, or LFW; None draws people.
        out: A new or empty folder, or that of an earlier demo, which is replaced.
        plan: Sizes; None is the usual ones.
        threads: CPU threads; None is all CPUs of this process.
        teller: Told of what happens.

    Raises:
        FacewiseError: The folder cannot be used, the data has too few people, or no detector is installed for
            real photos.
    """
    story = Story(plan or Plan(), out, threads or available_threads(), teller)
    real = None
    if data is None:
        claim(out)
        people, detector = draw_and_find(story)
    else:
        check_apart(out, data)
        real = open_photos(data, story.plan, teller)
        import_beside(data, teller)
        people, detector = real.people, default_detector(story)
        claim(out)  # an earlier demo goes only when this one can be done
        story.step("Finding the faces", lambda: count_on_photos(detecting(detector, story), people, teller))
    candidates = _trained(story, people, detector) + _default(story, real, detector)
    if candidates:
        _recognise(story, people, detector, candidates)
    else:
        story.skip("Recognising", _NOTHING)
    write_report(story, people, data)
    return story


def _trained(story: Story, people: People, detector: Detector) -> list[Candidate]:
    """What the trainings gave; nothing where they cannot be done, which is told."""
    missing = [name for name in _TRAINING_NEEDS if find_spec(name) is None]
    why = ""
    if missing:
        why = f"Training was left out: it needs {', '.join(missing)} (`pip install facewise[train]`)."
    elif not people.cast.learn:
        why = (
            "Training was left out: too few people are left to learn from when others are to be measured on."
        )
    if why:
        story.skip("Training", why)
        return []
    models: dict[str, ModelFile] = {}

    def work() -> Section:
        # Read when PyTorch loads: its threads then sleep while they wait and do not spin. With two threads on
        # busy cores 15 and 20 images a second instead of 5 and 14.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from facewise.demo.learning import learn  # noqa: PLC0415  needs PyTorch

        section, found = learn(
            people, detector, story.plan, story.out / "training", story.threads, story.teller
        )
        models.update(found)
        return section

    try:
        story.step("Training softmax and ArcFace on the same budget", work)
    except FacewiseError as error:
        story.skip("Training", f"Training was left out: {error}")
    return [Candidate(f"{loss}, trained here", model) for loss, model in models.items()]


def _default(story: Story, real: RealPhotos | None, detector: Detector) -> list[Candidate]:
    """The default embedder, with thresholds that hold for these photos: on LFW they are measured first."""
    if is_missing("embedder"):
        return []
    model = find_model(None, kind="embedder")
    name = f"{model.card.name}, the default model"
    if real is None:
        return [Candidate(name, model)]  # its thresholds are for photos, not for drawings
    if real.lfw is None:
        return [Candidate(name, model, model.card.calibration)]
    lfw, calibrations = real.lfw, []

    def work() -> Section:
        pipeline = Pipeline(detector, Embedder(model, threads=story.threads), threads=story.threads)
        section, calibration = measure_folds(lfw, pipeline, story.plan, story.teller)
        calibrations.append(calibration)
        return section

    story.step("LFW's own protocol", work)
    return [Candidate(name, model, calibrations[0])]


def _recognise(story: Story, people: People, detector: Detector, candidates: Sequence[Candidate]) -> None:
    """Choose a model, then verify, enrol, identify and group with it."""
    plan, teller, out, chosen = story.plan, story.teller, story.out, list[Chosen]()

    def choosing() -> Section:
        section, found = choose(candidates, detector, people, plan, out, story.threads, teller)
        chosen.append(found)
        return section

    story.step("Which model recognises, and from which similarity", choosing)
    crops: dict[str, Image] = {}
    faces: list[ReadFace] = []

    def verifying() -> Section:
        groups = [people.cast.enrolled, people.cast.strangers]
        found, without = read_faces(chosen[0].pipeline, people, groups, "Reading", teller, show=True)
        if len(found) < _FEWEST_FACES:
            raise DatasetError(
                f"A face was found in {len(found)} photos of the people to enrol and the strangers: too few "
                "to go on; give clearer photos."
            )
        faces.extend(found)
        crops.update({face.key: face.crop for face in found if face.crop is not None})
        section = verify_pairs(found, chosen[0], plan.seed)
        section.blocks += [f"Left out: {sentence}" for sentence in without]
        return section

    story.step("Verifying: are two photos of the same person?", verifying)
    named = story.step(
        "Enrolling and identifying", lambda: name_faces(people, chosen[0], plan, out, crops, teller)
    )
    save_sheet(out / "identified.png", named)
    grouped = story.step("Grouping without names", lambda: group_faces(faces, chosen[0]))
    save_sheet(out / "groups.png", grouped)
