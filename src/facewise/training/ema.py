"""An average of the weights over the last steps: steadier than any one of them."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Ema:
    """Exponential moving average of a module's weights and statistics (Polyak and Juditsky 1992).

    The decay grows to its value over the first steps, (1 + t) / (10 + t), so that the random start is
    forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.module = copy.deepcopy(module).eval().requires_grad_(requires_grad=False)

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the weights after a step, numbered from 0."""
        weight = 1.0 - min(self.decay, (1 + step) / (10 + step))
        for average, value in zip(
            self.module.state_dict().values(), module.state_dict().values(), strict=True
        ):
            if average.dtype.is_floating_point:
                average.lerp_(value.to(average.dtype), weight)
            else:
                average.copy_(value)
