"""A fine-tuning that was stopped or killed goes on to the same numbers, without the model it began with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from test_finetune import PREPROCESS, RECIPE, run, same_tensors, weights, weights_file, without_time

from facewise.errors import SettingError
from facewise.models import read_model
from facewise.training import train
from facewise.training.display import Quiet
from facewise.training.engine import StoppedError


@pytest.fixture
def model():
    return weights_file()[0]


GRADUAL = {"start.freeze": "gradual", "start.unfreeze_epochs": 2.0, "start.layer_decay": 0.7, "ema": 0.9}


@pytest.mark.parametrize("loss", ["softmax", "arcface"])
def test_a_stopped_run_goes_on_to_the_same_numbers_without_the_model(drawn, model, loss):
    """Stopped after every step, and the model is gone by then."""
    whole = run(drawn(), model, "whole", loss=loss, **GRADUAL)
    steps = whole.metrics[-1]["step"]

    class Asks(Quiet):
        def __init__(self, at):
            self.left = at

        def step(self, _):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGINT)

    keep = Path("kept.safetensors")
    for at in (1, steps // 2, steps - 1):
        folder = f"at-{at}"
        with pytest.raises(StoppedError, match=f"at step {at} of {steps}"):
            train(
                drawn(), "softmax-mobilefacenet", start=model, out=folder, display=Asks(at), device="cpu",
                settings=RECIPE | GRADUAL | {"loss": loss},
            )  # fmt: skip
        model.rename(keep)
        resumed = train(drawn(), resume=folder, display=Quiet(), device="cpu")
        keep.rename(model)
        assert without_time(resumed.metrics) == without_time(whole.metrics)
        assert same_tensors(weights("whole"), weights(folder))
        assert read_model(f"{folder}/model.onnx").card.preprocess == PREPROCESS


KILLED = """
import sys; sys.path.insert(0, {tests!r})
import torch; torch.set_num_threads(1)
from drawn_people import DrawnPeople
from facewise.training import train
from facewise.training.display import Quiet
import test_finetune, test_finetune_resume
class Tells(Quiet):
    def step(self, values):
        print("step", flush=True)
train(DrawnPeople(), "softmax-mobilefacenet", start="start.safetensors", out="killed", display=Tells(),
      device="cpu", settings=test_finetune.RECIPE | test_finetune_resume.GRADUAL | {{"save_minutes": 1e-4}})
"""


def test_killed_in_the_middle_it_goes_on_to_identical_weights(drawn, model):
    run(drawn(), model, "whole", **GRADUAL | {"save_minutes": 1e-4})
    code = textwrap.dedent(KILLED.format(tests=str(Path(__file__).parent)))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    for _ in range(7):
        assert process.stdout.readline() == "step\n"
    time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    model.unlink()
    train(drawn(), resume="killed", display=Quiet(), device="cpu")
    assert same_tensors(weights("whole"), weights("killed"))


def test_what_the_model_was_is_part_of_the_run(drawn, model):
    class Stops(Quiet):
        def step(self, _):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(StoppedError):
        train(
            drawn(), "softmax-mobilefacenet", start=model, out="run", display=Stops(), device="cpu",
            settings=RECIPE,
        )  # fmt: skip
    path = Path("run/pretrained.json")
    whole = path.read_text()
    path.write_text(whole.replace(json.loads(whole)["sha256"], "0" * 64))
    with pytest.raises(SettingError, match="another pretrained model"):
        train(drawn(), resume="run", display=Quiet(), device="cpu")
    for damaged in ("{", "[]", '{"preprocess": 1}', whole.replace('"size": 32', '"size": -1')):
        path.write_text(damaged)
        with pytest.raises(SettingError, match=r"pretrained\.json.* is missing or damaged"):
            train(drawn(), resume="run", display=Quiet(), device="cpu")
    path.unlink()
    with pytest.raises(SettingError, match=r"pretrained\.json.* is missing or damaged"):
        train(drawn(), resume="run", display=Quiet(), device="cpu")
