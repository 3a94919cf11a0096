"""The models inside the package: small, complete in what they say, and of use without any data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facewise.boxes import intersection_over_union
from facewise.data.synthetic import Person, SyntheticSource, scene
from facewise.embedding import Embedder
from facewise.models import DEFAULT_FMR, default_name, find_model, installed_models
from facewise.models.bundled import BUNDLED_MODELS, FOLDER, bundled_paths
from facewise.models.pretrained import read_pretrained
from facewise.pipeline import Pipeline

DOCS = Path(__file__).parents[2] / "docs" / "models"
KINDS = tuple(BUNDLED_MODELS)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Nobody has brought in anything."""
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path))


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline.load(*(bundled for bundled in _files()), threads=1)


def _files():
    paths = {path.stem: path for path in bundled_paths()}
    return [paths[BUNDLED_MODELS[kind]] for kind in ("detector", "embedder")]


def test_they_are_the_default_and_small():
    assert {path.stem for path in bundled_paths()} == set(BUNDLED_MODELS.values())
    assert [found.place for found in installed_models()] == ["bundled"] * len(KINDS)
    for kind, name in BUNDLED_MODELS.items():
        assert default_name(kind) == name
        assert find_model(None, kind=kind).card.name == name
    files = [path for path in FOLDER.iterdir() if path.is_file() and not path.name.startswith(".")]
    assert set(bundled_paths()) < set(files)
    assert sum(path.stat().st_size for path in files) <= 9_000_000


@pytest.mark.parametrize("kind", KINDS)
def test_they_say_what_they_are(kind):
    model = find_model(None, kind=kind)
    assert "research" in model.card.licence
    assert {"seed", "data_hash", "seconds"} <= set(model.card.training)
    card = (DOCS / f"{model.card.name}.md").read_text(encoding="utf-8")
    assert model.fingerprint in card, "the card is that of another model"
    assert (DOCS / f"{model.card.name}.jsonl").stat().st_size > 0


def test_a_training_can_go_on_from_the_embedder():
    """Its weights are those of the int8 model: both take two crops for as much alike."""
    embedder = Embedder(find_model(None, kind="embedder"))
    learned = read_pretrained(BUNDLED_MODELS["embedder"])
    assert learned.preprocess == embedder.model.card.preprocess
    assert learned.licence == embedder.model.card.licence
    crops = np.stack([SyntheticSource(4, 2, seed=5, size=112).read(i) for i in range(8)])
    with torch.inference_mode():
        ours = learned.build(unit=True).eval()(torch.from_numpy(learned.preprocess(crops))).numpy()
    np.testing.assert_allclose((ours * embedder.embed(crops)).sum(axis=1), 1.0, atol=0.05)


def test_the_embedder_decides_with_the_bundled_detector():
    embedder, detector = (find_model(None, kind=kind) for kind in ("embedder", "detector"))
    calibration = embedder.card.calibration
    assert calibration.decision(DEFAULT_FMR) is not None
    assert calibration.detector_fingerprint == detector.fingerprint


def test_no_more_parameters_than_promised():
    assert find_model(None, kind="detector").card.training["parameters"] <= 500_000


def test_drawn_faces_are_found_where_they_are(pipeline):
    source = SyntheticSource(20, 1, seed=5, size=224, difficulty=0.3)
    apart, found = [], 0
    for i in range(20):
        truth, faces = source.truth(i), pipeline.detector.detect(source.read(i))
        best = max(faces, key=lambda face: intersection_over_union(face.box, truth.box), default=None)
        if best is None or intersection_over_union(best.box, truth.box) < 0.5:
            continue
        found += 1
        eyes = np.linalg.norm(truth.landmarks[1] - truth.landmarks[0])
        apart.append(np.linalg.norm(best.landmarks - truth.landmarks, axis=1).mean() / eyes)
    assert found >= 19
    assert np.median(apart) < 0.2


def test_a_group_is_found_and_an_empty_picture_is_empty(pipeline):
    people = [Person.draw(3, number) for number in range(4)]
    group = scene(people, np.random.default_rng(3), size=(420, 720), difficulty=0.2)
    assert len(pipeline.detector.detect(group.image)) == 4
    for grey in (0, 127, 255):
        assert pipeline.detector.detect(np.full((300, 400, 3), grey, np.uint8)) == []


def test_a_drawn_person_is_more_like_themself_than_like_others(pipeline):
    source = SyntheticSource(12, 2, seed=9, size=224, difficulty=0.1)
    faces = [pipeline.read(source.read(i)).faces for i in range(24)]
    vectors = np.stack([found[0].embedding for found in faces])
    labels = np.array([source.labels[i] for i in range(24)])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosines, same = vectors @ vectors.T, labels[:, None] == labels
    np.fill_diagonal(same, False)
    assert cosines[same].mean() > cosines[labels[:, None] != labels].mean() + 0.1
