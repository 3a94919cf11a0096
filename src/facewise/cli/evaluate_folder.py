"""`facewise eval folder`: a folder of photos a person, all pairs and identification."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from facewise.cli.evaluate_folder_tables import print_folder
from facewise.cli.evaluate_leaks import (
    OnLeaks,
    TrainedOnRuns,
    find_leaks,
    leak_check,
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


@reads_photos
def folder(
    root: Annotated[
        Path,
        typer.Argument(help="Folder with a sub-folder of photos a person.", metavar="DIR", parser=given_path),
    ],
    shots: Annotated[
        str, typer.Option("--shots", help="Photos a person in the galleries, as in 1,2,5; 0 is none.")
    ] = "1",
    strangers: Annotated[
        float | None,
        typer.Option(
            "--strangers",
            help="Share of people set aside as strangers. (default: whoever has too few photos to enroll)",
        ),
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Random galleries of each size.")] = 10,
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
    """A folder per person: all pairs, and who is who from a few photos each, with and without strangers."""
    from facewise.data.folder import folder_source
    from facewise.evaluation.folder_protocol import evaluate_folder
    from facewise.evaluation.shots import check_roles
    from facewise.evaluation.side_by_side import faces_kept, model_names

    wanted = _shots(shots)
    policy_of(leaks)
    people = folder_source(root, tell=tell)
    check_roles(people.labels, wanted, strangers)
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
        photos = [
            (key, people.path(i), people.names[label])
            for i, (key, label) in enumerate(zip(people.keys, people.labels, strict=True))
        ]
        leaked = find_leaks(check, photos, people.name, cache=kept, json=json)
        if wants_out(leaked):
            people, left_out = leaked.without_people(people)
            check_roles(people.labels, wanted, strangers)
        with progress_bar(people.name, len(models) * len(people.keys)) as done:
            for one in models:
                result = evaluate_folder(
                    people,
                    one,
                    shots=wanted,
                    strangers=strangers,
                    repeats=repeats,
                    cache=kept,
                    progress=done,
                    processes=True,
                    most_unreadable=unreadable,
                )
                results.append(result)
    if json:
        print_json(
            {
                "protocol": "folder",
                "folder": people.name,
                "strangers": "too few photos" if strangers is None else strangers,
                "models": [
                    about_model(one, name) | result.to_dict() | {"leakage": leaked.to_dict(i, left_out)}
                    for i, (one, name, result) in enumerate(zip(models, names, results, strict=True))
                ],
                **about_run(started),
            }
        )
    else:
        seconds = time.perf_counter() - started
        say(
            f"{people.name}: {count(len(people.names), 'person', 'people')}, "
            f"{count(len(people.keys), 'photo')}, {seconds:.1f} s"
        )
        say(models_line(models, names))
        say_leaks(leaked, left_out)
        print_folder(results, names)
    tell_unreadable(
        [item for result in results for item in result.unreadable],
        faceless=any(result.without_face for result in results),
    )


def _shots(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(number) for number in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--shots are numbers, as in 1,2,5, not {text}.") from None
    return () if numbers == (0,) else numbers
