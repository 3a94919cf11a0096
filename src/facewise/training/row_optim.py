"""Optimisers that update only the rows with a gradient, for the sampled class matrix of Partial FC.

An et al. 2022 (2203.15565, section 3.2): in a step only the sampled rows, with their momentum, take part.
PyTorch's own optimisers decay and move every row by its momentum, or refuse sparse gradients. With a dense
gradient, where all rows take part, these compute what `torch.optim.SGD` and `torch.optim.AdamW` do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from facewise.errors import SettingError

_ROWS = 16384
"""Rows updated at once, so that a step needs little memory besides the matrix and its state."""

Rows = Tensor | slice


class _RowOptimizer(Optimizer):
    """What both share. State has a row for each of its parameter's, so that it can be cut where that is."""

    names: tuple[str, ...]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update the rows that have gradients.

        Args:
            closure: Not taken; there for the signature.

        Raises:
            SettingError: A closure was given.
        """
        if closure is not None:
            raise SettingError("Row optimisers take no closure; compute the loss before the step.")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                for name in self.names:
                    if name not in state:
                        state[name] = self.new_state(name, parameter)
                for rows, gradient in _parts(parameter.grad):
                    parameter[rows] = self.updated(parameter[rows], gradient, rows, state, group)

    def new_state(self, name: str, parameter: Tensor) -> Tensor:  # noqa: ARG002
        """The state called `name` of a parameter that was never updated."""
        return torch.zeros_like(parameter, memory_format=torch.preserve_format)

    def updated(
        self, values: Tensor, gradient: Tensor, rows: Rows, state: dict[str, Tensor], group: dict[str, Any]
    ) -> Tensor:
        """New values (R, D) of rows, whose state is changed in place."""
        raise NotImplementedError


class RowSGD(_RowOptimizer):
    """SGD with momentum μ and weight decay λ: v ← μ·v + g + λ·w, w ← w − lr·v, for rows with a gradient."""

    names = ("momentum",)

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.9, weight_decay: float = 5e-4
    ) -> None:
        """Args: lr: Learning rate. momentum: μ. weight_decay: λ."""
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def updated(
        self, values: Tensor, gradient: Tensor, rows: Rows, state: dict[str, Tensor], group: dict[str, Any]
    ) -> Tensor:
        """One step of SGD."""
        velocity = state["momentum"][rows] * group["momentum"] + gradient
        velocity.add_(values, alpha=group["weight_decay"])
        state["momentum"][rows] = velocity
        return values.sub(velocity, alpha=group["lr"])


class RowAdamW(_RowOptimizer):
    """AdamW (Loshchilov and Hutter 2019, 1711.05101, algorithm 2) for rows with a gradient.

    Each row counts its own steps, so that the moments of a row sampled for the first time are corrected as in
    a first step.
    """

    names = ("first", "second", "steps")

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        """Args: lr: Learning rate. betas, eps, weight_decay: As of `torch.optim.AdamW`."""
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def new_state(self, name: str, parameter: Tensor) -> Tensor:
        """Moments like the parameter; steps (rows, 1)."""
        return (
            parameter.new_zeros(len(parameter), 1) if name == "steps" else super().new_state(name, parameter)
        )

    def updated(
        self, values: Tensor, gradient: Tensor, rows: Rows, state: dict[str, Tensor], group: dict[str, Any]
    ) -> Tensor:
        """One step of AdamW."""
        slow, slower = group["betas"]
        first = torch.lerp(state["first"][rows], gradient, 1 - slow)
        second = torch.lerp(state["second"][rows], gradient.square(), 1 - slower)
        steps = state["steps"][rows] + 1
        state["first"][rows], state["second"][rows], state["steps"][rows] = first, second, steps
        root = (second / (1 - slower**steps)).sqrt_().add_(group["eps"])
        decayed = values.mul(1 - group["lr"] * group["weight_decay"])
        return decayed.addcdiv_(first / (1 - slow**steps), root, value=-group["lr"])


def _parts(gradient: Tensor) -> Iterator[tuple[Rows, Tensor]]:
    """Rows and their gradients, a few thousand at a time."""
    if gradient.is_sparse:
        gradient = gradient.coalesce()  # adds up what several batches gave the same row
        index, values = gradient.indices()[0], gradient.values()
        for first in range(0, len(index), _ROWS):
            yield index[first : first + _ROWS], values[first : first + _ROWS]
    else:
        for first in range(0, len(gradient), _ROWS):
            rows = slice(first, first + _ROWS)
            yield rows, gradient[rows]
