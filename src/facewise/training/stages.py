"""A network in stages, from the pixels up: what gradual unfreezing and layer-wise rates speak of.

Every architecture makes its maps smaller step by step. A stage is what works on maps of one side: of
MobileFaceNet the layers at 56, 28, 14 and 7 pixels and those after the last map; of a transformer, whose
tokens stay as many, each block. The order is that of first use in a forward pass, not that of the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_SHRUNK = 0.75
"""A map whose side is below this share of the stage's first map begins a new stage.

Convolutions without padding take a pixel or two; strides take half."""

_CONTAINERS = (nn.Sequential, nn.ModuleList)


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a network.

    Attributes:
        modules: Names of its modules, none inside another.
        parameters: Names of all its parameters, and of parameters that belong to no module of any stage.
    """

    modules: tuple[str, ...]
    parameters: tuple[str, ...]


@dataclass(slots=True)
class _Unit:
    """A module that is not divided: a layer or a block.

    Attributes:
        name: In the network.
        order: When it was first used.
        side: Of the last map it gave, 0 where there is no map any more, None for tokens or never used.
    """

    name: str
    order: int
    side: float | None


def stages_of(network: nn.Module, shape: tuple[int, int, int]) -> tuple[Stage, ...]:
    """The stages of a network, from the pixels to the embedding.

    Args:
        network: Any backbone; it is run once, in evaluation mode, on a black picture.
        shape: (3, H, W) of its input.

    Returns:
        Stages that hold every parameter once; none is without parameters.
    """
    parameters = [name for name, _ in network.named_parameters()]
    stages: list[tuple[list[str], list[str]]] = []
    first: float | None = None
    for unit in _used(network, shape):
        inner = [f"{unit.name}.{name}" for name, _ in network.get_submodule(unit.name).named_parameters()]
        matrices = [name for name in inner if network.get_parameter(name).ndim > 1]
        tokens = unit.side is None and bool(matrices)  # a norm of tokens goes with the block before it
        smaller = unit.side is not None and (first is None or unit.side < _SHRUNK * first)
        if not stages or ((tokens or smaller) and stages[-1][1]):
            stages.append(([], []))
            first = unit.side
        elif not stages[-1][1]:
            first = unit.side  # a pooling layer says how large the maps of its stage are, not that it is one
        stages[-1][0].append(unit.name)
        stages[-1][1].extend(inner)
    if len(stages) > 1 and not stages[-1][1]:
        last, _ = stages.pop()
        stages[-1][0].extend(last)
    placed = {name for _, names in stages for name in names}
    loose = [name for name in parameters if name not in placed]  # a transformer's positions, with the pixels
    return tuple(
        Stage(tuple(modules), (*loose, *names) if i == 0 else tuple(names))
        for i, (modules, names) in enumerate(stages)
    )


@torch.no_grad()
def _used(network: nn.Module, shape: tuple[int, int, int]) -> list[_Unit]:
    """The units in the order of their first use; what is not used comes where it is written."""
    units = {name: _Unit(name, -1, None) for name in _names(network)}
    clock = 0

    def watch(name: str) -> object:
        def seen(_module: nn.Module, _inputs: object, output: object) -> None:
            nonlocal clock
            unit = units[name]
            unit.order = clock if unit.order < 0 else unit.order
            clock += 1
            if isinstance(output, Tensor):
                unit.side = _side(output)

        return seen

    hooks = []
    for name in units:
        module = network.get_submodule(name)
        leaves = [leaf for leaf in module.modules() if not list(leaf.children())]
        # The leaves as well: a block's own `forward` need not be what runs it.
        hooks += [m.register_forward_hook(watch(name)) for m in {*leaves, module}]  # type: ignore[arg-type]
    training = [(module, module.training) for module in network.modules()]
    device = next(network.parameters()).device
    try:
        network.eval()(torch.zeros(1, *shape, device=device))
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in training:
            module.training = mode
    written = list(units.values())
    for i, unit in enumerate(written):
        if unit.order < 0:
            unit.order = written[i - 1].order if i else 0
            unit.side = written[i - 1].side if i else None
    return sorted(written, key=lambda unit: unit.order)  # stable, so as written where they are alike


def _names(network: nn.Module, prefix: str = "") -> Iterator[str]:
    """Names of the units: the network's children, containers divided into theirs."""
    for name, child in network.named_children():
        if isinstance(child, _CONTAINERS) and list(child.children()):
            yield from _names(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _side(output: Tensor) -> float | None:
    """Side of a map (N, C, H, W), 0 of features (N, D) or a map of one pixel, None of tokens (N, T, C)."""
    if output.ndim == 4:
        side = max(output.shape[2:])
        return float(side) if side > 1 else 0.0
    return 0.0 if output.ndim == 2 else None
