"""A detector and its loss as they learn: one step, and all that must be saved of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from facewise.nn.detectors.multibox import AnchorTargets, MultiBoxLoss
from facewise.nn.detectors.small import SmallDetector
from facewise.nn.fast import faster
from facewise.training.detection.batches import SceneBatch
from facewise.training.detection.config import DetectorConfig
from facewise.training.detection.targets import joined
from facewise.training.ema import Ema
from facewise.training.optimizer import load_optimizer, make_optimizer, optimizer_tensors, set_rate
from facewise.types import Image

MEAN = STD = 127.5
"""Grey levels to [-1, 1], RGB."""


class DetectorLearner:
    """What learns.

    Attributes:
        network: As it is trained; `used` is what to measure and export.
    """

    def __init__(self, config: DetectorConfig, device: str | torch.device = "cpu") -> None:
        self.config, self.device = config, torch.device(device)
        torch.manual_seed(config.seed)
        network = SmallDetector(**config.network.model_dump())
        if config.fast_layers and self.device.type == "cpu":
            faster(network)
        self.network = network.to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.loss = MultiBoxLoss(**config.loss.model_dump())
        # From our features to the labelling detector's, for training alone.
        self.bridges = nn.ModuleList(
            nn.Conv2d(width, config.hint_channels, 1) for width in config.network.pyramid if config.hint
        ).to(self.device)
        self.optimizer = make_optimizer(config.optimizer, self.network, self.bridges)
        self.ema = Ema(self.network, config.ema) if config.ema else None
        self._names: dict[Tensor, str] = {p: f"network.{n}" for n, p in self.network.named_parameters()}
        self._names |= {p: f"bridges.{n}" for n, p in self.bridges.named_parameters()}

    @property
    def used(self) -> SmallDetector:
        """The network to measure and export: the average of the weights, or the weights."""
        network = self.network if self.ema is None else self.ema.module
        assert isinstance(network, SmallDetector)  # noqa: S101  for the type checker
        return network

    def step(self, batch: SceneBatch, number: int, rate: float) -> dict[str, float]:
        """Update the weights once.

        Args:
            batch: Scenes.
            number: Of the step, from 0.
            rate: Fraction of the top learning rate.

        Returns:
            The loss and its parts.
        """
        set_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        bf16 = self.config.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            features = self.network.features(self._prepared(batch.images))
            outputs = self.network.read(features)
        loss, parts = self.loss(outputs, self._moved(joined(batch.targets)))
        if self.config.hint:
            parts["hint"] = self.config.hint * self._hint(features, batch.hints)
            loss = loss + parts["hint"]
        loss.backward()
        if self.config.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.optimizer.step()
        if self.ema is not None:
            self.ema.update(self.network, number)
        return {"loss": float(loss.detach())} | {name: float(part.detach()) for name, part in parts.items()}

    def _hint(self, features: tuple[Tensor, ...], hints: Sequence[NDArray[np.float16]]) -> Tensor:
        """Mean over the strides of the squared error in units of the teacher's mean variance of a channel."""
        errors = []
        for feature, bridge, hint in zip(features, self.bridges, hints, strict=True):
            target = torch.from_numpy(hint).to(self.device).float()
            variance = target.var((0, 2, 3), correction=0).mean().clamp_min(1e-6)
            errors.append(functional.mse_loss(bridge(feature.float()), target) / variance)
        return torch.stack(errors).mean()

    def _prepared(self, images: Image) -> Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self.device).permute(0, 3, 1, 2)
        return ((pixels.float() - MEAN) / STD).contiguous(memory_format=torch.channels_last)

    def _moved(self, targets: AnchorTargets) -> AnchorTargets:
        if self.device.type == "cpu":
            return targets
        return AnchorTargets(
            *(
                getattr(targets, name).to(self.device)
                for name in ("labels", "places", "boxes", "landmarks", "weights")
            )
        )

    def state(self) -> dict[str, Tensor]:
        """All tensors of a checkpoint."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"bridges.{k}": v for k, v in self.bridges.state_dict().items()}
        if self.ema is not None:
            tensors |= {f"ema.{k}": v for k, v in self.ema.module.state_dict().items()}
        return tensors | {
            f"optimizer.{k}": v for k, v in optimizer_tensors(self.optimizer, self._names).items()
        }

    def load(self, part: Callable[[str], dict[str, Tensor]]) -> None:
        """Put back what `state` gave; `part` gives the tensors of a part by its name."""
        self.network.load_state_dict(part("network"))
        self.bridges.load_state_dict(part("bridges"))
        if self.ema is not None:
            self.ema.module.load_state_dict(part("ema"))
        load_optimizer(self.optimizer, self._names, part("optimizer"))
