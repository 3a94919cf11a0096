"""What is known of one kind of public checkpoint, and what it is recognised by."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from facewise.errors import ModelError
from facewise.models.checkpoint import check_keys
from facewise.models.file import ModelCard
from facewise.nn.backbones import BACKBONES
from facewise.preprocess import Preprocess

Shape = tuple[int | None, ...]
"""None is any length."""


def _as_it_is(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return dict(state)


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of public checkpoint.

    Attributes:
        card: What the model file will say.
        backbone: Its network in `BACKBONES`; empty where `builder` makes it.
        options: For `BACKBONES.build`.
        builder: Makes the network of a detector.
        classes: Where the checkpoint ends in a classifier of the backbone's own, how many classes it has: it
            is checked and then left out of the model.
        classifier: Other keys that a checkpoint has beside the network's, with their shapes; so with them.
        optional: Keys it may have; if they are there they have these shapes, and are left out as well.
        rename: The checkpoint under the network's key names.
        asked: Whether other weights have the very same keys and shapes but want other pixels, so that the
            user has to say which these are.
        known: sha256 of published files of this family → what is known of them.
        dynamic: Input axes that may vary.
        outputs: Names of the outputs.
        probes: Input shapes for the parity check; none are those of an embedder.
        note: What else a user should know, in a few words.
    """

    card: ModelCard
    backbone: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    builder: Callable[[], nn.Module] | None = None
    classes: int | None = None
    classifier: Mapping[str, Shape] = field(default_factory=dict)
    optional: Mapping[str, Shape] = field(default_factory=dict)
    rename: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = _as_it_is
    asked: bool = False
    known: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    dynamic: Mapping[int, str] = field(default_factory=lambda: {0: "batch"})
    outputs: tuple[str, ...] = ("embedding",)
    probes: tuple[tuple[int, ...], ...] = ()
    note: str = ""

    @property
    def name(self) -> str:
        """The name its model files get."""
        return self.card.name

    def build(self, *, top: bool = False) -> nn.Module:
        """The network, with the checkpoint's key names.

        Args:
            top: With the checkpoint's classifier in the place of features, where the backbone has one.
        """
        if self.builder is not None:
            return self.builder()
        if top and self.classes is not None:
            return BACKBONES.build(self.backbone, unit=False, **self.options, classes=self.classes)
        return BACKBONES.build(self.backbone, unit=False, **self.options)

    def inputs(self) -> tuple[tuple[int, ...], ...]:
        """Shapes to compare PyTorch and ONNX on."""
        if self.probes:
            return self.probes
        height, width = self.card.preprocess.input_shape
        assert height is not None and width is not None, "an embedder has one size"  # noqa: S101, PT018
        return ((1, 3, height, width), (3, 3, height, width))

    def take(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The network's own weights out of a checkpoint, all of which is checked.

        Raises:
            ModelError: Keys missing, left over, or of another shape; they are named.
        """
        renamed = self.rename(state)
        wanted = shapes_of(self)
        check_keys(wanted | {key: self.optional[key] for key in self.optional if key in renamed}, renamed)
        own = network_shapes(self)
        counters = {key: torch.zeros((), dtype=torch.int64) for key in own if key not in renamed}
        return {key: renamed[key] for key in own if key in renamed} | counters


@functools.cache
def _meta_shapes(name: str, top: bool) -> dict[str, tuple[int, ...]]:
    from facewise.models.families import FAMILIES  # noqa: PLC0415  families are made of this module

    with torch.device("meta"):
        network = FAMILIES[name].build(top=top)
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def network_shapes(family: Family) -> dict[str, Shape]:
    """Keys and shapes of the network without the checkpoint's classifier."""
    return dict(_meta_shapes(family.name, top=False))


def shapes_of(family: Family) -> dict[str, Shape]:
    """Keys and shapes a whole checkpoint has, its classifier among them, optional keys not."""
    return {**_meta_shapes(family.name, top=True), **family.classifier}


def embedder(
    name: str,
    *,
    licence: str,
    source: str,
    preprocess: Preprocess,
    size: int,
    data: str = "",
    published: str = "",
) -> ModelCard:
    """The card of an embedder.

    Args:
        name: Of the family.
        licence: SPDX name or words.
        source: Where such checkpoints come from.
        preprocess: Pixels to network input.
        size: Numbers in an embedding.
        data: What it was trained on, where all checkpoints of the family were.
        published: Its published accuracy, likewise.
    """
    facts = {key: value for key, value in (("data", data), ("published", published)) if value}
    return ModelCard("embedder", name, "1", licence, source, preprocess, embedding_size=size, training=facts)


def options_of(family: Family) -> dict[str, Any]:
    """For `BACKBONES.build`.

    Raises:
        ModelError: It is no backbone.
    """
    if not family.backbone:
        raise ModelError(
            f"{family.name} is a {family.card.kind}, which has no weights to start a training from."
        )
    return dict(family.options)
