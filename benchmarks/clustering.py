"""Grouping all of LFW with no names given, at three thresholds; truth is LFW's names."""

from __future__ import annotations

import time

import numpy as np

from facewise.evaluation import FaceCache, embed_photos, load_lfw
from facewise.gallery import cluster
from facewise.metrics import bcubed, pairwise_f, threshold_at_fmr
from real import LFW, have_models, photos, public_pipeline


def main() -> None:
    have_models()
    load_lfw(LFW)
    paths = photos()
    with FaceCache() as cache:
        done = [
            p for p in embed_photos(public_pipeline(flip=True), paths, cache=cache) if p.embedding is not None
        ]
    vectors = np.stack([p.embedding for p in done if p.embedding is not None])
    names = np.unique([p.path.parent.name for p in done], return_inverse=True)[1]
    impostors = impostor_sample(vectors, names)
    print(f"{len(vectors)} faces of {names.max() + 1} people; thresholds from {len(impostors):,} pairs.\n")
    print("| FMR | threshold | groups | pairwise F | BCubed F | seconds |\n|---|---|---|---|---|---|")
    for fmr in (1e-3, 1e-4, 1e-5):
        threshold = threshold_at_fmr(impostors, fmr)
        started = time.perf_counter()
        labels = cluster(vectors, threshold)
        seconds = time.perf_counter() - started
        pair, cubed = pairwise_f(names, labels), bcubed(names, labels)
        scores = f"{pair.f1:.3f} | {cubed.f1:.3f}"
        print(f"| {fmr:g} | {threshold:.3f} | {labels.max() + 1} | {scores} | {seconds:.1f} |")


def impostor_sample(vectors: np.ndarray, names: np.ndarray, count: int = 5_000_000) -> np.ndarray:
    """Similarities of random pairs of different people."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, len(vectors), (2, count))
    different = names[a] != names[b]
    a, b = a[different], b[different]
    blocks = np.array_split(np.arange(len(a)), 50)
    return np.concatenate([np.einsum("nd,nd->n", vectors[a[i]], vectors[b[i]]) for i in blocks])


if __name__ == "__main__":
    main()
