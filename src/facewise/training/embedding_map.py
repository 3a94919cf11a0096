"""Where networks put the held-out photos of some people, in two dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from facewise.errors import SettingError
from facewise.files import atomic_write
from facewise.training.heldout import HeldOutPhotos

Method = Literal["pca", "tsne"]


def draw_embedding_map(
    panels: Mapping[str, HeldOutPhotos], out: Path, *, method: Method = "pca", people: int = 20
) -> None:
    """Draw maps side by side, a colour a person, the same people in each.

    Two dimensions show little of many: PCA's share of the variance is told; t-SNE keeps neighbours but
    neither distances nor the sizes of clusters. With scikit-learn the silhouette (Rousseeuw 1987; cosine
    distances of whole embeddings, 1 is best) is told too.

    Args:
        panels: Title to photos.
        out: The PNG to write.
        method: `pca`, or `tsne`, which needs scikit-learn.
        people: At most so many people, those with most photos.

    Raises:
        SettingError: t-SNE without scikit-learn.
    """
    # Not pyplot: it keeps state and wants a screen.
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(4.6 * max(1, len(panels)), 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    colors = mpl.colormaps["tab20"]
    for place, (title, photos) in enumerate(panels.items(), start=1):
        chosen = chosen_photos(photos.labels, people)
        embeddings, labels = photos.embeddings[chosen], photos.labels[chosen]
        points, told = project(embeddings, method)
        silhouette = _silhouette(embeddings, labels)
        axes: Any = figure.add_subplot(1, len(panels), place)
        for number, label in enumerate(np.unique(labels)):
            own = points[labels == label]
            axes.scatter(own[:, 0], own[:, 1], s=14, color=colors(number % 20), label=photos.names[label])
        text = told if silhouette is None else f"{told}, silhouette {silhouette:.2f}"
        axes.set_title(f"{title}\n{text}", fontsize=9)
        axes.set(xticks=[], yticks=[])
    with atomic_write(out) as temporary:
        figure.savefig(temporary, dpi=130)


def check_method(method: Method) -> None:
    """Refuse a way to draw that is not there.

    Raises:
        SettingError: It is unknown, or t-SNE without scikit-learn.
    """
    if method not in get_args(Method):
        raise SettingError(f"Embeddings are drawn by {' or '.join(get_args(Method))}, not by {method!r}.")
    if method == "tsne" and find_spec("sklearn") is None:
        raise SettingError("t-SNE needs scikit-learn; install it, or draw the map by PCA.")


def chosen_photos(labels: NDArray[np.int64], people: int) -> NDArray[np.int64]:
    """The photos of the `people` with most photos; of as many, those with the lower numbers."""
    present, counts = np.unique(labels, return_counts=True)
    most = present[np.argsort(-counts, kind="stable")[:people]]
    return np.flatnonzero(np.isin(labels, most)).astype(np.int64)


def project(embeddings: NDArray[np.float32], method: Method = "pca") -> tuple[NDArray[np.float64], str]:
    """(N, D) to (N, 2), and what was done.

    Raises:
        SettingError: t-SNE without scikit-learn, or of too few photos.
    """
    if method == "tsne":
        return _tsne(embeddings), "t-SNE"
    centred = embeddings.astype(np.float64) - embeddings.mean(axis=0, dtype=np.float64)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(embeddings), 2))
    found = min(2, len(sizes))
    points[:, :found] = left[:, :found] * sizes[:found]
    share = float((sizes[:2] ** 2).sum() / max(float((sizes**2).sum()), 1e-30))
    return points, f"PCA, {share:.0%} of the variance"


def _tsne(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    check_method("tsne")
    from sklearn.manifold import TSNE  # noqa: PLC0415  optional

    if len(embeddings) < 5:
        raise SettingError(f"t-SNE of {len(embeddings)} photos shows nothing; draw the map by PCA.")
    # On the unit sphere, Euclidean distances order photos as cosines do.
    perplexity = min(30.0, (len(embeddings) - 1) / 3)
    fitted = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(embeddings)
    return np.asarray(fitted, np.float64)


def _silhouette(embeddings: NDArray[np.float32], labels: NDArray[np.int64]) -> float | None:
    """Without scikit-learn, or where it means nothing, None."""
    if not 2 <= len(np.unique(labels)) < len(labels):
        return None
    try:
        from sklearn.metrics import silhouette_score  # noqa: PLC0415  optional
    except ImportError:
        return None
    return float(silhouette_score(embeddings, labels, metric="cosine"))
