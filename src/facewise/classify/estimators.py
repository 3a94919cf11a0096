"""The classifiers that can be fitted, the settings tried for each, and what tells the people apart in each.

People weigh alike, so that one with 500 photos does not draw the faces of one with five towards themselves;
nearest neighbours alone cannot, and favour whoever has more photos where their neighbours are few.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

Floats = NDArray[np.float64]

CLASSICS = ("svc", "knn", "lda", "logistic")

MANY_PEOPLE = 50
"""Above so many people only one share of the variance is tried: fitting grows with their square."""

_VARIANCE = (0.95, 0.99)
"""Shares of the variance that PCA keeps."""

_GRIDS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "svc": (
        {"kernel": "linear", "C": 0.01},
        {"kernel": "linear", "C": 1.0},
        {"kernel": "rbf", "C": 1.0},
        {"kernel": "rbf", "C": 10.0},
    ),
    "knn": tuple({"n_neighbors": k} for k in (1, 3, 5, 9)),
    "lda": ({"shrinkage": "auto"}, {"shrinkage": 0.5}),
    "logistic": ({"C": 0.01}, {"C": 0.1}, {"C": 1.0}),
}

_BLOCK = 4_000_000
"""Decisions of an SVC held at once: a thousand people have half a million pairs."""

UNMEASURED: Mapping[str, float] = {"svc": 5.0, "knn": 5.0, "lda": 1.0, "logistic": 1.0}
"""What logits are multiplied by where the photos are too few to fit it."""


def candidates(method: str, people: int, smallest: int) -> list[dict[str, Any]]:
    """The settings to try, the simplest first, as parameters of `estimator`.

    Args:
        method: One of `CLASSICS`.
        people: How many there are.
        smallest: Photos that are left to fit on in the smallest part.
    """
    found = [{f"classify__{key}": value for key, value in one.items()} for one in _GRIDS[method]]
    if method == "knn":
        return [one for one in found if one["classify__n_neighbors"] <= smallest]
    shares = _VARIANCE if people <= MANY_PEOPLE else _VARIANCE[:1]
    return [one | {"pca__n_components": share} for share in shares for one in found]


def estimator(method: str, people: int, seed: int, settings: Mapping[str, Any]) -> Pipeline:
    """A scikit-learn pipeline that is not fitted yet: StandardScaler → PCA → the classifier.

    Nearest neighbours go by the cosine, which is what embeddings are made for, so nothing is in front of
    them.

    Args:
        method: One of `CLASSICS`.
        people: How many there are to tell apart.
        seed: For what draws at random.
        settings: One of `candidates`.
    """
    classifier = {
        "svc": lambda: SVC(class_weight="balanced", decision_function_shape="ovo", cache_size=500),
        "knn": lambda: KNeighborsClassifier(metric="cosine", algorithm="brute"),
        "lda": lambda: LinearDiscriminantAnalysis(solver="lsqr", priors=np.full(people, 1.0 / people)),
        "logistic": lambda: LogisticRegression(class_weight="balanced", max_iter=2000, random_state=seed),
    }[method]()
    steps: list[tuple[str, Any]] = [("classify", classifier)]
    if method != "knn":
        steps = [("scale", StandardScaler()), ("pca", PCA(svd_solver="full")), *steps]
    return Pipeline(steps).set_params(**settings)


def logits(method: str, pipeline: Pipeline, vectors: NDArray[Any]) -> Floats:
    """(N, C): the larger, the more it is that person.

    Of SVC, which decides between every two people, the mean of a person's decisions against all others:
    continuous, where libsvm's count of won decisions jumps with the last bit. Of nearest neighbours the share
    that is the person's. Of LDA and logistic regression scikit-learn's own.
    """
    if method == "knn":
        return np.asarray(pipeline.predict_proba(vectors), np.float64)
    people = len(pipeline.classes_)
    if method != "svc" or people == 2:
        found = np.asarray(pipeline.decision_function(vectors), np.float64)
        return found if found.ndim == 2 else np.stack([-found, found], axis=1)
    step = max(1, _BLOCK // people**2)
    parts = [pipeline.decision_function(vectors[i : i + step]) for i in range(0, len(vectors), step)]
    return np.concatenate([pair_means(part, people) for part in parts])


def pair_means(decisions: Floats, people: int) -> Floats:
    """(N, P) decisions of all pairs, positive for the first of a pair, to (N, C): each person's mean."""
    first, second = np.triu_indices(people, 1)  # sorted by the first
    by_second = np.argsort(second, kind="stable")
    found = np.zeros((len(decisions), people))
    found[:, :-1] = np.add.reduceat(decisions, np.searchsorted(first, np.arange(people - 1)), axis=1)
    starts = np.searchsorted(second[by_second], np.arange(1, people))
    found[:, 1:] -= np.add.reduceat(decisions[:, by_second], starts, axis=1)
    return found / (people - 1)
