"""A whole run on 1, 2 and 4 processes: the same losses, and a run saved by four goes on with two."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from drawn_people import SMOOTH, DrawnPeople
from safetensors.torch import load_file

import facewise.training.run
from facewise.training import pace, train
from facewise.training.display import Quiet
from facewise.training.engine import Trainer
from facewise.training.log import read_metrics
from several import in_processes

SETTINGS = SMOOTH | {"epochs": 3, "precision": "fp32", "data.held_out_photos": 0.2}


def trained(**options):
    facewise.training.run.draw_curves = lambda *_: None  # in a process of its own, and a third of its time
    train(DrawnPeople(people=10), display=Quiet(), device="cpu", **options)


def run(world, loss):
    trained(out=f"{loss['loss']}-{world.size}", settings=SETTINGS | loss)


def go_on(world, folder):
    trained(resume=folder)


def losses(folder):
    return [line["loss"] for line in read_metrics(folder) if line["kind"] == "train"]


LOSSES = [
    {"loss": "partial-fc", "loss.margin_options": {"margin": 0.3}, "loss.scale": 16.0},
    {"loss": "curricularface", "loss.scale": 16.0, "loss.margin": 0.3},
    {"loss": "elasticface-arc", "loss.scale": 16.0},
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss["loss"])
def test_several_processes_give_the_losses_of_one(loss):
    for size in (1, 2, 4):
        in_processes(run, size, loss, begun=False)
    one = losses(f"{loss['loss']}-1")
    assert one[-1] < one[0]
    for size in (2, 4):
        assert losses(f"{loss['loss']}-{size}") == pytest.approx(one, abs=1e-4)


def test_a_run_saved_by_four_goes_on_with_two():
    loss = LOSSES[0]
    in_processes(run, 4, loss | {"epochs": 3}, begun=False)
    whole = losses("partial-fc-4")
    # A run of four processes that ended after its second epoch.
    in_processes(half, 4, loss, begun=False)
    in_processes(go_on, 2, "half", begun=False)
    assert losses("half") == pytest.approx(whole, abs=1e-4)
    parts = sorted(path.name for path in Path("half/checkpoints/last").iterdir())
    assert len(parts) == 2  # the tensors all have, and one folder with the parts of two processes
    assert parts[0].endswith("-of-2")
    in_processes(go_on, 1, "half", begun=False)  # it is finished; one process has what it needs


@pytest.mark.parametrize("size", [2, 4])
def test_a_measured_choice_goes_on_to_the_same_weights(size):
    in_processes(auto, size, "whole", begun=False)
    in_processes(auto_half, size, "parts", begun=False)
    in_processes(go_on, size, "parts", begun=False)
    by = [json.loads(Path(run, "environment.json").read_text())["pace"]["by"] for run in ("whole", "parts")]
    assert by == ["measured", "recalled"]
    whole, parts = (load_file(f"{run}/checkpoints/last/state.safetensors") for run in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


AUTO = {key: value for key, value in SETTINGS.items() if key != "precision"} | {"backbone": "test-tiny"}


def auto(world, out):
    os.environ["FACEWISE_HOME"] = str(Path("measured").absolute())
    pace.LEAST_STEPS, pace.SHARE, pace.MOST_S = 1, 1e9, 1e9
    trained(out=out, settings=AUTO)


def auto_half(world, out):
    with two_epochs():
        auto(world, out)


def half(world, loss):
    """Two epochs of three: as a run whose processes all end once its second epoch is saved."""
    with two_epochs():
        trained(out="half", settings=SETTINGS | loss)


@contextmanager
def two_epochs():
    """The end comes once the second epoch is saved."""

    def save(self):
        whole_save(self)
        if self.progress.epoch == 2:
            raise SystemExit

    whole_save = Trainer._save
    Trainer._save = save
    try:
        yield
    except SystemExit:
        return
    finally:
        Trainer._save = whole_save
