"""`facewise models show`, and how a calibration is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.options import Json
from facewise.cli.output import count, print_json, say, table

if TYPE_CHECKING:
    from facewise.models import Calibration
    from facewise.models.attributes import AttributeRule
    from facewise.models.calibration import Limits
    from facewise.models.liveness import ErrorRate, LivenessCalibration
    from facewise.models.score_map import ScoreMap
    from facewise.models.trained_on import TrainedOn

POINTS = ("FMR", "threshold", "measured", "true FMR", "another group's", "FNMR", "true FNMR")
"""Columns of a table of operating points."""

ANOTHER_GROUP = "Another group's: the FMR measured on as many other people lies there."


def show(
    name: Annotated[str, typer.Argument(help="A name in the store, or a model file.")], json: Json = False
) -> None:
    """All that a model file says of itself."""
    from facewise.cli.models import _describe, _find
    from facewise.models.bundled import provenance
    from facewise.variants import choose, variants_of

    model = _find(name)
    facts = _describe(model)
    runs, _ = choose(model)
    has = variants_of(model)
    origin = provenance(model.sha256)
    if json:
        print_json(
            facts | {"provenance": origin, "variants": {"has": has, "runs": runs.name, "why": runs.why}}
        )
        return
    card = model.card
    if card.kind == "landmarker" and card.decoder is not None:
        # The rest of it are the points of a face.
        facts |= {"decoder": card.decoder.get("name")}
    rows = [
        (k, v)
        for k, v in facts.items()
        if k not in ("calibration", "training", "trained_on", "attributes", "liveness")
    ]
    rows += [("networks", ", ".join(has)), ("runs here", str(runs))]
    rows += [(f"training: {key}", value) for key, value in card.training.items()]
    rows.append(("trained on", _trained_on(card.trained_on)))
    if origin is not None:
        rows.append(("learned from", "; ".join(_data_set(entry) for entry in origin["learned_from"])))
        rows.append(("taught by", "; ".join(_teacher(entry) for entry in origin["taught_by"])))
    table("", ("", ""), rows)
    if card.attributes is not None:
        _print_attributes(card.attributes)
    elif card.calibration is not None:
        _print_calibration(card.calibration)
    elif card.kind == "embedder":
        say("No calibration: this model gives similarities, but no decisions.")
    if card.liveness is not None:
        print_liveness(card.liveness)
    elif card.kind == "liveness":
        say("No calibration: this model gives scores of liveness, but no decisions.")


def interval(limits: Limits | None) -> str:
    """Both ends of an interval; one that a file of an older Facewise has not is said to be missing."""
    return "not recorded" if limits is None else f"{limits[0]:.3g} to {limits[1]:.3g}"


def probability_text(scale: ScoreMap) -> str:
    """At which similarities a pair is of one person with a probability of 0.01, 0.5 and 0.99."""
    prior = math.log(scale.prior) - math.log1p(-scale.prior)
    at = [(math.log(p / (1 - p)) - prior, p) for p in (0.01, 0.5, 0.99)]
    told = ", ".join(
        f"{p:g} at similarity {(ratio - scale.offset) / scale.slope:.3f}"
        for ratio, p in at
        if scale.low <= ratio <= scale.high
    )
    share = "half" if scale.prior == 0.5 else f"{scale.prior:g}"
    return f"Probability of one person, where {share} of the pairs are: {told or 'none of 0.01, 0.5, 0.99'}."


def _print_attributes(rule: AttributeRule) -> None:
    """What a model of attributes tells, below which probability it is not sure, and how good it is."""
    from facewise.models.attributes import ATTRIBUTES

    rows = []
    for name in (name for name in ATTRIBUTES if name in rule.outputs):
        words = rule.words.get(name)
        tells = "years, with an interval of 90%" if words is None else ", ".join(words.words)
        unsure = "" if words is None else f"{words.least:.2f}"
        measured = rule.measured.get(name)
        if measured is None:
            rows.append((name, tells, unsure, "not measured", ""))
            continue
        worst = measured.get("worst")
        rows.append(
            (
                name,
                tells,
                unsure,
                f"{measured['figure']} {_with_interval(measured)} ({measured['data']})",
                "" if worst is None else f"{worst['group']}: {_with_interval(worst)}",
            )
        )
    table("", ("attribute", "tells", "not sure below", "measured", "worst group"), rows)


def _with_interval(figure: Mapping[str, Any]) -> str:
    low, high = figure["low"], figure["high"]
    return f"{figure['value']:.3g}, {low:.3g} to {high:.3g}, of {count(figure['faces'], 'face')}"


def _trained_on(record: TrainedOn | None) -> str:
    if record is None:
        return "not recorded, so a test set cannot be checked for it"
    # People without a name, as those a data set only numbers, are in the photos and not in this count.
    people = count(record.people, "person by name", "people by name")
    what = f"{count(record.photos, 'photo')}, {people}"
    if not record.listed:
        return f"{what}; too many to list, so test sets are checked for the names alone"
    return f"{what}; kept as hashes, which test sets are checked for"


def _data_set(entry: dict[str, Any]) -> str:
    photos = "" if "photos" not in entry else f", {count(entry['photos'], 'photo')}"
    return f"{entry['name']}{photos} ({entry['terms']})"


def _teacher(entry: dict[str, Any]) -> str:
    return f"{entry['name']} ({entry['source']}, {entry['licence']}), trained on {entry['trained_on']}"


def _print_calibration(calibration: Calibration) -> None:
    say(
        f"Calibrated on {calibration.dataset} {calibration.protocol} with {calibration.detector}, "
        f"{'with' if calibration.flip else 'without'} flip averaging; {calibration.genuine:,} same pairs and "
        f"{calibration.impostors:,} different ones:"
    )
    rows = [
        (
            f"{point.fmr:g}",
            f"{point.threshold:.4f}",
            f"{point.measured_fmr:.3g}",
            interval(point.fmr_interval),
            interval(point.fmr_elsewhere),
            f"{point.fnmr:.4f}",
            interval(point.fnmr_interval),
        )
        for point in calibration.thresholds
    ]
    table("", POINTS, rows, right=range(len(POINTS)))
    say(f"95% intervals. {ANOTHER_GROUP}")
    scale = calibration.score_map
    if scale is None:
        say("No probabilities: this calibration has thresholds alone.")
        return
    say(probability_text(scale))
    least, most = scale.probability(-math.inf), scale.probability(math.inf)
    say(f"Its data can support none below {least:.2g} or above 1 - {1 - most:.2g}.")


def print_liveness(calibration: LivenessCalibration) -> None:
    """The threshold, its errors and where they come from."""
    rows = [_row(f"APCER, {kind}", rate) for kind, rate in calibration.attacks.items()]
    rows.append(_row("BPCER, live faces", calibration.bpcer))
    table("", ("error", "rate", "95% interval", "wrong", "photos", "subjects"), rows, right=(1, 3, 4, 5))
    subjects = min(rate.subjects for rate in (*calibration.attacks.values(), calibration.bpcer))
    few = f" With {subjects} subjects the intervals are rough." if subjects < 30 else ""
    say(
        f"Live from a score of {calibration.threshold:.4f}, set for APCER {calibration.target:g} on all; the "
        f"errors are those of thresholds set in {count(calibration.folds, 'fold')} on other subjects.{few}"
    )
    live, spoof = calibration.faceless
    if live or spoof:
        say(
            f"Without a face, and left out: {count(live, 'live photo')} and {count(spoof, 'attack')} (BPNRR "
            "and APNRR count them)."
        )
    say("Other cameras, light and kinds of attacks have other errors.")


def _row(name: str, rate: ErrorRate) -> tuple[object, ...]:
    low, high = rate.interval
    return (name, f"{rate.rate:.3f}", f"{low:.3f} to {high:.3f}", rate.wrong, rate.photos, rate.subjects)
