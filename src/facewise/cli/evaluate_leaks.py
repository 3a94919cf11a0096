"""Options of `facewise eval` about training photos in test sets, and what is told of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facewise.cli.options import given_path
from facewise.cli.output import count, print_json, progress_bar, say, tell

if TYPE_CHECKING:
    from facewise.evaluation.cache import FaceCache
    from facewise.evaluation.leak_check import LeakCheck, LeakPolicy, Leaks, LeftOutFor
    from facewise.evaluation.looks import Photo
    from facewise.evaluation.pair_file import PairFile
    from facewise.evaluation.side_by_side import Model

OnLeaks = Annotated[
    str,
    typer.Option(
        "--leaks",
        help="Where photos were trained on: refuse, exclude (leave out what they and their people are in) "
        "or mark (measure all and say so).",
    ),
]
TrainedOnRuns = Annotated[
    list[Path] | None,
    typer.Option(
        "--trained-on",
        help="Training run whose photos to look for, where the model file does not list them; repeatable.",
        metavar="RUN",
        parser=given_path,
    ),
]


def leak_check(
    models: Sequence[Model], names: Sequence[str], policy: str, runs: Iterable[Path] | None
) -> LeakCheck:
    """Read what the models were trained on."""
    from facewise.evaluation.leak_check import LeakCheck

    check = LeakCheck(models, names, policy_of(policy), runs or ())
    if check.unused:
        tell("--trained-on is not needed: the model files list their training photos themselves.")
    return check


def policy_of(text: str) -> LeakPolicy:
    """What to do about leaks."""
    from facewise.evaluation.leak_check import LeakPolicy

    try:
        return LeakPolicy(text)
    except ValueError:
        known = ", ".join(LeakPolicy)
        raise typer.BadParameter(f"--leaks is one of {known}, not {text}.") from None


def find_leaks(
    check: LeakCheck,
    photos: Sequence[tuple[str, Photo, str]],
    what: str,
    *,
    people: Iterable[str] = (),
    cache: FaceCache | None,
    json: bool,
) -> Leaks:
    """What is in common; ends the command with code 3 where photos are and nobody said what to do about it.

    Args:
        check: The models.
        photos: Name, file and person of each.
        what: Name of the test set.
        people: Names, beside those of `photos`.
        cache: See `LeakCheck.find`.
        json: Whether a machine is to read of a refusal.
    """
    from facewise.evaluation.leak_check import LeakageError

    leaks = look_for_leaks(check, photos, people=people, cache=cache)
    tell_caveats([leaks])
    try:
        leaks.refuse(what)
    except LeakageError as error:
        if not json:
            raise
        tell(f"facewise: {error}")
        told = [{"model": one.model} | leaks.to_dict(i) for i, one in enumerate(leaks.found)]
        print_json({"error": str(error), "leakage": told})
        raise typer.Exit(3) from None
    return leaks


def look_for_leaks(
    check: LeakCheck,
    photos: Sequence[tuple[str, Photo, str]],
    *,
    people: Iterable[str] = (),
    cache: FaceCache | None,
) -> Leaks:
    """What is in common; arguments as `find_leaks`."""
    total = len(photos) if check.wanted and cache is not None else 0
    with progress_bar("looking for training photos", total) as done:
        return check.find(photos, people, cache=cache, progress=done, processes=True)


def tell_caveats(leaks: Iterable[Leaks]) -> None:
    """What could not be checked, each sentence once."""
    for caveat in dict.fromkeys(c for some in leaks for one in some.found for c in one.caveats):
        tell(caveat)


def say_leaks(leaks: Leaks, left_out: LeftOutFor | None, what: str = "these") -> None:
    """What a reader of the figures below must know.

    Args:
        leaks: What is in common.
        left_out: What was left out for that, or None.
        what: The test set.
    """
    of = "" if what == "these" else f" of {what}"
    if left_out is not None:
        photos, people = count(left_out.photos, "photo"), count(left_out.people, "person", "people")
        say(
            f"LEAKAGE: {left_out.number} {left_out.what}{of} are left out for {photos} and {people} "
            "trained on."
        )
        return
    for one in leaks.found:
        if one.photos:
            say(
                f"LEAKAGE: {one.model} was trained on {count(len(one.photos), 'photo')} of {what} "
                f"({one.photos_told()}): its figures flatter it."
            )
        if one.people:
            say(
                f"LEAKAGE: {one.model} was trained on people of {count(len(one.people), 'name')} of {what} "
                f"({one.people_told()}): its figures flatter it if they are the same people; --leaks exclude "
                "leaves them out."
            )


def wants_out(leaks: Leaks) -> bool:
    """Whether something is to be left out."""
    from facewise.evaluation.leak_check import LeakPolicy

    return leaks.policy is LeakPolicy.EXCLUDE and any(leaks.found)


def photos_of_files(*files: PairFile | None) -> list[tuple[str, Photo, str]]:
    """Name, file and person of the photos of files of pairs, each once."""
    found: dict[str, tuple[str, Photo, str]] = {}
    for file in files:
        if file is None:
            continue
        people = file.people if file.people is not None else [("", "")] * len(file.pairs)
        for pair, two in zip(file.pairs, people, strict=True):
            for photo, person in zip((pair.a, pair.b), two, strict=True):
                found.setdefault(photo, (photo, file.root / photo, person))
    return list(found.values())
