"""`facewise data synth`: drawn people with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facewise.cli.options import Json, Threads, given_path
from facewise.cli.output import check_output_folder, count, print_json, progress_bar, say


def synth(
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the photos, new or empty.", parser=given_path)
    ],
    people: Annotated[int, typer.Option("--people", help="How many people.")] = 60,
    photos: Annotated[int, typer.Option("--photos", help="How many photos of each.")] = 20,
    seed: Annotated[int, typer.Option("--seed", help="Another number has other people.")] = 0,
    size: Annotated[int, typer.Option("--size", help="Side of a photo in pixels.")] = 250,
    difficulty: Annotated[
        float,
        typer.Option("--difficulty", help="0 is a passport photo; 1 turned, covered, badly lit."),
    ] = 0.4,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Draw people whose identity, landmarks, pose and light are known: a dataset of nobody real."""
    import time

    from facewise.data.synthetic import SyntheticSource, write_people
    from facewise.hardware import available_threads

    # The settings first: a folder is not made for a dataset that cannot be.
    total = len(SyntheticSource(people, photos, seed, size=size, difficulty=difficulty).keys)
    check_output_folder(out)
    started = time.perf_counter()
    with progress_bar("Drawing", total) as done:
        written = write_people(
            out, people, photos, seed, size=size, difficulty=difficulty,
            workers=threads or available_threads(), done=done,
        )  # fmt: skip
    seconds = time.perf_counter() - started
    if json:
        print_json(
            {
                "out": str(out), "people": written.people, "photos": written.photos, "kept": written.kept,
                "seed": seed, "size": size, "difficulty": difficulty, "seconds": round(seconds, 3),
            }
        )  # fmt: skip
        return
    again = f", {written.kept} of them there already" if written.kept else ""
    say(
        f"{count(written.photos, 'photo')} of {count(people, 'person', 'people')} in {out}{again} "
        f"({seconds:.1f} s); what is known of each is in truth.csv and truth.jsonl."
    )
