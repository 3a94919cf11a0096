"""What a model of attributes may claim: temperatures and the age's interval, from faces it did not see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from facewise.analysis.attributes import AttributeModel
from facewise.classify.temperature import fit_sharpness
from facewise.models.attributes import WORDS, AgeRule, AttributeRule, WordRule
from facewise.models.file import ModelFile, write_model
from facewise.training.attributes.faces import VALIDATE, LabelledFaces

LEAST = {"gender": 0.8, "emotion": 0.5, "race": 0.5}
"""Probability below which the answer is not sure. Of several words one is likelier than all others together
from a half on; of two that says nothing, and one error in five is as much as a word alone should carry."""

_BANDS = (0.0, 4.0, 12.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0)
"""Years of the mean at which bands of the interval begin."""

_FEWEST = 50
"""Faces of a band; with fewer it is one with the band before."""

_TAIL = 0.05


def uncalibrated(outputs: tuple[str, ...], *, flip: bool = False) -> AttributeRule:
    """The rule of a network before anything is known of it."""
    words = {name: WordRule(WORDS[name], 1.0, LEAST[name]) for name in outputs if name != "age"}
    return AttributeRule(outputs, words, AgeRule() if "age" in outputs else None, flip)


def calibrate(model: ModelFile, faces: LabelledFaces) -> ModelFile:
    """Fit what a model may claim on the faces to validate on, and write it into its file.

    Args:
        model: A model of attributes.
        faces: With labels of its attributes; those that are not labelled stay as they are.
    """
    before = model.card.attributes
    assert before is not None  # noqa: S101  it is a model of attributes
    plain = {name: replace(rule, temperature=1.0) for name, rule in before.words.items()}
    bare = replace(model, card=replace(model.card, attributes=replace(before, words=plain)))
    chosen = faces.chosen(tuple(name for name in before.outputs if name in faces.labels), VALIDATE)
    found = AttributeModel(bare, threads=1).predict(faces.some(chosen), threads=1)
    rule = fitted(before, found, {name: labels[chosen] for name, labels in faces.labels.items()})
    return write_model(model.path, model.network, replace(model.card, attributes=rule))


def fitted(
    rule: AttributeRule,
    probabilities: Mapping[str, NDArray[np.floating]],
    labels: Mapping[str, NDArray[np.float64]],
) -> AttributeRule:
    """A rule whose probabilities and intervals hold on these faces.

    Args:
        rule: What is known of the network's outputs.
        probabilities: Attribute → (N, K), at a temperature of 1.
        labels: Attribute → (N,), see `LabelledFaces`.
    """
    words = dict(rule.words)
    for name, one in rule.words.items():
        known = labels[name] >= 0 if name in labels else np.zeros(0, bool)
        if known.any():
            logits = np.log(np.maximum(probabilities[name][known].astype(np.float64), 1e-12))
            sharpness, _ = fit_sharpness(logits, labels[name][known].astype(np.int64))
            words[name] = replace(one, temperature=round(1.0 / sharpness, 4))
    age = rule.age
    if age is not None and "age" in labels:
        known = np.isfinite(labels["age"])
        if known.any():
            age = age_rule(probabilities["age"][known], labels["age"][known])
    return replace(rule, words=words, age=age)


def age_rule(probabilities: NDArray[np.floating], ages: NDArray[np.float64]) -> AgeRule:
    """The interval that 90 of 100 of these faces lie in, for each band of the age told.

    Split conformal prediction with the spread as the unit of errors (Lei et al. 2018, 1604.04173, sec. 5.2),
    for each band and each end by itself.

    Args:
        probabilities: (N, 101) of each year.
        ages: (N,) years.
    """
    scale = np.arange(probabilities.shape[1], dtype=np.float64)
    mean = probabilities @ scale
    spread = np.sqrt(np.maximum(probabilities @ scale**2 - mean**2, 1e-6))
    errors = (ages - mean) / spread
    bands, low, high = [], [], []
    for start, end in pairwise([*_kept(mean), np.inf]):
        inside = errors[(mean >= start) & (mean < end)]
        bands.append(float(start))
        low.append(round(-_quantile(-inside), 4))
        high.append(round(_quantile(inside), 4))
    return AgeRule(tuple(bands), tuple(-x for x in low), tuple(high))


def _kept(mean: NDArray[np.float64]) -> list[float]:
    """Where bands begin that hold enough faces."""
    kept = [0.0]
    for edge in _BANDS[1:]:
        before = np.count_nonzero((mean >= kept[-1]) & (mean < edge))
        if before >= _FEWEST and np.count_nonzero(mean >= edge) >= _FEWEST:
            kept.append(edge)
    return kept


def _quantile(errors: NDArray[np.float64]) -> float:
    """What one more error is below with a chance of 95%; the largest where there are too few to say."""
    rank = min(len(errors), int(np.ceil((1.0 - _TAIL) * (len(errors) + 1))))
    return float(np.sort(errors)[rank - 1])
