"""A run from data to a model file, what it leaves behind, and that going on after a stop changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from facewise.embedding import Embedder
from facewise.errors import DatasetError, FacewiseError, ModelError, SettingError
from facewise.files import one_at_a_time
from facewise.models import read_model
from facewise.training import train
from facewise.training.display import Quiet
from facewise.training.engine import StoppedError, Trainer
from facewise.training.learner import Learner
from facewise.training.log import read_metrics

SMALL = {
    "data.size": 32,
    "data.batch_size": 8,
    "data.min_photos": 2,
    "data.held_out_photos": 0.25,
    "backbone": "test-tiny",
    "ema": 0.9,
    "optimizer.rate": 0.05,
}


def run(data, out="run", **changes):
    settings = SMALL | {"epochs": 3} | changes
    return train(data, out=out, settings=settings, display=Quiet(), device="cpu")


def weights(folder):
    return load_file(Path(folder) / "checkpoints" / "last" / "state.safetensors")


def same_tensors(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


def without_time(metrics):
    timed = ("seconds", "images/s", "data_wait")
    return [{k: v for k, v in line.items() if k not in timed} for line in metrics]


@pytest.mark.usefixtures("curves")
def test_a_run_learns_and_leaves_everything_behind(drawn):
    done = run(drawn(), epochs=6)
    folder = Path("run")
    assert {p.name for p in folder.iterdir()} >= {
        "config.yaml",
        "environment.json",
        "metrics.jsonl",
        "people.txt",
        "checkpoints",
        "model.onnx",
        "curves.png",
    }
    assert done.result["accuracy"] > 0.6  # of 6 people; by chance 1/6
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["seed"] == 0
    assert len(environment["data_hash"]) == 64
    assert (folder / "people.txt").read_text().split() == [f"P{p:02d}" for p in range(6)]
    kinds = [line["kind"] for line in done.metrics]
    assert kinds == ["train", "validation"] * 6
    card = read_model(folder / "model.onnx").card
    assert card.embedding_size == 16
    assert card.preprocess.size == 32
    assert card.training["data_hash"] == environment["data_hash"]
    crops = np.stack([drawn().read(i) for i in (0, 1, 8)])
    embeddings = Embedder(done.model).embed(crops)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_the_same_settings_give_the_same_run(drawn):
    first, second = run(drawn(), "a"), run(drawn(), "b")
    assert without_time(first.metrics) == without_time(second.metrics)
    assert same_tensors(weights("a"), weights("b"))
    assert not same_tensors(weights("a"), weights(run(drawn(), "c", seed=1).folder))


@pytest.mark.parametrize("loss", ["arcface", "adaface", "curricularface", "elasticface-arc", "partial-fc"])
def test_a_stopped_run_goes_on_to_the_same_numbers(drawn, loss):
    """Losses with state, with random margins, and with a matrix of their own optimiser."""
    changes = {"loss": loss} | ({"loss.sampling": 0.7} if loss == "partial-fc" else {})
    run(drawn(), "whole", **changes)

    class StopsAt(Quiet):
        steps = 0

        def step(self, _):
            self.steps += 1
            if self.steps == 6:  # in the midst of the second epoch
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(StoppedError, match="--resume"):
        train(drawn(), out="parts", settings=SMALL | {"epochs": 3} | changes, display=StopsAt(), device="cpu")
    resumed = train(drawn(), resume="parts", display=Quiet(), device="cpu")
    assert same_tensors(weights("whole"), weights("parts"))
    read = [json.loads(line) for line in Path("whole/metrics.jsonl").read_text().splitlines()]
    assert without_time(resumed.metrics) == without_time(read)


class Asks(Quiet):
    """Ctrl-C right after one step, counted from 1."""

    def __init__(self, at):
        self.left = at

    def step(self, _):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("save_minutes", [1e-9, 10.0])
def test_stopped_after_any_step_it_goes_on_to_the_same_numbers(drawn, save_minutes):
    """An epoch's first step, one in its midst and its last, where the epoch is over but for its end."""
    settings = SMALL | {"epochs": 2, "save_minutes": save_minutes}
    whole = train(drawn(), out="whole", settings=settings, display=Quiet(), device="cpu")
    steps = whole.metrics[-1]["step"]
    for at in range(1, steps):
        folder = f"at-{at}"
        with pytest.raises(StoppedError, match=f"at step {at} of {steps}"):
            train(drawn(), out=folder, settings=settings, display=Asks(at), device="cpu")
        resumed = train(drawn(), resume=folder, display=Quiet(), device="cpu")
        assert without_time(resumed.metrics) == without_time(whole.metrics)
        assert same_tensors(weights("whole"), weights(folder))
    # Asked at the last step of all, there is nothing left to stop.
    done = train(drawn(), out="end", settings=settings, display=Asks(steps), device="cpu")
    assert without_time(done.metrics) == without_time(whole.metrics)


@pytest.mark.parametrize("at", ["_end_epoch", "_validate", "_is_over"])
def test_cut_off_at_the_end_of_an_epoch_it_goes_on_to_the_same_numbers(drawn, monkeypatch, at):
    """As by a power cut: nothing is saved on the way out, but after every step before."""
    settings = SMALL | {"epochs": 2, "save_minutes": 1e-9}
    whole = train(drawn(), out="whole", settings=settings, display=Quiet(), device="cpu")

    class PowerCutError(BaseException):
        pass

    def cut(*_):
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, at, cut)
        with pytest.raises(PowerCutError):
            train(drawn(), out="parts", settings=settings, display=Quiet(), device="cpu")
    resumed = train(drawn(), resume="parts", display=Quiet(), device="cpu")
    assert without_time(resumed.metrics) == without_time(whole.metrics)
    assert same_tensors(weights("whole"), weights("parts"))


KILLED = """
import sys; sys.path.insert(0, {tests!r})
import torch; torch.set_num_threads(1)
from drawn_people import DrawnPeople
from facewise.training import train
from facewise.training.display import Quiet
import test_train
test_train.SMALL["save_minutes"] = 1e-4  # a checkpoint after nearly every step
class Tells(Quiet):
    def step(self, values):
        print("step", flush=True)
train(DrawnPeople(), out="killed", settings=test_train.SMALL | {{"epochs": 3}}, display=Tells(), device="cpu")
"""


def test_killed_in_the_middle_it_goes_on_to_identical_weights(drawn):
    run(drawn(), "whole", save_minutes=1e-4)
    code = textwrap.dedent(KILLED.format(tests=str(Path(__file__).parent)))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    for _ in range(7):
        assert process.stdout.readline() == "step\n"
    time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not Path("killed/model.onnx").exists()
    train(drawn(), resume="killed", display=Quiet(), device="cpu")
    assert same_tensors(weights("whole"), weights("killed"))


def test_accumulated_parts_make_the_same_step_where_batch_norm_has_no_say(drawn):
    plain = {"backbone": "test-flat", "ema": 0.0, "optimizer.rate": 0.001, "data.held_out_photos": 0.0}
    settings = {k: v for k, v in SMALL.items() if not k.startswith("backbone")} | plain | {"epochs": 1}
    whole = train(drawn(), out="whole", settings=settings, display=Quiet(), device="cpu")
    parts = train(drawn(), out="parts", settings=settings | {"accumulate": 4}, display=Quiet(), device="cpu")
    assert parts.metrics[0]["loss"] == pytest.approx(whole.metrics[0]["loss"], rel=1e-4)


def test_held_out_people_are_nobody_learned(drawn):
    done = run(drawn(people=10), epochs=1, **{"data.held_out_people": 0.3, "data.held_out_photos": 0.0})
    assert set(done.result) == {"auc", "eer", "tar@fmr=0.01"}
    assert len(Path("run/people.txt").read_text().split()) == 7


def test_early_stopping(drawn):
    done = run(drawn(), epochs=30, early_stopping={"patience": 1}, **{"optimizer.rate": 1e-6})
    assert len([line for line in done.metrics if line["kind"] == "train"]) < 30


def test_people_by_file(drawn):
    Path("two.txt").write_text("P00\nP03\n")
    run(drawn(), "only", epochs=1, **{"data.only_people": "two.txt"})
    assert Path("only/people.txt").read_text() == "P00\nP03\n"
    run(drawn(), "without", epochs=1, **{"data.without_people": "two.txt"})
    assert Path("without/people.txt").read_text().split() == ["P01", "P02", "P04", "P05"]


def test_a_loss_on_pairs(drawn):
    done = run(drawn(), epochs=2, loss="triplet", **{"data.sampler": "people", "data.photos_per_person": 4})
    assert "accuracy" not in done.metrics[0]
    assert done.metrics[0]["loss"] > 0


def test_pairs_of_a_file(drawn):
    class Numbered(drawn):
        """Named as LFW's photos are."""

        def __init__(self):
            super().__init__()
            self.keys = tuple(f"{key[:3]}/{key[:3]}_{int(key[4:6]) + 1:04d}.jpg" for key in self.keys)

    lines = [f"P0{p}\t{a}\t{a + 4}" for p in range(5) for a in (1, 2, 3)]
    lines += [f"P0{p}\t{a}\tP0{p + 1}\t{a + 1}" for p in range(4) for a in (1, 2, 3)]
    Path("pairs.txt").write_text("\n".join([*lines, "Somebody\t1\t2"]) + "\n")
    pairs = {"data.sampler": "pairs", "data.pairs": "pairs.txt", "data.held_out_photos": 0.0}
    done = run(Numbered(), epochs=2, loss={"name": "contrastive", "negatives": "given"}, **pairs)
    assert [line["step"] for line in done.metrics] == [6, 12]  # 27 pairs in batches of 4
    with pytest.raises(SettingError, match=r"data\.sampler pairs and a file data\.pairs need each other"):
        run(Numbered(), "x", **{"data.sampler": "pairs"})
    Path("none.txt").write_text("Somebody\t1\t2\n")
    with pytest.raises(DatasetError, match=r"No pair of none\.txt"):
        run(Numbered(), "y", **(pairs | {"data.pairs": "none.txt"}))


def test_a_loss_that_is_no_number_names_the_batch(drawn):
    with pytest.raises(FacewiseError, match=r"The loss became (nan|inf) at step \d+ .*P0\d/\d\d\.png"):
        run(drawn(), epochs=20, clip=None, **{"optimizer.rate": 1e20, "schedule.warmup_epochs": 0})


@pytest.mark.parametrize("held", [{}, {"data.held_out_people": 0.3, "data.held_out_photos": 0.0}])
def test_a_validation_that_is_no_number_stops_the_run_and_exports_nothing(drawn, monkeypatch, held):
    embed = Learner.embed

    def broken(self, crops):
        found = embed(self, crops)
        return found * (float("nan") if len(read_metrics(Path("run"))) > 2 else 1)

    monkeypatch.setattr(Learner, "embed", broken)
    told = r"embeddings of held-out photos became NaN or infinite by step \d+ \(epoch 2\): lower optimizer"
    with pytest.raises(FacewiseError, match=told):
        run(drawn(), **held)
    assert not Path("run/model.onnx").exists()
    assert [line["kind"] for line in read_metrics(Path("run"))] == ["train", "validation", "train"]


def test_an_export_that_fails_leaves_the_training_to_export_again(drawn, monkeypatch):
    data = drawn()
    with monkeypatch.context() as patched:
        patched.setattr("facewise.models.export.LEAST", 2.0)
        with pytest.raises(ModelError, match=r"differ.*`facewise train --resume run` exports it again"):
            run(data, epochs=1)
    assert not Path("run/model.onnx").exists()
    done = train(data, resume="run", display=Quiet(), device="cpu")
    assert done.model.card.training["parity"] < 1e-2


def test_what_cannot_be_trained(drawn):
    with pytest.raises(SettingError, match=r"no setting optimizer\.rat; did you mean rate"):
        run(drawn(), **{"optimizer.rat": 0.1})
    with pytest.raises(SettingError, match="There is no backbone 'resnet17'; did you mean resnet18"):
        run(drawn(), "x", backbone="resnet17")
    with pytest.raises(SettingError, match="The loss arcface has no option 'margn'; did you mean margin"):
        run(drawn(), "y", loss={"name": "arcface", "margn": 1})
    with pytest.raises(DatasetError, match=r"lower data\.min_photos"):
        run(drawn(), "z", **{"data.min_photos": 9})
    with pytest.raises(SettingError, match="fewer than the batch size of 640"):
        run(drawn(), "b", **{"data.batch_size": 640})
    Path("taken").mkdir()
    Path("taken/file").touch()
    with pytest.raises(SettingError, match="taken is there already"):
        run(drawn(), "taken")
    with pytest.raises(SettingError, match="no run"):
        train(resume="nowhere", display=Quiet())
    with pytest.raises(SettingError, match="Name the data"):
        train(display=Quiet())


def test_a_folder_is_trained_in_by_one_process_at_a_time(drawn):
    run(drawn(), epochs=1)
    with (
        one_at_a_time("run/.lock"),
        pytest.raises(SettingError, match="Another process trains in run; wait for it to end"),
    ):
        train(drawn(), resume="run", display=Quiet(), device="cpu")
    train(drawn(), resume="run", display=Quiet(), device="cpu")


def test_a_training_that_did_not_begin_leaves_its_folder_free(drawn):
    with pytest.raises(DatasetError):
        run(drawn(), **{"data.min_photos": 9})
    run(drawn(), epochs=1)


def test_other_data_is_not_gone_on_with(drawn):
    run(drawn(), epochs=1)
    with pytest.raises(SettingError, match="another data"):
        train(drawn(seed=3), resume="run", display=Quiet(), device="cpu")


def test_a_damaged_checkpoint_is_told(drawn):
    run(drawn(), epochs=1)
    file = Path("run/checkpoints/last/state.safetensors")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(FacewiseError, match="damaged"):
        train(drawn(), resume="run", display=Quiet(), device="cpu")


def test_the_configuration_of_a_run_can_be_run_again(drawn):
    first = run(drawn(), epochs=1)
    assert yaml.safe_load(Path("run/config.yaml").read_text())["epochs"] == 1
    again = train(drawn(), "run/config.yaml", out="again", display=Quiet(), device="cpu")
    assert without_time(first.metrics) == without_time(again.metrics)
