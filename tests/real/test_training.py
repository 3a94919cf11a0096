"""Real photos to a model used like any other: aligned on the way, trained, measured, verified with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from facewise.cli.app import app

pytestmark = [pytest.mark.real, pytest.mark.slow]

PEOPLE = (
    "Ariel_Sharon", "Gerhard_Schroeder", "Hugo_Chavez", "Jean_Chretien", "Jennifer_Capriati", "John_Ashcroft",
    "Junichiro_Koizumi", "Lleyton_Hewitt", "Serena_Williams", "Vladimir_Putin",
)  # fmt: skip


def facewise(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_ten_people_from_photos_to_a_verdict(real_models, shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "home"))
    models = tmp_path / "home" / "models"
    models.mkdir(parents=True)
    (models / real_models.detector.name).write_bytes(real_models.detector.read_bytes())
    images = shared / "data" / "lfw" / "images"
    for name in PEOPLE:
        Path("photos", name).mkdir(parents=True)
        for photo in sorted((images / name).glob("*.jpg"))[:40]:
            Path("photos", name, photo.name).symlink_to(photo)
    settings = ["data.size=64", "epochs=8", "data.batch_size=16", "ema=0.98", "optimizer.rate=0.03"]
    run = facewise("train", "photos", *settings, "--out", "run", "--json")
    # By chance one photo in ten. A network of this size learns ten people in a minute or so.
    assert run["held_out"]["accuracy"] >= 0.5
    shown = facewise("models", "show", run["model"], "--json")
    assert shown["embedding_size"] == 256
    photos = [f"photos/Serena_Williams/Serena_Williams_000{i}.jpg" for i in (1, 2)]
    same = facewise("verify", *photos, "--model", run["model"], "--threshold", "0.3", "--json")
    assert -1 <= same["similarity"] <= 1
