"""Ten real people with thirty photos each at most: who is who, and who is a stranger."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from facewise.classify import Classifier, ClassifierCard, write_classifier
from facewise.classify.estimators import CLASSICS
from facewise.classify.fit import fit_classifier
from facewise.data.open import open_source
from facewise.evaluation.embedded import embed_photos
from facewise.pipeline import Pipeline

pytestmark = [pytest.mark.real, pytest.mark.slow]

PEOPLE, PHOTOS, SEEDS, STRANGERS = 10, 30, 5, 400


@pytest.fixture(scope="module")
def faces(shared: Path, real_models: SimpleNamespace) -> SimpleNamespace:
    """Embeddings of the ten people with the most photos, and of others."""
    source = open_source(shared / "data" / "lfw")
    counts = np.bincount(source.labels)
    people = sorted(range(len(counts)), key=lambda p: (-counts[p], source.names[p]))[:PEOPLE]
    rng = np.random.default_rng(0)
    photos = [i for p in people for i in rng.permutation(np.flatnonzero(source.labels == p))[:PHOTOS]]
    strangers = rng.permutation(np.flatnonzero(~np.isin(source.labels, people)))[:STRANGERS]
    pipeline = Pipeline.load(real_models.detector, real_models.embedder)
    done = embed_photos(pipeline, [source.path(int(i)) for i in (*photos, *strangers)])
    vectors = np.stack([photo.embedding for photo in done if photo.embedding is not None])
    assert len(vectors) == len(done)
    return SimpleNamespace(
        vectors=vectors[: len(photos)],
        labels=np.array([people.index(source.labels[i]) for i in photos]),
        names=[source.names[p] for p in people],
        strangers=vectors[len(photos) :],
    )


def held_out(labels: np.ndarray, seed: int) -> np.ndarray:
    """(N,) a fifth of each person's photos."""
    rng = np.random.default_rng(seed)
    out = np.zeros(len(labels), bool)
    for person in np.unique(labels):
        photos = rng.permutation(np.flatnonzero(labels == person))
        out[photos[: round(len(photos) / 5)]] = True
    return out


@pytest.mark.parametrize("method", CLASSICS)
def test_ten_people(method: str, faces: SimpleNamespace, tmp_path: Path) -> None:
    right, named, strangers = [], [], []
    for seed in range(SEEDS):
        test = held_out(faces.labels, seed)
        learned, labels = faces.vectors[~test], faces.labels[~test]
        fitted = fit_classifier(learned, labels, faces.names, method=method, seed=seed)
        size = learned.shape[1]
        card = ClassifierCard(method, fitted.people, "real", "f" * 64, size, unknown=fitted.unknown)
        classifier = Classifier(write_classifier(tmp_path / "a.onnx", fitted.to_onnx(), card))
        truth = [faces.names[i] for i in faces.labels[test]]
        found = classifier.predict(faces.vectors[test])
        right += [f.likeliest == name for f, name in zip(found, truth, strict=True)]
        named += [f.person == name for f, name in zip(found, truth, strict=True)]
        strangers += [f.person is not None for f in classifier.predict(faces.strangers)]
    assert np.mean(right) >= 0.985
    assert np.mean(named) >= 0.98
    assert np.mean(strangers) <= 0.02
