"""Crops of people who can be told apart, more or less, and a tiny network to do so."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from facewise.data.source import FileSource
from facewise.nn.backbones import BACKBONES

torch.set_num_threads(1)


@BACKBONES.register("test-methods-tiny")
class Tiny(nn.Sequential):
    """One convolution and one linear layer: trained in a moment."""

    embedding_size = 16

    def __init__(self, input_size=112, unit=False):  # noqa: ARG002
        super().__init__(
            nn.Conv2d(3, 8, 16, 16, bias=False),
            nn.BatchNorm2d(8),
            nn.PReLU(8),
            nn.Flatten(),
            nn.Linear(8 * (input_size // 16) ** 2, 16),
        )


class DrawnCrops(FileSource):
    """Crops drawn from the person's number: a coarse pattern of their own in noise.

    Args:
        photos: A number for all people, or one each.
        noise: Standard deviation of the coarse pattern's own noise, in grey levels.
    """

    def __init__(self, people=5, photos=10, noise=70.0, size=112, seed=0):
        self.size, self.seed, self.noise = size, seed, noise
        counts = [photos] * people if isinstance(photos, int) else list(photos)
        keys = [f"P{p:02d}/{k:03d}.png" for p, count in enumerate(counts) for k in range(count)]
        labels = np.repeat(np.arange(people), counts)
        super().__init__("drawn", ".", keys, labels, [f"P{p:02d}" for p in range(people)])

    @property
    def identity(self):
        return f"drawn crops {self.size} {self.seed} {self.noise} {self.keys}"

    def read(self, index):
        person = int(self.labels[index])
        coarse = np.random.default_rng([self.seed, person]).integers(40, 215, (7, 7, 3))
        rng = np.random.default_rng([self.seed, 9, index])
        coarse = coarse + rng.normal(0, self.noise, coarse.shape)
        side = self.size // 7
        return np.clip(np.kron(coarse, np.ones((side, side, 1))), 0, 255).astype(np.uint8)
