"""Small crops of people who can be told apart, and a tiny network to do so."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from facewise.data.source import FileSource
from facewise.nn.backbones import BACKBONES

torch.set_num_threads(1)


@BACKBONES.register("test-tiny")
class Tiny(nn.Module):
    """Two convolutions with batch norm, a PReLU and dropout: quick to train, and with all kinds of state."""

    def __init__(self, embedding_size=16, dropout=0.2, input_size=32, unit=False):  # noqa: ARG002
        super().__init__()
        self.embedding_size = embedding_size
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 5, 4, 2, bias=False),
            nn.BatchNorm2d(16),
            nn.PReLU(16),
            nn.Conv2d(16, 16, 3, 2, 1, groups=16, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
        )
        self.top = nn.Sequential(
            nn.Flatten(), nn.Dropout(dropout), nn.Linear(16 * (input_size // 8) ** 2, embedding_size)
        )

    def forward(self, x):
        return self.top(self.features(x))


@BACKBONES.register("test-smooth")
class Smooth(nn.Sequential):
    """Batch norm and nothing that rounding could tip over: no ReLU, no dropout."""

    embedding_size = 16

    def __init__(self, input_size=32, unit=False):  # noqa: ARG002
        super().__init__(
            nn.Conv2d(3, 12, 5, 4, 2, bias=False),
            nn.BatchNorm2d(12),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(12 * (input_size // 4) ** 2, 16),
            nn.BatchNorm1d(16),
        )


SMOOTH = {
    "data.size": 32,
    "data.batch_size": 8,
    "data.min_photos": 2,
    "data.held_out_photos": 0.0,
    "data.held_out_people": 0.2,
    "backbone": "test-smooth",
    "optimizer.rate": 0.02,
}


@BACKBONES.register("test-flat")
class Flat(nn.Sequential):
    """One linear layer: nothing in it depends on what else is in the batch."""

    embedding_size = 16

    def __init__(self, input_size=32, unit=False):  # noqa: ARG002
        super().__init__(nn.Flatten(), nn.Linear(3 * input_size**2, 16))


class DrawnPeople(FileSource):
    """Crops drawn from the person's number: a pattern of their own, shifted and with noise."""

    def __init__(self, people=6, photos=8, size=32, seed=0):
        self.size, self.seed = size, seed
        keys = [f"P{p:02d}/{k:02d}.png" for p in range(people) for k in range(photos)]
        labels = np.repeat(np.arange(people), photos)
        super().__init__("drawn", ".", keys, labels, [f"P{p:02d}" for p in range(people)])

    @property
    def identity(self):
        return f"drawn {self.size} {self.seed} {len(self.keys)}"

    def read(self, index):
        person = int(self.labels[index])
        coarse = np.random.default_rng([self.seed, person]).integers(0, 255, (4, 4, 3))
        pattern = np.kron(coarse, np.ones((self.size // 4, self.size // 4, 1)))
        rng = np.random.default_rng([self.seed, 7, index])
        return np.clip(
            np.roll(pattern, rng.integers(-2, 3, 2), (0, 1)) + rng.normal(0, 25, pattern.shape), 0, 255
        ).astype(np.uint8)
