"""Public PyTorch checkpoints to model files: recognised by their keys, loaded strictly, parity proven.

Needs the `train` extra. A foreign checkpoint is the one place a pickle is opened, and only with
`weights_only=True`, which cannot run code.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facewise.errors import ModelError
from facewise.models.export import Parity, check_parity, export_onnx
from facewise.models.file import ModelCard, ModelFile, write_model
from facewise.nn.backbones.mobilefacenet_relu6 import MobileFaceNetReLU6
from facewise.nn.detectors.retinaface import RetinaFace
from facewise.preprocess import Preprocess

_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_STD = (58.395, 57.12, 57.375)
"""0.485, 0.456, 0.406 and 0.229, 0.224, 0.225 in grey levels: those of torchvision."""

_DATA_PARALLEL = "module."
"""What `torch.nn.DataParallel` puts in front of every key."""


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of public checkpoint.

    Attributes:
        build: Makes the network, with the checkpoint's key names.
        card: What the model file will say.
        example: Shape of a typical input.
        dynamic: Input axes that may vary.
        outputs: Names of the outputs.
        probes: Input shapes for the parity check.
        known: sha256 of published files of this family → what is known of them.
    """

    build: Callable[[], nn.Module]
    card: ModelCard
    example: tuple[int, ...]
    dynamic: Mapping[int, str]
    outputs: tuple[str, ...]
    probes: tuple[tuple[int, ...], ...]
    known: Mapping[str, Mapping[str, Any]]


FAMILIES: dict[str, Family] = {
    "retinaface-mobilenet025": Family(
        build=RetinaFace,
        card=ModelCard(
            kind="detector",
            name="retinaface-mobilenet025",
            version="1",
            licence="MIT",
            source="biubug6/Pytorch_Retinaface",
            preprocess=Preprocess(None, (104.0, 117.0, 123.0), (1.0, 1.0, 1.0), "BGR", "none"),
            decoder={
                "name": "retinaface",
                "strides": [8, 16, 32],
                "min_sizes": [[16, 32], [64, 128], [256, 512]],
                "variances": [0.1, 0.2],
            },
        ),
        example=(1, 3, 160, 192),
        dynamic={0: "batch", 2: "height", 3: "width"},
        outputs=("boxes", "scores", "landmarks"),
        probes=((1, 3, 250, 250), (2, 3, 117, 331), (1, 3, 480, 640)),
        known={
            "2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220": {
                "data": "WIDER FACE",
                "published": "WIDER FACE val, single scale: easy 0.907, medium 0.882, hard 0.738",
            }
        },
    ),
    "mobilefacenet-foamliu": Family(
        build=MobileFaceNetReLU6,
        card=ModelCard(
            kind="embedder",
            name="mobilefacenet-foamliu",
            version="1",
            licence="Apache-2.0",
            source="foamliu/MobileFaceNet",
            preprocess=Preprocess(112, _IMAGENET_MEAN, _IMAGENET_STD, "RGB", "5-point"),
            embedding_size=128,
        ),
        example=(2, 3, 112, 112),
        dynamic={0: "batch"},
        outputs=("embedding",),
        probes=((1, 3, 112, 112), (5, 3, 112, 112)),
        known={
            "90a00ba1d8b0b688af3deb731ed53dca582e6106805d1bc3cfdef55f570493f4": {
                "data": "refined MS-Celeb-1M",
                "published": "LFW accuracy 0.9948",
            }
        },
    ),
}
"""Checkpoints that can be imported, by the name their model files get."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A model file made from a checkpoint, and how close it is to PyTorch."""

    model: ModelFile
    parity: Parity
    known: bool


def import_checkpoint(
    path: str | os.PathLike[str], folder: str | os.PathLike[str], *, name: str | None = None
) -> Imported:
    """Turn a public checkpoint into a model file.

    Args:
        path: The checkpoint (`.pt`, `.pth`, `.ckpt`).
        folder: Where the model file goes, as NAME.onnx.
        name: Name of the model; None takes the family's.

    Raises:
        ModelError: Unreadable, of no known family, or the export differs from PyTorch.
        FacewiseError: The model file cannot be written.
    """
    path = Path(path)
    state = load_state(path)
    family = FAMILIES[recognise(state)]
    network = family.build()
    load_strictly(network, state)
    onnx = export_onnx(network, torch.zeros(family.example), dynamic=family.dynamic, outputs=family.outputs)
    generator = torch.Generator().manual_seed(0)
    probes = [torch.randn(shape, generator=generator) for shape in family.probes]
    parity = check_parity(network, onnx, probes)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    facts = family.known.get(digest, {})
    card = replace(
        family.card,
        name=name or family.card.name,
        training={"checkpoint": path.name, "checkpoint_sha256": digest, **facts},
    )
    model = write_model(Path(folder) / f"{card.name}.onnx", onnx, card)
    return Imported(model, parity, known=bool(facts))


def load_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, without running anything it may contain.

    Raises:
        ModelError: Missing, not a checkpoint, or holding something else than tensors.
    """
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"There is no checkpoint {path}.") from error
    except IsADirectoryError as error:
        raise ModelError(f"{path} is a folder, not a checkpoint.") from error
    # PyTorch's readers raise whatever they trip over in a damaged file: IndexError, KeyError, struct.error, …
    except Exception as error:
        raise ModelError(
            f"{path} is not a PyTorch checkpoint that can be opened safely: it is damaged, of another "
            "format, or holds more than weights."
        ) from error
    for wrapper in ("state_dict", "net_state_dict", "model_state_dict", "model"):
        if isinstance(data, Mapping) and isinstance(data.get(wrapper), Mapping):
            data = data[wrapper]
    if not isinstance(data, Mapping) or not data or not all(isinstance(v, Tensor) for v in data.values()):
        raise ModelError(f"{path} holds no state_dict of tensors, so there are no weights to import.")
    wrapped = all(str(key).startswith(_DATA_PARALLEL) for key in data)
    return {str(key).removeprefix(_DATA_PARALLEL if wrapped else ""): value for key, value in data.items()}


def recognise(state: Mapping[str, Tensor]) -> str:
    """Name of the family whose keys the checkpoint has the most of.

    Raises:
        ModelError: It resembles no known family.
    """
    shares = {}
    for name, family in FAMILIES.items():
        with torch.device("meta"):
            wanted = set(family.build().state_dict())
        shares[name] = len(wanted & set(state)) / len(wanted | set(state))
    best = max(shares, key=lambda name: shares[name])
    if shares[best] < 0.5:
        raise ModelError(
            "The checkpoint is of no family this Facewise can import; "
            f"it knows {', '.join(FAMILIES)} (first keys here: {', '.join(list(state)[:3])})."
        )
    return best


def load_strictly(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load weights so that every key and shape fits, or say which do not.

    Args:
        network: Receives the weights.
        state: The checkpoint, as `load_state` gives it.

    Raises:
        ModelError: Keys missing, left over, or of another shape; they are named.
    """
    wanted = network.state_dict()
    # Counters that old checkpoints do not have and inference does not use.
    missing = [key for key in wanted if key not in state and not key.endswith("num_batches_tracked")]
    extra = [key for key in state if key not in wanted]
    shapes = [
        f"{key} is {tuple(state[key].shape)}, not {tuple(wanted[key].shape)}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    problems = [
        f"{label}: {', '.join(items[:5])}{f' and {len(items) - 5} more' if len(items) > 5 else ''}"
        for label, items in (("missing keys", missing), ("unknown keys", extra), ("wrong shapes", shapes))
        if items
    ]
    if problems:
        raise ModelError(f"The checkpoint does not fit the network: {'; '.join(problems)}.")
    network.load_state_dict(wanted | dict(state), strict=True)
