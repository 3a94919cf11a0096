"""How our models fare for whom: LFW's pairs by sex, UTKFace by race and age; and where they fail."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from facewise.boxes import intersection_over_union
from facewise.concurrency import side_by_side
from facewise.data.csvfile import csv_source
from facewise.detection import Detector
from facewise.embedding import Embedder
from facewise.evaluation import LfwResult, ScoredPairs
from facewise.hardware import available_threads
from facewise.image import read_image

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
    fold = np.array([pair.fold for pair in result.scored.pairs])
    accepted = result.scored.similarities >= np.array([threshold_of[f] for f in fold])
    same = np.array([pair.same for pair in result.scored.pairs])
    of = np.array(
        [sex.get(p.a, "") if sex.get(p.a) == sex.get(p.b) else "" for p in result.scored.pairs], dtype=object
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
    return [{"group": name, **_false(vectors[mine], threshold)} for name, mine in _groups(known)]


def detected(listing: Path, utkface: Path, reference: Detector, detector: Detector) -> list[dict[str, Any]]:
    """Of UTKFace's main faces that one detector finds, what share another one finds, by group.

    Args:
        listing: As for `false_matches`; only which photos it names counts.
        utkface: Folder with `labels.csv` and the photos.
        reference: The detector whose main face of a photo is looked for.
        detector: The one that is measured; found is an overlap (intersection over union) of 0.5.
    """
    with (utkface / "labels.csv").open(encoding="utf-8") as file:
        facts = {Path(row["path"]).stem: row for row in csv.DictReader(file)}
    source = csv_source(listing)
    rows = [facts[name.removeprefix("utkface-")] for name in source.names]

    def look(row: dict[str, str]) -> bool | None:
        image = read_image(utkface / row["path"])
        main = reference.detect(image, threads=1)
        if not main:
            return None
        faces = detector.detect(image, threads=1)
        return any(intersection_over_union(main[0].box, face.box) >= 0.5 for face in faces)

    answers = list(side_by_side(look, rows, available_threads()))
    asked = np.array([answer is not None for answer in answers])
    found = np.array([bool(answer) for answer in answers])
    return [
        {"group": name, "faces": int((mine & asked).sum()), "found": _share(found, mine & asked)}
        for name, mine in _groups(rows)
    ]


def failures(scored: ScoredPairs, count: int = 12) -> dict[str, list[dict[str, Any]]]:
    """The pairs that a model gets most wrong, the worst first."""
    same = np.array([pair.same for pair in scored.pairs])
    order = np.argsort(scored.similarities, kind="stable")
    worst = {"one person": order[same[order]][:count], "two people": order[~same[order]][::-1][:count]}
    return {
        kind: [
            {
                "a": scored.pairs[i].a,
                "b": scored.pairs[i].b,
                "similarity": float(scored.similarities[i]),
            }
            for i in chosen
        ]
        for kind, chosen in worst.items()
    }


def _groups(rows: Sequence[Mapping[str, str]]) -> list[tuple[str, NDArray[np.bool_]]]:
    """(name, which rows) of UTKFace's labels: everybody, by race, by gender, by age."""
    groups = [("all", np.ones(len(rows), bool))]
    for column in ("race", "gender"):
        values = sorted({row[column] for row in rows})
        groups += [(f"{column} {value}", np.array([r[column] == value for r in rows])) for value in values]
    age = np.array([int(row["age"]) for row in rows])
    return groups + [(f"age {low} to {high}", (age >= low) & (age <= high)) for low, high in AGES]


def _share(hits: NDArray[np.bool_], mine: NDArray[np.bool_]) -> Sequence[float] | None:
    return rate(int(hits[mine].sum()), int(mine.sum()))


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
