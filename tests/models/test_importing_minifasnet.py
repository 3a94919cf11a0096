"""MiniFASNet through the importer: the network is what its keys say, and the file gives its numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  its usual name

from facewise.errors import ModelError
from facewise.geometry import Cut
from facewise.models.families import FAMILIES
from facewise.models.importing import import_checkpoint, load_state

BOTH = {"minifasnet-v2": "minifasnet_v2_2.7_80x80.pth", "minifasnet-v1se": "minifasnet_v1se_4.0_80x80.pth"}


def random_checkpoint(name: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    state = {}
    for key, value in FAMILIES[name].build().state_dict().items():
        if value.dtype != torch.float32:
            continue
        if key.endswith("running_var"):
            state[key] = torch.rand(value.shape, generator=generator) + 0.5
        elif value.dim() > 1:
            state[key] = torch.randn(value.shape, generator=generator) / value[0].numel() ** 0.5
        else:
            state[key] = torch.rand(value.shape, generator=generator)
    return state


def plainly(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network re-derived from the names and shapes of its weights, layer by layer."""

    def norm(key: str, x: Tensor) -> Tensor:
        mean, var, weight, bias = (
            state[f"{key}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        shape = (1, -1, *[1] * (x.dim() - 2))
        return (x - mean.view(shape)) / torch.sqrt(var.view(shape) + 1e-5) * weight.view(shape) + bias.view(
            shape
        )

    def layer(key: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        weight = state[f"{key}.conv.weight"]
        groups = x.shape[1] // weight.shape[1]
        x = norm(f"{key}.bn", F.conv2d(x, weight, None, stride, padding, 1, groups))
        slope = state.get(f"{key}.prelu.weight")
        return x if slope is None else torch.where(x > 0, x, x * slope.view(1, -1, 1, 1))

    def block(key: str, x: Tensor, stride: int) -> Tensor:
        out = layer(f"{key}.conv", x)
        out = layer(f"{key}.project", layer(f"{key}.conv_dw", out, stride, 1))
        if f"{key}.se_module.fc1.weight" in state:
            weights = out.mean(dim=(2, 3), keepdim=True)
            weights = norm(f"{key}.se_module.bn1", F.conv2d(weights, state[f"{key}.se_module.fc1.weight"]))
            weights = norm(
                f"{key}.se_module.bn2", F.conv2d(weights.relu(), state[f"{key}.se_module.fc2.weight"])
            )
            out = out * weights.sigmoid()
        return x + out if stride == 1 else out

    x = layer("conv2_dw", layer("conv1", x, 2, 1), 1, 1)
    for down, stage, blocks in (("conv_23", "conv_3", 4), ("conv_34", "conv_4", 6), ("conv_45", "conv_5", 2)):
        x = block(down, x, 2)
        for i in range(blocks):
            x = block(f"{stage}.model.{i}", x, 1)
    x = layer("conv_6_dw", layer("conv_6_sep", x)).flatten(1)
    return (norm("bn", x @ state["linear.weight"].T) @ state["prob.weight"].T).softmax(1)


@pytest.mark.parametrize("name", BOTH)
def test_the_network_is_what_its_weights_say(tmp_path: Path, name: str) -> None:
    state = random_checkpoint(name)
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "net.pth")
    imported = import_checkpoint(tmp_path / "net.pth", tmp_path)
    assert imported.model.card.name == name
    assert imported.model.card.kind == "liveness"
    assert not imported.known
    images = torch.rand(3, 3, 80, 80, generator=torch.Generator().manual_seed(0)) * 255
    session = onnxruntime.InferenceSession(imported.model.path)
    (got,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    np.testing.assert_allclose(got, plainly(state, images).numpy(), atol=1e-4)


def test_a_key_that_is_missing_is_named(tmp_path: Path) -> None:
    state = random_checkpoint("minifasnet-v2")
    del state["prob.weight"]
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(ModelError, match=r"prob\.weight"):
        import_checkpoint(tmp_path / "net.pth", tmp_path)
    assert not (tmp_path / "minifasnet-v2.onnx").exists()


@pytest.mark.real
@pytest.mark.parametrize(("name", "scale"), [("minifasnet-v2", 2.7), ("minifasnet-v1se", 4.0)])
def test_the_published_checkpoints(shared: Path, tmp_path: Path, name: str, scale: float) -> None:
    path = shared / "models" / BOTH[name]
    imported = import_checkpoint(path, tmp_path)
    assert imported.known
    assert imported.parity is not None
    assert imported.parity.difference <= 1e-4
    card = imported.model.card
    assert (card.name, card.licence) == (name, "Apache-2.0")
    assert card.preprocess.cut == Cut(80, "inside", scale - 1)
    assert (card.preprocess.color, set(card.preprocess.mean), set(card.preprocess.std)) == ("BGR", {0}, {1})
    images = np.random.default_rng(1).integers(0, 256, (4, 3, 80, 80)).astype(np.float32)
    session = onnxruntime.InferenceSession(imported.model.path)
    (got,) = session.run(None, {session.get_inputs()[0].name: images})
    state = {key.removeprefix("module."): value for key, value in load_state(path).items()}
    np.testing.assert_allclose(got, plainly(state, torch.from_numpy(images)).numpy(), atol=1e-4)
