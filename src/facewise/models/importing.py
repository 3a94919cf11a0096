"""Public models to model files: recognised by keys and shapes, loaded strictly, parity proven.

Needs the `train` extra.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facewise.errors import ModelError, SettingError
from facewise.models.checkpoint import load_state, load_strictly
from facewise.models.export import Parity, check_embeddings, check_parity, export_onnx
from facewise.models.families import FAMILIES, Family, recognise
from facewise.models.file import ModelFile, write_model
from facewise.models.foreign_onnx import import_onnx
from facewise.models.landmarker import LANDMARKER, import_landmarker
from facewise.models.pretrained import file_hash, from_checkpoint
from facewise.models.weights import weights_beside, write_weights

__all__ = [
    "FAMILIES", "Family", "Imported", "import_checkpoint", "load_state", "load_strictly", "recognise",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Imported:
    """A model file made from a public model.

    Attributes:
        model: The model file.
        parity: How close it is to PyTorch; None of what was no PyTorch checkpoint.
        known: Whether the file is one Facewise knows the origin of.
        weights: The weights to train with beside the model file, or None.
    """

    model: ModelFile
    parity: Parity | None
    known: bool
    weights: Path | None = None


def import_checkpoint(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    family: str | None = None,
) -> Imported:
    """Turn a public model into a model file, and of a PyTorch embedder keep the weights beside it.

    Args:
        path: A PyTorch checkpoint (`.pt`, `.pth`, `.ckpt`, `.bin`, `.pkl`, `.safetensors`), an ONNX file
            of InsightFace's packs or of YuNet, or MediaPipe's Face Landmarker (`.task`).
        folder: Where the files go, as NAME.onnx and NAME.safetensors.
        name: Name of the model; None takes the family's.
        family: The family, where the file does not tell.

    Raises:
        ModelError: Unreadable, of no known family, its keys or shapes do not fit, or the export differs from
            PyTorch.
        SettingError: No family is called so.
        FacewiseError: A file cannot be written.
    """
    path = Path(path)
    if path.suffix == ".onnx":
        model, known = import_onnx(path, folder, name=name, family=family)
        return Imported(model, None, known)
    if path.suffix == ".task":
        if family not in (None, LANDMARKER.name):
            raise SettingError(f"{path} can only be a {LANDMARKER.name}, not a {family}.")
        model, known = import_landmarker(path, folder, name=name)
        return Imported(model, None, known)
    state = load_state(path)
    found = FAMILIES[recognise(state, family)]
    if not found.backbone:
        network = found.build()
        load_strictly(network, found.take(state))
        return _write(network, found, path, folder, name or found.name)
    weights = from_checkpoint(path, found.name)
    weights = replace(weights, name=name or weights.name)
    made = _write(weights.build(), found, path, folder, weights.name)
    beside = weights_beside(made.model.path)
    write_weights(beside, weights.state, weights.card(made.model.fingerprint))
    return replace(made, weights=beside)


def _write(
    network: nn.Module, family: Family, path: Path, folder: str | os.PathLike[str], name: str
) -> Imported:
    generator = torch.Generator().manual_seed(0)
    probes = [torch.randn(shape, generator=generator) for shape in family.inputs()]
    onnx = export_onnx(network, probes[-1], dynamic=family.dynamic, outputs=family.outputs)
    try:
        check = check_embeddings if family.card.kind == "embedder" else check_parity
        parity = check(network, onnx, probes)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    digest = file_hash(path)
    facts: Mapping[str, Any] = family.known.get(digest, {})
    training = {**family.card.training, "checkpoint": path.name, "checkpoint_sha256": digest, **facts}
    card = replace(family.card, name=name, training=training)
    model = write_model(Path(folder) / f"{name}.onnx", onnx, card)
    return Imported(model, parity, known=bool(facts))
