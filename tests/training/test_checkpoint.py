"""Checkpoints are there whole or not at all; memory and disks that are full are told plainly."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from drawn_people import SMOOTH, DrawnPeople
from torch._dynamo.exc import TorchDynamoException

from facewise.errors import FacewiseError, ModelError, SettingError
from facewise.training import checkpoint, train
from facewise.training.checkpoint import Checkpoint, Progress
from facewise.training.display import Quiet
from facewise.training.learner import Learner
from facewise.training.log import MetricsLog, read_metrics

FOLDER = Path("run/checkpoints/last")


@contextmanager
def files_end_at(size):
    """As on a full disk, no file may grow past a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_saved_is_loaded():
    shared = torch.arange(6.0)
    tensors = {
        "network.a": shared,
        "network.b": shared,
        "head.w": torch.ones(2, 3).T,
        "optimizer.a/step": torch.tensor(3.0),
    }
    progress = Progress(epoch=2, step=7, best=0.5, loss_sum=1 / 3)
    checkpoint.save(FOLDER, Checkpoint(tensors, progress, {"data": "abc"}))
    found = checkpoint.load(FOLDER)
    assert found.progress == progress
    assert found.identity == {"data": "abc"}
    assert found.tensors.keys() == tensors.keys()
    assert all(torch.equal(found.tensors[name], tensors[name]) for name in tensors)
    assert set(found.part("network")) == {"a", "b"}


def test_a_full_disk_loses_nothing_saved():
    small = Checkpoint({"network.a": torch.ones(3)}, Progress(step=1))
    checkpoint.save(FOLDER, small)
    large = Checkpoint({"network.a": torch.ones(300_000)}, Progress(step=2))
    with files_end_at(100_000), pytest.raises(FacewiseError, match="Cannot write"):
        checkpoint.save(FOLDER, large)
    assert checkpoint.load(FOLDER).progress.step == 1
    assert [path.name for path in FOLDER.iterdir()] == ["state.safetensors"]


def test_no_checkpoint():
    with pytest.raises(ModelError, match="no checkpoint"):
        checkpoint.load(FOLDER)


def test_a_full_memory_says_what_to_lower(monkeypatch):
    def step(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Learner, "step", step)
    with pytest.raises(
        SettingError, match=r"Memory is full.*lower data\.batch_size \(now 8\), raise accumulate"
    ):
        train(DrawnPeople(people=10), out="run", settings=SMOOTH, display=Quiet(), device="cpu")


def test_where_compiling_does_not_work_it_is_told(monkeypatch):
    def step(*_):
        raise TorchDynamoException("InvalidCxxCompiler: No compiler found.\n\nSet TORCHDYNAMO_VERBOSE=1")

    monkeypatch.setattr(Learner, "step", step)
    told = r"compile does not work here \(InvalidCxxCompiler: No compiler found\): set compile=false"
    with pytest.raises(SettingError, match=told):
        train(
            DrawnPeople(people=10),
            out="run",
            settings=SMOOTH | {"compile": True},
            display=Quiet(),
            device="cpu",
        )


@pytest.mark.slow  # no real data, but half a minute of compiling
def test_a_compiled_network_learns_the_same():
    settings = SMOOTH | {"epochs": 2, "precision": "fp32"}
    plain, compiled = (
        train(
            DrawnPeople(people=10),
            out=f"compile-{how}",
            settings=settings | {"compile": how},
            display=Quiet(),
            device="cpu",
        )
        for how in (False, True)
    )
    losses = [[line["loss"] for line in run.metrics if line["kind"] == "train"] for run in (plain, compiled)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_the_log_of_a_resumed_run_has_no_line_twice():
    Path("run").mkdir()
    with MetricsLog(Path("run"), tensorboard=False) as log:
        for step in (1, 2, 3):
            log.write("train", step, {"loss": step / 2})
    with Path("run/metrics.jsonl").open("a") as file:
        file.write('{"kind": "tr')  # the process was killed in the midst of a line
    assert [line["step"] for line in read_metrics("run")] == [1, 2, 3]
    with MetricsLog(Path("run"), resume_step=2, tensorboard=False) as log:
        log.write("train", 3, {"loss": 9.0})
    assert [line["loss"] for line in read_metrics("run")] == [0.5, 1.0, 9.0]
    assert read_metrics("nowhere") == []
