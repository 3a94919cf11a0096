"""Measuring a network while it trains: loss and accuracy on known people, verification on unknown ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from facewise.data.store import CropStore
from facewise.errors import DatasetError, FacewiseError
from facewise.metrics.operating_point import tar_at_fmr
from facewise.metrics.roc_curve import auc, eer
from facewise.nn.losses.base import Head


class NotFiniteError(FacewiseError):
    """What is measured is no number: whoever trains says what to change."""


Embed = Callable[[NDArray[np.uint8]], Tensor]
"""(B, S, S, 3) uint8 crops to (B, D) features, not of unit length."""

_BATCH = 128
_IMPOSTORS = 20_000
_OF_ONE = 50
"""Pairs of one person."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of crops of a store.

    Attributes:
        a, b: (P,) their numbers.
        same: (P,) whether both show one person.
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    same: NDArray[np.bool_]


def make_pairs(labels: NDArray[np.int64], seed: int, most: int = _IMPOSTORS) -> Pairs:
    """Pairs of one person's photos and as many of two people's, at most `most` of each, drawn by seed.

    Of each person at most 50 pairs are taken.

    Raises:
        DatasetError: There are no pairs of one kind.
    """
    counts = np.bincount(labels)
    if np.count_nonzero(counts) < 2 or counts.max() < 2:
        raise DatasetError(
            f"The held-out people, {np.count_nonzero(counts)} with {len(labels)} photos, make no pairs: "
            "raise data.held_out_people, or hold out nobody."
        )
    rng = np.random.default_rng([seed, len(labels)])
    genuine: list[tuple[int, int]] = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        first, second = np.triu_indices(len(own), 1)
        if len(first) > _OF_ONE:  # who has hundreds of photos must not speak for everybody
            chosen = np.sort(rng.choice(len(first), _OF_ONE, replace=False))
            first, second = first[chosen], second[chosen]
        genuine += zip(own[first].tolist(), own[second].tolist(), strict=True)
    if len(genuine) > most:
        genuine = [genuine[i] for i in np.sort(rng.choice(len(genuine), most, replace=False))]
    wanted = min(most, max(len(genuine), 1000))
    a, b = rng.integers(0, len(labels), (2, 4 * wanted))
    different = labels[a] != labels[b]
    a, b = a[different][:wanted], b[different][:wanted]
    first, second = np.array(genuine, np.int64).reshape(-1, 2).T
    return Pairs(
        np.concatenate([first, a]),
        np.concatenate([second, b]),
        np.concatenate([np.ones(len(first), bool), np.zeros(len(a), bool)]),
    )


@torch.no_grad()
def embed_store(store: CropStore, embed: Embed) -> Tensor:
    """(N, D) float32 features of every crop, in order.

    Raises:
        NotFiniteError: One is no number.
    """
    parts = [
        embed(store.take(np.arange(start, min(start + _BATCH, len(store))))).float().cpu()
        for start in range(0, len(store), _BATCH)
    ]
    found = torch.cat(parts)
    if not bool(found.isfinite().all()):
        raise NotFiniteError("The embeddings of held-out photos became NaN or infinite")
    return found


@torch.no_grad()
def accuracy_and_loss(store: CropStore, embed: Embed, head: Any, device: torch.device) -> dict[str, float]:
    """How often the head names the person rightly, and its loss, on held-out photos of the people it knows.

    Args:
        store: Labels are those the head was trained with.
        embed: The network.
        head: With `logits`, for accuracy; any head gives a loss.
        device: Where the head is.
    """
    embeddings = embed_store(store, embed).to(device)
    labels = torch.from_numpy(store.labels).to(device)
    head.eval()
    found: dict[str, float] = {}
    parts = range(0, len(labels), _BATCH)
    if isinstance(head, Head):
        losses = [float(head(embeddings[i : i + _BATCH], labels[i : i + _BATCH])) for i in parts]
        sizes = [len(labels[i : i + _BATCH]) for i in parts]
        found["loss"] = float(np.average(losses, weights=sizes))
    named = people_named(head, embeddings)
    if named is not None:
        found["accuracy"] = float((named == labels).double().mean())
    return found


@torch.no_grad()
def people_named(head: Any, embeddings: Tensor) -> Tensor | None:
    """(N,) who a head takes each of (N, D) features for; None where it names nobody.

    A head split over processes has no logits of all people, but knows the nearest; all must ask alike.
    """
    if not hasattr(head, "logits"):
        return None
    head.eval()
    name = getattr(head, "predict", lambda some: head.logits(some).argmax(1))
    return torch.cat([name(some) for some in torch.split(embeddings, _BATCH)])


def agreement(store: CropStore, embed: Embed, taught: Tensor) -> float:
    """Mean cosine between a student's embeddings and its teachers' answers.

    Args:
        store: N crops.
        embed: The student.
        taught: (N, D) unit vectors.
    """
    return float(functional.cosine_similarity(embed_store(store, embed), taught.cpu()).mean())


def pair_cosines(unit: NDArray[np.float32], pairs: Pairs) -> NDArray[np.float64]:
    """(P,) cosines in [-1, 1] of pairs of (N, D) unit vectors."""
    cosines = np.einsum("ij,ij->i", unit[pairs.a], unit[pairs.b]).astype(np.float64)
    return np.asarray(cosines.clip(-1.0, 1.0), np.float64)


def verification(store: CropStore, embed: Embed, pairs: Pairs) -> dict[str, float]:
    """AUC, EER and TAR at FMR 1e-2 on pairs of people the network was never shown."""
    scores = pair_cosines(functional.normalize(embed_store(store, embed), dim=1).numpy(), pairs)
    return {
        "auc": float(auc(scores, pairs.same)),
        "eer": float(eer(scores, pairs.same).rate),
        "tar@fmr=0.01": float(tar_at_fmr(scores, pairs.same, 0.01).tar),
    }
