"""A head that knows the people before the first step: its rows are the means of their embeddings.

The nearest class mean of a good embedding already names most people rightly (Mensink et al. 2013,
"Distance-Based Image Classification"; as the first weights of a classifier: Qi et al. 2018, "Low-Shot
Learning with Imprinted Weights", 1712.07136), and a random head would send large random gradients into a
network that is right.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # its usual name

from facewise.data.store import CropStore
from facewise.nn.losses.base import ClassHead
from facewise.nn.losses.sharded import ShardedHead
from facewise.nn.losses.softmax import Softmax
from facewise.nn.losses.subcenter_arcface import SubcenterArcFace
from facewise.preprocess import Preprocess

_PHOTOS = 50
"""Of one person that are embedded: a mean of more is no better, and 500 photos of one take as long as 50 of
ten."""

_BATCH = 64

_SPREAD = 16.0
"""Of plain softmax: what the squared distance of embeddings from their mean is, in logits. Half of what
margin losses use as scale (Wang et al. 2017, "NormFace", 1704.06369, section 3.3, on what too small and too
large do)."""

_APART = 0.01
"""Standard deviation of what is added to each of a person's centres, so that they are not one."""


@torch.no_grad()
def start_head(
    head: nn.Module,
    network: nn.Module,
    store: CropStore,
    preprocess: Preprocess,
    class_of: NDArray[np.int64] | None = None,
) -> bool:
    """Give a head the means of the training photos' embeddings, in place.

    A head of cosines gets means of unit vectors, of unit length. Plain softmax gets logits τ·(μ·x −
    ‖μ‖²/2), which is −τ/2·‖x − μ‖² but for what is the same for all people, with raw embeddings and τ such
    that these are neither all alike nor all sure.

    Args:
        head: The loss; one without a row a person, such as triplet, is left as it is.
        network: Pretrained, (N, 3, H, W) → (N, D).
        store: The photos to learn from.
        preprocess: The network's.
        class_of: (people,) the head's class of each person, or -1; None is the same numbers.

    Returns:
        Whether the head has such rows.
    """
    if not isinstance(head, ClassHead | ShardedHead):
        return False
    labels = store.labels if class_of is None else class_of[store.labels]
    chosen = _some_of_each(labels)
    raw = isinstance(head, Softmax)
    features = _embed(network, store, preprocess, chosen)
    features = features if raw else F.normalize(features, dim=1)
    index = torch.from_numpy(labels[chosen])
    means = torch.zeros(head.classes, features.shape[1]).index_add_(0, index, features)
    means /= torch.bincount(index, minlength=head.classes).clamp(min=1)[:, None]
    weight = head.weight
    if isinstance(head, Softmax):
        spread = float((features - features.mean(0)).square().sum(1).mean())
        factor = _SPREAD / max(spread, 1e-12)
        weight.copy_(factor * means)
        if head.bias is not None:
            head.bias.copy_(-0.5 * factor * means.square().sum(1))
        return True
    means = F.normalize(means, dim=1)
    if isinstance(head, ShardedHead):
        means = means[head.start : head.start + head.rows]
    elif isinstance(head, SubcenterArcFace):
        means = means.repeat_interleave(head.centers, dim=0)
        means = means + _APART * torch.randn(means.shape, generator=torch.Generator().manual_seed(0))
    weight.copy_(means)
    return True


def _some_of_each(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of up to so many photos of each class, from first to last, evenly; none of class -1."""
    chosen = []
    for label in np.unique(labels[labels >= 0]):
        own = np.flatnonzero(labels == label)
        chosen.append(own[np.linspace(0, len(own) - 1, min(_PHOTOS, len(own))).astype(np.int64)])
    return np.concatenate(chosen)


def _embed(network: nn.Module, store: CropStore, preprocess: Preprocess, chosen: NDArray[np.int64]) -> Tensor:
    """(N, D) float32 features on the CPU, in evaluation mode; the network's own mode is put back."""
    device = next(network.parameters()).device
    training = network.training
    network.eval()
    parts = []
    for start in range(0, len(chosen), _BATCH):
        images = torch.from_numpy(preprocess(store.take(chosen[start : start + _BATCH])))
        parts.append(network(images.to(device)).float().cpu())
    network.train(training)
    return torch.cat(parts)
