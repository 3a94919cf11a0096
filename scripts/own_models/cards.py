"""The model cards: `docs/models/NAME.md` from what was measured, and the training logs beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facewise.files import write_bytes
from facewise.models.file import ModelFile, read_model
from scripts.own_models.detector import NAME as DETECTOR
from scripts.own_models.embedder import NAME as EMBEDDER

TEXT = Path(__file__).parent / "cards"
"""What the cards say besides numbers, with {names} where tables and figures go."""

RUNS = {EMBEDDER: "embed-run", DETECTOR: "detector/run"}

CORES = {EMBEDDER: 4, DETECTOR: 2}
"""Used at once; for the guess at energy."""

WATTS = (5, 10)
"""Of a server's core at work, at least and at most: a guess, said to be one."""


def write_cards(work: Path, docs: Path) -> None:
    """Write both cards and both logs.

    Args:
        work: Where models and measures are.
        docs: Folder of the cards.
    """
    measures = json.loads((work / "measures.json").read_text(encoding="utf-8"))
    gathered = json.loads((work / "gathered.json").read_text(encoding="utf-8"))
    for name, fill in ((EMBEDDER, _of_the_embedder), (DETECTOR, _of_the_detector)):
        model = read_model(work / f"{name}.onnx")
        run = work / RUNS[name]
        facts = _facts(model, run, CORES[name]) | fill(model, measures, gathered)
        text = (TEXT / f"{name}.md").read_text(encoding="utf-8")
        write_bytes(docs / f"{name}.md", text.format(**facts).encode())
        write_bytes(docs / f"{name}.jsonl", (run / "metrics.jsonl").read_bytes())


def _facts(model: ModelFile, run: Path, cores: int) -> dict[str, str]:
    """What both cards say."""
    training = dict(model.card.training or {})
    environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    machine, packages = environment["machine"], environment["packages"]
    hours = training["seconds"] / 3600
    return {
        "megabytes": f"{model.path.stat().st_size / 1e6:.2f}",
        "fingerprint": model.fingerprint,
        "licence": model.card.licence,
        "hours": f"{hours:.1f}",
        "energy": " to ".join(f"{cores * watts * hours / 1000:.2f}" for watts in WATTS),
        "git": str(training.get("git") or "not recorded"),
        "seed": str(training["seed"]),
        "machine": f"{machine['processor']}, {machine['cores']} cores, torch {packages['torch']}",
    }


def _of_the_embedder(
    model: ModelFile, measures: Mapping[str, Any], gathered: Mapping[str, Any]
) -> dict[str, str]:
    training = dict(model.card.training or {})
    shipped = measures["lfw"][-1]
    return {
        "epochs": str(training["epochs"]),
        "photos": f"{training['photos']:,}",
        "shown": f"{training['photos'] * training['epochs']:,}",
        "gathered": table(
            ("dataset", "photos", "no face", "perhaps of View 2", "held out", "learned from"),
            [
                (name, *(f"{row[key]:,}" for key in ("photos", "no_face", "matched", "held_out", "used")))
                for name, row in gathered.items()
            ],
        ),
        "accuracy": f"{shipped['accuracy']:.4f} ± {shipped['standard_error']:.4f}",
        "lfw": lfw_table(measures["lfw"]),
        "sexes": table(
            ("pairs of two", "genuine", "impostor", "accuracy", "FNMR", "FMR"),
            [
                (
                    row["pairs of two"],
                    f"{row['genuine']:,}",
                    f"{row['impostor']:,}",
                    *(share(row[key]) for key in ("accuracy", "fnmr", "fmr")),
                )
                for row in measures["lfw by sex"]
            ],
        ),
        "protocol": measures["calibration"]["protocol"],
        "rates": f"FMR {', '.join(f'{rate:g}' for rate in measures['calibration']['rates'])}",
        "threshold": f"{measures['utkface']['threshold']:.4f}",
        "groups": table(
            ("group", "photos", "pairs", "taken for one person", "share"),
            [
                (
                    row["group"],
                    f"{row['photos']:,}",
                    f"{row['pairs']:,}",
                    str(row["matched"]),
                    share(row["fmr"], 5),
                )
                for row in measures["utkface"]["groups"]
            ],
        ),
        "missed": _pairs(measures["failures"]["one person"]),
        "confused": _pairs(measures["failures"]["two people"]),
    }


def _of_the_detector(model: ModelFile, measures: Mapping[str, Any], _: Mapping[str, Any]) -> dict[str, str]:
    training = dict(model.card.training or {})
    found = measures["detector"]
    agreement = found["lfw"]
    sizes = found["scenes"]["faces"]
    alarms = found["face-free"]
    return {
        "parameters": f"{training['parameters']:,}",
        "photos": f"{training['photos']:,}",
        "steps": f"{training['steps']:,}",
        "lfw": lfw_table(measures["lfw"]),
        "agreement": table(
            ("detector", "main faces found", "as main", "median of faces", "of points", "95th %"),
            [
                (Path(name).stem if name.endswith(".onnx") else name, *(f"{row[key]:.4f}" for key in _AGREED))
                for name, row in agreement.items()
            ],
        ),
        "scenes": table(
            ("detector", *(f"{size} ({count:,})" for size, count in sizes.items())),
            [
                (Path(name).stem, *(f"{row[size]:.3f}" for size in sizes))
                for name, row in found["scenes"].items()
                if name != "faces"
            ],
        ),
        "alarms": table(
            ("detector", "false alarms a picture"),
            [(Path(name).stem, f"{rate:.4f}") for name, rate in alarms.items()],
        ),
        "groups": table(
            ("group", "faces", "found"),
            [(row["group"], f"{row['faces']:,}", share(row["found"], 4)) for row in measures["detected"]],
        ),
    }


_AGREED = ("found", "main", "landmarks", "points", "worst")


def lfw_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """LFW View 2, a row for each pair of models."""
    return table(
        ("detector", "embedder", "accuracy, 10 folds", "TAR at FMR 1e-3", "AUC", "photos without a face"),
        [
            (
                row["detector"],
                row["embedder"],
                f"{row['accuracy']:.4f} ± {row['standard_error']:.4f}",
                f"{row['tar@fmr=0.001']:.4f}",
                f"{row['auc']:.4f}",
                str(row["without_face"]),
            )
            for row in rows
        ],
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def share(value: Sequence[float] | None, digits: int = 4) -> str:
    """A share with its interval."""
    if value is None:
        return "—"
    middle, low, high = (f"{number:.{digits}f}" for number in value)
    return f"{middle} ({low} to {high})"


def _pairs(rows: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(
        f"- {Path(row['a']).stem} and {Path(row['b']).stem}: {row['similarity']:.3f}" for row in rows
    )
