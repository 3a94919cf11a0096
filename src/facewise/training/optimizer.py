"""The optimiser: which weights decay, and at which rate each moves."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from facewise.training.config import Optimizer


def make_optimizer(config: Optimizer, network: nn.Module, head: nn.Module) -> torch.optim.Optimizer:
    """SGD or AdamW over a backbone and its loss.

    Norms, biases and slopes (all with one dimension) do not decay (He et al. 2019, 1812.01187, sec. 3.1).
    Every group remembers its top rate as `top_rate`, for the schedule.
    """
    rate, decay = config.rate, config.weight_decay
    head_rate = rate if config.head_rate is None else config.head_rate
    head_decay = decay if config.head_weight_decay is None else config.head_weight_decay
    groups = [*_groups(network, rate, decay), *_groups(head, head_rate, head_decay)]
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=rate, betas=config.betas)
    return torch.optim.SGD(groups, lr=rate, momentum=config.momentum, nesterov=config.nesterov)


def _groups(module: nn.Module, rate: float, decay: float) -> list[dict[str, Any]]:
    weights = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
    return [
        {"params": params, "lr": rate, "top_rate": rate, "weight_decay": wd}
        for params, wd in ((weights, decay), (others, 0.0))
        if params
    ]


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
