"""A run on a closed set writes a classifier of its own head, which names people as the trainer does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_finetune import PREPROCESS, RECIPE, Tells, weights_file

from facewise.classify.classifier import Classifier
from facewise.classify.file import read_classifier
from facewise.embedding import Embedder
from facewise.errors import FacewiseError
from facewise.models import read_model
from facewise.training import train
from facewise.training.checkpoint import LAST, folder_of, load
from facewise.training.heldout import read_held_out


@pytest.fixture
def model():
    return weights_file()[0]


def run(data, model, loss="softmax", **changes):
    return train(
        data, "softmax-mobilefacenet", start=model, out="run", display=Tells(), device="cpu",
        settings=RECIPE | {"loss": loss, "epochs": 1} | changes,
    )  # fmt: skip


def embed(embedder, crops, features):
    return embedder.embed(crops) if features == "unit" else embedder.features(crops)


@pytest.mark.parametrize("loss", ["softmax", "arcface", "subcenter-arcface", "adacos", "partial-fc"])
def test_the_classifier_names_who_the_trainer_named(drawn, model, loss):
    done = run(drawn(), model, loss)
    file = read_classifier("run/classifier.onnx")
    assert file.card.method == "head"
    assert file.card.people == tuple(Path("run/people.txt").read_text().split())
    assert file.card.model_fingerprint == done.model.fingerprint
    assert file.card.features == ("raw" if loss == "softmax" else "unit")
    assert file.card.results["accuracy"] == done.result["accuracy"]
    held = read_held_out("run").known
    source = drawn()
    crops = np.stack([source.read(source.keys.index(key)) for key in held.keys])
    vectors = embed(Embedder(done.model), crops, file.card.features)
    classifier = Classifier(file)
    named = [prediction.person for prediction in classifier.predict(vectors)]
    assert named == [held.names[i] for i in held.predicted]
    found = classifier.probabilities(vectors)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    if loss in ("softmax", "arcface"):  # the probabilities are the loss's own, without its margin
        head = load(folder_of("run", LAST)).part("head")
        weight = head["weight"].double()
        if loss == "arcface":
            weight = 64.0 * torch.nn.functional.normalize(weight, dim=1)
        logits = torch.from_numpy(vectors).double() @ weight.T + head.get("bias", torch.zeros(()))
        np.testing.assert_allclose(found, torch.softmax(logits, 1).numpy(), atol=1e-4)


def test_the_average_of_the_weights_is_what_names(drawn, model):
    done = run(drawn(), model, "arcface", ema=0.9, epochs=2)
    file = read_classifier("run/classifier.onnx")
    held = read_held_out("run").known
    named = Classifier(file).probabilities(held.embeddings).argmax(1)
    assert named.tolist() == held.predicted.tolist()
    assert np.mean(named == held.labels) == pytest.approx(done.result["accuracy"])


def test_with_a_teacher_every_person_has_a_name(drawn, model):
    other, _ = weights_file("other.safetensors", "test-smooth", seed=9)
    train(
        drawn(), "softmax-mobilefacenet", start=other, out="teacher", display=Tells(), device="cpu",
        settings=RECIPE | {"epochs": 1},
    )  # fmt: skip
    run(drawn(), model, **{"distill.teachers": ["teacher/model.onnx"], "distill.loss": 1.0})
    assert len(read_classifier("run/classifier.onnx").card.people) == 6


def test_without_a_closed_set_there_is_none(drawn, model):
    run(drawn(), model, "triplet", **{"data.sampler": "people"})
    assert not Path("run/classifier.onnx").exists()
    train(
        drawn(people=8), "arcface-mobilefacenet", out="scratch", display=Tells(), device="cpu",
        settings={
            "data.size": 32, "data.batch_size": 8, "data.min_photos": 2, "data.held_out_people": 0.3,
            "data.held_out_photos": 0.0, "backbone": "test-tiny", "epochs": 1,
        },
    )  # fmt: skip
    assert not Path("scratch/classifier.onnx").exists()
    assert read_model("scratch/model.onnx").card.preprocess != PREPROCESS
    assert Path("scratch/model.safetensors").is_file()


def test_a_classifier_that_cannot_be_made_does_not_lose_the_training(drawn, model, monkeypatch):
    def fails(*_):
        raise FacewiseError("the disk is full.")

    monkeypatch.setattr("facewise.training.exporting.export_classifier", fails)
    told = Tells()
    done = train(
        drawn(), "softmax-mobilefacenet", start=model, out="run", display=told, device="cpu",
        settings=RECIPE | {"loss": "softmax", "epochs": 1},
    )  # fmt: skip
    assert done.model.path.is_file()
    assert not Path("run/classifier.onnx").exists()
    assert any("the disk is full" in line for line in told.told)
