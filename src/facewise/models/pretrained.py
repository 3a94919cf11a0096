"""Weights to start a training from, whatever the user names: a model, a run, a public checkpoint."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facewise.errors import ModelError, SettingError
from facewise.models.bundled import bundled_path
from facewise.models.checkpoint import check_keys, load_state, load_strictly, read_tensors
from facewise.models.families import FAMILIES, recognise
from facewise.models.families.base import options_of
from facewise.models.file import ModelCard, read_model
from facewise.models.store import path_of, told_store
from facewise.models.weights import SUFFIX, WeightsCard, read_card, read_weights, weights_beside
from facewise.nn.backbones import BACKBONES
from facewise.preprocess import Preprocess

CHECKPOINTS = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
"""How public checkpoints are called."""

_RUN_MODEL = "model.onnx"


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A network's weights and what they expect.

    Attributes:
        name: Of the model.
        backbone: Registered in `facewise.nn.backbones`.
        options: For `BACKBONES.build(backbone, **options)`; never `unit` or `classes`, as the classifier of a
            checkpoint is checked and then left out.
        state: All weights of that network, and no others.
        preprocess: Pixels to network input; `preprocess.cut` is how faces become crops.
        licence: SPDX name or words.
        source: Where the weights come from.
        facts: `name` and `sha256` of the file that was opened, and what is known of the training.
    """

    name: str
    backbone: str
    options: Mapping[str, Any]
    state: Mapping[str, Tensor]
    preprocess: Preprocess
    licence: str
    source: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def build(self, *, unit: bool = False, **changes: Any) -> nn.Module:
        """The network with these weights.

        Args:
            unit: Whether its output gets unit length.
            changes: Options to build it with in place of its own, such as `dropout`.

        Raises:
            ModelError: With these changes it is another network, which the weights do not fit.
            SettingError: It has no such option.
        """
        network = BACKBONES.build(self.backbone, **{**self.options, **changes, "unit": unit})
        load_strictly(network, self.state)
        return network

    def card(self, fingerprint: str = "") -> WeightsCard:
        """What a weights file of them says.

        Args:
            fingerprint: Of the model file they belong to.
        """
        return WeightsCard(
            self.name,
            self.backbone,
            self.options,
            self.preprocess,
            self.licence,
            self.source,
            self.facts,
            fingerprint,
        )


def read_pretrained(source: str | os.PathLike[str], *, family: str | None = None) -> Pretrained:
    """The weights a name or path stands for.

    Args:
        source: A public checkpoint; a run's folder, which stands for its best weights; a weights file; a
            model file with its weights beside it; or the name of a model in the store or of a bundled one.
        family: Which family a public checkpoint is of, where its keys do not tell.

    Raises:
        ModelError: There is no such model, it has no weights to train, or they are damaged or do not fit.
        SettingError: No family is called so.
    """
    path = Path(os.path.expandvars(os.fspath(source))).expanduser()
    known = path_of(os.fspath(source))
    # A folder of photos may be called as a model is.
    if path.is_dir() and ((path / _RUN_MODEL).is_file() or known is None):
        return _of_run(path)
    if path.suffix in CHECKPOINTS:
        return from_checkpoint(path, family)
    if path.suffix == SUFFIX:
        return _of_file(path) if read_card(path) is not None else from_checkpoint(path, family)
    if path.suffix == ".onnx" or os.sep in os.fspath(source):
        return _of_model(path)
    if known is None:
        raise ModelError(
            f"There is no file and no model named {source} in {told_store()}: see `facewise models list`, "
            "or name a checkpoint."
        )
    return _of_model(known)


def from_checkpoint(path: Path, family: str | None = None) -> Pretrained:
    """The weights of a public checkpoint; arguments and errors as `read_pretrained`."""
    state = load_state(path)
    found = FAMILIES[recognise(state, family)]
    options, card = options_of(found), found.card
    digest = file_hash(path)
    known = found.known.get(digest, {})
    return Pretrained(
        name=card.name,
        backbone=found.backbone,
        options=options,
        state={key: _plain(value) for key, value in found.take(state).items()},
        preprocess=card.preprocess,
        licence=card.licence,
        source=card.source,
        facts={**card.training, **known, "name": path.name, "sha256": digest},
    )


def file_hash(path: Path) -> str:
    """sha256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype.is_floating_point else tensor


def _of_run(folder: Path) -> Pretrained:
    path = folder / _RUN_MODEL
    if not path.is_file():
        raise ModelError(
            f"{folder} is no finished run, as it has no {_RUN_MODEL}: name a checkpoint or a model, or go on "
            "with the run with `--resume`."
        )
    if weights_beside(path).is_file():
        return _of_model(path)
    return _of_checkpoint(folder, read_model(path).card)


def _of_checkpoint(folder: Path, card: ModelCard) -> Pretrained:
    """The weights a run measured and exported, from its checkpoints: runs did not always write them apart."""
    states = (folder / "checkpoints" / which / "state.safetensors" for which in ("best", "last"))
    file = next((state for state in states if state.is_file()), None)
    made = card.training.get("backbone")
    if file is None or not isinstance(made, Mapping) or card.preprocess.size is None:
        raise ModelError(f"The run {folder} keeps no weights: its checkpoints are gone; name another model.")
    tensors = read_tensors(file)
    # The average of the weights, where there is one, is what was exported.
    start = next(
        part for part in ("ema.network.", "network.", "") if any(k.startswith(part) for k in tensors)
    )
    return _whole(
        Pretrained(
            name=card.name,
            backbone=str(made.get("name")),
            options={"input_size": card.preprocess.size, **dict(made.get("options") or {})},
            state={k.removeprefix(start): _plain(t) for k, t in tensors.items() if k.startswith(start)},
            preprocess=card.preprocess,
            licence=card.licence,
            source=card.source,
            facts={"name": card.name, "sha256": file_hash(file)},
        ),
        file,
    )


def _of_model(path: Path) -> Pretrained:
    model = read_model(path)
    if model.card.kind != "embedder":
        raise ModelError(f"{path} is a {model.card.kind}; a training starts from an embedder.")
    # A bundled model that was calibrated is in the store under its name, its weights are where they were.
    bundled = bundled_path(path.stem)
    places = [weights_beside(path), *([] if bundled is None else [weights_beside(bundled)])]
    weights = next((place for place in places if place.is_file()), None)
    if weights is None:
        raise ModelError(
            f"{path} has no weights to train beside it ({places[0].name}): import its PyTorch checkpoint "
            "anew with `facewise models import`, or name that checkpoint."
        )
    card = read_card(weights)
    if card is None or card.fingerprint != model.fingerprint:
        raise ModelError(
            f"{weights} holds the weights of another model than {path}: import its checkpoint anew."
        )
    return _of_file(weights)


def _of_file(path: Path) -> Pretrained:
    card, state = read_weights(path)
    found = Pretrained(
        card.name,
        card.backbone,
        card.options,
        state,
        card.preprocess,
        card.licence,
        card.source,
        {**card.facts, "name": path.name, "sha256": file_hash(path)},
    )
    return _whole(found, path)


def _whole(found: Pretrained, path: Path) -> Pretrained:
    """See that the weights fit the network they say they are of."""
    if found.backbone not in BACKBONES.names():
        raise ModelError(
            f"{path} is of a network {found.backbone!r} that this Facewise does not know; upgrade Facewise."
        )
    try:
        with torch.device("meta"):
            network = BACKBONES.build(found.backbone, unit=False, **found.options)
    # RuntimeError: what PyTorch makes of sizes that are none.
    except (SettingError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path} does not say how to build its network: {error}") from error
    try:
        check_keys({key: tuple(value.shape) for key, value in network.state_dict().items()}, found.state)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    return found
