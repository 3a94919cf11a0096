"""Weights to go on training with: one safetensors file that says which network they are of.

An ONNX has its batch norms folded into its convolutions, so nothing can be trained from it. The weights lie
beside it, under its name; their header carries the fingerprint of the model they belong to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from facewise.errors import FacewiseError, ModelError
from facewise.files import atomic_write
from facewise.models.checkpoint import read_tensors
from facewise.preprocess import Preprocess

SUFFIX = ".safetensors"
_KEY = "facewise"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class WeightsCard:
    """What a weights file says of itself.

    Attributes:
        name: Of the model.
        backbone: Registered in `facewise.nn.backbones`.
        options: For its `BACKBONES.build`; never `unit` or `classes`.
        preprocess: Pixels to network input.
        licence: SPDX name or words.
        source: Where the weights come from.
        facts: What else is known: the checkpoint's sha256, its training data.
        fingerprint: Of the model file these are the weights of, or empty.
    """

    name: str
    backbone: str
    options: Mapping[str, Any]
    preprocess: Preprocess
    licence: str
    source: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    def to_json(self) -> str:
        """The header's text."""
        return json.dumps(
            {
                "format": _FORMAT,
                "kind": "weights",
                "name": self.name,
                "backbone": self.backbone,
                "options": dict(self.options),
                "preprocess": self.preprocess.to_dict(),
                "licence": self.licence,
                "source": self.source,
                "facts": dict(self.facts),
                "fingerprint": self.fingerprint,
            },
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, text: str) -> WeightsCard:
        """Read the header's text.

        Raises:
            ModelError: It is of a newer format, or a field is missing or malformed.
        """
        try:
            data = json.loads(text)
            if int(data["format"]) > _FORMAT:
                raise ModelError("it was written by a newer Facewise; upgrade Facewise.")
            options, facts = data["options"], data["facts"]
            return cls(
                name=str(data["name"]),
                backbone=str(data["backbone"]),
                options={str(key): _as_built(value) for key, value in dict(options).items()},
                preprocess=Preprocess.from_dict(data["preprocess"]),
                licence=str(data["licence"]),
                source=str(data["source"]),
                facts=dict(facts),
                fingerprint=str(data["fingerprint"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ModelError(f"its header is incomplete or malformed ({error}).") from error


_LARGEST = 8192
"""Of the numbers in options: no file shall make a network of millions of layers before its keys are seen."""


def _as_built(value: object) -> object:
    """JSON has lists where options have tuples."""
    if isinstance(value, list):
        return tuple(_as_built(item) for item in value)
    if isinstance(value, int | float) and not -_LARGEST <= value <= _LARGEST:
        raise ValueError(f"an option of {value}")
    return value


def weights_beside(model: str | os.PathLike[str]) -> Path:
    """Where the weights of a model file lie."""
    return Path(model).with_suffix(SUFFIX)


def write_weights(
    path: str | os.PathLike[str],
    network: nn.Module | Mapping[str, Tensor],
    card: WeightsCard,
    *,
    half: bool = False,
) -> Path:
    """Write a network's weights, atomically.

    Args:
        path: Where to; `weights_beside(model.path)` to be found under the model's name.
        network: Of the card's backbone and options, or its state.
        card: What to say of them.
        half: Keep them in 16 bits, for half the size: a weight changes by a two-thousandth of itself.

    Returns:
        The path.

    Raises:
        FacewiseError: The file cannot be written.
        ModelError: A weight is too large for 16 bits.
    """
    state = network.state_dict() if isinstance(network, nn.Module) else network
    tensors = {name: _kept(name, tensor, half=half) for name, tensor in state.items()}
    try:
        with atomic_write(path) as temporary:
            save_file(tensors, temporary, {_KEY: card.to_json()})
    except SafetensorError as error:  # what it makes of a full disk
        raise FacewiseError(f"Cannot write {path}: {error}.") from error
    return Path(path)


def _kept(name: str, tensor: Tensor, *, half: bool) -> Tensor:
    # A clone: safetensors refuses two names for one piece of memory.
    own = tensor.detach().cpu().clone().contiguous()
    if not half or not own.dtype.is_floating_point:
        return own
    small = own.half()
    if not torch.isfinite(small).all():
        raise ModelError(f"{name} holds numbers that 16 bits cannot: write these weights in full.")
    return small


def read_card(path: str | os.PathLike[str]) -> WeightsCard | None:
    """What a safetensors file says of itself; None where Facewise did not write it.

    Raises:
        ModelError: It is missing, damaged, or of a newer format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
    except FileNotFoundError as error:
        raise ModelError(f"There are no weights {path}.") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is no whole safetensors file ({error}); fetch it again.") from error
    if _KEY not in header:
        return None
    try:
        return WeightsCard.from_json(header[_KEY])
    except ModelError as error:
        raise ModelError(f"{path} is no weights file of Facewise: {error}") from error


def read_weights(path: str | os.PathLike[str]) -> tuple[WeightsCard, dict[str, Tensor]]:
    """A weights file; what was kept in 16 bits is float32 again.

    Raises:
        ModelError: It is missing, damaged, or Facewise did not write it.
    """
    card = read_card(path)
    if card is None:
        raise ModelError(
            f"{path} does not say which network it is of; import it with `facewise models import`."
        )
    tensors = read_tensors(Path(path))
    return card, {k: t.float() if t.dtype == torch.float16 else t for k, t in tensors.items()}
