"""How well a model of attributes tells what faces look like, in all and by group.

Age: the mean absolute error and the share of ages within their interval. Words: accuracy, macro F1 and
recall, confusion, the calibration error of the answer's probability. Every figure has a 95% interval, and the
worst group of each attribute is named. The word told is the most probable one, sure or not; how often it is
sure, and right then, are figures of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.metrics.binomial import binomial_interval
from facewise.metrics.bootstrap import Interval, bootstrap_interval
from facewise.metrics.classification import classify_metrics
from facewise.metrics.probability import expected_calibration_error
from facewise.models.attributes import WORDS, AttributeRule
from facewise.types import FloatArray

BANDS = (0, 4, 13, 18, 30, 45, 60, 75)
"""Years at which bands of age begin."""

SMALLEST = 30
"""Faces of the smallest group that may be named the worst: fewer say little."""

GROUPED = ("age", "gender", "race")
"""Labels that make groups."""

_BINS = 15


@dataclass(frozen=True, slots=True)
class AgeFigures:
    """Ages told.

    Attributes:
        faces: How many are labelled.
        mae: Mean absolute error in years.
        bias: Mean error in years; above 0 told older.
        within_5: Share told within five years.
        coverage: Share of ages within the interval of 90%.
        width: Mean width of that interval in years.
    """

    faces: int
    mae: Interval
    bias: float
    within_5: float
    coverage: Interval
    width: float


@dataclass(frozen=True, slots=True)
class WordFigures:
    """Words told.

    Attributes:
        faces: How many are labelled.
        accuracy: Share told rightly.
        macro_f1: Mean F1 over the words.
        macro_recall: Mean over the words of the share told rightly.
        recalls: Word → the share of its faces told rightly, for those with faces.
        ece: Expected calibration error of the answer's probability, 15 bins of equal width.
        answered: Share of faces whose answer is sure enough.
        accuracy_answered: Of those the share told rightly, or None where there are none.
        confusion: (K, K) faces of a word (row) told as another (column).
    """

    faces: int
    accuracy: Interval
    macro_f1: Interval
    macro_recall: Interval
    recalls: Mapping[str, Interval]
    ece: float
    answered: float
    accuracy_answered: Interval | None
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class GroupFigure:
    """One figure of one group: the mean absolute error of ages, the accuracy of words.

    Attributes:
        group: Such as `gender female` or `age 18 to 29`.
        faces: How many.
        value: With its interval.
        coverage: Of ages, the share within their interval; else None.
    """

    group: str
    faces: int
    value: Interval
    coverage: Interval | None = None


@dataclass(frozen=True, slots=True)
class AttributesResult:
    """All figures.

    Attributes:
        age: Or None where nobody's age is labelled, or the model does not tell it.
        words: Attribute → figures, of those that are labelled and told.
        groups: Attribute → its groups.
    """

    age: AgeFigures | None
    words: Mapping[str, WordFigures]
    groups: Mapping[str, tuple[GroupFigure, ...]]

    def worst(self, attribute: str) -> GroupFigure | None:
        """The group with the highest error in years or the lowest accuracy, of those large enough."""
        large = [group for group in self.groups.get(attribute, ()) if group.faces >= SMALLEST]
        sign = 1.0 if attribute == "age" else -1.0
        return max(large, key=lambda group: sign * group.value.estimate, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        worst = {name: self.worst(name) for name in self.groups}
        return {
            "age": None if self.age is None else asdict(self.age),
            **{name: asdict(figures) | {"words": list(WORDS[name])} for name, figures in self.words.items()},
            "groups": {name: [asdict(group) for group in groups] for name, groups in self.groups.items()},
            "worst": {name: None if one is None else asdict(one) for name, one in worst.items()},
        }


def measure_attributes(
    rule: AttributeRule, probabilities: Mapping[str, FloatArray], labels: Mapping[str, NDArray[np.float64]]
) -> AttributesResult:
    """All figures of some faces.

    Args:
        rule: Of the model.
        probabilities: Attribute → (N, K), as `AttributeModel.predict` gives them.
        labels: Attribute → (N,), as in `facewise.data.attributes.LabelledPhotos`.
    """
    age, words, groups = None, {}, {}
    if rule.age is not None and np.isfinite(labels.get("age", np.empty(0))).any():
        known = np.isfinite(labels["age"])
        told = rule.age.of(probabilities["age"][known])
        years = labels["age"][known]
        age = age_figures(told, years)
        groups["age"] = tuple(
            GroupFigure(name, int(chosen.sum()), figures.mae, figures.coverage)
            for name, chosen in groups_of(labels, known)
            for figures in (age_figures(told[chosen], years[chosen]),)
        )
    for name, one in rule.words.items():
        known = labels.get(name, np.empty(0)) >= 0
        if not known.any():
            continue
        places = np.array([WORDS[name].index(word) for word in one.words])
        rows = np.zeros((int(known.sum()), len(WORDS[name])), np.float64)
        rows[:, places] = probabilities[name][known]
        truth = labels[name][known].astype(np.int64)
        words[name] = word_figures(rows, truth, WORDS[name], one.least)
        right = rows.argmax(axis=1) == truth
        groups[name] = tuple(
            GroupFigure(
                group, int(chosen.sum()), binomial_interval(int(right[chosen].sum()), int(chosen.sum()))
            )
            for group, chosen in groups_of(labels, known)
        )
    return AttributesResult(age, words, groups)


@dataclass(frozen=True, slots=True)
class Wrong:
    """A face that is told wrongly.

    Attributes:
        place: Which of the faces.
        labelled, told: The word, or years.
        probability: Of the word told; None for ages.
    """

    place: int
    labelled: str
    told: str
    probability: float | None = None


def most_wrong(
    rule: AttributeRule,
    probabilities: Mapping[str, FloatArray],
    labels: Mapping[str, NDArray[np.float64]],
    most: int = 12,
) -> dict[str, list[Wrong]]:
    """Faces that are told the most wrongly: ages farthest off, wrong words with the highest probability.

    Wrong labels show up here first.

    Args:
        rule: Of the model.
        probabilities: As in `measure_attributes`.
        labels: As in `measure_attributes`.
        most: Faces of each attribute, at most.
    """
    found: dict[str, list[Wrong]] = {}
    if rule.age is not None and np.isfinite(labels.get("age", np.empty(0))).any():
        years = labels["age"]
        mean = rule.age.of(probabilities["age"])[:, 0]
        off = np.nan_to_num(np.abs(mean - years), nan=-1.0)
        order = np.argsort(-off, kind="stable")[:most]
        found["age"] = [Wrong(int(i), f"{years[i]:.0f}", f"{mean[i]:.0f}") for i in order if off[i] >= 0]
    for name, one in rule.words.items():
        if not (labels.get(name, np.empty(0)) >= 0).any():
            continue
        truth, rows = labels[name].astype(np.int64), probabilities[name]
        places = np.array([WORDS[name].index(word) for word in one.words])
        told, top = places[rows.argmax(axis=1)], rows.max(axis=1)
        wrong = np.flatnonzero((truth >= 0) & (told != truth))
        order = wrong[np.argsort(-top[wrong], kind="stable")[:most]]
        found[name] = [
            Wrong(int(i), WORDS[name][truth[i]], WORDS[name][told[i]], float(top[i])) for i in order
        ]
    return found


def age_figures(told: NDArray[np.float64], years: NDArray[np.float64]) -> AgeFigures:
    """Figures of ages.

    Args:
        told: (N, 3) mean, low, high.
        years: (N,).
    """
    errors, count = told[:, 0] - years, len(years)
    inside = (told[:, 1] <= years) & (years <= told[:, 2])
    off = np.abs(errors)
    return AgeFigures(
        faces=count,
        mae=bootstrap_interval(lambda counts: counts @ off / count, count),
        bias=float(errors.mean()),
        within_5=float((off <= 5).mean()),
        coverage=binomial_interval(int(inside.sum()), count),
        width=float((told[:, 2] - told[:, 1]).mean()),
    )


def word_figures(
    rows: NDArray[np.float64], truth: NDArray[np.int64], words: Sequence[str], least: float
) -> WordFigures:
    """Figures of words.

    Args:
        rows: (N, K) probabilities.
        truth: (N,) places of the words.
        words: (K,) them.
        least: Probability below which the model is not sure.
    """
    told, top, count = rows.argmax(axis=1), rows.max(axis=1), len(truth)
    right, sure = told == truth, top >= least
    found = classify_metrics(rows / rows.sum(axis=1, keepdims=True), truth, words, kind="probabilities")
    return WordFigures(
        faces=count,
        accuracy=binomial_interval(int(right.sum()), count),
        macro_f1=_over_words(truth, told, len(words), f1=True),
        macro_recall=_over_words(truth, told, len(words), f1=False),
        recalls={row.name: r for row in found.classes if (r := row.recall_interval()) is not None},
        ece=expected_calibration_error(np.clip(top, 0.0, 1.0), right, _BINS),
        answered=float(sure.mean()),
        accuracy_answered=binomial_interval(int(right[sure].sum()), int(sure.sum())) if sure.any() else None,
        confusion=tuple(tuple(row) for row in found.confusion.tolist()),
    )


def _over_words(truth: NDArray[np.int64], told: NDArray[np.int64], words: int, *, f1: bool) -> Interval:
    """Mean F1 or recall over the words that occur, with a bootstrap over faces of each word."""
    cells = np.zeros((len(truth), words * words), np.int64)
    cells[np.arange(len(truth)), truth * words + told] = 1
    present = np.unique(truth)

    def mean(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        table = (counts.astype(np.float64) @ cells).reshape(-1, words, words)
        right = np.diagonal(table, axis1=1, axis2=2)
        support, predicted = table.sum(axis=2), table.sum(axis=1)
        share = 2 * right / np.maximum(support + predicted, 1) if f1 else right / np.maximum(support, 1)
        return np.asarray(share[:, present].mean(axis=1))

    return bootstrap_interval(mean, truth, repeats=500)


def groups_of(
    labels: Mapping[str, NDArray[np.float64]], known: NDArray[np.bool_]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Groups by band of age, gender and race, each as its name and who of the known faces is in it.

    Args:
        labels: Attribute → (N,).
        known: (N,) faces that count, K of them.

    Yields:
        A name and (K,); only groups with faces.
    """
    for attribute in GROUPED:
        if attribute not in labels:
            continue
        values = labels[attribute][known]
        if attribute == "age":
            named = [
                (
                    f"age {low} to {high - 1}" if high else f"age {low} and over",
                    (values >= low) & (values < (high or np.inf)),
                )
                for low, high in zip(BANDS, (*BANDS[1:], 0), strict=True)
            ]
        else:
            named = [(f"{attribute} {word}", values == place) for place, word in enumerate(WORDS[attribute])]
        yield from ((name, chosen) for name, chosen in named if chosen.any())
