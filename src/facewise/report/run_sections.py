"""Sections on a run besides the closed set: unknown people, embeddings, where the figures come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facewise.evaluation.folds import make_folds
from facewise.evaluation.pair_protocol import differences
from facewise.report.differences import differences_section
from facewise.report.hardest import hardest_section
from facewise.report.html import (
    heading,
    note,
)
from facewise.report.known import anchor
from facewise.report.maps import Maps, chosen
from facewise.report.page import Section
from facewise.report.provenance import facts, flat, model_facts, run_facts
from facewise.report.run_data import RunData, RunPhotos, same_pairs
from facewise.report.scores import probability_section, scores_section
from facewise.report.space import space_body
from facewise.report.verification import (
    verification_section,
)
from facewise.training.heldout import HeldOutPhotos

_PACE = ("precision", "fast_layers", "channels_last")
"""Of how a network was computed, as `environment.json` names it; `fast_layers` are of `facewise.nn.fast`."""


def missing_section(runs: Sequence[RunData]) -> Section | None:
    """Why parts of the runs are not there; None where nothing is missing."""
    told = [
        f"{run.name}: {sentence}" if len(runs) > 1 else sentence for run in runs for sentence in run.missing
    ]
    return Section("What is missing", "missing", "", [note(one) for one in told]) if told else None


def verification_sections(runs: Sequence[RunData], given: Sequence[RunPhotos | None]) -> list[Section]:
    """Of the people never shown; as far as there are some.

    Args:
        runs: At least one.
        given: The photos of each, or None where they are left out.
    """
    having = [run for run in runs if run.verification is not None]
    photos = next((one for run, one in zip(runs, given, strict=True) if run.verification is not None), None)
    results = [run.verification for run in having if run.verification is not None]
    if not results:
        why = "No pairs of unknown people: the run held out nobody (`data.held_out_people`)."
        return [Section("Same or different", "verification", "", [note(why)])]
    names = [run.name for run in having]
    sections = [verification_section(names, results)]
    sections[0].title = "Unknown people"
    sections[0].lead = f"People the network was never shown. {sections[0].lead}"
    absent = [run.name for run in runs if run.verification is None]
    if absent:
        sections[0].body.append(note(f"{', '.join(absent)} held out nobody."))
    together = same_pairs(results)
    if len(results) > 1:
        compared = differences_section(differences(results, names)) if together else None
        why = "The runs held out different people, so there is no paired difference between them."
        sections.append(compared or Section("Differences", "differences", "", [note(why)]))
    sections.append(scores_section(names, results))
    people = _people(having[0].held_out.unknown) if having[0].held_out is not None else {}
    folds = make_folds(results[0].scored.pairs, [(people[p.a], people[p.b]) for p in results[0].scored.pairs])
    if together:
        sections.append(probability_section(names, results, [None] * len(results), folds))
    crops = (lambda _: {}) if photos is None else photos.crops
    shown_ = len(results) if together else 1
    hardest = hardest_section(names[:shown_], results[:shown_], people, crops, photos=photos is not None)
    if shown_ < len(results):
        hardest.body.append(note(f"The runs have different pairs; these are of {names[0]}."))
    return [*sections, hardest]


def _people(photos: HeldOutPhotos | None) -> dict[str, str]:
    if photos is None:
        return {}
    return {key: photos.names[label] for key, label in zip(photos.keys, photos.labels, strict=True)}


def _parts(run: RunData) -> list[tuple[str, HeldOutPhotos]]:
    if run.held_out is None:
        return []
    both = (("known people", run.held_out.known), ("unknown people", run.held_out.unknown))
    return [(what, photos) for what, photos in both if photos is not None]


def space_section(runs: Sequence[RunData]) -> Section:
    """The held-out embeddings of every run, known and unknown people apart."""
    section = Section(
        "Embedding space",
        "space",
        "A face is a direction. The photos of one person should lie close together and far from everybody "
        "else's. Held-out photos.",
    )
    for run in runs:
        for what, photos in _parts(run):
            people = [photos.names[label] for label in photos.labels]
            threshold = None
            if what == "unknown people" and run.verification is not None:
                threshold = run.verification.metrics.operating_points[-1].threshold
            body, _ = space_body(f"{run.name}, {what}", photos.embeddings, people, threshold)
            section.body += [heading(f"{run.name}, {what}"), *body]
    if not section.body:
        section.body.append(note("Nothing was held out, so there are no embeddings to look at."))
    return section


def map_section(runs: Sequence[RunData], photos: Sequence[RunPhotos | None], maps: Maps) -> Section:
    """A map of the held-out photos of every run, known and unknown people apart."""
    section = Section(
        "Embedding map",
        "map",
        "Held-out photos of the people with most of them, laid out in two dimensions. It shows little of "
        "what is in the space: look at neighbours, not at distances.",
    )
    for run, given in zip(runs, photos, strict=True):
        for what, part in _parts(run):
            people = [part.names[label] for label in part.labels]
            taken = chosen(people)
            if len(taken) < 3:
                section.body.append(
                    note(f"{run.name}, {what}: nobody has two photos held out, so there is no map.")
                )
                continue
            keys = [part.keys[i] for i in taken]
            crops: Mapping[str, Any] = {} if given is None else given.crops(keys)
            who = [people[i] for i in taken]
            section.body.append(maps.add(f"{run.name}, {what}", part.embeddings[taken], who, keys, crops))
    if not section.body:
        section.body.append(note("Nothing was held out, so there is nothing to lay out."))
    return section


def provenance_section(run: RunData, photos: RunPhotos | None, *, several: bool) -> Section:
    """Data, code, machine, times and settings of one run."""
    of = f", {run.name}" if several else ""
    section = Section(
        f"Data and provenance{of}", f"provenance-{anchor(run.name)}", "What the figures depend on."
    )
    seen, training = run.environment, {} if run.model is None else dict(run.model.card.training)
    machine, git, pace = seen.get("machine") or {}, seen.get("git"), seen.get("pace") or {}
    commit = None
    if isinstance(git, dict):
        commit = f"{git.get('hash')}{', with changes of its own' if git.get('diff') else ''}"
    epochs = [line for line in run.log if line.get("kind") == "train" and "epoch" in line]
    seconds = float(epochs[-1].get("seconds", float("nan"))) if epochs else float("nan")
    section.body.append(
        facts(
            [
                ("data", Path(str(seen["data"])).name if seen.get("data") else None),
                ("data hash", seen.get("data_hash")),
                (
                    "learned from",
                    f"{training['photos']:,} photos of {training['people']:,} people"
                    if "photos" in training
                    else None,
                ),
                ("seed", seen.get("seed")),
                ("git", commit),
                ("epochs", epochs[-1]["epoch"] if epochs else None),
                ("time", f"{seconds / 60:.1f} min" if np.isfinite(seconds) else None),
                ("machine", ", ".join(f"{key} {value}" for key, value in machine.items())),
                ("computed in", ", ".join(f"{key} {pace[key]}" for key in _PACE if key in pace)),
                (
                    "packages",
                    ", ".join(f"{key} {value}" for key, value in (seen.get("packages") or {}).items()),
                ),
                ("command", " ".join(map(str, seen.get("command") or []))),
                *run_facts(None),
            ]
        )
    )
    for sentence in [] if photos is None else photos.missing:
        section.body.append(note(sentence))
    section.body += [heading("Settings"), facts(flat(run.config))]
    if run.model is not None:
        section.body.append(model_facts(run.model, f"Model file {run.model.path.name}"))
    if isinstance(git, dict) and git.get("diff"):
        section.body.append(note("What the run's code differed by from its commit is in environment.json."))
    return section
