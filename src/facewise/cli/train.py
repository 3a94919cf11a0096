"""`facewise train` and `facewise recipes`: a dataset to a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli import STOPPED
from facewise.cli.options import (
    Detector,
    Json,
    MaxSize,
    Threads,
    given_path,
    load_pipeline,
    need_training,
    reads_photos,
)
from facewise.cli.output import print_json, say, table, tell

if TYPE_CHECKING:
    from facewise.training.run import Run


@reads_photos
def train(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="A folder per person, a CSV, LFW, a .rec; photos are aligned on the way.", parser=given_path
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Argument(help="Settings put over the recipe's, such as epochs=20.", metavar="[KEY=VALUE]…"),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help="A recipe's name, or a YAML file. (default: arcface-mobilefacenet)"),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Fine-tune this model: a name in the store, a checkpoint, a run's folder. --recipe is then "
            "the one made for its architecture.",
            metavar="MODEL",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="New folder for the run. (default: runs/RECIPE)", parser=given_path),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume", help="Go on with the run in this folder, to the same numbers.", parser=given_path
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    detector: Detector = None,
    max_size: MaxSize = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Train a recogniser: `facewise train photos --recipe arcface-mobilefacenet epochs=20`.

    `--recipe attributes` trains age, gender, emotion and race from a CSV of labelled photos.
    Fine-tune a model on your people: `facewise train photos --from MODEL --recipe finetune-mobilefacenet`.
    Under torchrun, several processes train together. `facewise recipes` lists the recipes.
    """
    need_training()
    import torch

    from facewise.training import train as run_training
    from facewise.training.attributes.listed import is_for_attributes
    from facewise.training.config import parse_overrides
    from facewise.training.display import Quiet
    from facewise.training.engine import StoppedError

    if threads is not None:
        torch.set_num_threads(threads)
    words = list(changes or [])
    if data is not None and "=" in data.name and not data.exists():
        words.insert(0, str(data))  # `facewise train --resume runs/x epochs=3` has no data, only settings
        data = None
    if is_for_attributes(recipe, resume):
        _train_attributes(
            data, recipe, start, out, resume, words, device, detector, max_size, threads, json=json
        )
        return
    try:
        run = run_training(
            data,
            recipe,
            start=start,
            out=out,
            resume=resume,
            settings=parse_overrides(words),
            pipeline=lambda: load_pipeline(
                detector=detector, max_size=max_size, embed=False, threads=threads
            ),
            device=device,
            display=Quiet() if json else None,
        )
    except StoppedError as stopped:
        if _speaks():
            tell(str(stopped))
        raise typer.Exit(STOPPED) from None
    if not _speaks():
        return
    report = _report(run)
    if json:
        print_json(_to_dict(run) | {"report": None if report is None else str(report)})
        return
    _print(run)
    if report is not None:
        say(f"The report is {report}; faces of held-out people are in it.")


def _train_attributes(
    data: Path | None,
    recipe: str | None,
    start: str | None,
    out: Path | None,
    resume: Path | None,
    words: list[str],
    device: str,
    detector: str | None,
    max_size: int | None,
    threads: int | None,
    *,
    json: bool,
) -> None:
    """A model of attributes, from a CSV of labels."""
    from facewise.training.attributes.listed import train_listed
    from facewise.training.config import parse_overrides
    from facewise.training.display import Quiet
    from facewise.training.engine import StoppedError

    try:
        run = train_listed(
            data,
            recipe,
            start=start,
            out=out,
            resume=resume,
            settings=parse_overrides(words),
            pipeline=lambda: load_pipeline(
                detector=detector, max_size=max_size, embed=False, threads=threads
            ),
            device=device,
            display=Quiet() if json else None,
        )
    except StoppedError as stopped:
        tell(str(stopped))
        raise typer.Exit(STOPPED) from None
    if json:
        print_json(
            {
                "run": str(run.folder),
                "model": str(run.model.path),
                "fingerprint": run.model.fingerprint,
                "held_out": dict(run.result),
            }
        )
        return
    say(f"{run.model.card.name}: {run.model.path}")
    table("", ("validated on", "value"), [(k, f"{v:.4f}") for k, v in run.result.items()], right=(1,))


def _report(run: Run) -> Path | None:
    """Write the run's report; a training that is done is not lost for want of one."""
    from facewise.errors import FacewiseError
    from facewise.report.runs import write_run_report

    try:
        return write_run_report(run.folder).path
    except FacewiseError as error:
        tell(f"No report was written: {error}")
        return None


def _speaks() -> bool:
    """Whether this process is the one of several, under torchrun, that speaks for all."""
    return os.environ.get("RANK", "0") == "0"


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe as it is.")] = None, json: Json = False
) -> None:
    """List the recipes, or print one."""
    need_training()
    from facewise.recipes import recipe_names, recipe_settings, recipe_text

    if name is not None:
        say(recipe_text(name).rstrip())
        return
    found = [(recipe, recipe_settings(recipe)) for recipe in recipe_names()]
    if json:
        print_json({"recipes": [settings for _, settings in found]})
        return
    table("", ("recipe", "about"), [(recipe, settings.get("about", "")) for recipe, settings in found])


def _to_dict(run: Run) -> dict[str, Any]:
    return {
        "run": str(run.folder),
        "model": str(run.model.path),
        "fingerprint": run.model.fingerprint,
        "held_out": dict(run.result),
        "metrics": run.metrics,
    }


def _print(run: Run) -> None:
    say(f"{run.model.card.name}: {run.model.path}")
    rows = [(name, f"{value:.4f}") for name, value in run.result.items()]
    if rows:
        table("", ("held out", "value"), rows, right=(1,))
