"""What is learned: words by cross entropy, ages as distributions; labels that are missing count nothing.

Ages: label distributions (Gao et al. 2017, "Deep Label Distribution Learning with Label Ambiguity",
1611.01731) with the error of the mean beside them (Gao et al. 2018, "Age Estimation Using Expectation of
Label Distribution Learning", IJCAI, eq. 8).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from facewise.models.attributes import MOST_YEARS


def word_loss(logits: Tensor, shares: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of the cross entropy of the faces that are labelled.

    Args:
        logits: (N, K).
        shares: (N, K) what each word has of a face: 1 for the one it is labelled with, or what a teacher
            gives it; all 0 where it is not labelled.
        weights: (K,) what a word counts.

    Returns:
        A number; 0 where nothing is labelled.
    """
    each = -(shares * torch.log_softmax(logits, dim=1)).sum(dim=1)
    counts = shares @ weights
    return (each * counts).sum() / counts.sum().clamp(min=1e-9)


def age_loss(logits: Tensor, ages: Tensor, years: float, mean_weight: float) -> Tensor:
    """Cross entropy to a normal distribution about the age, and the error of the mean in decades.

    Args:
        logits: (N, 101) of each year.
        ages: (N,) years, NaN where not labelled.
        years: Standard deviation of the distribution.
        mean_weight: What the error counts.

    Returns:
        A number; 0 where nothing is labelled.
    """
    known = torch.isfinite(ages)
    if not bool(known.any()):
        return logits.sum() * 0.0
    rows, wanted = logits[known], ages[known].clamp(0, MOST_YEARS)[:, None]
    scale = torch.arange(MOST_YEARS + 1, dtype=rows.dtype, device=rows.device)
    target = torch.softmax(-0.5 * ((scale - wanted) / years) ** 2, dim=1)
    found = torch.log_softmax(rows, dim=1)
    mean = (found.exp() * scale).sum(dim=1)
    error = functional.smooth_l1_loss(mean / 10, wanted[:, 0] / 10, beta=0.2)
    return -(target * found).sum(dim=1).mean() + mean_weight * error


def word_weights(counts: Tensor, balance: float) -> Tensor:
    """(K,) what words of these counts count: to the power of -`balance`, 1 on average over the faces."""
    weights = counts.clamp(min=1).double() ** -balance
    return (weights * counts.sum() / (weights * counts).sum().clamp(min=1e-9)).float()


def total(
    outputs: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    *,
    years: float,
    mean_weight: float,
) -> tuple[Tensor, dict[str, float]]:
    """The sum over all outputs, and each."""
    parts = {
        name: age_loss(logits, labels[name], years, mean_weight)
        if name == "age"
        else word_loss(logits, labels[name], weights[name])
        for name, logits in outputs.items()
    }
    return torch.stack(list(parts.values())).sum(), {name: float(x.detach()) for name, x in parts.items()}
