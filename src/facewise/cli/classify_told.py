"""What `facewise classify` tells, as tables and sentences and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from facewise.cli.output import count, say, table
from facewise.gallery.names import told_name

if TYPE_CHECKING:
    from facewise.classify import ClassifierFile, Prediction
    from facewise.classify.evaluating import Evaluated
    from facewise.classify.fitting import Learned


def rows_of(photo: str, predictions: Sequence[Prediction]) -> list[tuple[str, ...]]:
    """What a table says of a photo's faces."""
    if not predictions:
        return [(photo, "no face", "", "", "")]
    return [
        (
            photo,
            one.note or ("unknown" if one.person is None else told_name(one.person)),
            "" if one.probability is None else f"{one.probability:.3f}",
            _alike(one),
            one.likeliest,
        )
        for one in predictions
    ]


def _alike(one: Prediction) -> str:
    return "" if one.similarity is None else f"{one.similarity:.3f}"


def prediction_dict(one: Prediction) -> dict[str, Any]:
    """A prediction for JSON."""
    return {
        "person": one.person,
        "likeliest": one.likeliest,
        "probability": one.probability,
        "similarity": one.similarity,
        "note": one.note,
    }


def about(file: ClassifierFile) -> dict[str, Any]:
    """A classifier file for JSON."""
    card = file.card
    return {
        "path": str(file.path),
        "sha256": file.sha256,
        "method": card.method,
        "people": list(card.people),
        "model": card.model,
        "model_fingerprint": card.model_fingerprint,
        "unknown": None
        if card.unknown is None
        else {
            "by": card.unknown.by,
            "threshold": card.unknown.threshold,
            "source": card.unknown.source,
            "numbers": dict(card.unknown.numbers),
        },
        "settings": dict(card.settings),
        "training": dict(card.training),
        "results": dict(card.results),
    }


def rule_told(file: ClassifierFile, *, asked: bool) -> str:
    """The sentence on what becomes of strangers."""
    rule = file.card.unknown
    if rule is None or not asked:
        return "Everybody is given a name, strangers too; probabilities are among the people known."
    if rule.by == "probability":
        return f"Unknown below a probability of {rule.threshold:.3f} ({rule.source})."
    share = rule.numbers.get("fpir")
    told = "" if share is None else f", set so that at most {share:g} of strangers are named"
    return f"Unknown below a cosine of {rule.threshold:.3f} to the likeliest person{told} ({rule.source})."


def learned_dict(learned: Learned) -> dict[str, Any]:
    """What a fit came to, for JSON."""
    return {
        "classifier": about(learned.file),
        "held_out": None if learned.held_out is None else learned.held_out.to_dict(),
        "refused": learned.refused,
        "photos": learned.photos,
        "notes": list(learned.notes),
    }


def print_learned(learned: Learned) -> None:
    """What a fit came to, for people."""
    card = learned.file.card
    say(
        f"{card.method} on {count(learned.photos, 'photo')} of "
        f"{count(len(card.people), 'person', 'people')} → {learned.file.path}"
    )
    for note in learned.notes:
        say(f"Note: {note}")
    if learned.held_out is not None:
        low_high = learned.held_out.intervals().get("top1")
        told = "" if low_high is None else f" ({low_high.low:.3f} to {low_high.high:.3f})"
        say(
            f"Fitted on the others, it names {learned.held_out.top1:.4f}{told} of "
            f"{count(learned.held_out.photos, 'photo')} held out rightly"
            + (
                "."
                if learned.refused is None
                else f"; {learned.refused:.4f} of them would be told as unknown."
            )
        )
    say(rule_told(learned.file, asked=True))


def print_evaluated(found: Evaluated, file: ClassifierFile, *, asked: bool) -> None:
    """What an evaluation came to, for people."""
    closed, rates = found.closed_set, found.rates()
    if found.fitted_on:
        done = "are left out" if found.excluded else "are among them, so the figures are too good"
        say(f"{count(len(found.fitted_on), 'photo')} it was fitted on {done}.")
    if closed is not None:
        rows = [
            (one.name, one.support, f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.f1:.3f}")
            for one in closed.classes
            if one.support or one.predicted
        ]
        table("", ("person", "photos", "precision", "recall", "F1"), rows, right=(1, 2, 3, 4))
        say(
            f"Accuracy {closed.top1:.4f}, loss {closed.loss:.4f}, macro F1 {closed.macro.f1:.4f} on "
            f"{count(closed.photos, 'photo')} of its people, each given a name."
        )
        for pair in closed.most_confused(5):
            say(f"  {pair.true} taken for {pair.predicted}: {pair.count}")
    if file.card.unknown is not None and asked and rates["known"]:
        say(
            f"With strangers told: {rates['named_rightly']:.4f} named rightly, {rates['named_wrongly']:.4f} "
            f"wrongly, {rates['not_named']:.4f} not at all."
        )
    if rates["strangers"]:
        say(
            f"Of {count(rates['strangers'], 'photo')} of strangers {rates['strangers_named']:.4f} are given "
            "a name."
        )
    say(rule_told(file, asked=asked))
