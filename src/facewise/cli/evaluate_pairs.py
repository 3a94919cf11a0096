"""`facewise eval pairs`: any pairs of photos, listed in a CSV."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facewise.cli.evaluate_leaks import (
    OnLeaks,
    TrainedOnRuns,
    find_leaks,
    leak_check,
    photos_of_files,
    policy_of,
    say_leaks,
    wants_out,
)
from facewise.cli.evaluate_models import (
    Aligned,
    Cache,
    Models,
    about_model,
    about_run,
    load_models,
    models_line,
    tell_unreadable,
)
from facewise.cli.evaluate_pair_tables import print_differences, print_pairs
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
    reads_photos,
)
from facewise.cli.output import count, print_json, progress_bar, say, tell
from facewise.cli.photos import tell_several

if TYPE_CHECKING:
    from facewise.evaluation.groups_file import PairGroups
    from facewise.evaluation.pair_file import PairFile
    from facewise.evaluation.pair_protocol import PairsResult
    from facewise.evaluation.side_by_side import Model


@reads_photos
def pairs(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV with the columns a, b and same; fold, identity_a, identity_b and group if known.",
            parser=given_path,
        ),
    ],
    root: Annotated[
        Path | None,
        typer.Option(
            "--root", help="Folder its paths are relative to. (default: the CSV's)", parser=given_path
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
    age_bands: Annotated[
        str, typer.Option("--age-bands", help="Ages at which a band of the column age begins.")
    ] = "18,30,45,60",
    threshold: Annotated[
        float | None, typer.Option("--threshold", min=-1.0, max=1.0, help="Decide at this similarity.")
    ] = None,
    threshold_from: Annotated[
        Path | None,
        typer.Option(
            "--threshold-from",
            help="Decide at the most accurate threshold of this other CSV.",
            parser=given_path,
        ),
    ] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Write the measured thresholds into the embedder's model file.")
    ] = False,
    leaks: OnLeaks = "refuse",
    trained_on: TrainedOnRuns = None,
    aligned: Aligned = False,
    cache: Cache = True,
    detector: Detector = None,
    max_size: MaxSize = None,
    model: Models = None,
    flip: Flip = None,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    unreadable: Unreadable = 0.01,
    json: Json = False,
) -> None:
    """Any pairs: accuracy at a threshold from other folds, TAR at FMR, EER, AUC, decisions, groups."""
    from facewise.evaluation.pair_file import read_pair_file
    from facewise.evaluation.pair_protocol import differences
    from facewise.evaluation.pair_run import check_apart, count_photos, evaluate_pair_file
    from facewise.evaluation.side_by_side import faces_kept, model_names

    _check(groups, by, threshold, threshold_from, save=save, aligned=aligned)
    policy_of(leaks)
    found = read_pair_file(file, root)
    other = None if threshold_from is None else read_pair_file(threshold_from, root)
    if other is not None:
        check_apart(found, other)
    parts = _groups(found, groups, by, age_bands)
    models = load_models(
        model,
        detector=detector,
        max_size=max_size,
        flip=flip,
        provider=provider,
        threads=threads,
        variant=variant,
        aligned=aligned,
    )
    names, started = model_names(models), time.perf_counter()
    check = leak_check(models, names, leaks, trained_on)
    results, left_out = [], None
    with faces_kept(keep=cache, models=len(models) + check.wanted) as kept:
        leaked = find_leaks(check, photos_of_files(found, other), found.name, cache=kept, json=json)
        if wants_out(leaked):
            found, left_out = leaked.without(found)
            other = None if other is None else leaked.without(other)[0]
            parts = _groups(found, groups, by, age_bands)
        with progress_bar(found.name, len(models) * count_photos(found, other)) as done:
            for one in models:
                result = evaluate_pair_file(
                    found,
                    one,
                    threshold=threshold,
                    threshold_from=other,
                    groups=parts,
                    cache=kept,
                    progress=done,
                    processes=True,
                    most_unreadable=unreadable,
                )
                results.append(result)
    compared = differences(results, names)
    saved = _save(found, models, results) if save else []
    if json:
        print_json(
            {
                "protocol": "pairs",
                "file": found.name,
                "pairs_listed_twice": found.twice,
                "models": [
                    about_model(one, name) | result.to_dict() | {"leakage": leaked.to_dict(i, left_out)}
                    for i, (one, name, result) in enumerate(zip(models, names, results, strict=True))
                ],
                "differences": [difference.to_dict() for difference in compared],
                "saved": saved,
                **about_run(started),
            }
        )
    else:
        _say_what(found, results[0], time.perf_counter() - started)
        say(models_line(models, names))
        say_leaks(leaked, left_out)
        print_pairs(results, names)
        print_differences(compared)
        for path in saved:
            say(f"Thresholds saved in {path}.")
    tell_several([photo for photo, _ in results[0].scored.several])
    tell_unreadable(
        [item for result in results for item in result.scored.unreadable],
        faceless=any(result.scored.without_face for result in results),
    )


def _check(
    groups: Path | None,
    by: str | None,
    threshold: float | None,
    threshold_from: Path | None,
    *,
    save: bool,
    aligned: bool,
) -> None:
    if (groups is None) != (by is None):
        raise typer.BadParameter("--groups and --by go together: a CSV, and which of its columns.")
    if threshold is not None and threshold_from is not None:
        raise typer.BadParameter("Give --threshold or --threshold-from, not both.")
    if save and aligned:
        raise typer.BadParameter("--save needs photos: thresholds go with the detector they were set with.")


def _groups(found: PairFile, groups: Path | None, by: str | None, bands: str) -> list[PairGroups]:
    from facewise.evaluation.groups_file import given_groups, group_pairs, read_groups

    parts = [] if found.groups is None else [given_groups(found.groups)]
    if groups is not None and by is not None:
        try:
            ages = [float(age) for age in bands.split(",")]
        except ValueError:
            raise typer.BadParameter(f"--age-bands are ages, as in 18,30,45,60, not {bands}.") from None
        columns = [column.strip() for column in by.split(",")]
        known = read_groups(groups, columns, bands=ages)
        parts += group_pairs(known, columns, found.pairs, found.root)
    return parts


def _save(found: PairFile, models: list[Model], results: list[PairsResult]) -> list[str]:
    """The model files written to."""
    from facewise.evaluation.pair_run import measure_file
    from facewise.evaluation.thresholds import measured_calibration
    from facewise.models import save_calibration
    from facewise.pipeline import Pipeline

    paths = []
    for one, result in zip(models, results, strict=True):
        if isinstance(one, Pipeline):
            scored, metrics = result.scored, result.metrics
            if scored.affected:  # a threshold is for faces that were found
                scored = scored.with_two_faces()
                metrics = measure_file(found, scored, threshold=None).metrics
            calibration = measured_calibration(
                metrics,
                one,
                scored,
                dataset=Path(found.name).stem,
                protocol=f"{len(scored.pairs)} pairs",
            )
            paths.append(str(save_calibration(one.embedder.model, calibration).path))
    return paths


def _say_what(found: PairFile, result: PairsResult, seconds: float) -> None:
    metrics = result.metrics
    people = "" if found.people is None else f" of {count(len(found.everybody()), 'person', 'people')}"
    say(
        f"{found.name}: {metrics.genuine} same and {metrics.impostors} different pairs, "
        f"{count(result.scored.photos, 'photo')}{people}, {seconds:.1f} s"
    )
    if found.twice:
        tell(f"{count(found.twice, 'pair is', 'pairs are')} listed again in {found.name}; each line counts.")
