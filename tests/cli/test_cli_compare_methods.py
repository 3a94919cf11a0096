"""`facewise compare --methods`, on drawn crops and tiny models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

from facewise.nn.backbones import BACKBONES

NAME = "test-methods-tiny-of-commands"


@BACKBONES.register(NAME)
class Tiny(nn.Sequential):
    embedding_size = 8

    def __init__(self, input_size=112, unit=False):  # noqa: ARG002
        super().__init__(nn.AvgPool2d(16), nn.Flatten(), nn.Linear(3 * (input_size // 16) ** 2, 8))


@pytest.fixture
def people(monkeypatch) -> Path:
    """Aligned crops of four people, six of each."""
    torch.set_num_threads(1)
    monkeypatch.setattr("facewise.training.run.draw_curves", lambda *_: None)
    for person in range(4):
        rng = np.random.default_rng(person)
        pattern = np.kron(rng.integers(0, 255, (4, 4, 3)), np.ones((28, 28, 1)))
        Path(f"people/P{person}").mkdir(parents=True)
        for photo in range(6):
            crop = np.clip(pattern + rng.normal(0, 25, pattern.shape), 0, 255).astype(np.uint8)
            PIL.Image.fromarray(crop).save(f"people/P{person}/{photo}.png")
    return Path("people")


def test_the_default_embedder_names_people(facewise, people):
    words = ("compare", people, "--methods", "one-shot", "--shots", "1,full", "--seeds", "0")
    done = facewise(*words)
    assert "4 people, 4 test photos a seed" in done.out
    assert "all (5)" in done.out
    assert "one-shot, 1 photo a person, seed 0: " in done.err
    assert "One seed: nothing is known of other divisions" in done.out
    folder = Path("runs/methods-one-shot")
    assert (folder / "shots.png").stat().st_size
    found = facewise(*words, "--json").json  # measures nothing again
    assert found == json.loads((folder / "methods.json").read_text())
    assert [row["shots"] for row in found["table"]] == ["1", "full"]
    assert found["table"][0]["peak_bytes"] > 1e7


def test_a_method_that_fails_is_named_and_the_others_are_measured(facewise, people, monkeypatch):
    # In this process, which knows the tiny network.
    monkeypatch.setattr("facewise.methods.compare.run_apart", lambda task, tell: task.run(tell))
    wild = [
        "optimizer.rate=1e30",
        "clip=null",
        "schedule.warmup_epochs=0",
        f"backbone={NAME}",
        "precision=fp32",
    ]
    words = ("compare", people, "--methods", "scratch,one-shot", "--shots", "full", "--seeds", "0,1")
    done = facewise(
        *words, *(f"scratch:{word}" for word in wild), "epochs=3", "--device", "cpu", "--json", code=3
    )
    assert [row["method"] for row in done.json["table"]] == ["one-shot"]
    assert len(done.complaints) == 2
    assert "scratch, all photos, seed 0, failed: The loss became" in done.complaints[0]


def test_what_compare_refuses_of_methods(facewise, people):
    def refused(*words, code=3):
        return facewise("compare", people, *words, code=code).err

    assert "There is no method 'svmm'; did you mean svc" in refused("--methods", "svmm")
    assert "not '0'" in refused("--methods", "one-shot", "--shots", "0,1")
    assert "has no weights to train beside it" in refused("--methods", "finetune", "--from", "other")
    assert "not both" in refused("--methods", "one-shot", "--losses", "arcface", code=2)
    assert "go with --methods" in refused("--shots", "1", code=2)
    assert "go with --methods" in refused("--from", "x", code=2)
    assert "whole numbers" in refused("--methods", "one-shot", "--seeds", "x", code=2)


def test_a_stopped_comparison_of_methods_says_how_to_go_on(facewise, people, monkeypatch):
    def stopped(_task, _tell):
        raise KeyboardInterrupt

    words = ("compare", people, "--methods", "one-shot", "--shots", "1", "--seeds", "0", "--json")
    with monkeypatch.context() as patch:
        patch.setattr("facewise.methods.compare.run_apart", stopped)
        assert "the same command goes on from there" in facewise(*words, code=130).err
    assert facewise(*words).json["table"]
