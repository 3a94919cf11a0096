"""`facewise compare`: losses or recipes on one budget, or ways to name people; and what of it is noise."""

from __future__ import annotations

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
from facewise.cli.output import print_json, say, table, tell, usage_error

if TYPE_CHECKING:
    from facewise.training.comparison import Comparison


@reads_photos
def compare(
    data: Annotated[
        Path, typer.Argument(help="A folder per person, a CSV, LFW, a .rec; as for train.", parser=given_path)
    ],
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            help="Settings for all, such as epochs=20, or for one: arcface:loss.margin=0.3.",
            metavar="[KEY=VALUE]…",
        ),
    ] = None,
    losses: Annotated[
        str | None, typer.Option("--losses", help="Losses to compare. (default: softmax,arcface)")
    ] = None,
    recipes: Annotated[
        str | None, typer.Option("--recipes", help="Whole recipes to compare instead, names or YAML files.")
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            "--methods",
            help="Ways to name people to compare instead: one-shot, knn, svc, lda, logistic, finetune, "
            "scratch, scratch-10x.",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="With --methods: a model's name or file, a run or a checkpoint. (default: as for embed)",
        ),
    ] = None,
    shots: Annotated[
        str | None,
        typer.Option(
            "--shots",
            help="With --methods: photos a person to learn from. (default: 1,2,5,10,20,full)",
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds",
            help="Each is trained once with each of them. (default: 0,1,2; with --methods 0,1,2,3,4)",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="What all losses share; with --methods, of fine-tuning. (default: arcface-mobilefacenet; "
            "finetune-mobilefacenet)",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for all runs. (default: runs/compare-NAMES, runs/methods-NAMES)",
            parser=given_path,
        ),
    ] = None,
    map_by: Annotated[
        str, typer.Option("--map", help="How embeddings are drawn: pca, or tsne (needs scikit-learn).")
    ] = "pca",
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    detector: Detector = None,
    max_size: MaxSize = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Train several losses alike, or name people in several ways, and tell which differences are not noise.

    `facewise compare photos --losses softmax,arcface epochs=20` trains each loss on the same budget.
    `facewise compare photos --methods one-shot,svc,finetune --from MODEL` lets each method learn 1, 2, 5 …
    photos of each person. The same command again goes on where it was.
    """
    need_training()
    import torch

    from facewise.training.compare import compare as run_comparison
    from facewise.training.compare_plan import RECIPE
    from facewise.training.display import Bar, Quiet
    from facewise.training.engine import StoppedError

    if losses is not None and recipes is not None:
        usage_error("Compare losses or recipes, not both.")
    if methods is not None and (losses is not None or recipes is not None):
        usage_error("Compare methods, or losses or recipes, not both.")
    if methods is None and (start is not None or shots is not None):
        usage_error("--from and --shots go with --methods.")
    if recipes is not None and recipe is not None:
        usage_error("--recipe is what losses share; --recipes has no use for it.")
    if map_by not in ("pca", "tsne"):
        usage_error(f"--map is pca or tsne, not {map_by}.")
    if threads is not None:
        torch.set_num_threads(threads)
    settings, own = _settings(changes or [])
    if methods is not None:
        from facewise.cli.compare_methods import compare_by_method
        from facewise.methods.names import SHOTS

        compare_by_method(
            data,
            _words(methods),
            start=start,
            shots=SHOTS if shots is None else _words(shots),
            seeds=_numbers(seeds or "0,1,2,3,4"),
            recipe=recipe,
            settings=settings,
            per_method=own,
            out=out,
            detector=detector,
            max_size=max_size,
            threads=threads,
            device=device,
            json=json,
        )
        return
    try:
        found = run_comparison(
            data,
            _words(losses or "softmax,arcface"),
            _numbers(seeds or "0,1,2"),
            recipes=_words(recipes or ""),
            recipe=recipe or RECIPE,
            settings=settings,
            per_loss=own,
            out=out,
            pipeline=lambda: load_pipeline(
                detector=detector, max_size=max_size, embed=False, threads=threads
            ),
            device=device,
            display=Quiet if json else Bar,
            embedding_map=map_by,  # type: ignore[arg-type]  # checked above
        )
    except StoppedError as stopped:
        tell(str(stopped))
        raise typer.Exit(STOPPED) from None
    if json:
        print_json(found.to_dict())
    else:
        _print(found)
    for run in found.failed:
        tell(f"facewise: {run.method}, seed {run.seed}, failed: {run.error}")
    if found.failed:
        raise typer.Exit(3)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[int]:
    words = _words(text)
    if not words or not all(word.isdecimal() for word in words):
        usage_error(f"--seeds are whole numbers with commas between, such as 0,1,2, not {text!r}.")
    return [int(word) for word in words]


def _settings(words: list[str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Settings for all, and those of one method, written `method:key=value`."""
    from facewise.training.config import parse_overrides

    common: dict[str, Any] = {}
    own: dict[str, dict[str, Any]] = {}
    for key, value in parse_overrides(words).items():
        method, colon, rest = key.partition(":")
        if colon:
            own.setdefault(method, {})[rest] = value
        else:
            common[key] = value
    return common, own


def _print(found: Comparison) -> None:
    from facewise.training.comparison import METHOD, heading

    columns = ("method", "runs", *(heading(metric) for metric in found.metrics))
    table("", columns, found.rows(), right=tuple(range(1, len(columns))))
    for metric in dict.fromkeys(one.metric for one in found.differences):
        say(f"{heading(metric)}:")
        for one in found.differences:
            if one.metric == metric:
                say(f"  {one.words}")
    if found.differences:
        say(METHOD)
    for note in found.notes:
        say(f"Note: {note}")
    say(f"All of it is in {found.folder}: comparison.md, comparison.json, curves.png, embedding_map.png.")
