"""Weights to train from: what a name, a path or a run stands for, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from facewise.errors import ModelError, SettingError
from facewise.models import read_model, write_model
from facewise.models.importing import Imported, import_checkpoint
from facewise.models.pretrained import Pretrained, read_pretrained
from facewise.models.weights import WeightsCard, read_card, read_weights, weights_beside, write_weights
from facewise.nn.backbones import BACKBONES
from facewise.preprocess import Preprocess

FAMILY = "mobilefacenet-foamliu"


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    made = BACKBONES.build("mobilefacenet-relu6", embedding_size=128, input_size=112)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, 0, 0.1)
    return made.eval()


@pytest.fixture(scope="module")
def made() -> nn.Module:
    return network()


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory, made: nn.Module) -> Imported:
    folder = tmp_path_factory.mktemp("imported")
    torch.save(made.state_dict(), folder / "public.pt")
    return import_checkpoint(folder / "public.pt", folder / "models", name="mine")


@pytest.fixture
def model(imported: Imported, tmp_path: Path) -> Path:
    """A copy of the model file with its weights beside it."""
    path = tmp_path / "models" / "mine.onnx"
    path.parent.mkdir()
    shutil.copy(imported.model.path, path)
    shutil.copy(weights_beside(imported.model.path), weights_beside(path))
    return path


def same(found: Pretrained, expected: dict[str, Tensor], tolerance: float = 0.0) -> bool:
    return set(found.state) == set(expected) and all(
        torch.allclose(found.state[key].float(), value.float(), rtol=tolerance, atol=tolerance * 1e-2)
        for key, value in expected.items()
    )


def test_every_way_to_name_a_model(
    imported: Imported, model: Path, made: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = imported.model.path.parent.parent / "public.pt"
    monkeypatch.setenv("FACEWISE_HOME", str(model.parent.parent))
    for source in ("mine", str(model), model, weights_beside(model), checkpoint):
        found = read_pretrained(source)
        assert found.backbone == "mobilefacenet-relu6"
        assert found.options == {"embedding_size": 128, "input_size": 112}
        assert same(found, made.state_dict())
        assert found.preprocess == imported.model.card.preprocess
        assert found.licence == "Apache-2.0"
        assert len(found.facts["sha256"]) == 64
        assert "/" not in found.facts["name"]
    assert read_pretrained("mine").name == "mine"
    monkeypatch.chdir(model.parent)
    (model.parent / "mine").mkdir()  # photos of mine
    assert read_pretrained("mine").name == "mine"
    assert read_pretrained(checkpoint).name == FAMILY


def test_what_is_built_gives_what_the_model_file_does(imported: Imported, model: Path) -> None:
    import onnxruntime

    images = torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    session = onnxruntime.InferenceSession(imported.model.path)
    (expected,) = session.run(None, {"images": images.numpy()})
    found = read_pretrained(model)
    with torch.inference_mode():
        raw = found.build().eval()(images).numpy()
        unit = found.build(unit=True, dropout=0.3).eval()(images).numpy()
    np.testing.assert_allclose(raw, expected, atol=1e-4 * np.sqrt(np.mean(expected**2)))
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(unit, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-5)
    with pytest.raises(ModelError, match=r"wrong shapes: .*\(128,"):
        found.build(embedding_size=64)
    with pytest.raises(SettingError, match="no option"):
        found.build(colour="red")


def test_the_weights_say_whose_they_are(imported: Imported) -> None:
    assert imported.weights == weights_beside(imported.model.path)
    card = read_card(imported.weights)
    assert card is not None
    assert card.fingerprint == imported.model.fingerprint
    assert card.name == "mine"
    assert WeightsCard.from_json(card.to_json()) == card


def test_a_calibration_does_not_part_a_model_from_its_weights(model: Path) -> None:
    old = read_model(model)
    write_model(model, old.network, replace(old.card, licence="changed"))
    assert read_pretrained(model).backbone == "mobilefacenet-relu6"


def test_in_sixteen_bits_they_take_half_the_space_and_are_almost_the_same(
    tmp_path: Path, made: nn.Module, imported: Imported
) -> None:
    card = read_card(weights_beside(imported.model.path))
    assert card is not None
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    write_weights(whole, made, card)
    write_weights(half, made, card, half=True)
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    assert same(read_pretrained(whole), made.state_dict())
    found = read_pretrained(half)
    assert same(found, made.state_dict(), tolerance=1e-3)
    assert all(value.dtype in (torch.float32, torch.int64) for value in found.state.values())
    state = made.state_dict() | {"bn.weight": torch.full((128,), 1e6)}
    with pytest.raises(ModelError, match=r"bn\.weight.*16 bits"):
        write_weights(tmp_path / "large.safetensors", state, card, half=True)


def test_tuples_among_options_come_back(tmp_path: Path) -> None:
    narrow = BACKBONES.build("mobilefacenet-xiaoccer")
    preprocess = Preprocess(112, (127.5,) * 3, (128.0,) * 3, width=96)
    options = {"embedding_size": 128, "input_size": (112, 96)}
    card = WeightsCard("narrow", "mobilefacenet-xiaoccer", options, preprocess, "MIT", "here")
    found = read_pretrained(write_weights(tmp_path / "w.safetensors", narrow, card))
    assert found.options == options
    assert same(found, narrow.state_dict())


# Runs


@pytest.mark.parametrize("average", [False, True])
def test_a_run_stands_for_its_best_weights(
    tmp_path: Path, imported: Imported, made: nn.Module, average: bool
) -> None:
    """Where it did not write them apart: from its checkpoint, the averaged ones if there are such."""
    run = tmp_path / "run"
    model = imported.model
    training = {"backbone": {"name": "mobilefacenet-relu6", "options": {"embedding_size": 128}}}
    write_model(run / "model.onnx", model.network, replace(model.card, name="my-run", training=training))
    tensors = {f"network.{k}": v for k, v in (network(1) if average else made).state_dict().items()}
    tensors |= {f"head.{k}": v.clone() for k, v in {"weight": torch.zeros(3, 128)}.items()}
    if average:
        tensors |= {f"ema.network.{k}": v.clone() for k, v in made.state_dict().items()}
        tensors["ema.head.weight"] = torch.zeros(3, 128)
    for which, content in (("best", tensors), ("last", {"network.x": torch.zeros(1)})):
        folder = run / "checkpoints" / which
        folder.mkdir(parents=True)
        safetensors.torch.save_file(content, folder / "state.safetensors")
    found = read_pretrained(run)
    assert found.name == "my-run"
    assert same(found, made.state_dict())
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(ModelError, match="keeps no weights"):
        read_pretrained(run)
    card = found.card(read_model(run / "model.onnx").fingerprint)
    write_weights(weights_beside(run / "model.onnx"), made, card)
    assert same(read_pretrained(run), made.state_dict())


def test_a_run_that_was_not_finished(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(ModelError, match=r"no finished run.*--resume"):
        read_pretrained(tmp_path / "run")


# What is refused


def test_a_model_without_weights(model: Path, tiny_detector_file: Path, tmp_path: Path) -> None:
    weights_beside(model).unlink()
    with pytest.raises(ModelError, match=r"mine\.onnx has no weights.*mine\.safetensors.*models import"):
        read_pretrained(model)
    with pytest.raises(ModelError, match="is a detector; a training starts from an embedder"):
        read_pretrained(tiny_detector_file)
    with pytest.raises(ModelError, match="no model named gone"):
        read_pretrained("gone")
    for name in ("gone.pt", "gone.safetensors", "gone.onnx"):
        with pytest.raises(ModelError, match=r"There (is|are) no .*gone"):
            read_pretrained(tmp_path / name)


def test_weights_of_another_model(model: Path) -> None:
    path = weights_beside(model)
    card, state = read_weights(path)
    write_weights(path, state, replace(card, fingerprint="0" * 64))
    with pytest.raises(ModelError, match="weights of another model"):
        read_pretrained(model)


def test_weights_that_do_not_fit_what_they_say(model: Path) -> None:
    path = weights_beside(model)
    card, state = read_weights(path)
    for changed, said in (
        (replace(card, backbone="spaghetti"), "network 'spaghetti'.*upgrade"),
        (replace(card, backbone="mbf"), "does not fit the network: missing keys"),
        (replace(card, options={"colour": 1}), "no option 'colour'"),
        (replace(card, options={"input_size": "wide"}), "how to build"),
        (replace(card, options={"embedding_size": 64}), "wrong shapes"),
        (replace(card, options={"embedding_size": -5}), "how to build"),
        (replace(card, options={"embedding_size": 10**9}), "an option of 1000000000"),
        (replace(card, backbone="adaface-ir18", options={"units": [10**9] * 4}), "an option of 1000000000"),
    ):
        write_weights(path, state, changed)
        with pytest.raises(ModelError, match=said):
            read_pretrained(path)


def test_damaged_weights(model: Path) -> None:
    path = weights_beside(model)
    whole = path.read_bytes()
    rng = np.random.default_rng(3)
    for length in (0, 1, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"mine\.safetensors"):
            read_pretrained(path)
    end = 8 + int.from_bytes(whole[:8], "little")
    for _ in range(60):
        damaged = bytearray(whole)
        place = int(rng.integers(0, end - 4))
        damaged[place : place + 4] = rng.bytes(4)
        path.write_bytes(damaged)
        try:
            read_pretrained(path)
        except (ModelError, SettingError) as error:
            assert str(error).endswith(".")  # noqa: PT017  what is left may be whole


def test_headers_that_are_not_ours(tmp_path: Path, made: nn.Module) -> None:
    path = tmp_path / "foreign.safetensors"
    state = {key: value.clone() for key, value in made.state_dict().items()}
    safetensors.torch.save_file(state, path, {"format": "pt"})
    assert read_pretrained(path).name == FAMILY  # as any public checkpoint
    card = read_pretrained(path).card()
    good = json.loads(card.to_json())
    for wrong in (
        {"format": 99},
        {"kind": 3, "format": None},
        {"options": 5},
        {"preprocess": {}},
        {"facts": "x"},
    ):
        safetensors.torch.save_file(state, path, {"facewise": json.dumps(good | wrong)})
        with pytest.raises(ModelError, match=r"foreign\.safetensors is no weights file"):
            read_pretrained(path)
    for text in ("", "[]", "{", "null", "[" * 9000):
        safetensors.torch.save_file(state, path, {"facewise": text})
        with pytest.raises(ModelError, match=r"foreign\.safetensors is no weights file"):
            read_pretrained(path)
