"""Our networks against the public ones: keys, shapes, parameters, and outputs for the same weights."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from facewise.nn.backbones import BACKBONES

IMAGENET: dict[str, Any] = {"stem": "imagenet", "classes": 1000}
GOLDEN: dict[str, tuple[str, dict[str, Any]]] = {
    "evolve_ir_50": ("ir50", {}),
    "evolve_ir_se_50": ("se-ir50", {}),
    "facenet_inception_resnet_v1": ("inception-resnet-v1", {}),
    "insightface_iresnet18": ("iresnet18", {}),
    "insightface_iresnet50": ("iresnet50", {}),
    "insightface_mbf": ("mbf", {}),
    "mobilefacenet_512": ("mobilefacenet", {}),
    "torchvision_resnet18": ("resnet18", IMAGENET),
    "torchvision_resnet34": ("resnet34", IMAGENET),
    "torchvision_resnet50": ("resnet50", IMAGENET),
    "torchvision_vgg16": ("vgg16", {"classes": 1000}),
    "vggface2_resnet50": ("vggface2-resnet50", {"classes": 8631}),
    "vggface2_senet50": ("se-resnet50", {"classes": 8631}),
}
"""Golden file → our name and options, all others as published."""
FAST = {
    "mobilefacenet_512",
    "insightface_mbf",
    "insightface_iresnet18",
    "torchvision_resnet18",
    "torchvision_resnet50",
    "facenet_inception_resnet_v1",
    "vggface2_senet50",
    "evolve_ir_se_50",
}
"""One of each kind; the rest takes five seconds and more."""

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "reference" / "architectures"


def built(golden: str) -> nn.Module:
    """Without memory: weights come from the recipe."""
    name, options = GOLDEN[golden]
    with torch.device("meta"):
        return BACKBONES.build(name, **options)


def weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The recipe of reference/README.md: numbers from the name of the key."""
    random = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if key.endswith("running_mean"):
        values = 0.1 * random.standard_normal(shape)
    elif key.endswith("running_var"):
        values = random.uniform(0.5, 1.5, shape)
    elif len(shape) >= 2:
        values = random.standard_normal(shape) * np.sqrt(1.0 / np.prod(shape[1:]))
    elif key.endswith("weight"):
        values = random.uniform(0.5, 1.0, shape)
    else:
        values = 0.1 * random.standard_normal(shape)
    return values.astype(np.float32)


def test_no_golden_file_is_missed(folder: Path) -> None:
    assert {path.stem for path in folder.glob("*.json")} == set(GOLDEN)
    assert {path.stem for path in folder.glob("*.npy")} == set(GOLDEN)
    assert len(GOLDEN) == 13


@pytest.mark.parametrize("golden", GOLDEN)
def test_keys_shapes_and_parameters(folder: Path, golden: str) -> None:
    facts = json.loads((folder / f"{golden}.json").read_text())
    network = built(golden)
    ours = [(key, list(value.shape)) for key, value in network.state_dict().items()]
    assert ours == list(facts["state_dict"].items())
    assert sum(parameter.numel() for parameter in network.parameters()) == facts["parameters"]


@pytest.mark.parametrize(
    "golden", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in GOLDEN]
)
def test_outputs(folder: Path, golden: str) -> None:
    facts = json.loads((folder / f"{golden}.json").read_text())
    network = built(golden)
    state = {key: torch.from_numpy(weight(key, tuple(v.shape))) for key, v in network.state_dict().items()}
    network.load_state_dict(state, strict=True, assign=True)
    images = np.random.default_rng(zlib.crc32(b"input")).uniform(-1, 1, (2, *facts["input_size"]))
    with torch.inference_mode():
        got = network.eval()(torch.from_numpy(images.astype(np.float32))).numpy()
    expected = np.load(folder / f"{golden}.npy").reshape(facts["output_shape"])
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1e-4 * np.sqrt(np.mean(expected**2))
