"""The card of `facewise-attributes-s`, from what was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facewise.files import write_bytes
from facewise.models.attributes import WORDS
from facewise.models.file import read_model
from scripts.own_models.attributes import NAME, RUN
from scripts.own_models.cards import TEXT, table

Figures = Mapping[str, Any]


def write_attribute_card(work: Path, docs: Path) -> None:
    """Write DOCS/facewise-attributes-s.md and its log beside it.

    Args:
        work: Where the model is and what was measured.
        docs: Where cards go.
    """
    model = read_model(work / f"{NAME}.onnx", kind="attributes")
    figures = json.loads((work / "attributes.json").read_text(encoding="utf-8"))
    rule, training = model.card.attributes, model.card.training
    assert rule is not None  # it is a model of attributes
    looks, adults = figures["utkface"], figures["utkface, 18 to 60"]
    moods, cleaned = figures["fer2013"], figures["fer2013, cleaned"]
    facts = {
        "parameters": f"{training['parameters']:,}",
        "megabytes": f"{model.path.stat().st_size / 1e6:.2f}",
        "fingerprint": model.fingerprint,
        "licence": model.card.licence,
        "data": "\n".join(_data(name, row) for name, row in figures["data"].items()),
        "summary": _summary(looks, moods),
        "hashes": ", ".join(f"{name} `{digest[:16]}`" for name, digest in figures["faces"].items()),
        "limits": ", ".join(f"{name} {one.least:.2f}" for name, one in rule.words.items()),
        "coverage": interval(looks["age"]["coverage"]),
        "width": f"{looks['age']['width']:.1f}",
        "adult_mae": f"{interval(adults['age']['mae'], 2)} years",
        "adult_gender": interval(adults["gender"]["accuracy"]),
        "worst": _worst(figures),
        "ages": _groups(looks, "age", 2),
        "genders": _groups(looks, "gender", 3),
        "races": _confusion(looks["race"], WORDS["race"]) + "\n\n" + _groups(looks, "race", 3),
        "confusion": _confusion(moods["emotion"], WORDS["emotion"]),
        "cleaned": interval(cleaned["emotion"]["accuracy"]),
        "git": str(training.get("git") or "not recorded"),
        "seed": str(training["seed"]),
        "hours": f"{training['seconds'] / 3600:.1f}",
    }
    text = (TEXT / f"{NAME}.md").read_text(encoding="utf-8")
    write_bytes(docs / f"{NAME}.md", text.format(**facts).encode())
    logs = sorted((work / RUN).glob("branch-*/metrics.jsonl"))
    write_bytes(docs / f"{NAME}.jsonl", b"".join(log.read_bytes() for log in logs))


def interval(figure: Figures, digits: int = 3) -> str:
    """`0.912 (0.903 to 0.921)`."""
    return f"{figure['estimate']:.{digits}f} ({figure['low']:.{digits}f} to {figure['high']:.{digits}f})"


def _data(name: str, row: Figures) -> str:
    return f"| {name} | {row['learned']:,} | {row['validated']:,} | {row['tested']:,} | {row['terms']} |"


def _summary(looks: Figures, moods: Figures) -> str:
    age = looks["age"]
    held_out = "UTKFace, held out"
    rows = [("age", held_out, f"{age['faces']:,}", f"{interval(age['mae'], 2)} years", *[""] * 4)]
    for name, result, data in (
        ("gender", looks, held_out),
        ("race", looks, held_out),
        ("emotion", moods, "FER2013, private test"),
    ):
        one = result[name]
        rows.append(
            (
                name,
                data,
                f"{one['faces']:,}",
                interval(one["accuracy"]),
                interval(one["macro_f1"]),
                interval(one["macro_recall"]),
                f"{one['ece']:.3f}",
                f"{one['answered']:.3f}, {interval(one['accuracy_answered'])}",
            )
        )
    columns = ("attribute", "data", "faces", "error, accuracy", "macro F1", "macro recall", "ECE")
    return table((*columns, "sure, right then"), rows)


def _worst(figures: Figures) -> str:
    rows = []
    for name in ("age", "gender", "race"):
        group = figures["utkface"]["worst"][name]
        unit = " years" if name == "age" else ""
        digits = 2 if name == "age" else 3
        rows.append((name, group["group"], f"{group['faces']:,}", interval(group["value"], digits) + unit))
    moods = figures["fer2013"]["emotion"]["recalls"]
    word = min(moods, key=lambda one: moods[one]["estimate"])
    support = sum(figures["fer2013"]["emotion"]["confusion"][WORDS["emotion"].index(word)])
    rows.append(("emotion", f"labelled {word}", f"{support:,}", interval(moods[word])))
    return table(("attribute", "group of 30 faces or more", "faces", "error, accuracy"), rows)


def _groups(result: Figures, attribute: str, digits: int) -> str:
    covered = attribute == "age"
    rows = [
        (
            group["group"],
            f"{group['faces']:,}",
            interval(group["value"], digits),
            *((interval(group["coverage"]),) if covered else ()),
        )
        for group in result["groups"][attribute]
    ]
    columns = ("group", "faces", "mean absolute error, years" if covered else "accuracy")
    return table((*columns, "interval covers") if covered else columns, rows)


def _confusion(figures: Figures, words: tuple[str, ...]) -> str:
    rows = [
        (word, *(f"{count:,}" for count in row), interval(figures["recalls"][word]))
        for word, row in zip(words, figures["confusion"], strict=True)
    ]
    return table(("labelled, told", *words, "right"), rows)
