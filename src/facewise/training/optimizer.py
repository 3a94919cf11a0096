"""The optimiser: which weights decay, and at which rate each moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from facewise.training.config import Optimizer


def make_optimizer(
    config: Optimizer,
    network: nn.Module,
    head: nn.Module,
    shares: Mapping[nn.Parameter, float] | None = None,
) -> torch.optim.Optimizer:
    """SGD, Adam or AdamW over what learns of a backbone and its loss.

    Norms, biases and slopes (all with one dimension) do not decay (He et al. 2019, 1812.01187, sec. 3.1).
    Adam adds the decay to the gradient (Kingma and Ba 2015, 1412.6980), AdamW takes it off the weight
    (1711.05101). Every group remembers its top rate as `top_rate`, for the schedule.

    Args:
        config: Which, and its numbers.
        network: The backbone.
        head: The loss.
        shares: Fractions of the rate that parameters of the backbone learn at; 1 for those not in it.
    """
    rate, decay = config.rate, config.weight_decay
    head_rate = rate if config.head_rate is None else config.head_rate
    head_decay = decay if config.head_weight_decay is None else config.head_weight_decay
    groups = [*_groups(network, rate, decay, shares or {}), *_groups(head, head_rate, head_decay, {})]
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=rate, betas=config.betas)
    if config.name == "adam":
        return torch.optim.Adam(groups, lr=rate, betas=config.betas)
    return torch.optim.SGD(groups, lr=rate, momentum=config.momentum, nesterov=config.nesterov)


def _groups(
    module: nn.Module, rate: float, decay: float, shares: Mapping[nn.Parameter, float]
) -> list[dict[str, Any]]:
    learning = [p for p in module.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = []
    for share in dict.fromkeys(shares.get(p, 1.0) for p in learning):
        own = [p for p in learning if shares.get(p, 1.0) == share]
        for params, wd in (([p for p in own if p.ndim > 1], decay), ([p for p in own if p.ndim <= 1], 0.0)):
            if params:
                top = rate * share
                groups.append({"params": params, "lr": top, "top_rate": top, "weight_decay": wd})
    return groups


def set_rate(optimizer: torch.optim.Optimizer, fraction: float) -> None:
    """Set every group to a fraction of its top rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["top_rate"] * fraction


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: dict[Tensor, str]) -> dict[str, Tensor]:
    """The optimiser's state as tensors, `weight/momentum_buffer` → (…), weights by name."""
    found: dict[str, Tensor] = {}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if value is not None:
                found[f"{names[parameter]}/{key}"] = torch.as_tensor(value)
    return found


def load_optimizer(
    optimizer: torch.optim.Optimizer, names: dict[Tensor, str], tensors: dict[str, Tensor]
) -> None:
    """Put back what `optimizer_tensors` gave."""
    by_name = {name: parameter for parameter, name in names.items()}
    for full, value in tensors.items():
        name, _, key = full.rpartition("/")
        parameter = by_name[name]
        optimizer.state[parameter][key] = value.to(
            value.device if key == "step" else parameter.device, copy=True
        )
