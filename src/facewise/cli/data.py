"""`facewise data check`, `split` and `prepare`: look at a dataset, divide it, align it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.options import (
    Detector,
    Json,
    MaxSize,
    MinFace,
    Model,
    Provider,
    Threads,
    Variant,
    given_path,
    load_pipeline,
    reads_photos,
)
from facewise.cli.output import (
    BadItems,
    check_output_file,
    count,
    print_json,
    progress_bar,
    say,
    table,
    tell,
    told_changes,
    usage_error,
)
from facewise.cli.synth import synth

if TYPE_CHECKING:
    from facewise.data.check import Check, Group
    from facewise.data.prepare import Prepared
    from facewise.data.source import Source
    from facewise.data.split import Split
    from facewise.data.suspects import Suspects
    from facewise.geometry import Cut

app = typer.Typer(help="Make, inspect, split and align datasets.", no_args_is_help=True)
app.command()(synth)

Dataset = Annotated[
    Path,
    typer.Argument(
        help="A folder with a sub-folder of photos a person, a CSV of path and person, or a .rec.",
        metavar="DATASET",
        parser=given_path,
    ),
]
_SHOWN = 20
"""Rows of a table; `--json` has all."""


@app.callback()
def group() -> None:
    """Make, inspect, split and align datasets."""


@app.command()
@reads_photos
def check(
    dataset: Dataset,
    suspects: Annotated[
        bool,
        typer.Option("--suspects/--no-suspects", help="Look for wrong labels, with an embedder (slow)."),
    ] = True,
    near: Annotated[
        int,
        typer.Option("--near", min=0, max=16, help="Bits of 64 in which photos that look alike may differ."),
    ] = 2,
    margin: Annotated[
        float,
        typer.Option("--margin", min=0.0, max=2.0, help="A label is suspect if another fits better by this."),
    ] = 0.1,
    detector: Detector = None,
    max_size: MaxSize = None,
    model: Model = None,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    json: Json = False,
) -> None:
    """Look for unreadable photos, duplicates, photos under two names, and labels that look wrong."""
    from dataclasses import replace

    from facewise.data.check import check_source

    source = _open(dataset)
    with progress_bar("Looking", len(source.keys)) as done:
        found = check_source(source, done, near_bits=near, threads=threads)
    bad = BadItems("photo")
    for key, error in found.unreadable:
        bad.add(key, error)
    skipped = "not asked for"
    if suspects:
        looked, skipped = _suspects(
            source,
            margin,
            detector,
            model,
            provider=provider,
            threads=threads,
            variant=variant,
            max_size=max_size,
        )
        found = replace(found, suspects=looked)
    if json:
        left_out = getattr(source, "left_out", {})
        print_json(found.to_dict() | {"label_suspects_skipped": skipped or None, "left_out": left_out})
    else:
        _print_check(found, skipped)
    bad.finish(found.photos - len(found.unreadable))


@app.command()
def split(
    dataset: Dataset,
    out: Annotated[
        Path, typer.Option("--out", help="The CSV to write: key, person, part.", parser=given_path)
    ],
    by: Annotated[
        str, typer.Option("--by", help="`photo`: everybody is in all parts; `identity`: nobody is in two.")
    ] = "photo",
    parts: Annotated[
        str, typer.Option("--parts", help="Fractions, such as 0.8,0.2 or train=0.7,val=0.1,test=0.2.")
    ] = "0.8,0.2",
    seed: Annotated[int, typer.Option("--seed", help="Another one gives another split.")] = 0,
    at_least: Annotated[
        int, typer.Option("--min-photos", min=1, help="Only people with so many photos.")
    ] = 1,
    json: Json = False,
) -> None:
    """Divide a dataset into parts, by photo or by person, the same way every time."""
    from facewise.data.source import with_at_least
    from facewise.data.split import PART_NAMES, leaks
    from facewise.data.split import split as divide

    if by not in ("photo", "identity"):
        usage_error(f"--by is photo or identity, not {by}.")
    names, fractions = _parts(parts)
    check_output_file(out)
    source = _open(dataset)
    kept = with_at_least(source, at_least) if at_least > 1 else source
    made = divide(kept, fractions, by=by, names=names, seed=seed)  # type: ignore[arg-type]
    subsets = [made.part(kept, name) for name in made.names]
    for i, one in enumerate(subsets):
        for other in subsets[i + 1 :]:
            leaks(one, other, people=by == "identity")
    made.save(out)
    _print_split(made, names or PART_NAMES.get(len(fractions), made.names), out, by, json=json)


@app.command()
@reads_photos
def prepare(
    dataset: Dataset,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the crops, OUT/PERSON/PHOTO.png.", parser=given_path)
    ],
    size: Annotated[
        int | None,
        typer.Option("--size", min=16, max=1024, help="Side of a crop in pixels. (default: 112)"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--for", help="An embedder: faces are cut as it wants them.", metavar="MODEL"),
    ] = None,
    format: Annotated[  # noqa: A002  the word for it
        str, typer.Option("--format", help="png, or jpg for a quarter of the size.")
    ] = "png",
    detector: Detector = None,
    max_size: MaxSize = None,
    min_face: MinFace = 0.0,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    json: Json = False,
) -> None:
    """Cut the main face of every photo, aligned; stopped, it goes on where it was."""
    from facewise.data.prepare import prepare as cut
    from facewise.geometry import Cut

    if format not in ("png", "jpg"):
        usage_error(f"--format is png or jpg, not {format}.")
    if dataset.is_dir() and out.resolve().is_relative_to(dataset.resolve()):
        usage_error(
            f"--out {out} lies inside {dataset}, where the crops would count as photos: name another."
        )
    if model is not None and size is not None:
        usage_error("--for gives the size as well: leave --size out.")
    source = _open(dataset)
    pipeline = load_pipeline(
        detector=detector,
        max_size=max_size,
        embed=False,
        provider=provider,
        threads=threads,
        variant=variant,
        min_face=min_face,
    )
    how = _cut_of(model) if model is not None else Cut(size or 112)
    with progress_bar("Preparing", len(source.keys)) as done:
        made = cut(source, pipeline, how, out, done, format=format, processes=True)  # type: ignore[arg-type]
    bad = BadItems("photo")
    for photo in made.of("unreadable"):
        bad.add(photo.key, photo.error)
    _print_prepared(made, json=json, bad=bad.items)
    bad.finish(len(made.photos) - len(bad.items))


def _cut_of(model: str) -> Cut:
    from facewise.models import find_model

    return find_model(model, kind="embedder").card.preprocess.cut


def _open(path: Path) -> Source:
    from facewise.data.open import open_source

    return open_source(path, tell=lambda text: tell(f"note: {text}"))


def _suspects(
    source: Source, margin: float, detector: str | None, model: str | None, **options: Any
) -> tuple[Suspects | None, str]:
    """The suspects, or why there are none; a model that was named must be there."""
    from facewise.data.suspects import embed_source, find_suspects
    from facewise.errors import ModelError

    try:
        pipeline = load_pipeline(detector=detector, model=model, **options)
    except ModelError as error:
        if detector or model:
            raise
        return None, str(error)
    with progress_bar("Embedding", len(source.keys)) as done:
        vectors = embed_source(source, pipeline, done, processes=True)
    return find_suspects(source, vectors, margin=margin), ""


def _print_check(found: Check, skipped: str) -> None:
    say(f"{found.name}: {count(found.photos, 'photo')} of {count(found.people, 'person', 'people')}")
    looked = found.suspects
    rows: list[tuple[object, ...]] = [
        ("unreadable photos", len(found.unreadable)),
        ("groups of the same file", len(found.same)),
        ("groups that look the same", len(found.near)),
        ("of these, under several names", len(found.conflicts)),
        ("people with one photo", len(found.single)),
        ("labels that look wrong", "not looked for" if looked is None else len(looked.found)),
    ]
    table("", ("finding", "number"), rows, right=(1,))
    _table_of("Under several names", ("people", "photos", "bits"), map(_group_row, found.conflicts))
    alone = [g for g in found.same + found.near if not g.conflict]
    _table_of("The same, or looking the same", ("people", "photos", "bits"), map(_group_row, alone))
    if looked is None:
        say(f"Labels were not looked at: {skipped}")
        return
    _table_of(
        "Labels that look wrong",
        ("photo", "is said to be", "like that", "more like", "by", "why"),
        (
            (s.key, s.person, f"{s.similarity:.3f}", s.other, f"{s.other_similarity:.3f}", s.reason)
            for s in looked.found
        ),
    )
    far = ""
    if looked.threshold is not None:
        far = f", or the own one less than {looked.threshold:.3f}, which 1 stranger in 1000 reaches here"
    say(
        f"{looked.compared} labels compared: suspect if another person fits better by {looked.margin:g}{far}."
    )


def _group_row(group: Group) -> tuple[str, ...]:
    bits = "same file" if group.bits is None else str(group.bits)
    return ", ".join(group.people), "\n".join(group.keys), bits


def _table_of(title: str, columns: Sequence[str], rows: Iterable[tuple[object, ...]]) -> None:
    """A table of the first rows, and how many there are more; nothing where there are none."""
    listed = list(rows)
    if listed:
        table(title, columns, listed[:_SHOWN])
    if len(listed) > _SHOWN:
        say(f"… and {len(listed) - _SHOWN} more; --json lists all.")


def _parts(text: str) -> tuple[list[str] | None, list[float]]:
    """Names, where given, and fractions of `--parts`."""
    pairs = [part.rpartition("=") for part in text.split(",")]
    try:
        fractions = [float(fraction) for *_, fraction in pairs]
    except ValueError:
        usage_error(f"--parts takes fractions such as 0.8,0.2 or train=0.8,test=0.2, not {text}.")
    named = [bool(equals) for _, equals, _ in pairs]
    if any(named) and not all(named):
        usage_error("--parts names all parts or none.")
    return [name.strip() for name, *_ in pairs] if all(named) else None, fractions


def _print_split(made: Split, names: Sequence[str], out: Path, by: str, *, json: bool) -> None:
    from collections import Counter

    photos = Counter(made.parts)
    people = Counter(part for _, part in set(zip(made.people, made.parts, strict=True)))
    if json:
        parts: list[dict[str, Any]] = [
            {"part": name, "photos": photos[name], "people": people[name]} for name in names
        ]
        print_json({"out": str(out), "by": by, "parts": parts, "shared_people": len(made.shared_people)})
        return
    total = len(made.keys)
    rows = [(name, photos[name], f"{photos[name] / total:.1%}", people[name]) for name in names]
    table("", ("part", "photos", "of all", "people"), rows, right=(1, 2, 3))
    say(f"Split by {by} in {out}; no photo is in two parts.")


def _print_prepared(made: Prepared, *, json: bool, bad: list[dict[str, str]]) -> None:
    counts = made.counts()
    if json:
        print_json(
            {
                "out": str(made.folder),
                "size": made.making.size,
                "photos": len(made.photos),
                "done_before": made.resumed,
                "changes": {"added": made.added, "replaced": made.replaced, "gone": made.gone},
                "counts": counts,
                "without_face": [photo.key for photo in made.of("no face")],
                "several_faces": [photo.key for photo in made.of("several faces")],
                "bad": bad,
            }
        )
        return
    cut, size = counts["ok"] + counts["several faces"], made.making.size
    say(f"{count(cut, 'crop')} of {size}×{size} pixels in {made.folder}.")
    if made.added or made.replaced or made.gone:
        say(told_changes(made.added, made.replaced, made.gone))
    if made.resumed:
        say(f"{count(made.resumed, 'photo was', 'photos were')} done before.")
    if counts["several faces"]:
        several = count(counts["several faces"], "photo has", "photos have")
        say(f"{several} several faces: the main one was taken.")
    if counts["no face"]:
        from facewise.photos import some

        keys = [photo.key for photo in made.of("no face")]
        tell(f"{count(len(keys), 'photo has', 'photos have')} no face: {some(keys, 10)}")
