"""`facewise demo`: the whole story on real photos, ending in a picture."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.options import Json, Threads
from facewise.cli.output import (
    BadItems,
    check_output_folder,
    err,
    print_json,
    progress_bar,
    say,
    table,
    with_progress,
)

if TYPE_CHECKING:
    from facewise.evaluation import Lfw, LfwResult
    from facewise.gallery import Gallery
    from facewise.models import ModelFile
    from facewise.pipeline import Pipeline
    from facewise.types import Match

_CHECKPOINTS = ("retinaface_mobilenet025.pth", "mobilefacenet_foamliu.pt")
_FOLDS = (0, 1, 2, 3)
_PEOPLE, _PROBES, _STRANGERS = 20, 5, 60


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Folder with data/lfw and models/. (default: $FACEWISE_TEST_DATA or ../shared)"
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for what the demo makes.")] = Path(
        "facewise-demo"
    ),
    threads: Threads = None,
    json: Json = False,
) -> None:
    """The story on LFW: import models, measure them, enrol 20 people by one photo each, identify."""
    from facewise.evaluation import load_lfw
    from facewise.pipeline import Pipeline

    root = _find_data(data)
    check_output_folder(out)
    _step(1, "Two public checkpoints become model files", quiet=json)
    detector, embedder = _import_models(root / "models", quiet=json)
    _step(2, f"LFW, {len(_FOLDS)} of its 10 folds: how right are they?", quiet=json)
    lfw = load_lfw(root / "data" / "lfw")
    pipeline = Pipeline.load(detector.path, embedder.path, flip=True, threads=threads)
    result = _measure(lfw, pipeline)
    bad = BadItems("photo")
    for photo, error in result.unreadable:
        bad.add(photo, f"{photo}: {error}")
    if not json:
        _print_measure(result)
    model = _calibrated_copy(embedder, result, pipeline, out)
    pipeline = Pipeline.load(detector.path, model, threads=threads)
    _step(3, f"A gallery of {_PEOPLE} people, one photo each", quiet=json)
    cast = _choose_people(lfw)
    gallery_path = out / "gallery.db"
    gallery = _enrol(gallery_path, pipeline, lfw, cast)
    with gallery:
        _step(4, "Who is in their other photos, and in photos of strangers?", quiet=json)
        answers = _identify(gallery, lfw, cast, bad)
    sheet = _draw(out / "contact-sheet.png", pipeline, lfw, cast, answers)
    _finish(result, answers, model, gallery_path, sheet, json=json)
    bad.finish(len(answers))


@dataclass(frozen=True, slots=True)
class _Cast:
    """Who plays: people nobody measured the thresholds on."""

    people: tuple[str, ...]
    strangers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What was said of one photo."""

    photo: str
    truth: str | None
    said: str | None
    similarity: float

    @property
    def right(self) -> bool:
        return self.said == self.truth


def _find_data(given: Path | None) -> Path:
    from facewise.errors import DatasetError

    root = given or Path(os.environ.get("FACEWISE_TEST_DATA") or "../shared")
    needed = [root / "data" / "lfw" / "pairs.txt", *(root / "models" / name for name in _CHECKPOINTS)]
    missing = [str(path) for path in needed if not path.exists()]
    if missing:
        raise DatasetError(
            "The demo runs on Labeled Faces in the Wild with two public checkpoints, and does not find "
            f"{', '.join(missing)}; give the folder that holds data/lfw and models/ with "
            "`facewise demo --data DIR` or FACEWISE_TEST_DATA."
        )
    return root


def _import_models(folder: Path, *, quiet: bool) -> list[ModelFile]:
    """The detector and the embedder, imported where the store does not have them yet."""
    from facewise.errors import ModelError
    from facewise.models import DEFAULT_MODELS, read_model
    from facewise.models.home import models_folder

    found = []
    for checkpoint, kind in zip(_CHECKPOINTS, ("detector", "embedder"), strict=True):
        path = models_folder() / f"{DEFAULT_MODELS[kind]}.onnx"
        if path.exists():
            model, how = read_model(path, kind=kind), "already in the store"
        else:
            try:
                from facewise.models.importing import import_checkpoint
            except ModuleNotFoundError as error:
                raise ModelError(
                    f"Importing the demo's checkpoints needs {error.name}: `pip install facewise[train]`."
                ) from error
            with err.status(f"Importing {checkpoint} …"):
                imported = import_checkpoint(folder / checkpoint, models_folder())
            model, how = (
                imported.model,
                f"differs from PyTorch by {imported.parity.relative:.0e} of its output",
            )
        if not quiet:
            say(
                f"  {kind}: {model.card.name}, {len(model.network) / 1e6:.1f} MB, {model.card.licence}, {how}"
            )
        found.append(model)
    return found


def _measure(lfw: Lfw, pipeline: Pipeline) -> LfwResult:
    from facewise.evaluation import FaceCache, evaluate_lfw
    from facewise.evaluation.lfw import photos_of

    photos = photos_of([pair for pair in lfw.pairs if pair.fold in _FOLDS])
    with FaceCache() as cache, progress_bar("  LFW", len(photos)) as done:
        return evaluate_lfw(lfw, pipeline, folds=_FOLDS, cache=cache, progress=done, processes=True)


def _print_measure(result: LfwResult) -> None:
    metrics = result.metrics
    if metrics.kfold is None:
        raise RuntimeError("the protocol has folds")
    inside = metrics.intervals
    rows = [("accuracy", f"{metrics.kfold.mean:.4f}", inside["accuracy"])]
    rows += [
        (f"TAR at FMR {point.fmr_target:g}", f"{point.tar:.4f}", inside[f"tar@fmr={point.fmr_target!r}"])
        for point in metrics.operating_points
    ]
    table(
        f"{len(result.pairs)} pairs, {result.photos} photos",
        ("metric", "value", "95% interval"),
        ((name, value, f"{i.low:.4f} to {i.high:.4f}") for name, value, i in rows),
        right=(1, 2),
    )


def _calibrated_copy(embedder: ModelFile, result: LfwResult, pipeline: Pipeline, out: Path) -> Path:
    """A copy of the embedder with the thresholds just measured: the store's own stays as it is."""
    from dataclasses import replace

    from facewise.models import write_model

    path = out / f"{embedder.card.name}.onnx"
    card = replace(embedder.card, calibration=result.calibration(pipeline))
    return write_model(path, embedder.network, card).path


def _choose_people(lfw: Lfw) -> _Cast:
    """People outside the measured folds, by name: those with photos to spare, and those with one."""
    measured = {photo.split("/")[0] for p in lfw.pairs if p.fold in _FOLDS for photo in (p.a, p.b)}
    free = {name: photos for name, photos in lfw.people.items() if name not in measured}
    several = sorted((name for name in free if len(free[name]) >= 4), key=lambda n: (-len(free[n]), n))
    single = sorted(name for name in free if len(free[name]) == 1)
    step = max(1, len(single) // _STRANGERS)
    return _Cast(tuple(sorted(several[:_PEOPLE])), tuple(single[::step][:_STRANGERS]))


def _enrol(path: Path, pipeline: Pipeline, lfw: Lfw, cast: _Cast) -> Gallery:
    from facewise.gallery import Gallery

    for leftover in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        leftover.unlink(missing_ok=True)
    gallery = Gallery.open(path, pipeline=pipeline)
    for name in with_progress("  Enrolling", cast.people, len(cast.people)):
        gallery.enroll(_spoken(name), [lfw.images / lfw.people[name][0]])
    return gallery


def _identify(gallery: Gallery, lfw: Lfw, cast: _Cast, bad: BadItems) -> list[_Answer]:
    probes: list[tuple[str, str | None]] = [
        (photo, _spoken(name)) for name in cast.people for photo in lfw.people[name][1 : 1 + _PROBES]
    ]
    probes += [(lfw.people[name][0], None) for name in cast.strangers]
    found = gallery.identify_many([lfw.images / photo for photo, _ in probes])
    answers = []
    for (photo, truth), (read, matches) in with_progress(
        "  Identifying", zip(probes, found, strict=True), len(probes)
    ):
        if read.error is not None:
            bad.add(photo, read.error)
            continue
        main: Match | None = matches[0] if matches else None
        answers.append(_Answer(photo, truth, main.name if main else None, main.similarity if main else -1.0))
    return answers


def _draw(path: Path, pipeline: Pipeline, lfw: Lfw, cast: _Cast, answers: list[_Answer]) -> Path:
    """One row a person: the enrolled photo, then what was said of the others; strangers last."""
    from facewise.drawing import AMBER, BLUE, GREEN, RED, Tile, contact_sheet, save_image
    from facewise.pipeline import Steps

    enrolled = [lfw.people[name][0] for name in cast.people]
    photos = [*enrolled, *(answer.photo for answer in answers)]
    steps = Steps(embed=False, main_only=True, keep_crops=True)
    crops = {
        photo: found.crops[0]
        for photo, found in zip(
            photos, pipeline.read_many([lfw.images / p for p in photos], steps), strict=True
        )
        if found.crops is not None and len(found.crops)
    }

    def tile(answer: _Answer) -> Tile:
        colour = (
            (GREEN if answer.said or answer.truth is None else AMBER)
            if answer.right or not answer.said
            else RED
        )
        return Tile(crops[answer.photo], f"{answer.said or 'unknown'}\n{answer.similarity:.2f}", colour)

    rows = []
    for name, photo in zip(cast.people, enrolled, strict=True):
        mine = [tile(a) for a in answers if a.truth == _spoken(name) and a.photo in crops]
        rows.append((_spoken(name), [Tile(crops[photo], "enrolled", BLUE), *mine]))
    strangers = [tile(a) for a in answers if a.truth is None and a.photo in crops]
    rows.append(("Strangers: all should be unknown", strangers))
    save_image(path, contact_sheet(rows, tile=84, columns=12))
    return path


def _finish(
    result: LfwResult, answers: list[_Answer], model: Path, gallery: Path, sheet: Path, *, json: bool
) -> None:
    known = [a for a in answers if a.truth is not None]
    strangers = [a for a in answers if a.truth is None]
    counts: dict[str, Any] = {
        "probes": len(known),
        "named_right": sum(a.right for a in known),
        "named_wrong": sum(a.said is not None and not a.right for a in known),
        "missed": sum(a.said is None for a in known),
        "strangers": len(strangers),
        "strangers_told_as_unknown": sum(a.right for a in strangers),
    }
    files = {"model": str(model), "gallery": str(gallery), "contact_sheet": str(sheet)}
    if json:
        print_json({"lfw": result.to_dict(), "identification": counts, **files})
        return
    table(
        "",
        ("photos", "of", "said"),
        (
            (counts["named_right"], "the 20 people", "the right name"),
            (counts["named_wrong"], "the 20 people", "a wrong name"),
            (counts["missed"], "the 20 people", "unknown"),
            (counts["strangers_told_as_unknown"], f"{len(strangers)} strangers", "unknown"),
            (len(strangers) - counts["strangers_told_as_unknown"], f"{len(strangers)} strangers", "a name"),
        ),
        right=(0,),
    )
    say(f"Contact sheet: {sheet} (green right, amber not recognised, red wrong)")
    say(f"Gallery: {gallery}; model with the thresholds just measured: {model}")
    say(f"Try: facewise identify PHOTO --gallery {gallery} --model {model}")


def _step(number: int, text: str, *, quiet: bool) -> None:
    if not quiet:
        say(f"\n{number}. {text}")


def _spoken(folder: str) -> str:
    return folder.replace("_", " ")
