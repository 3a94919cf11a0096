"""`facewise eval ijb`: IJB-B and IJB-C, 1:1 and 1:N."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facewise.cli.evaluate_leaks import OnLeaks, TrainedOnRuns, find_leaks, leak_check, policy_of, say_leaks
from facewise.cli.evaluate_models import Models, about_model, about_run, load_models
from facewise.cli.evaluate_tables import interval_text
from facewise.cli.options import Flip, Json, Provider, Threads, Unreadable, Variant, given_path, reads_photos
from facewise.cli.output import BadItems, count, print_json, progress_bar, say, table, tell

if TYPE_CHECKING:
    from facewise.evaluation.ijb_results import GalleryIdentification, IjbResult


@reads_photos
def ijb(
    root: Annotated[
        Path,
        typer.Argument(
            help="Folder that holds IJBB or IJBC, each with loose_crop/ and meta/, as InsightFace has them.",
            parser=given_path,
            metavar="ROOT",
        ),
    ],
    subset: Annotated[
        str | None, typer.Option("--subset", help="IJBB or IJBC. (default: the one that is there)")
    ] = None,
    one_to_n: Annotated[
        bool, typer.Option("--one-to-n", help="Also search every probe in the two galleries.")
    ] = False,
    detector_score: Annotated[
        bool,
        typer.Option(
            "--use-detector-score/--no-detector-score",
            help="Weight photos by the score of the detector that found them, as published.",
        ),
    ] = True,
    feature_norm: Annotated[
        bool,
        typer.Option(
            "--use-feature-norm/--no-feature-norm",
            help="Weight photos by the length of their features, as published.",
        ),
    ] = True,
    leaks: OnLeaks = "refuse",
    trained_on: TrainedOnRuns = None,
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Keep features for the next run.")] = True,
    model: Models = None,
    flip: Flip = None,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    unreadable: Unreadable = 0.01,
    json: Json = False,
) -> None:
    """IJB-B or IJB-C: TAR at FMR 1e-6 to 1e-1, EER and AUC of template pairs; ranks, DIR at FPIR of 1:N."""
    from facewise.data.ijb import load_ijb
    from facewise.embedding import Embedder
    from facewise.evaluation.cache import FaceCache
    from facewise.evaluation.ijb import Weighting, evaluate_ijb
    from facewise.evaluation.side_by_side import model_names
    from facewise.hardware import available_threads

    started = time.perf_counter()
    if policy_of(leaks) == "exclude":
        raise typer.BadParameter("Templates cannot be measured in part: give --leaks mark, or none.")
    chosen = _subset(root, subset)
    models = load_models(
        model, detector=None, flip=flip, provider=provider, threads=threads, variant=variant, aligned=True
    )
    embedders = [one for one in models if isinstance(one, Embedder)]
    names = model_names(models)
    check = leak_check(models, names, leaks, trained_on)
    data = load_ijb(root, chosen, one_to_n=one_to_n)
    if check.wanted:  # crops of these photos are not kept
        tell("Training photos are looked for by content alone: looks are not compared, nor names, of IJB.")
    photos = [(name, data.crops / name, "") for name in dict.fromkeys(data.faces.names)]
    leaked = find_leaks(check, photos, data.subset, cache=None, json=json)
    weighting = Weighting(feature_length=feature_norm, detector_score=detector_score)
    with FaceCache() if cache else nullcontext() as kept, progress_bar(data.subset, len(data.faces)) as done:
        results = evaluate_ijb(
            data,
            embedders,
            weighting=weighting,
            cache=kept,
            threads=threads or available_threads(),
            progress=done,
            most_unreadable=unreadable,
        )
    if json:
        about = [about_model(one, name) for one, name in zip(models, names, strict=True)]
        told = [
            one | result.to_dict() | {"leakage": leaked.to_dict(i)}
            for i, (one, result) in enumerate(zip(about, results, strict=True))
        ]
        print_json({"protocol": "ijb", "dataset": data.subset, "models": told, **about_run(started)})
    else:
        say_leaks(leaked, None, data.subset)
        _print(names, results, time.perf_counter() - started)
    bad = BadItems("photo")
    for photo, error in results[0].embedded.unreadable:  # the same for all models
        bad.add(photo, error)
    bad.finish(len(data.faces) - len(bad.items))


def _subset(root: Path, subset: str | None) -> str | None:
    """The subset's name as its files have it; complaints that need no model."""
    from facewise.data.ijb import GALLERIES
    from facewise.errors import DatasetError

    if not root.is_dir():
        raise DatasetError(f"There is no folder {root}; give the one that holds IJBB or IJBC.")
    chosen = subset.upper().replace("-", "") if subset else None
    if chosen is not None and chosen not in GALLERIES:
        raise typer.BadParameter(f"--subset is {' or '.join(GALLERIES)}, not {subset}.")
    return chosen


def _print(names: Sequence[str], results: Sequence[IjbResult], seconds: float) -> None:
    first = results[0]
    metrics = first.verification.metrics
    say(
        f"{first.subset}: {count(first.photos, 'photo')}, "
        f"{count(len(first.embedded.templates.there), 'template')}, {seconds:.1f} s"
    )
    for name, result in zip(names, results, strict=True):
        say(f"{name}, {_mode(result.mode)}")
    say(f"1:1, {metrics.genuine:,} same and {metrics.impostors:,} different pairs of templates")
    _print_rates(names, [_verification_rows(result) for result in results])
    if first.verification.left_out:
        say(
            f"{count(first.embedded.empty, 'template')} without a usable photo: "
            f"{count(first.verification.left_out, 'pair')} of them left out."
        )
    if first.identification is not None:
        _print_identification(names, results)
    say("The intervals are exact binomial ones and take pairs and probes for independent.")


def _print_identification(names: Sequence[str], results: Sequence[IjbResult]) -> None:
    found = [result.identification for result in results if result.identification is not None]
    for i, gallery in enumerate(found[0].galleries):
        told = gallery.metrics
        say(
            f"1:N, gallery {gallery.name} of {count(told.gallery, 'person', 'people')}: "
            f"{told.mated:,} probes of them, {told.strangers:,} of strangers"
        )
        _print_rates(names, [_search_rows(one.galleries[i]) for one in found])
    say("1:N, the mean of both galleries")
    _print_rates(
        names, [[(_told(rate), f"{v:.4f}", "", "") for rate, v in one.average.items()] for one in found]
    )
    both = [one.together for one in found if one.together is not None]
    if both:
        say(f"1:N, both galleries as one, {both[0].metrics.gallery:,} people: a closed set")
        _print_rates(names, [_search_rows(one) for one in both])


_Row = tuple[str, str, str, str]
"""What is measured, how much, its interval, at which threshold."""


def _print_rates(names: Sequence[str], rows: Sequence[Sequence[_Row]]) -> None:
    """One model with all there is to tell of it; several beside each other."""
    if len(rows) == 1:
        table("", ("metric", "value", "95% interval", "threshold"), rows[0], right=(1, 2, 3))
        return
    cells = [
        (same[0][0], *(f"{value} ({interval})" if interval else value for _, value, interval, _ in same))
        for same in zip(*rows, strict=True)
    ]
    table("", ("metric, 95% interval", *names), cells, right=range(1, len(names) + 1))


def _verification_rows(result: IjbResult) -> list[_Row]:
    metrics, rows = result.verification.metrics, []
    for point in metrics.operating_points:
        name = f"TAR at FMR {point.fmr_target:g}" + ("" if point.supported else " (too few impostors)")
        inside = interval_text(metrics.intervals[f"tar@fmr={point.fmr_target!r}"])
        rows.append((name, f"{point.tar:.4f}", inside, f"{point.threshold:.4f}"))
    rows.append(("EER", f"{metrics.eer:.4f}", "", f"{metrics.eer_threshold:.4f}"))
    rows.append(("AUC", f"{metrics.auc:.5f}", "", ""))
    return rows


def _search_rows(found: GalleryIdentification) -> list[_Row]:
    points = {f"dir@fpir={point.fpir_target!r}": point for point in found.metrics.open_set}
    rows = []
    for name, rate in found.rates.items():
        point = points.get(name)
        few = point is not None and not point.supported
        rows.append(
            (
                _told(name) + (" (too few strangers)" if few else ""),
                f"{rate:.4f}",
                interval_text(found.intervals[name]),
                "" if point is None else f"{point.threshold:.4f}",
            )
        )
    return rows


def _told(rate: str) -> str:
    """`rank1` and `dir@fpir=0.01` in words."""
    what, _, fpir = rate.partition("@fpir=")
    return f"DIR at FPIR {fpir}" if fpir else what.replace("rank", "rank-")


def _mode(mode: str) -> str:
    """`N1D0F1` in words."""
    words = {"N": "weighted by feature length", "D": "weighted by detector score", "F": "flip averaging"}
    on = {mode[i]: mode[i + 1] == "1" for i in range(0, len(mode), 2)}
    return f"{mode}: " + ", ".join(
        words[letter] if there else f"not {words[letter]}" for letter, there in on.items()
    )
