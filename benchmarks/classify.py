"""Classic classifiers on real people: accuracy on held-out photos, and how many strangers are given a name.

    .venv/bin/python benchmarks/classify.py LFW --people 10 --photos 30
    .venv/bin/python benchmarks/classify.py LFW --people 158 --photos 1000

The people with the most photos, a fifth of each one's photos held out by the seed; strangers are all photos
of everybody else. `named` is the share of held-out photos given their right name, `wrong` a wrong one;
the rest are taken for strangers.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from facewise.classify import Classifier, ClassifierCard, write_classifier
from facewise.classify.estimators import CLASSICS
from facewise.classify.fit import fit_classifier
from facewise.data.open import open_source
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.embedded import embed_photos
from facewise.pipeline import Pipeline

COLUMNS = ("accuracy", "named", "wrong", "strangers named", "threshold", "fit s", "file kB")


def main() -> None:
    """Embed everybody once, then fit each method with each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--photos", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", default=",".join(CLASSICS))
    parser.add_argument("--fpir", type=float, default=0.01)
    parser.add_argument("--model", default="mobilefacenet-foamliu")
    parser.add_argument("--detector", default="retinaface-mobilenet025")
    given = parser.parse_args()
    source = open_source(given.data)
    pipeline = Pipeline.load(given.detector, given.model)
    with FaceCache() as cache:
        done = embed_photos(pipeline, [source.path(i) for i in range(len(source.keys))], cache=cache)
    found = [i for i, photo in enumerate(done) if photo.embedding is not None]
    vectors = np.stack([done[i].embedding for i in found])
    labels, counts = source.labels[found], np.bincount(source.labels)
    people = sorted(range(len(counts)), key=lambda p: (-counts[p], source.names[p]))[: given.people]
    print(f"{len(people)} people, {counts[people].min()} photos or more, {given.model}, {given.seeds} seeds")
    print("| method |", " | ".join(COLUMNS), "|")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for method in given.methods.split(","):
        rows = np.array(
            [_one(vectors, labels, people, source.names, method, seed, given) for seed in range(given.seeds)]
        )
        spread = rows.std(axis=0, ddof=1) if len(rows) > 1 else rows[0] * 0
        cells = (
            f"{mean:.4f} ± {deviation:.4f}" for mean, deviation in zip(rows.mean(0), spread, strict=True)
        )
        print(f"| {method} |", " | ".join(cells), "|", flush=True)


def _one(vectors, labels, people, names, method, seed, given) -> list[float]:
    learned, of, test, truth = [], [], [], []
    rng = np.random.default_rng(seed)
    for number, person in enumerate(people):
        photos = rng.permutation(np.flatnonzero(labels == person))[: given.photos]
        held = max(1, round(len(photos) / 5))
        test += list(photos[:held])
        truth += [names[person]] * held
        learned += list(photos[held:])
        of += [number] * (len(photos) - held)
    begun = time.perf_counter()
    called = [names[person] for person in people]
    fitted = fit_classifier(vectors[learned], np.array(of), called, method=method, seed=seed, fpir=given.fpir)
    network, seconds = fitted.to_onnx(), time.perf_counter() - begun
    card = ClassifierCard(
        method, fitted.people, given.model, "0" * 64, vectors.shape[1], unknown=fitted.unknown
    )
    with tempfile.TemporaryDirectory() as folder:
        file = write_classifier(Path(folder) / "people.onnx", network, card)
    classifier = Classifier(file)
    told = classifier.predict(vectors[test])
    strangers = classifier.predict(vectors[~np.isin(labels, people)])
    return [
        np.mean([one.likeliest == name for one, name in zip(told, truth, strict=True)]),
        np.mean([one.person == name for one, name in zip(told, truth, strict=True)]),
        np.mean([one.person not in (None, name) for one, name in zip(told, truth, strict=True)]),
        np.mean([one.person is not None for one in strangers]),
        fitted.unknown.threshold,
        seconds,
        len(network) / 1000,
    ]


if __name__ == "__main__":
    main()
