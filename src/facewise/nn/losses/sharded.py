"""Partial FC: the class matrix split over the training processes, and only some of its rows used in a step.

An et al. 2020, "Partial FC: Training 10 Million Identities on a Single Machine" (2010.05222), and An et al.
2022, "Killing Two Birds with One Stone" (2203.15565). Of P processes each holds about C/P consecutive rows of
W. It gathers the embeddings of all, computes their cosines with its own rows, and shares with the others a
maximum, a sum of exponentials and the true logits, N numbers each: no process ever holds (N, C) logits or (C,
D) weights.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from facewise.errors import SettingError
from facewise.nn import collectives
from facewise.nn.losses.base import Head, MarginHead, require, unit
from facewise.nn.losses.registry import LOSSES

Margin = Literal["normface", "cosface", "arcface", "combined"]
"""The losses whose margin needs no more than the cosine of a photo and its person."""

_BLOCK = 1024
"""Rows drawn, or compared, at once."""


@LOSSES.register("partial-fc")
class ShardedHead(Head):
    """Cross entropy over all C people, of whose rows this process holds `start` to `start + rows`.

    Each process gives its own photos; the loss is the mean over the photos of all and is the same on all. Its
    gradients are those of one process with the whole matrix (see `facewise.nn.collectives`). The parameter
    must not be averaged over processes. With `sampling` below 1 its gradient is sparse, of the sampled rows
    only: use a row optimiser (`facewise.training.row_optim`), which leaves other rows and their state alone.

    Attributes:
        weight: (rows, D), this process's rows.
        draws: How many times negatives were sampled; part of the seed, so that a run resumes to the same
            ones.
    """

    sharded: ClassVar[bool] = True
    draws: Tensor

    def __init__(
        self,
        embedding_size: int,
        classes: int,
        margin: Margin = "arcface",
        scale: float | None = None,
        margin_options: dict[str, Any] | None = None,
        sampling: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Make this process's part; the process group, if there is one, must have begun.

        Args:
            embedding_size: D.
            classes: C.
            margin: The loss whose margin is used.
            scale: s; by default that of the margin's loss.
            margin_options: Other options of that loss, such as `{"margin": 0.4}`.
            sampling: r in (0, 1], the share of the rows used in a step: those of the people in the batch, and
                random others up to r of the process's rows.
            seed: Of the first weights, the same ones for any number of processes, and of the sampling.

        Raises:
            SettingError: An option is unknown or out of range.
        """
        super().__init__(embedding_size, classes)
        require(margin in get_args(Margin), "margin", repr(margin), f"one of {', '.join(get_args(Margin))}")
        require(0 < sampling <= 1, "sampling", sampling, "above 0 and at most 1")
        require(classes >= collectives.size(), "classes", classes, "at least one a process")
        options = dict(margin_options or {}) | ({} if scale is None else {"scale": scale})
        plain = LOSSES.build(margin, embedding_size, 2, **options)
        assert isinstance(plain, MarginHead)  # noqa: S101  all of `Margin` are
        self.scale = plain.scale
        self._margin = plain.margin
        self.sampling = sampling
        self.seed = seed
        self.start, stop = bounds(classes, collectives.rank(), collectives.size())
        self.rows = stop - self.start
        self.weight = nn.Parameter(_first_rows(self.start, stop, embedding_size, seed))
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The mean over the photos of all processes.

        Args:
            embeddings: (n, D), this process's; n may differ between processes.
            labels: (n,), people from 0 to C - 1.

        Raises:
            SettingError: A label is none of the classes.
        """
        embeddings = collectives.gather_embeddings(embeddings, copies=False)
        labels = collectives.gather_rows(labels)[0]
        self._check(labels)
        photos, columns = self._owned(labels)
        weight: Tensor = self.weight
        if self.training and self.sampling < 1:
            sample = self._sample(columns)
            weight = nn.functional.embedding(sample, self.weight, sparse=True)
            columns = torch.searchsorted(sample, columns)
        logits = nn.functional.linear(unit(embeddings) * self.scale, unit(self.precise(weight)))
        target = logits[photos, columns] / self.scale
        target = self._margin(target, embeddings[photos].norm(dim=1)) * self.scale
        logits = logits.index_put_((photos, columns), target)  # in place: the largest tensor of a step
        loss: Tensor = _ShardedCrossEntropy.apply(logits, photos, columns)  # type: ignore[no-untyped-call]
        return loss

    def logits(self, embeddings: Tensor) -> Tensor:
        """Cosines (N, C), where one process has them all.

        Raises:
            SettingError: There are several processes; `predict` needs no such matrix.
        """
        if self.rows < self.classes:
            raise SettingError(
                "The classes are spread over processes; ask the loss to predict instead of for logits."
            )
        with torch.autocast(embeddings.device.type, enabled=False):
            return nn.functional.linear(unit(self.precise(embeddings)), unit(self.precise(self.weight)))

    @torch.no_grad()
    def predict(self, embeddings: Tensor) -> Tensor:
        """The person of the highest cosine, out of all C; to be called by all processes at once.

        Args:
            embeddings: (n, D), this process's.

        Returns:
            (n,) int64.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            everyone, start = collectives.gather_rows(unit(self.precise(embeddings)))
            best = everyone.new_full((len(everyone),), -math.inf)
            person = torch.zeros(len(everyone), dtype=torch.int64, device=everyone.device)
            for first in range(0, self.rows, _BLOCK):
                cosines = nn.functional.linear(
                    everyone, unit(self.precise(self.weight[first : first + _BLOCK]))
                )
                value, column = cosines.max(dim=1)
                person = torch.where(value > best, column + (self.start + first), person)
                best = torch.maximum(best, value)
        winner = collectives.stack_all(best).argmax(dim=0, keepdim=True)
        return collectives.stack_all(person).gather(0, winner)[0, start : start + len(embeddings)]

    def _check(self, labels: Tensor) -> None:
        low, high = (int(end) for end in torch.stack(labels.aminmax()).tolist())
        require(
            low >= 0 and high < self.classes, "labels", low if low < 0 else high, f"in [0, {self.classes})"
        )

    def _owned(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Which photos show people of this process, and those people's rows, both (K,)."""
        rows = labels - self.start
        photos = ((rows >= 0) & (rows < self.rows)).nonzero().squeeze(1)
        return photos, rows[photos]

    def _sample(self, people: Tensor) -> Tensor:
        """Rows to use, sorted: those of the people in the batch, and random others as the rate allows.

        The j-th of the other rows is j + how many people come before it: random numbers j without repetition
        give rows without repetition, and no tensor of all rows is needed.
        """
        positives = np.unique(people.cpu().numpy())
        count = max(math.ceil(self.sampling * self.rows) - len(positives), 0)
        random = np.random.default_rng([self.seed, int(self.draws), collectives.rank()])
        others = random.choice(self.rows - len(positives), count, replace=False, shuffle=False)
        before = np.searchsorted(positives - np.arange(len(positives)), others, side="right")
        self.draws += 1
        return torch.from_numpy(np.sort(np.concatenate([positives, others + before]))).to(people.device)


def bounds(classes: int, rank: int, size: int) -> tuple[int, int]:
    """The first row that a process holds and the one after its last: shares differ by one row at most."""
    return classes * rank // size, classes * (rank + 1) // size


def _first_rows(start: int, stop: int, embedding_size: int, seed: int) -> Tensor:
    """Rows `start` to `stop` of the first weights, N(0, 0.01²): a row's numbers depend on its block only."""
    weight = torch.empty(stop - start, embedding_size)
    for block in range(start // _BLOCK, -(-stop // _BLOCK)):
        drawn = np.random.default_rng([seed, block]).standard_normal((_BLOCK, embedding_size), np.float32)
        first, last = max(start, block * _BLOCK), min(stop, (block + 1) * _BLOCK)
        part = drawn[first - block * _BLOCK : last - block * _BLOCK] * np.float32(0.01)
        weight[first - start : last - start] = torch.from_numpy(part)
    return weight


class _ShardedCrossEntropy(torch.autograd.Function):
    """Mean cross entropy of logits (N, R), whose other columns are on other processes: 2010.05222, section 3.

    The gradient (softmax − one-hot)/N is that of the whole loss by this process's logits; it needs no
    collective.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, photos: Tensor, columns: Tensor) -> Tensor:
        highest = collectives.max_all(logits.amax(dim=1))
        softmax = (logits - highest[:, None]).exp_()
        target = logits.new_zeros(len(logits))
        target[photos] = logits[photos, columns]
        total, target = collectives.sum_all(torch.stack([softmax.sum(dim=1), target]))
        ctx.save_for_backward(softmax.div_(total[:, None]), photos, columns)
        loss: Tensor = (total.log() + highest - target).mean()
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        softmax, photos, columns = ctx.saved_tensors
        step = gradients[0] / len(softmax)
        gradient = softmax * step
        gradient[photos, columns] -= step
        return gradient, None, None
