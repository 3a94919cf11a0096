"""A network and its loss as they learn: one step, one embedding, and all that must be saved of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facewise.data.batches import Batch
from facewise.errors import SettingError
from facewise.nn import collectives
from facewise.nn.losses.base import Head
from facewise.nn.losses.sharded import ShardedHead
from facewise.preprocess import Preprocess
from facewise.training.clipping import clip_gradients
from facewise.training.config import Config
from facewise.training.distill import Distiller
from facewise.training.distributed import World
from facewise.training.ema import Ema
from facewise.training.freezing import Freezing
from facewise.training.optimizer import load_optimizer, make_optimizer, optimizer_tensors, set_rate
from facewise.training.pace import Pace, default_pace
from facewise.training.row_optim import RowAdamW, RowSGD


class Learner:
    """What learns.

    Attributes:
        network: The backbone as it is trained; `used_network` is what to measure and export.
        head: The loss.
        split: The loss's matrix is split over the processes, which changes how it is saved and averaged.
        ema: The average of both, or None.
        distiller: The teachers, or None.
        preprocess: How crops become the network's input.
        freezing: What of the network learns when, or None: all of it always.
        pace: In which precision and memory layout.
    """

    def __init__(
        self,
        config: Config,
        network: nn.Module,
        head: Head,
        world: World,
        preprocess: Preprocess,
        distiller: Distiller | None = None,
        freezing: Freezing | None = None,
        pace: Pace | None = None,
    ) -> None:
        """Prepare for training.

        Args:
            config: All settings.
            network: (N, 3, S, S) → (N, D), not of unit length.
            head: The loss.
            world: The processes; within its context.
            preprocess: How crops become the network's input.
            distiller: Opened teachers, if there are to be any.
            freezing: Of a pretrained `network`.
            pace: How it is computed; `network` has its fast layers. None is what the settings say.

        Raises:
            SettingError: Settings do not go together.
        """
        self.preprocess, self.freezing = preprocess, freezing
        self.config, self.world, self.device = config, world, world.device
        self.pace = default_pace(config, network, self.device) if pace is None else pace
        self.network: nn.Module = network.to(self.device)
        self.network.to(memory_format=self.pace.memory_format)  # type: ignore[call-overload]
        self.head = head.to(self.device)
        self.split = isinstance(head, ShardedHead)
        self.scaler = self.pace.scaler(self.device)
        if self.scaler.is_enabled() and self.split and world.size > 1:
            # Each process would scale by what its own rows overflow at.
            raise SettingError("precision=fp16 does not go with partial-fc in several processes; use fp32.")
        self.replica = world.replicate(self.network)
        if not self.split:
            world.copy_from_main(self.head)
        self._called: Any = torch.compile(self.replica) if config.compile else self.replica
        self.optimizer, self.head_optimizer = self._optimizers()
        # The average of a split head would be as large as the head: its own weights are used then.
        self._averaged = nn.ModuleDict(
            {"network": self.network} | ({} if self.split else {"head": self.head})
        )
        self.ema = Ema(self._averaged, config.ema) if config.ema else None
        self.distiller = distiller
        if distiller is not None:  # after the average was copied, which nobody watches
            distiller.attach(self.network)
        self._mean = torch.tensor(preprocess.mean, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(preprocess.std, device=self.device).view(1, 3, 1, 1)
        self._names: dict[Tensor, str] = {p: f"network.{n}" for n, p in self.network.named_parameters()}
        self._names |= {p: f"head.{n}" for n, p in self.head.named_parameters()}

    @property
    def counts(self) -> bool:
        """Whether the loss knows who it takes each photo for, so that accuracy can be counted in training."""
        return hasattr(self.head, "logits") and not self.split and self.distiller is None

    @property
    def used_network(self) -> nn.Module:
        """The backbone to measure and export: the average of the weights, or the weights."""
        return self.network if self.ema is None else self.ema.module.get_submodule("network")

    @property
    def used_head(self) -> nn.Module:
        """The loss that goes with `used_network`."""
        return self.head if self.ema is None or self.split else self.ema.module.get_submodule("head")

    def train(self) -> None:
        """Training mode."""
        self.network.train()
        self.head.train()

    def step(self, batch: Batch, number: int, rate: float, epoch: float = 0.0) -> tuple[float, int, int]:
        """Update the weights once.

        Args:
            batch: This process's share.
            number: Of the step, from 0.
            rate: Fraction of the top learning rate.
            epoch: Epochs done, with the fraction of the one at hand.

        Returns:
            The loss over all processes, how many photos were named rightly, and of how many.
        """
        for optimizer in self._all_optimizers():
            set_rate(optimizer, rate)
            optimizer.zero_grad(set_to_none=True)
        if self.freezing is not None:
            self.freezing.apply(epoch)
        total, correct, count = 0.0, 0, 0
        parts = np.array_split(np.arange(len(batch.labels)), self.config.accumulate)
        for i, part in enumerate(parts):
            share = len(part) / len(batch.labels)
            with self.world.accumulate(self.replica, last=i == len(parts) - 1):
                place = (self.config.seed, number, i)
                if self.distiller is None:
                    loss, right, photos = self._forward(batch, part, place)
                else:
                    loss, right, photos = self._distill(self.distiller, batch, part, place, epoch)
                self.scaler.scale(loss * share).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach()) * share
            correct, count = correct + right, count + photos
        for optimizer in self._all_optimizers():
            self.scaler.unscale_(optimizer)
        if self.config.clip is not None:
            self._clip(self.config.clip)
        for optimizer in self._all_optimizers():
            self.scaler.step(optimizer)
        self.scaler.update()
        if self.ema is not None:
            self.ema.update(self._averaged, number)
        return total, correct, count

    def _forward(
        self, batch: Batch, part: NDArray[np.int64], place: tuple[int, ...]
    ) -> tuple[Tensor, int, int]:
        images = self.prepare(batch.images[part])
        labels = torch.from_numpy(batch.labels[part]).to(self.device)
        # What is drawn at random is the same whatever came before; dropout differs between processes.
        _seed(*place, self.world.rank)
        with self.pace.autocast(self.device):
            embeddings = self._called(images)
        if not self.split:  # every process computes the whole loss from all embeddings
            embeddings, labels = collectives.gather_batch(embeddings, labels)
        _seed(*place)  # a loss with random margins draws the same ones in every process
        loss: Tensor = self.head(embeddings, labels)
        if not self.counts:
            return loss, 0, len(labels) * (self.world.size if self.split else 1)
        with torch.no_grad():
            logits: Tensor = self.head.logits(embeddings.detach())  # type: ignore[operator]
            return loss, int((logits.argmax(1) == labels).sum()), len(labels)

    def _distill(
        self,
        distiller: Distiller,
        batch: Batch,
        part: NDArray[np.int64],
        place: tuple[int, ...],
        epoch: float,
    ) -> tuple[Tensor, int, int]:
        crops, mixed = distiller.mix(batch.images[part], place)
        answer, images = distiller.ask(crops), self.prepare(crops)
        force = distiller.forces(epoch, place)
        _seed(*place)
        with self.pace.autocast(self.device):
            embeddings = distiller.run(self._called, images, answer, force=force)
        loss = distiller.loss(embeddings, answer)
        classes = distiller.class_of[batch.labels[part]]
        named = np.flatnonzero(classes >= 0)
        if distiller.config.loss and not mixed and len(named) > 1:
            labels = torch.from_numpy(classes[named]).to(self.device)
            _seed(*place)
            loss = loss + distiller.config.loss * self.head(embeddings[named], labels)
        return loss, 0, len(part)

    def _clip(self, limit: float) -> None:
        copies = [p for p in self.network.parameters() if p.requires_grad]
        own = list(self.head.parameters())
        clip_gradients(copies if self.split else copies + own, own if self.split else [], limit=limit)

    @torch.no_grad()
    def embed(self, crops: NDArray[np.uint8]) -> Tensor:
        """(B, S, S, 3) uint8 crops to (B, D) float32 features, in evaluation mode."""
        network = self.used_network
        training = network.training
        network.eval()
        with self.pace.autocast(self.device):
            features: Tensor = network(self.prepare(crops))
        network.train(training)
        return features.float()

    def prepare(self, crops: NDArray[np.uint8]) -> Tensor:
        """(B, S, S, 3) uint8 RGB to the network's (B, 3, S, W) input, as `preprocess` does it."""
        images = torch.from_numpy(np.ascontiguousarray(crops)).to(self.device).permute(0, 3, 1, 2)
        if self.preprocess.width is not None:
            side = (images.shape[3] - self.preprocess.width) // 2
            images = images[..., side : side + self.preprocess.width]
        if self.preprocess.color == "BGR":
            images = images.flip(1)
        return ((images.float() - self._mean) / self._std).contiguous(memory_format=self.pace.memory_format)

    def _all_optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.optimizer, *([self.head_optimizer] if self.head_optimizer is not None else [])]

    def _optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer | None]:
        config, shares = self.config.optimizer, None
        if self.freezing is not None:
            shares = self.freezing.rates()
            if self.freezing.never:
                self.network.requires_grad_(requires_grad=False)
        if not self.split:
            return make_optimizer(config, self.network, self.head, shares), None
        rate = config.rate if config.head_rate is None else config.head_rate
        decay = config.weight_decay if config.head_weight_decay is None else config.head_weight_decay
        if config.name == "adam" and decay:
            raise SettingError("partial-fc does not decay with adam: set optimizer.name=adamw.")
        rows: torch.optim.Optimizer = (
            RowAdamW(self.head.parameters(), lr=rate, betas=config.betas, weight_decay=decay)
            if config.name in ("adam", "adamw")  # the same where nothing decays
            else RowSGD(self.head.parameters(), lr=rate, momentum=config.momentum, weight_decay=decay)
        )
        for group in rows.param_groups:
            group["top_rate"] = rate
        return make_optimizer(config, self.network, nn.Identity(), shares), rows

    def state(self) -> dict[str, Tensor]:
        """All tensors of a checkpoint, but those of a split loss."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        if not self.split:
            tensors |= {f"head.{k}": v for k, v in self.head.state_dict().items()}
        if self.ema is not None:
            tensors |= {f"ema.{k}": v for k, v in self.ema.module.state_dict().items()}
        tensors |= {f"optimizer.{k}": v for k, v in optimizer_tensors(self.optimizer, self._names).items()}
        return tensors | {f"scaler.{k}": torch.tensor(v) for k, v in self.scaler.state_dict().items()}

    def load(self, part: Callable[[str], dict[str, Tensor]]) -> None:
        """Put back what `state` gave; `part` gives the tensors of a part by its name."""
        self.network.load_state_dict(part("network"))
        if not self.split:
            self.head.load_state_dict(part("head"))
        if self.ema is not None:
            self.ema.module.load_state_dict(part("ema"))
        load_optimizer(self.optimizer, self._names, part("optimizer"))
        if self.scaler.is_enabled():
            self.scaler.load_state_dict({key: value.item() for key, value in part("scaler").items()})


def _seed(*numbers: int) -> None:
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
