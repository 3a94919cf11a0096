"""Fine-tuning: what is taken over from a model, what moves, what stays, and that a stop changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from facewise.embedding import Embedder
from facewise.errors import DatasetError, SettingError
from facewise.models import read_model
from facewise.models.pretrained import read_pretrained
from facewise.models.weights import WeightsCard, write_weights
from facewise.nn.backbones import BACKBONES
from facewise.preprocess import Preprocess
from facewise.training import train
from facewise.training.display import Quiet
from facewise.training.freezing import check_processes
from facewise.training.heldout import read_held_out
from facewise.training.settings import Start

PREPROCESS = Preprocess(32, (100.0, 110.0, 120.0), (60.0, 61.0, 62.0), "BGR", "5-point")
RECIPE = {
    "data.batch_size": 8,
    "data.min_photos": 1,
    "ema": 0.0,
    "data.held_out_photos": 0.25,
    "data.augmentation": "light",
    "loss": "softmax",
    "optimizer.name": "adam",
    "optimizer.rate": 0.001,
    "optimizer.weight_decay": 0.0,
    "schedule.name": "constant",
    "schedule.warmup_epochs": 0,
    "best_by": "last",
    "precision": "fp32",
    "epochs": 3,
}
TINY = {"name": "test-tiny", "embedding_size": 16}


def weights_file(path="start.safetensors", backbone="test-tiny", preprocess=PREPROCESS, seed=5):
    """A tiny network with weights and running statistics of its own."""
    torch.manual_seed(seed)
    network = BACKBONES.build(backbone, unit=False, input_size=32)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(8, 3, 32, 32) * 2 + 1)
    card = WeightsCard("begun", backbone, {"input_size": 32}, preprocess, "MIT", "a test", {"name": "x"})
    return write_weights(path, network, card), network


@pytest.fixture
def model():
    return weights_file()[0]


def run(data, model, out="run", **changes):
    return train(
        data, "softmax-mobilefacenet", start=model, out=out, display=Quiet(), device="cpu",
        settings=RECIPE | changes,
    )  # fmt: skip


class Tells(Quiet):
    def __init__(self):
        self.told = []

    def say(self, text):
        self.told.append(text)


def weights(folder):
    return load_file(Path(folder) / "checkpoints" / "last" / "state.safetensors")


def part(folder, name):
    return {k: v for k, v in weights(folder).items() if k.startswith(name)}


def same_tensors(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


def without_time(metrics):
    timed = ("seconds", "images/s", "data_wait")
    return [{k: v for k, v in line.items() if k not in timed} for line in metrics]


def test_a_run_begins_with_the_model_and_exports_its_preprocessing(drawn, model):
    done = run(drawn(), model, epochs=6)
    assert done.config.backbone.name == "test-tiny"
    assert done.config.data.size == 32
    card = read_model("run/model.onnx").card
    assert card.preprocess == PREPROCESS
    assert "MIT" in card.licence
    assert card.training["start"]["name"] == "begun"
    assert card.training["start"]["sha256"] == read_pretrained(model).facts["sha256"]
    assert str(Path.cwd()) not in json.dumps(card.training)
    assert done.result["accuracy"] > 0.6
    # The model file gives what the trainer measured, from the same crops.
    held = read_held_out("run").known
    crops = np.stack([drawn().read(drawn().keys.index(key)) for key in held.keys])
    np.testing.assert_allclose(Embedder(done.model).embed(crops), held.embeddings, atol=1e-4)


def test_nothing_learned_is_the_model_itself(drawn, model):
    """A vanishing rate: embeddings are the pretrained network's on BGR pixels, by its mean and std."""
    run(drawn(), model, epochs=1, **{"optimizer.rate": 1e-12, "start.batch_norm": "keep"})
    network = read_pretrained(model).build(unit=True).eval()
    crop = drawn().read(0)
    pixels = torch.from_numpy(crop[None, :, :, ::-1].astype(np.float32).copy())
    mean, std = torch.tensor(PREPROCESS.mean), torch.tensor(PREPROCESS.std)
    with torch.no_grad():
        expected = network(((pixels - mean) / std).permute(0, 3, 1, 2))
    expected = torch.nn.functional.normalize(expected).numpy()
    np.testing.assert_allclose(Embedder(read_model("run/model.onnx")).embed(crop[None]), expected, atol=1e-4)


@pytest.mark.parametrize(("color", "width"), [("RGB", None), ("BGR", 24), ("RGB", 24)])
def test_the_learner_prepares_as_the_model_file_says(color, width):
    from facewise.training.config import make_config
    from facewise.training.distributed import World
    from facewise.training.learner import Learner
    from facewise.training.run import build

    preprocess = replace(PREPROCESS, color=color, width=width)
    config = make_config({"name": "x", "data": {"size": 32}, "backbone": "test-smooth", "precision": "fp32"})
    learner = Learner(config, *build(config, 3), World(), preprocess)
    crops = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), np.uint8)
    np.testing.assert_allclose(learner.prepare(crops).numpy(), preprocess(crops), rtol=1e-5, atol=1e-6)


def test_a_frozen_backbone_stays_to_the_bit(drawn, model):
    """Weight decay, an average of the weights and batches with statistics of their own change nothing."""
    changes = {"start.freeze": "backbone", "optimizer.weight_decay": 0.1, "ema": 0.9, "optimizer.rate": 0.01}
    for norm in ("keep", "adapt"):
        folder = f"frozen-{norm}"
        run(drawn(), model, folder, **changes | {"start.batch_norm": norm})
        begun = {f"network.{k}": v for k, v in read_pretrained(model).build(unit=False).state_dict().items()}
        assert same_tensors(part(folder, "network."), begun)
        averaged = {k.removeprefix("ema."): v for k, v in part(folder, "ema.network.").items()}
        assert same_tensors(averaged, begun)
        assert not [name for name in weights(folder) if name.startswith("optimizer.network.")]
        assert read_pretrained(folder).state.keys() == read_pretrained(model).state.keys()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_gradual_unfreezing_goes_from_the_top_down(drawn, model, optimizer):
    changes = {
        "start.freeze": "gradual",
        "start.unfreeze_epochs": 4.0,  # test-tiny has stages of 8 and 4 pixels and the features: one each 4/3
        "optimizer.name": optimizer,
        "optimizer.weight_decay": 0.1,
        "start.batch_norm": "adapt",
    }
    begun = {f"network.{k}": v for k, v in read_pretrained(model).build(unit=False).state_dict().items()}
    stages = {0: "network.features.0", 1: "network.features.3", 2: "network.top"}
    for epochs, frozen in ((1, {0, 1, 2}), (2, {0, 1}), (4, {0}), (5, set())):
        folder = f"gradual-{epochs}"
        run(drawn(), model, folder, epochs=epochs, **changes)
        now = part(folder, "network.")
        still = {
            i
            for i, name in stages.items()
            if all(torch.equal(now[k], begun[k]) for k in now if k.startswith(name))
        }
        assert still == frozen


def test_batch_norm_is_kept_or_adapted(drawn, model):
    begun = read_pretrained(model).state
    for norm, stays in (("keep", True), ("adapt", False)):
        run(drawn(), model, norm, epochs=1, **{"start.batch_norm": norm})
        now = part(norm, "network.")
        for name in ("features.1.running_mean", "features.1.running_var", "features.4.running_mean"):
            assert torch.equal(now[f"network.{name}"], begun[name]) is stays
        assert not torch.equal(now["network.features.1.weight"], begun["features.1.weight"])


def test_lower_stages_learn_slower(drawn, model):
    """With plain SGD of one step, a stage's step is its share of the step it would have made."""
    one = {
        "optimizer.name": "sgd",
        "optimizer.momentum": 0.0,
        "optimizer.nesterov": False,
        "epochs": 1,
        "data.batch_size": 64,
        "clip": None,
    }
    run(drawn(), model, "whole", **one)
    run(drawn(), model, "shares", **one, **{"start.layer_decay": 0.5})
    begun = read_pretrained(model).state
    whole, shares = part("whole", "network."), part("shares", "network.")
    for name, share in (("features.0.weight", 0.25), ("features.3.weight", 0.5), ("top.2.weight", 1.0)):
        step, less = (now[f"network.{name}"] - begun[name] for now in (whole, shares))
        assert step.abs().max() > 0
        torch.testing.assert_close(less, share * step, rtol=1e-2, atol=1e-8)


def test_a_run_begins_with_what_another_run_made(drawn, model):
    run(drawn(), model, "first", ema=0.9)
    second = run(drawn(), "first", "second", epochs=1, **{"optimizer.rate": 1e-12})
    exported, again = (Embedder(read_model(f"{name}/model.onnx")) for name in ("first", "second"))
    crops = np.stack([drawn().read(i) for i in (0, 9, 17)])
    np.testing.assert_allclose(exported.embed(crops), again.embed(crops), atol=1e-5)
    assert second.config.start.model == str(Path("first").absolute())


def test_a_recipe_is_made_for_its_backbones(drawn, model):
    from facewise.recipes import recipe_names, recipe_settings

    with pytest.raises(SettingError, match=r"made for mobilefacenet.* a test-tiny: .*start\.backbones=\[\]"):
        train(drawn(), "finetune-mobilefacenet", start=model, display=Quiet())
    with pytest.raises(SettingError, match="No recipe is made for test-tiny"):
        train(drawn(), start=model, display=Quiet())
    with pytest.raises(SettingError, match="begins with a model: name it with --from"):
        train(drawn(), "finetune-mobilefacenet", display=Quiet())
    made = {
        name: recipe_settings(name)["start"]["backbones"]
        for name in recipe_names()
        if name.startswith("finetune-")
    }
    assert len(made) == 5
    everything = [backbone for backbones in made.values() for backbone in backbones]
    assert len(everything) == len(set(everything))
    assert set(everything) <= set(BACKBONES.names())


def test_a_model_for_another_recipe_names_the_one_that_fits(drawn):
    torch.manual_seed(0)
    network = BACKBONES.build("mobilefacenet", unit=False, input_size=32)
    card = WeightsCard("mine", "mobilefacenet", {"input_size": 32}, PREPROCESS, "MIT", "a test")
    model = write_weights("m.safetensors", network, card)
    with pytest.raises(
        SettingError,
        match="for inception-resnet-v1, and mine is a mobilefacenet: use --recipe finetune-mobilefacenet",
    ):
        train(drawn(), "finetune-facenet", start=model, display=Quiet())
    done = train(
        drawn(),
        start=model,
        out="run",
        epochs=1,
        settings={"data.min_photos": 2},
        display=Quiet(),
        device="cpu",
    )
    assert done.config.name == "finetune-mobilefacenet"


@pytest.mark.parametrize("key", ["backbone", "backbone.dropout", "data.size"])
def test_backbone_and_size_are_the_models(drawn, model, key):
    with pytest.raises(SettingError, match=f"{key} is that of the model"):
        run(drawn(), model, **{key: "mbf" if key == "backbone" else 64})


def test_crops_cut_otherwise_are_refused(drawn):
    from facewise.data.prepared import Making, PreparedPhoto, PreparedSource

    model, _ = weights_file(preprocess=replace(PREPROCESS, alignment="box", margin=0.1))
    made = PreparedSource(
        ".", Making(32, "png", "d", {}), [PreparedPhoto("a.png", "A", "ok", "A/a.png", 1, 1)]
    )
    with pytest.raises(DatasetError, match=r"were cut by 5-point, .* takes them by box, .*photos themselves"):
        run(made, model)


def test_resume_takes_no_other_model(model):
    with pytest.raises(SettingError, match="A resumed run keeps its settings"):
        train(resume="run", start=model, display=Quiet())


def test_freezing_is_for_one_process():
    for freeze in ("backbone", "gradual"):
        with pytest.raises(SettingError, match=r"start\.freeze works in one process"):
            check_processes(Start(model="m", freeze=freeze), 2)
        check_processes(Start(model="m", freeze=freeze), 1)
    check_processes(Start(model="m"), 2)
    check_processes(None, 2)
