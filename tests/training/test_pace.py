"""How a run is computed: chosen by hardware and measurement, told, kept, and the same when it goes on."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from drawn_people import DrawnPeople
from safetensors.torch import load_file

from facewise import hardware
from facewise.data.batches import Batch
from facewise.errors import SettingError
from facewise.nn.backbones import BACKBONES
from facewise.nn.losses import LOSSES
from facewise.training import pace, train
from facewise.training.config import PaceSettings, make_config, parse_overrides
from facewise.training.display import Quiet
from facewise.training.distributed import World
from facewise.training.engine import StoppedError
from facewise.training.learner import Learner
from facewise.training.pace import Pace, Trial, choose_pace, default_pace
from facewise.training.run import build, own_preprocess
from several import in_processes

SMALL = {
    "data.size": 32,
    "data.batch_size": 8,
    "data.min_photos": 2,
    "data.held_out_photos": 0.25,
    "backbone": "test-tiny",
    "epochs": 2,
    "optimizer.rate": 0.05,
}
CPU = torch.device("cpu")
OLD, NEW = {"avx", "avx2", "fma", "f16c"}, {"avx", "avx2", "avx512f", "avx512_bf16"}


@pytest.fixture
def features(monkeypatch):
    """Says what the processor can do."""

    def say(names):
        monkeypatch.setenv(hardware.HIDDEN, ",".join(names))
        hardware.cpu.cache_clear()

    yield say
    monkeypatch.undo()
    hardware.cpu.cache_clear()


@pytest.fixture
def steps(monkeypatch, time_enough):
    """Every step measured, as (way, photos); it takes 1 ms a photo less the way's gain, by no clock."""
    seen, gains = [], {}

    def run(self, way, images):
        seen.append((way, len(images)))
        return 0.001 * len(images) * (1 - gains.get(str(way), 0.0))

    monkeypatch.setattr(pace.Stopwatch, "_run", run)
    return SimpleNamespace(seen=seen, gains=gains)


@pytest.fixture
def time_enough(monkeypatch):
    """However short the run and slow the machine."""
    monkeypatch.setattr(pace, "LEAST_STEPS", 1)
    monkeypatch.setattr(pace, "SHARE", 1e9)
    monkeypatch.setattr(pace, "MOST_S", 1e9)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return BACKBONES.build("test-tiny")


def a_trial():
    head = LOSSES.build("arcface", 16, 5)
    labels = torch.arange(8) % 5
    return Trial(
        torch.randn(8, 3, 32, 32), lambda copied, some: copied(some), lambda e: head(e, labels[: len(e)])
    )


def choose(network, steps=10_000, **settings):
    return choose_pace(PaceSettings(**settings), network, a_trial, steps=steps, of={"network": "tiny"})


def run(out, settings=None, **changes):
    return train(
        DrawnPeople(),
        out=out,
        settings=SMALL | {"optimizer.rate": 0.05} | (settings or {}) | changes,
        display=Quiet(),
        device="cpu",
    )


def recorded(folder):
    return json.loads((Path(folder) / "environment.json").read_text())["pace"]


def weights(folder):
    return load_file(Path(folder) / "checkpoints" / "last" / "state.safetensors")


def same_tensors(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


class Lines(Quiet):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def test_a_processor_without_bf16_never_computes_in_it(features, steps, network):
    features(OLD)
    assert choose(network).pace.precision == "fp32"
    assert {way.precision for way, _ in steps.seen} == {"fp32"}
    assert choose(network, steps=0).pace.precision == "fp32"
    assert choose(network, precision="bf16").pace.precision == "bf16"  # unless told to
    run("run")
    assert recorded("run")["precision"] == "fp32"


def test_a_processor_with_bf16_computes_in_what_is_faster(features, steps, network):
    features(NEW)
    assert choose(network).pace == Pace("bf16", ("prelu", "strided"), True)
    steps.gains["fp32, NCHW, fast prelu"] = 0.5
    assert choose_again(network).pace == Pace("fp32", ("prelu",), False)


def test_bf16_on_arm_is_taken_only_where_it_was_measured(features, steps, network):
    features({"neon", "dotprod", "bf16"})
    assert default_pace(PaceSettings(), network, CPU).precision == "fp32"
    assert choose(network).pace.precision == "fp32"
    steps.gains["bf16, channels last, fast prelu + strided"] = 0.5
    assert choose_again(network).pace.precision == "bf16"


def choose_again(network):
    """For another key: nothing is recalled."""
    return choose_pace(PaceSettings(), network, a_trial, steps=10_000, of={"network": "another"})


def test_each_kind_of_layer_and_the_layout_are_chosen_alone(features, steps, network):
    features(OLD)
    steps.gains |= {
        "fp32, channels last, plain layers": 0.2,
        "fp32, channels last, fast prelu + strided": 0.3,
    }
    choice = choose(network)
    assert choice.pace == Pace("fp32", ("strided",), True)
    assert choice.by == "measured"
    assert set(choice.speeds) == {
        "fp32, channels last, fast prelu",
        "fp32, NCHW, fast prelu",
        "fp32, channels last, plain layers",
        "fp32, channels last, fast prelu + strided",
        "fp32, channels last, fast strided",
    }
    # A gain that is noise changes nothing.
    steps.gains.clear()
    steps.gains["fp32, NCHW, fast prelu"] = 0.02
    assert choose_again(network).pace == Pace("fp32", ("prelu",), True)


def test_a_way_that_was_fast_once_is_not_taken(features, network, monkeypatch, time_enough):
    """Other work on the machine slows the others by chance, or one way in all rounds but one."""
    features(OLD)
    times = {
        "fp32, channels last, fast prelu": iter([1.0] * 99),
        "fp32, NCHW, fast prelu": iter([9, 3, 0.5, 3]),
    }

    def run(self, way, images):
        return next(times.get(str(way), iter([2.0])))

    monkeypatch.setattr(pace.Stopwatch, "_run", run)
    assert choose(network).pace == Pace("fp32", ("prelu",), True)


def test_what_is_set_is_not_chosen(features, steps, network):
    features(NEW)
    settings = {"precision": "fp32", "fast_layers": ("strided",), "channels_last": False}
    choice = choose(network, **settings)
    assert choice.pace == Pace("fp32", ("strided",), False)
    assert (choice.by, steps.seen) == ("settings", [])
    steps.gains["fp32, NCHW, fast strided"] = 0.5
    assert choose(network, precision="fp32", fast_layers=("strided",)).pace == choice.pace
    assert {str(way) for way, _ in steps.seen} == {
        "fp32, channels last, fast strided",
        "fp32, NCHW, fast strided",
    }
    assert default_pace(PaceSettings(fast_layers=True, precision="fp32"), network, CPU).fast_layers == (
        "prelu",
        "strided",
    )
    assert default_pace(PaceSettings(fast_layers=False), network, CPU).fast_layers == ()


def test_what_was_measured_once_is_not_measured_again(features, steps, network):
    features(OLD)
    steps.gains["fp32, NCHW, fast prelu"] = 0.4
    first = choose(network)
    measured = len(steps.seen)
    again = choose(network)
    assert (again.pace, again.by, again.speeds) == (first.pace, "recalled", first.speeds)
    assert len(steps.seen) == measured
    features(NEW)  # another machine
    assert choose(network).by == "measured"


def test_measuring_is_kept_short(features, steps, network, monkeypatch):
    features(OLD)
    monkeypatch.setattr(pace, "SHARE", 0.02)
    # 8 photos at 1 ms each: the run takes 0.8 s, of which 2% are less than what 4 ways take.
    assert choose(network, steps=100).by == "hardware"
    assert len(steps.seen) == 2
    monkeypatch.setattr(pace, "LEAST_STEPS", 101)
    assert choose(network, steps=100).by == "hardware"
    assert len(steps.seen) == 2
    # 2% of 80 s are enough for all 8 photos, and the rest is not used up.
    assert choose(network, steps=10_000).by == "measured"
    assert {photos for _, photos in steps.seen[4:]} == {8}
    assert len(steps.seen) < 40


@pytest.mark.usefixtures("time_enough")
def test_measuring_leaves_everything_as_it_was(features, network):
    features(OLD)
    before = copy.deepcopy(network.state_dict())
    mode = [type(module) for module in network.modules()]
    trial = a_trial()
    torch.manual_seed(3)
    expected = torch.randn(3)
    torch.manual_seed(3)
    choice = choose_pace(PaceSettings(), network, lambda: trial, steps=10_000, of={})
    assert torch.equal(torch.randn(3), expected)
    assert choice.by == "measured"
    assert all(speed > 0 for speed in choice.speeds.values())
    assert same_tensors(dict(network.state_dict()), dict(before))
    assert [type(module) for module in network.modules()] == mode
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.usefixtures("time_enough")
def test_a_way_that_does_not_work_here_is_left_out(features, network):
    """As where memory is full, or a layer has no such precision."""
    features(OLD)
    trial = a_trial()

    def forward(copied, images):
        if not images.is_contiguous(memory_format=torch.channels_last):
            raise torch.OutOfMemoryError("not enough memory")
        return copied(images)

    trial = dataclasses.replace(trial, forward=forward)
    choice = choose_pace(PaceSettings(), network, lambda: trial, steps=10_000, of={})
    assert choice.by == "measured"
    assert choice.pace.channels_last
    assert not [name for name in choice.speeds if "NCHW" in name]


@pytest.mark.parametrize("gain", ["fp32, NCHW, fast prelu", "fp32, channels last, plain layers"])
def test_a_run_is_that_of_the_choice_said_in_its_settings(features, steps, gain):
    features(OLD)
    steps.gains[gain] = 0.5
    run("auto")
    assert steps.seen
    said = {key: recorded("auto")[key] for key in ("precision", "fast_layers", "channels_last")}
    assert recorded("auto")["by"] == "measured"
    assert gain in recorded("auto")["images/s"]
    run("said", said)
    assert recorded("said")["by"] == "settings"
    assert same_tensors(weights("auto"), weights("said"))
    config = yaml.safe_load(Path("auto/config.yaml").read_text())
    assert (config["precision"], config["fast_layers"], config["channels_last"]) == ("auto",) * 3


@pytest.mark.usefixtures("time_enough")
def test_a_run_really_measured_is_that_of_its_settings(features):
    features(OLD)
    run("auto")
    assert recorded("auto")["by"] == "measured"
    run("said", {key: recorded("auto")[key] for key in ("precision", "fast_layers", "channels_last")})
    assert same_tensors(weights("auto"), weights("said"))


class StopsAt(Lines):
    def __init__(self, step):
        super().__init__()
        self.left = step

    def step(self, _):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_run_goes_on_with_the_choice_it_began_with(features, steps):
    features(OLD)
    steps.gains["fp32, NCHW, fast prelu"] = 0.5
    run("whole")
    shown = StopsAt(3)
    with pytest.raises(StoppedError):
        train(DrawnPeople(), out="parts", settings=SMALL, display=shown, device="cpu")
    assert sum("fp32, NCHW, fast prelu" in line for line in shown.lines) == 1
    steps.seen.clear()
    # Elsewhere: nothing is kept, and the hardware would choose another way.
    (Path(os.environ["FACEWISE_HOME"]) / "cache" / "choices.json").unlink()
    features(NEW)
    train(DrawnPeople(), resume="parts", display=Quiet(), device="cpu")
    assert steps.seen == []
    assert same_tensors(weights("whole"), weights("parts"))


def test_a_run_does_not_go_on_in_another_way(features):
    features(OLD)
    shown = StopsAt(3)
    with pytest.raises(StoppedError):
        train(DrawnPeople(), out="parts", settings=SMALL, display=shown, device="cpu")
    path = Path("parts/environment.json")
    facts = json.loads(path.read_text())
    facts["pace"]["channels_last"] = False
    path.write_text(json.dumps(facts))
    with pytest.raises(SettingError, match="another pace"):
        train(DrawnPeople(), resume="parts", display=Quiet(), device="cpu")


def test_a_run_that_version_0_1_began_goes_on(features):
    """Its settings say the way; the file of facts and the checkpoint do not."""
    features(OLD)
    before = {"precision": "bf16", "fast_layers": True, "channels_last": True}
    assert make_config({"name": "x"} | before).fingerprint() == '{"name": "x"}'
    assert make_config({"name": "x"}).fingerprint() == '{"name": "x"}'
    fp32 = make_config({"name": "x"} | before | {"precision": "fp32"})
    assert fp32.fingerprint() == '{"name": "x", "precision": "fp32"}'
    run("whole", before)
    with pytest.raises(StoppedError):
        train(DrawnPeople(), out="parts", settings=SMALL | before, display=StopsAt(3), device="cpu")
    path = Path("parts/environment.json")
    facts = json.loads(path.read_text())
    del facts["pace"]
    path.write_text(json.dumps(facts))
    train(DrawnPeople(), resume="parts", display=Quiet(), device="cpu")
    assert same_tensors(weights("whole"), weights("parts"))


def test_float16_needs_a_gpu():
    with pytest.raises(SettingError, match="fp16 needs a CUDA GPU"):
        run("run", precision="fp16")
    with pytest.raises(StoppedError):
        train(DrawnPeople(), out="parts", settings=SMALL, display=StopsAt(3), device="cpu")
    path = Path("parts/environment.json")
    facts = json.loads(path.read_text())
    facts["pace"]["precision"] = "fp16"
    path.write_text(json.dumps(facts))
    with pytest.raises(SettingError, match="fp16 needs a CUDA GPU"):
        train(DrawnPeople(), resume="parts", display=Quiet(), device="cpu")


def test_a_gradient_scaler_is_saved_and_goes_on():
    """As on a GPU, but for the GPU: its scale falls where gradients overflow, and is part of the state."""
    config = make_config({"name": "x", "data": {"size": 32}, "backbone": {"name": "test-flat"}})

    def learner():
        torch.manual_seed(0)
        return Learner(config, *build(config, 3), World(), own_preprocess(32), pace=Pace("fp16", (), False))

    def learn(learner, steps):
        learner.train()
        for step in steps:
            images = np.random.default_rng(step).integers(0, 256, (6, 32, 32, 3), np.uint8)
            learner.step(Batch(images, np.arange(6) % 3, np.arange(6)), step, 1.0)

    whole, parts, rest = learner(), learner(), learner()
    for one in (whole, parts):  # too large: the first steps are left out, and it falls
        one.scaler.load_state_dict(one.scaler.state_dict() | {"scale": 1e9})
    before = whole.network[1].weight.clone()
    learn(whole, range(1))
    assert torch.equal(whole.network[1].weight, before)
    assert 0 < whole.scaler.get_scale() < 1e9
    learn(whole, range(1, 80))
    assert not torch.equal(whole.network[1].weight, before)
    assert whole.network[1].weight.isfinite().all()
    learn(parts, range(40))
    saved = parts.state()
    rest.load(
        lambda name: {k.removeprefix(f"{name}."): v for k, v in saved.items() if k.startswith(f"{name}.")}
    )
    learn(rest, range(40, 80))
    assert same_tensors(whole.state(), rest.state())
    assert "scaler.scale" in saved


@pytest.mark.parametrize(
    ("capability", "first"),
    [((6, 1), "fp32"), ((7, 0), "fp16"), ((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")],
)
def test_gpus_compute_in_what_they_have(network, monkeypatch, capability, first):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _=None: capability)
    found = default_pace(PaceSettings(), network, torch.device("cuda", 0))
    assert found == Pace(first, (), True)  # fast layers are a CPU's


@pytest.mark.parametrize("word", ["fast_layers=[relu]", "fast_layers=some", "precision=fp8"])
def test_other_ways_are_refused(word):
    with pytest.raises(SettingError, match=word.partition("=")[0]):
        make_config({"name": "x"}, parse_overrides([word]))


def test_kinds_of_layers_can_be_named():
    config = make_config({"name": "x"}, parse_overrides(["fast_layers=[prelu, global]"]))
    assert config.fast_layers == ("prelu", "global")


def chosen(world):
    """By itself, a process would take its own channels_last."""
    asked = PaceSettings(precision="fp32", channels_last=world.rank != 0)
    return choose_pace(asked, BACKBONES.build("test-tiny"), a_trial, steps=0, of={}, world=world).pace.facts()


def test_all_processes_take_the_choice_of_the_first():
    choice = {"precision": "fp32", "fast_layers": ["prelu"], "channels_last": False}
    assert in_processes(chosen, 2) == [choice, choice]


def test_one_process_needs_no_others(network):
    assert choose_pace(PaceSettings(), network, a_trial, steps=0, of={}, world=World()).by == "hardware"
