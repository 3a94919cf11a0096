"""The threshold of a search follows how much a face is compared with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gallery_fakes import CALIBRATION, FakePipeline

from facewise.errors import SettingError
from facewise.gallery import Gallery, Sample
from facewise.models import Threshold, fpir_of

POINTS = tuple(
    Threshold(fmr, threshold, fmr, 0.0, (0.0, 0.1))
    for fmr, threshold in ((1e-2, 0.4), (1e-3, 0.5), (1e-5, 0.7))
)


@pytest.fixture
def gallery(tmp_path: Path):
    pipeline = FakePipeline(calibration=replace(CALIBRATION, thresholds=POINTS))
    with Gallery.open(tmp_path / "people.db", pipeline=pipeline) as opened:
        yield opened


def fill(gallery: Gallery, people: int, samples: int) -> None:
    rng = np.random.default_rng(people)
    embedder = gallery.pipeline.embedder
    for person in range(people):
        vectors = rng.normal(size=(samples, embedder.embedding_size)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        gallery.enroll_embeddings(
            f"{people} {person}",
            [Sample(vector, f"{person} {i}") for i, vector in enumerate(vectors)],
            fingerprint=embedder.fingerprint,
            flip=embedder.flip,
        )


def test_samples_are_what_is_compared_with_and_templates_for_the_mean(gallery):
    assert gallery.comparisons() == 0
    fill(gallery, 3, 4)
    assert (gallery.comparisons(), gallery.comparisons("mean")) == (12, 3)
    best, mean = (gallery.search_decision(fpir=0.01, scoring=scoring) for scoring in ("best", "mean"))
    assert (best.fmr, best.fpir) == (1e-5, pytest.approx(fpir_of(1e-5, 12)))
    assert (mean.fmr, mean.fpir) == (1e-3, pytest.approx(fpir_of(1e-3, 3)))


def test_the_default_grows_stricter_with_the_gallery(gallery, tmp_path):
    fill(gallery, 100, 1)
    assert (gallery.search_decision().fmr, gallery.search_decision().threshold) == (1e-3, 0.5)
    fill(gallery, 12, 1)
    assert gallery.search_decision().threshold == 0.7
    assert gallery.search_decision(fmr=1e-3).threshold == 0.5
    assert gallery.search_decision(threshold=0.2).fpir is None
    with pytest.raises(SettingError, match=r"112 comparisons needs a threshold at FMR 8\.9e-07"):
        gallery.search_decision(fpir=1e-4)


def test_identify_decides_by_it(gallery, tmp_path):
    fill(gallery, 2, 1)
    photo = tmp_path / "ada.jpg"
    photo.write_bytes(b"ada:1")
    gallery.enroll("ada", [photo])
    (match,) = gallery.identify(photo, fpir=0.05)
    assert (match.threshold, match.fmr, match.fpir) == (0.4, 1e-2, pytest.approx(fpir_of(1e-2, 3)))
    ((_, (other,)),) = gallery.identify_many([photo], fpir=0.01)
    assert (other.fmr, other.fpir) == (1e-3, pytest.approx(fpir_of(1e-3, 3)))
    with pytest.raises(SettingError):
        gallery.identify(photo, fpir=0.05, fmr=0.01)
    with pytest.raises(SettingError):
        gallery.identify_many([photo], fpir=2.0)
