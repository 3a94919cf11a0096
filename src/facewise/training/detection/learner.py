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
from facewise.training.detection.batches import SceneBatch
from facewise.training.detection.config import DetectorConfig
from facewise.training.detection.targets import joined
from facewise.training.ema import Ema
from facewise.training.optimizer import load_optimizer, make_optimizer, optimizer_tensors, set_rate
from facewise.training.pace import Pace, default_pace
from facewise.types import Image

MEAN = STD = 127.5
"""Grey levels to [-1, 1], RGB."""


class DetectorLearner:
    """What learns.

    Attributes:
        network: As it is trained; `used` is what to measure and export.
        pace: In which precision, layers and memory layout.
    """

    def __init__(
        self,
        config: DetectorConfig,
        device: str | torch.device = "cpu",
        network: SmallDetector | None = None,
        pace: Pace | None = None,
    ) -> None:
        """Prepare for training.

        Args:
            config: All settings.
            device: `cpu` or `cuda`.
            network: From `build`, which was called last of all that draws random numbers; None calls it.
            pace: How it is computed; None is what the settings say.

        Raises:
            SettingError: fp16 is asked for where there is no CUDA.
        """
        self.config, self.device = config, torch.device(device)
        network = build(config) if network is None else network
        self.pace = default_pace(config, network, self.device) if pace is None else pace
        self.pace.apply(network)
        self.network = network.to(self.device)
        self.network.to(memory_format=self.pace.memory_format)  # type: ignore[call-overload]
        self.scaler = self.pace.scaler(self.device)
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
        with self.pace.autocast(self.device):
            features = self.network.features(self._prepared(batch.images))
            outputs = self.network.read(features)
        loss, parts = self.loss(outputs, moved(joined(batch.targets), self.device))
        if self.config.hint:
            parts["hint"] = self.config.hint * self._hint(features, batch.hints)
            loss = loss + parts["hint"]
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        if self.config.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
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
        return prepared(images, self.device).contiguous(memory_format=self.pace.memory_format)

    def state(self) -> dict[str, Tensor]:
        """All tensors of a checkpoint."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"bridges.{k}": v for k, v in self.bridges.state_dict().items()}
        if self.ema is not None:
            tensors |= {f"ema.{k}": v for k, v in self.ema.module.state_dict().items()}
        tensors |= {f"optimizer.{k}": v for k, v in optimizer_tensors(self.optimizer, self._names).items()}
        return tensors | {f"scaler.{k}": torch.tensor(v) for k, v in self.scaler.state_dict().items()}

    def load(self, part: Callable[[str], dict[str, Tensor]]) -> None:
        """Put back what `state` gave; `part` gives the tensors of a part by its name."""
        self.network.load_state_dict(part("network"))
        self.bridges.load_state_dict(part("bridges"))
        if self.ema is not None:
            self.ema.module.load_state_dict(part("ema"))
        load_optimizer(self.optimizer, self._names, part("optimizer"))
        if self.scaler.is_enabled():
            self.scaler.load_state_dict({key: value.item() for key, value in part("scaler").items()})


def build(config: DetectorConfig) -> SmallDetector:
    """The network with its first weights, of the configuration's seed."""
    torch.manual_seed(config.seed)
    return SmallDetector(**config.network.model_dump())


def prepared(images: Image, device: torch.device) -> Tensor:
    """(B, H, W, 3) uint8 RGB to the network's (B, 3, H, W) input."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2)
    return (pixels.float() - MEAN) / STD


def moved(targets: AnchorTargets, device: torch.device) -> AnchorTargets:
    """Targets where the network is."""
    if device.type == "cpu":
        return targets
    return AnchorTargets(
        *(getattr(targets, name).to(device) for name in ("labels", "places", "boxes", "landmarks", "weights"))
    )
