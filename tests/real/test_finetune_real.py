"""Fine-tuning the public MobileFaceNet on ten people of LFW, from raw photos to a classifier."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from facewise.classify.classifier import Classifier
from facewise.classify.file import read_classifier
from facewise.embedding import Embedder
from facewise.pipeline import Pipeline, Steps
from facewise.training import train
from facewise.training.display import Quiet
from facewise.training.heldout import read_held_out

pytestmark = [pytest.mark.real, pytest.mark.slow]


def most_photographed(lfw: Path, people: int, photos: int, out: Path) -> Path:
    folders = sorted(lfw.iterdir(), key=lambda folder: (-len(list(folder.iterdir())), folder.name))
    for folder in folders[:people]:
        (out / folder.name).mkdir(parents=True)
        for photo in sorted(folder.iterdir())[:photos]:
            shutil.copy(photo, out / folder.name / photo.name)
    return out


def test_ten_people_with_thirty_photos(shared, real_models, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "home"))
    photos = most_photographed(shared / "data" / "lfw" / "images", 10, 30, tmp_path / "photos")
    (photos / "Tony_Blair" / "corrupt.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    told = []

    class Tells(Quiet):
        def say(self, text):
            told.append(text)

    run = train(
        photos,
        start=shared / "models" / "mobilefacenet_foamliu.pt",
        out=tmp_path / "run",
        epochs=3,  # 20 in the recipe
        pipeline=lambda: Pipeline.load(real_models.detector, embed=False),
        display=Tells(),
        device="cpu",
    )
    assert run.config.name == "finetune-mobilefacenet"
    assert any("corrupt.jpg" in line for line in told)
    assert run.result["accuracy"] >= 0.98  # of 60; measured over five seeds in the recipe's header
    held = read_held_out(run.folder).known
    # The classifier reads what the model file gives of whole photos.
    found = Pipeline.load(real_models.detector, embed=False)
    pipeline = Pipeline(found.detector, None, cut=run.model.card.preprocess.cut)
    embedder, classifier = Embedder(run.model), Classifier(read_classifier(run.folder / "classifier.onnx"))
    named = []
    for key in held.keys[:10]:
        face = pipeline.read(photos / key, Steps(embed=False, keep_crops=True)).crops[:1]
        named.append(classifier.predict(embedder.features(face))[0].person)
    right = [held.names[label] for label in held.labels[:10]]
    assert sum(a == b for a, b in zip(named, right, strict=True)) >= 9
