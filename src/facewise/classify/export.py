"""A fitted classifier to the ONNX that a classifier file holds, and the proof that both give the same.

skl2onnx is not used: it writes an SVC of 158 people as 12,403 decisions and as many votes, nearest neighbours
as a loop, and both with operators that a file from anybody had better not hold. Scaler and PCA are one
product of matrices, and so is what makes people of an SVC's pairs; what is left are a few plain operators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facewise.classify.algebra import Algebra
from facewise.classify.build import Builder
from facewise.classify.estimators import pair_means
from facewise.classify.file import PROBABILITIES
from facewise.classify.graph import read_graph
from facewise.classify.unknown import person_means
from facewise.errors import ModelError

if TYPE_CHECKING:
    from facewise.classify.fit import Fitted

TOLERANCE = 1e-3
"""Largest difference of a probability between float32 and float64 that is taken for rounding: the last digit
that is told of one."""

_PROBES = 256
_TIE = 1e-5
"""Cosines so close may change places in float32."""


def to_onnx(fitted: Fitted) -> bytes:
    """See `Fitted.to_onnx`."""
    build = Builder(fitted.vectors.shape[1])
    last = fitted.pipeline[-1]
    if fitted.method == "knn":
        logits = _neighbours(build, last, len(fitted.people))
    else:
        features = _projected(build, fitted.pipeline)
        logits = _machine(build, features, last) if fitted.method == "svc" else _linear(build, features, last)
    means = person_means(fitted.vectors, fitted.labels, len(fitted.people))
    data = build.finish(build.times(logits, fitted.sharpness), build.affine(build.input, means.T))
    _prove(fitted, data)
    return data


def _projected(build: Builder, pipeline: Any) -> str:
    """StandardScaler and PCA: the difference to the mean, then one matrix."""
    scale, pca = pipeline["scale"], pipeline["pca"]
    matrix = (pca.components_ / scale.scale_).T
    return build.affine(build.minus(build.input, scale.mean_ + pca.mean_ * scale.scale_), matrix)


def _linear(build: Builder, features: str, last: Any) -> str:
    weights, bias = np.asarray(last.coef_), np.asarray(last.intercept_)
    if len(weights) == 1:  # one decision between two people
        weights, bias = np.concatenate([-weights, weights]), np.concatenate([-bias, bias])
    return build.affine(features, weights.T, bias)


def _machine(build: Builder, features: str, last: Any) -> str:
    """An SVC: the means of its decisions over pairs are as linear in the kernel as the decisions are.

    libsvm keeps the coefficients of a support vector of person i in the decision against person j in row j,
    or j - 1 for j behind i.
    """
    kept, people = np.asarray(last.support_vectors_), len(last.classes_)
    if people == 2:  # scikit-learn's decision is for the second, and no mean
        weights, bias = np.outer(last.dual_coef_[0], [-1.0, 1.0]), last.intercept_[0] * np.array([-1.0, 1.0])
    else:
        weights, bias = _by_person(last, people) / (people - 1), pair_means(last.intercept_[None], people)[0]
    if last.kernel == "linear":
        return build.affine(features, kept.T @ weights, bias)
    return build.affine(build.rbf(features, kept, float(last._gamma)), weights, bias)


def _by_person(last: Any, people: int) -> NDArray[np.float64]:
    """(V, C): what each support vector adds to the sum of each person's decisions."""
    found = np.zeros((last.dual_coef_.shape[1], people))
    starts = np.concatenate([[0], np.cumsum(last.n_support_)])
    for i in range(people):
        own = slice(starts[i], starts[i + 1])
        for j in (j for j in range(people) if j != i):
            # The decision of a pair is for the one with the lower number.
            share = last.dual_coef_[j - 1 if j > i else j, own] * (1.0 if i < j else -1.0)
            found[own, i] += share
            found[own, j] -= share
    return found


def _neighbours(build: Builder, last: Any, people: int) -> str:
    known = np.asarray(last._fit_X, np.float64)
    known = known / np.linalg.norm(known, axis=1, keepdims=True)
    votes = np.eye(people)[np.asarray(last._y, np.int64)]
    return build.nearest(build.affine(build.input, known.T), int(last.n_neighbors), votes)


def _prove(fitted: Fitted, data: bytes) -> None:
    """Compute both on what was learned from and on random directions.

    Raises:
        ModelError: They differ by more than `TOLERANCE`.
    """
    width = fitted.vectors.shape[1]
    some = fitted.vectors[:: max(1, len(fitted.vectors) // _PROBES)]
    drawn = np.random.default_rng(0).normal(size=(_PROBES, width))
    probes = np.concatenate([some, drawn / np.linalg.norm(drawn, axis=1, keepdims=True)]).astype(np.float32)
    if fitted.method == "knn":
        probes = probes[~_tied(fitted.pipeline[-1], probes)]
    if not len(probes):
        return
    got = Algebra(read_graph(data), width).run(probes)[PROBABILITIES]
    gap = float(np.abs(got - fitted.probabilities(probes)).max())
    if not gap <= TOLERANCE:  # also where it is NaN
        raise ModelError(
            f"The exported classifier differs from scikit-learn's by {gap:.2g} (allowed {TOLERANCE:g}); "
            "it was not saved."
        )


def _tied(last: Any, probes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where the last neighbour that votes is as near as the first that does not: either may."""
    known = np.asarray(last._fit_X, np.float64)
    count = int(last.n_neighbors)
    if count >= len(known):
        return np.zeros(len(probes), np.bool_)
    cosines = np.sort(probes @ (known / np.linalg.norm(known, axis=1, keepdims=True)).T, axis=1)[:, ::-1]
    return np.asarray(cosines[:, count - 1] - cosines[:, count] < _TIE)
