"""Where the figures come from: data, models, machine, times."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import facewise
from facewise.embedding import Embedder
from facewise.models import ModelFile
from facewise.report.html import EMPTY, Html, details, heading, join, text
from facewise.report.measured import Measurements
from facewise.report.page import Section


def facts(rows: Iterable[tuple[str, object]]) -> Html:
    """Names and what they are, two columns."""
    body = "\n".join(f"<tr><td>{text(name)}</td><td>{_value(value)}</td></tr>" for name, value in rows)
    return Html(
        '<div class="scroll" tabindex="0" role="region" aria-label="facts">'
        f'<table class="facts"><tbody>\n{body}\n</tbody></table></div>'
    )


def _value(value: object) -> Html:
    if value is None or value == "":
        return text("not recorded")
    return text(value)


def model_facts(model: ModelFile, name: str) -> Html:
    """What a model file says of itself."""
    card = model.card
    calibration = card.calibration
    rows: list[tuple[str, object]] = [
        ("name, version", f"{card.name}, {card.version}"),
        ("fingerprint", model.fingerprint),
        ("licence", card.licence),
        ("source", card.source),
        ("input", f"{card.preprocess.size} pixels, {card.preprocess.alignment}"),
        ("embedding", f"{card.embedding_size} numbers"),
        (
            "calibration",
            "none in the file"
            if calibration is None
            else f"{calibration.dataset}, {calibration.protocol}; data {calibration.data_hash[:16]}; "
            f"{'with' if calibration.flip else 'without'} flip; detector {calibration.detector}",
        ),
    ]
    training = dict(card.training)
    folded = details("What the file says of its training", json_block(training)) if training else EMPTY
    return join([heading(name), facts(rows), folded])


def json_block(data: Any) -> Html:
    """Data as it is, for who wants to look it up."""
    return Html(
        f"<pre><code>{text(json.dumps(data, indent=1, ensure_ascii=False, default=str))}</code></pre>"
    )


def measured_section(measured: Measurements, leaks: Sequence[Html], seconds: float) -> Section:
    """Data, models and machine of a measurement.

    Args:
        measured: It.
        leaks: What is to be said of training photos among the data.
        seconds: It took.
    """
    section = Section("Data and provenance", "provenance", "What the figures depend on.")
    data, first = measured.data, measured.models[0]
    scored = first.result.scored
    detector = "none: the photos are aligned crops already"
    if not isinstance(first.model, Embedder):
        detector = f"{first.model.detector.name}, {first.model.detector.fingerprint}"
    flips = {one.name: one.embedder.flip for one in measured.models}
    section.body.append(
        facts(
            [
                ("data", data.title),
                ("protocol", data.protocol),
                ("data hash", scored.data_hash),
                ("photos", f"{scored.photos:,}"),
                ("without a face", _named(scored.without_face)),
                ("unreadable", _named([f"{name} ({why})" for name, why in scored.unreadable])),
                ("pairs left out as unreadable", f"{scored.left_out:,}"),
                ("left out", " ".join(data.limits) or "nothing"),
                ("detector", detector),
                (
                    "flip averaging",
                    ", ".join(f"{name}: {'yes' if on else 'no'}" for name, on in flips.items()),
                ),
                *run_facts(seconds),
            ]
        )
    )
    section.body += leaks
    section.body += [model_facts(one.embedder.model, one.name) for one in measured.models]
    return section


def run_facts(seconds: float | None) -> list[tuple[str, object]]:
    """The machine and the time of the report itself."""
    versions = ", ".join(f"{name} {_version(name)}" for name in ("numpy", "onnxruntime"))
    rows: list[tuple[str, object]] = [
        ("Facewise", f"{facewise.__version__}, Python {platform.python_version()}, {versions}"),
        ("machine", platform.platform()),
        ("written", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
    ]
    return rows if seconds is None else [*rows, ("took", f"{seconds:.0f} s")]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _named(items: Sequence[str], most: int = 20) -> str:
    if not items:
        return "none"
    rest = len(items) - most
    return f"{len(items):,}: " + ", ".join(items[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def flat(data: Mapping[str, Any], start: str = "") -> list[tuple[str, object]]:
    """Settings within settings as dotted names."""
    rows: list[tuple[str, object]] = []
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            rows += flat(value, f"{start}{key}.")
        else:
            rows.append((f"{start}{key}", "none" if value is None else value))
    return rows
