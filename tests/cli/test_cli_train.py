"""`facewise train`, `recipes` and `compare`, on small crops and a tiny network."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import typer
from torch import nn

from facewise.nn.backbones import BACKBONES
from facewise.training.display import Bar, Quiet

NAME = "test-tiny-of-commands"
SETTINGS = (
    "data.size=32",
    "data.batch_size=8",
    "data.min_photos=2",
    "data.held_out_photos=0.25",
    f"backbone={NAME}",
    "precision=fp32",
    "epochs=1",
)


@BACKBONES.register(NAME)
class Tiny(nn.Sequential):
    embedding_size = 8

    def __init__(self, input_size=32, unit=False):  # noqa: ARG002
        super().__init__(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(3 * (input_size // 4) ** 2, 8))


@pytest.fixture(scope="session")
def all_commands() -> object:
    """All commands, `compare` among them."""
    from facewise.cli.app import app

    return typer.main.get_command(app)


@pytest.fixture
def no_curves(monkeypatch):
    """A run's own picture takes longer than training it here."""
    monkeypatch.setattr("facewise.training.run.draw_curves", lambda *_: None)


@pytest.fixture
def people(tmp_path, monkeypatch) -> Path:
    """Crops of ten people, eight of each, and a home of their own."""
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "home"))
    torch.set_num_threads(1)
    for person in range(10):
        rng = np.random.default_rng(person)
        pattern = np.kron(rng.integers(0, 255, (4, 4, 3)), np.ones((8, 8, 1)))
        Path(f"people/P{person}").mkdir(parents=True)
        for photo in range(8):
            crop = np.clip(pattern + rng.normal(0, 25, pattern.shape), 0, 255).astype(np.uint8)
            PIL.Image.fromarray(crop).save(f"people/P{person}/{photo}.png")
    return Path("people")


@pytest.fixture
def stopped(monkeypatch):
    """Ctrl-C is pressed at the third step."""

    class Stops(Quiet):
        steps = 0

        def step(self, _):
            Stops.steps += 1
            if Stops.steps == 3:
                os.kill(os.getpid(), signal.SIGINT)

    def now():
        monkeypatch.setattr("facewise.training.display.Quiet", Stops)

    yield now
    assert Stops.steps == 3


def test_train_makes_a_model(facewise, people):
    done = facewise("train", people, *SETTINGS, "--out", "run", "--device", "cpu")
    assert "60 photos of 10 people to learn from, 20 held out" in done.err
    assert "run/model.onnx" in done.out
    assert "accuracy" in done.out
    assert Path("run/held_out.npz").exists()
    assert (
        "run is there already" in facewise("train", people, *SETTINGS, "--out", "run", code=3).complaints[0]
    )


@pytest.mark.usefixtures("no_curves")
def test_train_in_json(facewise, people):
    found = facewise("train", people, *SETTINGS, "loss=cosface", "--out", "run", "--json").json
    assert found["run"] == "run"
    assert Path(found["model"]).exists()
    assert 0 <= found["held_out"]["accuracy"] <= 1
    assert [line["kind"] for line in found["metrics"]] == ["train", "validation"]
    wrong = facewise("train", people, *SETTINGS, "loss=arcfase", "--json", code=3)
    assert "did you mean arcface" in wrong.json["error"]


@pytest.mark.usefixtures("no_curves")
def test_a_stopped_train_goes_on(facewise, people, stopped, monkeypatch):
    with monkeypatch.context():
        stopped()
        done = facewise("train", people, *SETTINGS, "--out", "run", "--json", code=130)
        assert "go on with `facewise train --resume run`" in done.err
        monkeypatch.setattr("facewise.training.display.Quiet", Quiet)
    assert facewise("train", "--resume", "run", "--json").json["held_out"]
    assert "keeps its settings" in facewise("train", "--resume", "run", "epochs=3", code=3).err


def test_train_of_nothing(facewise):
    assert "Name the data" in facewise("train", code=3).err
    assert "no file or folder nowhere" in facewise("train", "nowhere", code=3).err


def test_recipes(facewise):
    assert "arcface-mobilefacenet" in facewise("recipes").out
    names = [recipe["name"] for recipe in facewise("recipes", "--json").json["recipes"]]
    assert "arcface-mobilefacenet" in names
    assert "loss: {name: arcface" in facewise("recipes", "arcface-mobilefacenet").out
    assert "did you mean arcface-mobilefacenet" in facewise("recipes", "arcface-mobilfacenet", code=3).err


@pytest.mark.usefixtures("no_curves")
def test_compare(facewise, people):
    words = ("compare", people, *SETTINGS, "--losses", "softmax,arcface", "--seeds", "0", "--device", "cpu")
    done = facewise(*words, "arcface:loss.margin=0.2")
    assert "Run 2 of 2: arcface, seed 0" in done.err
    assert "Verification is not measured: of 10 people too few" in done.out
    assert "softmax" in done.out
    folder = Path("runs/compare-softmax-arcface")
    assert "scale 32, margin 0.2" in (folder / "comparison.md").read_text()
    found = facewise(*words, "arcface:loss.margin=0.2", "--json").json  # trains nothing again
    assert found == json.loads((folder / "comparison.json").read_text())
    assert {run["method"] for run in found["runs"]} == {"softmax", "arcface"}
    other = facewise(*words, code=3)
    assert "(loss.margin 0.2 not 0.3); name another folder with --out" in other.complaints[0]


@pytest.mark.usefixtures("no_curves")
def test_a_comparison_with_a_failed_run_ends_with_3(facewise, people):
    wild = [f"softmax:{word}" for word in ("optimizer.rate=1e30", "clip=null", "schedule.warmup_epochs=0")]
    done = facewise("compare", people, *SETTINGS, *wild, "--seeds", "0", "--out", "cmp", "--json", code=3)
    failed = [run["method"] for run in done.json["runs"] if run["error"]]
    assert failed == ["softmax"]
    assert "softmax, seed 0, failed: The loss became" in done.complaints[0]


def test_a_stopped_comparison_says_how_to_go_on(facewise, people, stopped):
    stopped()
    done = facewise("compare", people, *SETTINGS, "--seeds", "0", "--json", code=130)
    assert "in run 1 of 2: softmax, seed 0; the same command goes on from there" in done.err


def test_what_compare_refuses(facewise, people):
    assert "did you mean arcface" in facewise("compare", people, "--losses", "softmax,arcfase", code=3).err
    both = facewise("compare", people, "--losses", "softmax,arcface", "--recipes", "a,b", code=2)
    assert "not both" in both.err
    assert "whole numbers" in facewise("compare", people, "--seeds", "0,x", code=2).err
    assert "pca or tsne" in facewise("compare", people, "--map", "umap", code=2).err
    assert "no use" in facewise("compare", people, "--recipes", "a,b", "--recipe", "c", code=2).err


def test_progress_is_a_bar_for_people(capsys):
    with Bar() as bar:
        bar.begin(3, 0)
        bar.step({"loss": 1.0})
        bar.say("epoch 1")
    assert "epoch 1" in capsys.readouterr().err
