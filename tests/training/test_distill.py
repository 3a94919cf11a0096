"""Learning from another model's answers: what is compared with what, and that a run does it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_people import DrawnPeople
from safetensors.torch import load_file
from torch import nn

from facewise.errors import ModelError, SettingError
from facewise.models.export import export_onnx
from facewise.models.file import ModelCard, write_model
from facewise.nn.backbones.mobilefacenet_relu6 import MobileFaceNetReLU6
from facewise.preprocess import Preprocess
from facewise.training import train
from facewise.training.config import Distillation, make_config
from facewise.training.display import Quiet
from facewise.training.distill import CheckpointTeacher, Distiller, NoHead, find_module, name_classes
from facewise.training.engine import StoppedError

CPU = torch.device("cpu")
HINTS = {"features.4": "features.4", "features.14": "features.14"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(5)
    network = MobileFaceNetReLU6()
    for module in network.modules():  # statistics of a network that has seen something
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
    path = tmp_path_factory.mktemp("teacher") / "teacher.pt"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A teacher of 32 px crops: a fixed linear map."""
    torch.manual_seed(6)
    network = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(3 * 64, 16))
    plain = export_onnx(network, torch.zeros(2, 3, 32, 32), dynamic={0: "batch"}, outputs=("embedding",))
    card = ModelCard(
        kind="embedder",
        name="linear",
        version="1",
        licence="none",
        source="test",
        preprocess=Preprocess(32, (127.5,) * 3, (127.5,) * 3),
        embedding_size=16,
    )
    return write_model(tmp_path_factory.mktemp("model") / "linear.onnx", plain, card)


def crops(count=4, size=112, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def distiller(checkpoint, **settings):
    config = Distillation.model_validate({"teachers": [str(checkpoint)], **settings})
    return Distiller(config, CPU)


def student(checkpoint=None):
    torch.manual_seed(8)
    network = MobileFaceNetReLU6()
    if checkpoint is not None:
        network.load_state_dict(torch.load(checkpoint, weights_only=True))
    return network


def tensor_of(images):
    info = Preprocess(112, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
    return torch.from_numpy(info(images))


def test_a_student_that_is_the_teacher_has_nothing_to_learn(checkpoint):
    made = distiller(checkpoint, hints=HINTS, relations=1.0)
    network = student(checkpoint).eval()
    made.attach(network)
    images = crops()
    answer = made.ask(images)
    features = made.run(network, tensor_of(images), answer, force=False)
    assert float(made.loss(features, answer).detach()) == pytest.approx(0.0, abs=1e-5)


def test_the_loss_is_the_sum_of_its_parts(checkpoint):
    """Against the formulas in numpy."""
    weights = {"embedding": 0.7, "relations": 0.3, "hint": 0.2}
    made = distiller(checkpoint, hints=HINTS, **weights)
    network = student().eval()
    made.attach(network)
    images = crops()
    answer = made.ask(images)
    seen = {}
    for name in HINTS:
        network.get_submodule(name).register_forward_hook(
            lambda _m, _i, out, name=name: seen.__setitem__(name, out.detach().numpy())
        )
    features = made.run(network, tensor_of(images), answer, force=False)
    s = features.detach().numpy()
    s = s / np.linalg.norm(s, axis=1, keepdims=True)
    t = answer.embeddings.numpy()
    expected = 0.7 * (1 - (s * t).sum(1)).mean() + 0.3 * ((s @ s.T - t @ t.T) ** 2).mean()
    errors = []
    for own, theirs in HINTS.items():
        target = answer.hints[theirs].numpy()
        variance = target.var((0, 2, 3))
        variance = np.maximum(variance, 1e-3 * variance.mean() + 1e-12)
        errors.append((((seen[own] - target) ** 2).mean((0, 2, 3)) / variance).mean())
    assert float(made.loss(features, answer).detach()) == pytest.approx(
        expected + 0.2 * np.mean(errors), rel=1e-4
    )


def test_forced_parts_learn_from_the_teachers_answer_alone(checkpoint):
    """What comes after a hint sees the teacher's features, and its loss moves nothing before the hint."""
    made = distiller(checkpoint, hints={"features.4": "features.4"}, hint=0.0)
    network = student().eval()
    made.attach(network)
    images = crops()
    answer = made.ask(images)
    features = made.run(network, tensor_of(images), answer, force=True)
    rest = nn.Sequential(*network.features[5:], network.conv2, network.gdconv, network.conv3, network.bn)
    expected = rest(answer.hints["features.4"]).flatten(1)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    made.loss(features, answer).backward()
    assert network.features[4].conv[2].weight.grad is None
    assert network.features[5].conv[2].weight.grad.abs().sum() > 0
    # And a network that nobody distils is left alone.
    plain = network(tensor_of(images))
    assert not torch.allclose(plain, features, rtol=1e-3, atol=1e-3)


def test_the_chance_of_forcing_falls_to_nothing(checkpoint):
    made = distiller(checkpoint, hints=HINTS, forcing_epochs=4.0)

    def share(epoch):
        return np.mean([made.forces(epoch, (0, step, 0)) for step in range(400)])

    assert share(0.0) == 1.0
    assert share(2.0) == pytest.approx(0.5, abs=0.08)
    assert share(4.0) == share(9.0) == 0.0
    assert not distiller(checkpoint, hints=HINTS).forces(0.0, (0, 0, 0))


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_teacher_answers_in_the_precision_of_the_student(
    checkpoint, precision, dtype, tmp_path, monkeypatch
):
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path))
    seen = set()
    ask = CheckpointTeacher.__call__

    def spy(self, crops):
        handle = self.network.features[0].register_forward_hook(lambda *found: seen.add(found[2].dtype))
        answer = ask(self, crops)
        handle.remove()
        return answer

    monkeypatch.setattr(CheckpointTeacher, "__call__", spy)
    settings = {"backbone.embedding_size": 128, "data.batch_size": 4, "epochs": 1, "precision": precision}
    settings |= {"distill.teachers": [str(checkpoint)], "data.held_out_people": 0.0}
    train(
        DrawnPeople(people=2, photos=2),
        out=tmp_path / "run",
        settings=SMALL | settings,
        display=Quiet(),
        device="cpu",
    )
    assert seen == {dtype}


def test_mixed_faces_lie_between_two_of_the_batch(checkpoint):
    made = distiller(checkpoint, mix=1.0)
    images = crops(6, 16)
    mixed, is_mixed = made.mix(images, (0, 3, 0))
    assert is_mixed
    assert mixed.dtype == np.uint8
    again, _ = made.mix(images, (0, 3, 0))
    assert np.array_equal(mixed, again)
    for i, face in enumerate(mixed.astype(float)):
        # Some share a ≥ ½ and some other face explain every pixel to its rounding.
        errors = []
        for j in range(6):
            difference = images[i].astype(float) - images[j]
            moved = face - images[j]
            share = (moved * difference).sum() / max((difference**2).sum(), 1e-9)
            errors.append((np.abs(moved - share * difference).max(), share, i == j))
        best = min(errors)
        assert best[0] <= 0.6  # half a grey level, and the share is estimated
        assert best[2] or 0.49 <= best[1] <= 1.01
    same, is_mixed = distiller(checkpoint).mix(images, (0, 3, 0))
    assert same is images
    assert not is_mixed


def test_several_teachers_side_by_side_have_equal_weight(checkpoint, model_file):
    both = distiller(checkpoint, teachers=[str(checkpoint), str(model_file.path)])
    assert both.embedding_size == 144
    one = distiller(checkpoint).ask(crops()).embeddings
    together = both.ask(crops()).embeddings
    assert together.norm(dim=1).numpy() == pytest.approx(1.0, abs=1e-5)
    torch.testing.assert_close(together[:, :128] * 2**0.5, one)


def test_flipped_answers_are_those_of_both_sides(checkpoint):
    images = crops()
    turned = np.ascontiguousarray(images[:, :, ::-1])
    flipped = distiller(checkpoint, flip=True)
    torch.testing.assert_close(flipped.ask(images).embeddings, flipped.ask(turned).embeddings)
    plain = distiller(checkpoint)
    mean = plain.ask(images).embeddings + plain.ask(turned).embeddings
    torch.testing.assert_close(flipped.ask(images).embeddings, nn.functional.normalize(mean, dim=1))


def test_people_with_one_photo_have_no_class():
    assert name_classes(np.array([0, 2, 2, 3, 4, 4]), 6).tolist() == [-1, -1, 0, -1, 1, -1]


def test_crops_of_another_size_are_shown_to_the_teacher_at_its_own(model_file):
    made = Distiller(Distillation(teachers=(str(model_file.path),)), CPU)
    flat = np.full((2, 64, 64, 3), 90, np.uint8)
    torch.testing.assert_close(made.ask(flat).embeddings, made.ask(flat[:, :32, :32]).embeddings)


SMALL = {
    "name": "distilled",
    "backbone": "test-tiny",
    "data.size": 32,
    "data.batch_size": 8,
    "data.held_out_photos": 0.0,
    "data.min_photos": 1,
    "data.held_out_people": 0.3,
    "epochs": 3,
    "ema": 0.9,
    "optimizer": {"name": "adamw", "rate": 0.01},
}


def distil(data, out, model, **changes):
    settings = SMALL | {"distill.teachers": [str(model.path)], "distill.mix": 0.3} | changes
    return train(data, out=out, settings=settings, display=Quiet(), device="cpu")


def weights(folder):
    return load_file(Path(folder) / "checkpoints" / "last" / "state.safetensors")


def test_a_run_learns_the_teacher_and_says_who_it_was(drawn, model_file):
    done = distil(drawn(people=10), "run", model_file, epochs=12)
    agreement = [line["agreement"] for line in done.metrics if line["kind"] == "validation"]
    assert agreement[-1] > 0.4  # of four strangers, from six people
    assert agreement[-1] > agreement[0] + 0.1
    (teacher,) = done.model.card.training["teachers"]
    assert teacher == {"name": "linear", "sha256": model_file.fingerprint}
    assert "agreement" in done.result


@pytest.mark.parametrize("changes", [{}, {"distill.loss": 0.5, "distill.mix": 0.0}], ids=["taught", "named"])
def test_a_stopped_distillation_goes_on_to_the_same_numbers(drawn, model_file, changes):
    distil(drawn(people=8), "whole", model_file, **changes)

    class Asks(Quiet):
        left = 7

        def step(self, _):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGINT)

    settings = SMALL | {"distill.teachers": [str(model_file.path)], "distill.mix": 0.3} | changes
    with pytest.raises(StoppedError):
        train(drawn(people=8), out="parts", settings=settings, display=Asks(), device="cpu")
    train(drawn(people=8), resume="parts", display=Quiet(), device="cpu")
    whole, parts = weights("whole"), weights("parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_names_of_people_with_two_photos_are_learned_where_asked_for(drawn, model_file):
    """The classes are those people, and the loss on them moves the network."""
    one = distil(drawn(people=8), "taught", model_file, epochs=1, **{"distill.mix": 0.0})
    two = distil(drawn(people=8), "named", model_file, epochs=1, **{"distill.mix": 0.0, "distill.loss": 1.0})
    assert "head.weight" not in weights(one.folder)
    assert len(weights(two.folder)["head.weight"]) == len(Path("named/people.txt").read_text().split())
    name = "network.top.2.weight"
    assert not torch.equal(weights(one.folder)[name], weights(two.folder)[name])


def test_what_cannot_be_is_said_before_anything_is_trained(drawn, model_file, checkpoint, tmp_path):
    def refuses(error, match, **changes):
        with pytest.raises(error, match=match):
            distil(drawn(people=8), "none", model_file, **changes)
        assert not Path("none/checkpoints").exists()

    refuses(
        SettingError, "hints need a PyTorch checkpoint", **{"distill.hints": {"features.0": "features.0"}}
    )
    refuses(SettingError, r"set backbone.embedding_size=128", **{"distill.teachers": [str(checkpoint)]})
    refuses(SettingError, "forcing_epochs needs hints", **{"distill.forcing_epochs": 1})
    refuses(SettingError, "all 0, so nothing would be learned", **{"distill.embedding": 0})
    refuses(SettingError, "data.held_out_photos=0", **{"data.held_out_photos": 0.2})
    refuses(SettingError, "no setting distill.teacher; did you mean teachers", **{"distill.teacher": 1})
    refuses(ModelError, "There is no checkpoint", **{"distill.teachers": ["gone.pt"]})
    refuses(ModelError, "No model named 'gone'", **{"distill.teachers": ["gone"]})
    with pytest.raises(SettingError, match=r"the student has no module 'features\.99'"):
        find_module(student(), "features.99", "the student")


def test_a_teacher_that_is_not_there_is_told_before_a_photo_is_read(drawn, model_file):
    people = drawn(people=8)
    people.read = None  # reading would be a TypeError
    with pytest.raises(ModelError, match="There is no checkpoint"):
        distil(people, "none", model_file, **{"distill.teachers": ["gone.pt"]})


def test_a_hint_of_another_shape_is_refused(checkpoint):
    made = distiller(checkpoint, hints={"features.4": "features.14"})
    network = student().eval()
    made.attach(network)
    answer = made.ask(crops(2))
    features = made.run(network, tensor_of(crops(2)), answer, force=False)
    with pytest.raises(SettingError, match="of the same shape"):
        made.loss(features, answer)


def test_a_detector_cannot_teach(tmp_path):
    from facewise.nn.detectors.retinaface import RetinaFace

    torch.save(RetinaFace().state_dict(), tmp_path / "detector.pt")
    with pytest.raises(ModelError, match="has to be an embedder"):
        distiller(tmp_path / "detector.pt")


def test_names_alone_are_no_people_to_tell_apart(drawn, model_file):
    with pytest.raises(SettingError, match="two photos or more"):
        distil(drawn(people=8, photos=1), "none", model_file, **{"distill.loss": 1.0})


def test_a_head_is_not_asked_where_there_is_none():
    config = make_config({"name": "x", "distill": {"teachers": ["x"]}})
    assert config.distill.loss == 0
    assert not hasattr(NoHead(16), "logits")
