"""`facewise report`: one HTML file on runs of training, or on models and data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facewise.cli.evaluate_models import Aligned, Cache, load_models, tell_unreadable
from facewise.cli.options import (
    Detector,
    Flip,
    Json,
    MaxSize,
    Provider,
    Threads,
    Unreadable,
    Variant,
    given_path,
    need_training,
    reads_photos,
)
from facewise.cli.output import check_output_file, print_json, progress_bar, say

if TYPE_CHECKING:
    from facewise.evaluation.groups_file import PairGroups
    from facewise.report.dataset import DataSet
    from facewise.report.models import Written

DEFAULT = Path("report.html")


@reads_photos
def report(
    what: Annotated[
        list[str],
        typer.Argument(
            help="Folders of training runs; with --on, models (names, files, or runs, whose model is taken).",
            metavar="RUN|MODEL…",
        ),
    ],
    on: Annotated[
        Path | None,
        typer.Option(
            "--on",
            help="Measure on this: LFW's folder, a CSV of pairs, a folder per person.",
            parser=given_path,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The HTML file. (default: report.html in the run's folder; of several, and of models, here)",
            parser=given_path,
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root", help="Folder a CSV's paths are relative to. (default: the CSV's)", parser=given_path
        ),
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            "--groups", help="CSV of photos and attributes: path, and any columns.", parser=given_path
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Columns that make the groups, as in race,sex,race+sex.")
    ] = None,
    photos: Annotated[
        bool, typer.Option("--photos/--no-photos", help="Show faces; without, no photo is in the file.")
    ] = True,
    aligned: Aligned = False,
    cache: Cache = True,
    detector: Detector = None,
    max_size: MaxSize = None,
    flip: Flip = None,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    unreadable: Unreadable = 0.01,
    json: Json = False,
) -> None:
    """One HTML file, readable without a network: how good, how sure, where it fails, on what data.

    `facewise report runs/mine` reports on a run; `facewise report mine.onnx other --on lfw` measures models
    side by side. The file shows faces, which are biometric data: mind who you give it to.
    """
    if (groups is None) != (by is None):
        raise typer.BadParameter("--groups and --by go together: a CSV, and which of its columns.")
    if not all(what):
        raise typer.BadParameter("a path is empty.")
    if len(set(what)) < len(what):
        raise typer.BadParameter("a run or model is named twice; name each once.")
    if on is None:
        if groups is not None or root is not None or aligned:
            raise typer.BadParameter("--groups, --root and --aligned go with --on DATA.")
        written = _runs(what, out, photos=photos)
    else:
        target = out or DEFAULT
        check_output_file(target)
        written = _models(
            what, on, target, root, groups, by, photos=photos, aligned=aligned, cache=cache,
            detector=detector, max_size=max_size, flip=flip, provider=provider, threads=threads,
            variant=variant, unreadable=unreadable,
        )  # fmt: skip
    if json:
        print_json(written.to_dict())
    else:
        say(f"The report is {written.path} ({written.size / 1e6:.1f} MB).")
    tell_unreadable(written.unreadable)


def _runs(what: list[str], out: Path | None, *, photos: bool) -> Written:
    from facewise.errors import DatasetError

    folders = [Path(one) for one in what]
    for folder in folders:
        if not folder.is_dir():
            raise DatasetError(
                f"There is no run {folder}: name the folder of a training run, or give models something to "
                "be measured on with --on DATA."
            )
    need_training()
    from facewise.report.runs import REPORT, report_runs

    if out is None:
        out = folders[0] / REPORT if len(folders) == 1 else DEFAULT
    check_output_file(out)
    return report_runs(folders, out, photos=photos)


def _models(
    what: list[str],
    on: Path,
    out: Path,
    root: Path | None,
    groups: Path | None,
    by: str | None,
    *,
    photos: bool,
    aligned: bool,
    cache: bool,
    detector: str | None,
    max_size: int | None,
    flip: bool | None,
    provider: str,
    threads: int | None,
    variant: str,
    unreadable: float,
) -> Written:
    from facewise.evaluation.side_by_side import faces_kept, model_names
    from facewise.report.dataset import open_dataset
    from facewise.report.models import photos_to_do, report_models

    data = open_dataset(on, root)
    parts = _groups(data, groups, by)
    models = load_models(
        [_model_of(one) for one in what],
        detector=detector, max_size=max_size, flip=flip, provider=provider, threads=threads, variant=variant,
        aligned=aligned,
    )  # fmt: skip
    with (
        # Even of one model the crops are wanted again, for the photos: without --cache for the time being.
        faces_kept(keep=cache, models=2) as kept,
        progress_bar(data.title, photos_to_do(data, models)) as done,
    ):
        assert kept is not None  # noqa: S101  there is one for two models or more
        return report_models(
            data, models, model_names(models), out, kept, groups=parts, photos=photos, progress=done,
            processes=True, most_unreadable=unreadable,
        )  # fmt: skip


def _model_of(one: str) -> str:
    """A model's name or file; of a run's folder the model in it."""
    from facewise.errors import ModelError

    folder = Path(one)
    if not folder.is_dir():
        return one
    file = folder / "model.onnx"
    if not file.is_file():
        raise ModelError(f"There is no model.onnx in {folder}: the run is not finished, or it is no run.")
    return str(file)


def _groups(data: DataSet, groups: Path | None, by: str | None) -> list[PairGroups]:
    from facewise.evaluation.groups_file import group_pairs, read_groups

    if groups is None or by is None:
        return []
    columns = [column.strip() for column in by.split(",")]
    return group_pairs(read_groups(groups, columns), columns, data.file.pairs, data.file.root)
