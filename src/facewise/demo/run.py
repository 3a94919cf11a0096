"""All steps in order: faces, models, recognition, report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from facewise.demo.blocks import Section
from facewise.demo.cast import People
from facewise.demo.choosing import Candidate, Chosen, choose
from facewise.demo.clock import Clock
from facewise.demo.detectors import default_detector, detecting, is_missing
from facewise.demo.faces import ReadFace, read_faces
from facewise.demo.finding import count_on_photos
from facewise.demo.first import find_in_group, find_in_photo
from facewise.demo.folder import check_apart, claim
from facewise.demo.grouping import group_faces
from facewise.demo.lfw_folds import measure_folds, photos_by_fold
from facewise.demo.naming import name_faces
from facewise.demo.newcomers import draw_and_find
from facewise.demo.plan import Plan
from facewise.demo.real import RealPhotos, import_beside, open_photos
from facewise.demo.report import save_sheet, write_report
from facewise.demo.sizing import Rates, fit_folds, fit_photos, measure_rates, steps_of, tell_sizes
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


SECONDS = 120.0
"""What the demo takes where nobody says otherwise."""


def run(
    data: Path | None,
    out: Path,
    *,
    plan: Plan | None = None,
    seconds: float = SECONDS,
    threads: int | None = None,
    teller: Teller,
) -> Story:
    """The whole demo, ending in `OUT/report.html`.

    Args:
        data: A folder per person of real photos, or LFW; None draws people.
        out: A new or empty folder, or that of an earlier demo, which is replaced.
        plan: Sizes; None is those for which `seconds` are enough on this machine, as far as can be.
        seconds: About what all of it may take; not used with a `plan`.
        threads: CPU threads; None is all CPUs of this process.
        teller: Told of what happens.

    Raises:
        FacewiseError: The folder cannot be used, the data has too few people, or no detector is installed for
            real photos.
    """
    clock = Clock(None if plan else seconds)
    story = Story(plan or Plan(), out, threads or available_threads(), teller, clock)
    real = None
    if data is not None:
        check_apart(out, data)
        real = open_photos(data, teller)
        real.people(story.plan)  # refuses too few
        import_beside(data, teller)
    detector = None if data is None and is_missing("detector") else default_detector(story)
    claim(out)  # an earlier demo goes only when this one can be done
    photos = [] if real is None else [real.source.root / key for key in real.source.keys]
    story.step("A first answer: the faces in a picture", lambda: _first(story, detector, photos))
    rates = None
    if clock.seconds is not None:
        rates = _fit(story, detector, real, photos)
    if real is not None and detector is not None:
        people = real.people(story.plan)
        work = partial(count_on_photos, detecting(detector, story), people, teller)
        story.step("Finding the faces", work, "finding")
    else:
        people, detector = draw_and_find(story, detector)
    candidates = _trained(story, people, detector, rates) + _default(story, real, detector)
    if candidates:
        _recognise(story, people, detector, candidates)
    else:
        story.skip("Recognising", _NOTHING)
    write_report(story, people, data)
    return story


def _first(story: Story, detector: Detector | None, photos: Sequence[Path]) -> Section:
    if photos and detector is not None:
        return find_in_photo(detector, photos, story.out)
    return find_in_group(detector, story.plan, story.out)


def _fit(story: Story, detector: Detector | None, real: RealPhotos | None, photos: Sequence[Path]) -> Rates:
    """Measure this machine, and size all but the training to it."""
    found: list[Rates] = []
    seconds = story.clock.seconds or 0.0

    def fit() -> Section:
        pipeline = None
        if detector is not None:
            embedder = None if is_missing("embedder") else Embedder(find_model(None, kind="embedder"))
            pipeline = Pipeline(detector, embedder, threads=story.threads)
        rates = measure_rates(story.plan, pipeline, story.threads, photos)
        found.append(rates)
        story.plan = fit_photos(story.plan, rates, seconds)
        of_folds = 0
        if real is not None and real.lfw is not None and not is_missing("embedder"):
            counts = photos_by_fold(real.lfw, story.plan)
            story.plan = fit_folds(story.plan, rates, seconds, counts)
            of_folds = counts[len(story.plan.folds) - 1]
        story.clock.forecast(**steps_of(story.plan, rates, of_folds))
        return tell_sizes(story.plan, rates, seconds)

    story.step("How much fits into the time", fit)
    return found[0]


def _trained(story: Story, people: People, detector: Detector, rates: Rates | None) -> list[Candidate]:
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
        from facewise.demo.learning import fit, learn  # noqa: PLC0415  needs PyTorch

        fitted = None if rates is None else fit(story, people, rates)
        section, found = learn(people, detector, story, fitted)
        models.update(found)
        return section

    try:
        story.step("Training softmax and ArcFace on the same budget", work, "training")
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

    story.step("LFW's own protocol", work, "folds")
    return [Candidate(name, model, calibrations[0])]


def _recognise(story: Story, people: People, detector: Detector, candidates: Sequence[Candidate]) -> None:
    """Choose a model, then verify, enrol, identify and group with it."""
    plan, teller, out, chosen = story.plan, story.teller, story.out, list[Chosen]()

    def choosing() -> Section:
        section, found = choose(candidates, detector, people, plan, out, story.threads, teller)
        chosen.append(found)
        return section

    story.step("Which model recognises, and from which similarity", choosing, "choosing")
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

    story.step("Verifying: are two photos of the same person?", verifying, "verifying")
    naming = partial(name_faces, people, chosen[0], plan, out, crops, teller)
    named = story.step("Enrolling and identifying", naming, "naming")
    save_sheet(out / "identified.png", named)
    grouped = story.step("Grouping without names", lambda: group_faces(faces, chosen[0]), "grouping")
    save_sheet(out / "groups.png", grouped)
