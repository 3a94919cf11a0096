"""How an embedder fares for whom: LFW's pairs by sex, false matches on UTKFace by race and age."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from facewise.data.csvfile import csv_source
from facewise.embedding import Embedder
from facewise.evaluation import LfwResult

AGES = ((0, 9), (10, 19), (20, 39), (40, 59), (60, 116))


def by_sex(result: LfwResult, labels: Path) -> list[dict[str, Any]]:
    """LFW View 2's pairs of two women and of two men, each decided at the threshold of the pairs' folds.

    Args:
        result: Of View 2.
        labels: LFW's `gender.csv`.
    """
    with labels.open(encoding="utf-8") as file:
        sex = {row["path"].removeprefix("images/"): row["gender"] for row in csv.DictReader(file)}
    kfold = result.metrics.kfold
    assert kfold is not None  # View 2 has folds
    threshold_of = dict(zip(kfold.folds, kfold.thresholds, strict=True))
    fold = np.array([pair.fold for pair in result.pairs])
    accepted = result.similarities >= np.array([threshold_of[f] for f in fold])
    same = np.array([pair.same for pair in result.pairs])
    of = np.array(
        [sex.get(p.a, "") if sex.get(p.a) == sex.get(p.b) else "" for p in result.pairs], dtype=object
    )
    rows = []
    for name in ("female", "male"):
        mine = of == name
        genuine, impostor = accepted[mine & same], accepted[mine & ~same]
        rows.append(
            {
                "pairs of two": name,
                "genuine": len(genuine),
                "impostor": len(impostor),
                "accuracy": rate(int((accepted == same)[mine].sum()), int(mine.sum())),
                "fnmr": rate(int((~genuine).sum()), len(genuine)),
                "fmr": rate(int(impostor.sum()), len(impostor)),
            }
        )
    return rows


def false_matches(listing: Path, labels: Path, embedder: Embedder, threshold: float) -> list[dict[str, Any]]:
    """Shares of pairs of two UTKFace photos of one group that are taken for one person.

    Nobody knows who is on UTKFace's photos; as each is taken for another person, the few pairs of one person
    count as false matches.

    Args:
        listing: Crops nobody learned from, a CSV of `photos.gather`.
        labels: UTKFace's `labels.csv`.
        embedder: The model.
        threshold: From which cosine on two faces are one person.
    """
    with labels.open(encoding="utf-8") as file:
        facts = {Path(row["path"]).stem: row for row in csv.DictReader(file)}
    source = csv_source(listing)
    known = [facts[source.names[label].removeprefix("utkface-")] for label in source.labels]
    crops = np.stack([source.read(i) for i in range(len(source.keys))])
    vectors = embedder.embed(crops)
    groups: list[tuple[str, NDArray[np.bool_]]] = [("all", np.ones(len(known), bool))]
    for column in ("race", "gender"):
        values = sorted({row[column] for row in known})
        groups += [(f"{column} {value}", np.array([r[column] == value for r in known])) for value in values]
    age = np.array([int(row["age"]) for row in known])
    groups += [(f"age {low} to {high}", (age >= low) & (age <= high)) for low, high in AGES]
    return [{"group": name, **_false(vectors[mine], threshold)} for name, mine in groups]


def rate(count: int, of: int) -> Sequence[float] | None:
    """A share and its exact 95% interval (Clopper and Pearson 1934); None of nothing."""
    if not of:
        return None
    interval = binomtest(count, of).proportion_ci(0.95, "exact")
    return [count / of, float(interval.low), float(interval.high)]


def _false(vectors: NDArray[np.float32], threshold: float) -> dict[str, Any]:
    first, second = np.triu_indices(len(vectors), 1)
    scores = np.einsum("ij,ij->i", vectors[first], vectors[second])
    matched = int((scores >= threshold).sum())
    return {
        "photos": len(vectors),
        "pairs": len(scores),
        "matched": matched,
        "fmr": rate(matched, len(scores)),
    }
