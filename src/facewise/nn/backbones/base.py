"""What backbones share: the registry, their published preprocessing, last layers and first weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # its usual name

from facewise.errors import SettingError
from facewise.nn.registry import Registry

BACKBONES: Registry[nn.Module] = Registry("backbone")
"""Every architecture by name; `build(name, embedding_size=…, unit=…)` gives (N, 3, H, W) → (N, D)."""

_Builder = TypeVar("_Builder", bound=Callable[..., nn.Module])


@dataclass(frozen=True, slots=True)
class BackboneInfo:
    """What a backbone expects of its input, as published.

    Attributes:
        name: Its name in `BACKBONES`.
        input_size: Height of its crops in pixels, and width as well unless `input_width` says otherwise.
        mean: Subtracted from grey levels 0..255, in the order of `color`.
        std: What the difference is divided by.
        color: Order of the channels.
        source: Who published the architecture, and with which weights this preprocessing goes.
        input_width: Width of its crops where they are not square.
    """

    name: str
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    color: Literal["RGB", "BGR"]
    source: str
    input_width: int | None = None

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(3, height, width)."""
        return 3, self.input_size, self.input_width or self.input_size


_INFOS: dict[str, BackboneInfo] = {}

GREY_MEAN = (127.5, 127.5, 127.5)
"""Mean and standard deviation of most face networks: grey levels to [-1, 1]."""
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
"""0.485, 0.456, 0.406 and 0.229, 0.224, 0.225 in grey levels, RGB."""


def register(info: BackboneInfo) -> Callable[[_Builder], _Builder]:
    """Decorator: make a class or function known as a backbone, with its preprocessing."""

    def add(builder: _Builder) -> _Builder:
        BACKBONES.register(info.name)(builder)
        _INFOS[info.name] = info
        return builder

    return add


def info(name: str) -> BackboneInfo:
    """The published preprocessing of a backbone.

    Raises:
        SettingError: Nothing is called so; the nearest name is told.
    """
    BACKBONES.get(name)
    return _INFOS[name]


def map_side(input_size: int, stride: int) -> int:
    """Side of the last feature map of a network whose strides multiply to `stride`: that many, rounded up.

    Raises:
        SettingError: The input is smaller than one such step.
    """
    if input_size < stride:
        raise SettingError(f"An input_size of {input_size} px is too small; give at least {stride}.")
    return -(-input_size // stride)


def full_precision(device: str) -> AbstractContextManager[object]:
    """Switch autocast off, on devices that know it."""
    known = torch.amp.is_autocast_available(device)
    return torch.autocast(device, enabled=False) if known else nullcontext()


def finish(x: Tensor, layers: Sequence[nn.Module], *, unit: bool) -> Tensor:
    """Run the last layers of a backbone in the precision of their weights, also under autocast.

    bfloat16 keeps three digits, too few for an angle between embeddings; these layers cost nothing.

    Args:
        x: (N, …) features.
        layers: The first with weights decides the precision; without any it is float32 at least.
        unit: Whether embeddings get unit length.

    Returns:
        (N, D).
    """
    weights = [weight for layer in layers for weight in layer.parameters()]
    with full_precision(x.device.type):
        x = x.to(weights[0].dtype if weights else torch.promote_types(x.dtype, torch.float32))
        for layer in layers:
            x = layer(x)
        return F.normalize(x, dim=1) if unit else x


class Embedding(nn.Sequential):
    """(N, F) features → (N, D): dropout, linear, batch norm: the head "E" of ArcFace (1801.07698)."""

    def __init__(self, features: int, embedding_size: int, dropout: float = 0.0) -> None:
        # No bias: batch norm has one.
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features, embedding_size, bias=False)
        self.bn = nn.BatchNorm1d(embedding_size)


class Pooled(nn.Module):
    """Base of networks that end in averaged features, an embedding of them, or a checkpoint's classes.

    Attributes:
        embedding_size: D of the (N, D) output.
    """

    embedding_size: int

    def add_top(
        self, features: int, embedding_size: int | None, classes: int | None, dropout: float, unit: bool
    ) -> None:
        """Add `fc` for classes, `embedding` for an embedding, nothing for the features themselves.

        Raises:
            SettingError: Classes and embedding_size are both given.
        """
        if classes is not None and embedding_size is not None:
            raise SettingError("A network ends in classes or in an embedding; leave one of them out.")
        self.unit = unit
        self.embedding_size = classes or embedding_size or features
        self.fc = None if classes is None else nn.Linear(features, classes)
        self.embedding = None if embedding_size is None else Embedding(features, embedding_size, dropout)

    def top(self, x: Tensor) -> Tensor:
        """Average an (N, F, H, W) map and run what `add_top` added. Returns: (N, D)."""
        layers = [layer for layer in (self.fc, self.embedding) if layer is not None]
        return finish(F.adaptive_avg_pool2d(x, 1).flatten(1), layers, unit=self.unit)


def initialise(network: nn.Module) -> None:
    """First weights for training from scratch.

    Convolutions: normal with variance 2 / fan-in (He et al. 2015, 1502.01852, eq. 10), fan-in because it is
    right for grouped convolutions too. Linear layers: variance 1 / fan-in, as no ReLU follows an embedding.
    Batch norm: 1 and 0. PReLU: slope 1/4 (the same paper, sec. 2.1). Biases: 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="linear")
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine:
            nn.init.ones_(module.weight)
        elif isinstance(module, nn.PReLU):
            nn.init.constant_(module.weight, 0.25)
            continue
        bias = getattr(module, "bias", None)
        if isinstance(bias, nn.Parameter):
            nn.init.zeros_(bias)
