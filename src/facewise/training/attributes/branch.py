"""The training of one branch, readable from top to bottom.

A run that was stopped anywhere goes on to the same numbers, as what is drawn depends
on seed and step alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facewise.data.augment import Augmentation, augmentation
from facewise.errors import FacewiseError
from facewise.models.attributes import WORDS
from facewise.nn.attributes import Branch
from facewise.preprocess import Preprocess
from facewise.training import checkpoint
from facewise.training.attributes.config import AttributesConfig, BranchSettings
from facewise.training.attributes.faces import LEARN, VALIDATE, LabelledFaces
from facewise.training.attributes.loss import total, word_weights
from facewise.training.checkpoint import LAST, Checkpoint, Progress, folder_of
from facewise.training.display import Display, Quiet, describe
from facewise.training.ema import Ema
from facewise.training.engine import StoppedError
from facewise.training.interrupt import Interrupt
from facewise.training.log import MetricsLog
from facewise.training.optimizer import load_optimizer, make_optimizer, optimizer_tensors, set_rate
from facewise.training.pace import Pace
from facewise.training.schedule import rate_at
from facewise.types import Image

_BLACK = 0.5
"""Chance that what is black stays so; see `background`."""

_AGAIN = 1 / 3
"""Of the rate, in cycles after the first."""

_MEASURED = 256
"""Faces a call when validating."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Faces and labels of one step: (B, 3, S, S), and attribute → (B,) ages or (B, K) shares of words."""

    images: Tensor
    labels: Mapping[str, Tensor]


class BranchTrainer:
    """One branch as it learns.

    Attributes:
        branch: As it is trained; `used` is what to measure and export.
        progress: Where the run is.
    """

    def __init__(
        self,
        branch: Branch,
        faces: LabelledFaces,
        preprocess: Preprocess,
        config: AttributesConfig,
        settings: BranchSettings,
        folder: Path,
        *,
        pace: Pace | None = None,
        device: torch.device | None = None,
        identity: Mapping[str, str] | None = None,
        display: Display | None = None,
    ) -> None:
        """Prepare a run; `fit` runs it.

        Args:
            branch: Which learns.
            faces: What from.
            preprocess: Crops to the branch's input.
            config: All settings.
            settings: Those of this branch.
            folder: Where checkpoints and the log go.
            pace: In which precision, layers and memory layout.
            device: `cpu` or `cuda`.
            identity: Hashes that a checkpoint must share to be resumed from.
            display: Shows what happens.
        """
        self.device = torch.device("cpu") if device is None else device
        self.pace = Pace() if pace is None else pace
        self.branch = branch.to(self.device)
        self.pace.apply(self.branch)
        self.branch.to(memory_format=self.pace.memory_format)  # type: ignore[call-overload]
        self.scaler = self.pace.scaler(self.device)
        self.faces, self.preprocess, self.config = faces, preprocess, config
        self.names = tuple(branch.widths)
        self.augment = _augmentation(settings)
        self.learn = faces.chosen(self.names, LEARN)
        self.size = min(config.batch_size, len(self.learn))
        self.round = max(1, len(self.learn) // self.size)
        self.cycle = max(1, round(settings.epochs * self.round))
        self.steps = settings.cycles * self.cycle
        self.weights = {
            name: word_weights(_counts(faces.labels[name][self.learn], len(WORDS[name])), config.balance).to(
                self.device
            )
            for name in self.names
            if name != "age"
        }
        self.optimizer = make_optimizer(config.optimizer, self.branch, nn.Module())
        self.ema = Ema(self.branch, config.ema) if config.ema else None
        self.folder, self.identity = folder, dict(identity or {})
        self.display: Display = display or Quiet()
        self.progress = Progress()
        self._tensors: dict[Tensor, str] = {p: n for n, p in self.branch.named_parameters()}
        self._saved_at = time.monotonic()

    @property
    def used(self) -> Branch:
        """The branch to measure and export: the average of the weights, or the weights."""
        branch = self.branch if self.ema is None else self.ema.module
        assert isinstance(branch, Branch)  # noqa: S101  for the type checker
        return branch

    def fit(self) -> None:
        """Train until the end, or until somebody stops it.

        Raises:
            StoppedError: By Ctrl-C or a signal to end; the run is saved.
            FacewiseError: The loss is no number, or the disk is full.
        """
        progress, sums = self.progress, dict[str, float]()
        with (
            MetricsLog(self.folder, resume_step=progress.step) as log,
            Interrupt() as interrupt,
            ThreadPoolExecutor(1) as ahead,
            self.display,
        ):
            self.display.begin(self.steps, progress.step)
            coming = ahead.submit(self.batch, progress.step)
            begun = time.perf_counter()
            while progress.step < self.steps:
                batch, coming = coming.result(), self._ask(ahead, progress.step + 1)
                for name, value in self.step(batch).items():
                    sums[name] = sums.get(name, 0.0) + value
                progress.step += 1
                self.display.step({})
                if progress.step % self.round == 0 or progress.step == self.steps:
                    seconds = time.perf_counter() - begun
                    count = (progress.step - 1) % self.round + 1
                    progress.seconds += seconds
                    self._tell(log, {k: v / count for k, v in sums.items()}, count * self.size / seconds)
                    sums, begun = {}, time.perf_counter()
                if interrupt.asked and progress.step < self.steps:
                    self.save()
                    raise StoppedError(f"Stopped and saved at step {progress.step} of {self.steps}.")
                if (time.monotonic() - self._saved_at) / 60 > self.config.save_minutes:
                    self.save()
            progress.finished = True
            self.save()

    def _ask(self, ahead: ThreadPoolExecutor, number: int) -> Future[Batch]:
        return ahead.submit(self.batch, min(number, self.steps - 1))

    def _tell(self, log: MetricsLog, losses: Mapping[str, float], speed: float) -> None:
        step = self.progress.step
        log.write("train", step, {**losses, "images/s": round(speed, 1)})
        found = measured(self.faces, self.names, self.predict(self.faces.chosen(self.names, VALIDATE)))
        log.write("validation", step, found)
        self.display.say(
            f"{step} of {self.steps} steps: {describe({**losses, 'images/s': speed})}; "
            f"validation {describe(found)}"
        )

    def step(self, batch: Batch) -> dict[str, float]:
        """Update the weights once; returns the losses."""
        number, config = self.progress.step, self.config
        torch.manual_seed(config.seed + number)  # what dropout draws, so that it is the same after a stop
        cycle, place = divmod(number, self.cycle)
        if cycle and place == 0:
            self.branch.load_state_dict(self.used.state_dict())
        rate = rate_at(config.schedule, place, self.cycle, self.round)
        set_rate(self.optimizer, rate * (_AGAIN if cycle else 1.0))
        self.optimizer.zero_grad(set_to_none=True)
        self.branch.train()
        with self.pace.autocast(self.device):
            outputs = self.branch(batch.images)
        loss, parts = total(
            {name: output.float() for name, output in outputs.items()},
            batch.labels,
            self.weights,
            years=config.years,
            mean_weight=config.mean_weight,
        )
        if not math.isfinite(float(loss.detach())):
            raise FacewiseError(
                f"The loss is no number at step {number}; lower optimizer.rate ({config.optimizer.rate:g})."
            )
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.branch.parameters(), 5.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.ema is not None:
            self.ema.update(self.branch, place)
        return parts

    def batch(self, number: int) -> Batch:
        """The batch of a step; it depends on the seed and the step alone."""
        epoch, place = divmod(number, self.round)
        order = np.random.default_rng([self.config.seed, epoch]).permutation(self.learn)
        chosen = order[place * self.size : (place + 1) * self.size]
        rng = np.random.default_rng([self.config.seed, 1, number])
        changed = (self.augment(self.faces.crop(index), rng) for index in chosen.tolist())
        crops = np.stack([background(crop, rng) for crop in changed])
        return Batch(self._prepared(crops), self._labels(chosen))

    def predict(self, indices: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Attribute → (K, width) outputs of the branch in use for some faces, not augmented."""
        branch = self.used.eval()
        found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in self.names}
        for start in range(0, len(indices), _MEASURED):
            images = self._prepared(self.faces.some(indices[start : start + _MEASURED]))
            with torch.inference_mode(), self.pace.autocast(self.device):
                outputs = branch(images)
            for name, output in outputs.items():
                found[name].append(output.float().cpu().double().numpy())
        return {
            name: np.concatenate([np.empty((0, self.branch.widths[name])), *parts])
            for name, parts in found.items()
        }

    def _prepared(self, crops: NDArray[np.uint8]) -> Tensor:
        images = torch.from_numpy(self.preprocess(crops)).to(self.device)
        return images.contiguous(memory_format=self.pace.memory_format)

    def _labels(self, indices: NDArray[np.int64]) -> dict[str, Tensor]:
        found = {
            name: self.faces.labels[name][indices]
            if name == "age"
            else self.faces.shares(name, indices, self.config.smoothing)
            for name in self.names
        }
        return {name: torch.from_numpy(x.astype(np.float32)).to(self.device) for name, x in found.items()}

    def save(self) -> None:
        """Write a checkpoint."""
        tensors = {f"branch.{k}": v for k, v in self.branch.state_dict().items()}
        if self.ema is not None:
            tensors |= {f"ema.{k}": v for k, v in self.ema.module.state_dict().items()}
        tensors |= {f"optimizer.{k}": v for k, v in optimizer_tensors(self.optimizer, self._tensors).items()}
        checkpoint.save(folder_of(self.folder, LAST), Checkpoint(tensors, self.progress, self.identity))
        self._saved_at = time.monotonic()

    def load(self) -> None:
        """Go on where a stopped run was, if there is one.

        Raises:
            FacewiseError: Its checkpoint is of other settings or other photos.
        """
        if not checkpoint.exists(folder_of(self.folder, LAST)):
            return
        found = checkpoint.load(folder_of(self.folder, LAST))
        if dict(found.identity) != self.identity:
            raise FacewiseError(
                f"The run in {self.folder} is of other settings or other photos; name another folder."
            )
        self.branch.load_state_dict(found.part("branch"))
        if self.ema is not None:
            self.ema.module.load_state_dict(found.part("ema"))
        load_optimizer(self.optimizer, self._tensors, found.part("optimizer"))
        self.progress = found.progress


def background(crop: Image, rng: np.random.Generator) -> Image:
    """Half of the time something in place of what is black, as it is outside of photos that were cut close.

    Args:
        crop: (S, S, 3) RGB uint8; it may be changed.
        rng: Drawn from.
    """
    if rng.random() < _BLACK:
        return crop
    size, cells = crop.shape[0], int(rng.integers(1, 9))
    colours = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    smooth = cv2.resize(colours, (size, size), interpolation=cv2.INTER_LINEAR)
    outside = ~crop.any(axis=2)
    crop[outside] = smooth[outside]
    return crop


def measured(
    faces: LabelledFaces, names: tuple[str, ...], outputs: Mapping[str, NDArray[np.float64]]
) -> dict[str, float]:
    """Mean absolute error in years and accuracies on the faces to validate on."""
    chosen = faces.chosen(names, VALIDATE)
    found = {}
    for name in names:
        known = faces.labelled(name)[chosen]
        if not known.any():
            continue
        rows, labels = outputs[name][known], faces.labels[name][chosen][known]
        if name == "age":
            p = np.exp(rows - rows.max(axis=1, keepdims=True))
            mean = (p / p.sum(axis=1, keepdims=True)) @ np.arange(rows.shape[1])
            found["age"] = float(np.abs(mean - labels).mean())
        else:
            found[name] = float((rows.argmax(axis=1) == labels).mean())
    return found


def _augmentation(settings: BranchSettings) -> Augmentation:
    if isinstance(settings.augmentation, str):
        return augmentation(settings.augmentation)
    changes = dict(settings.augmentation)
    return augmentation(str(changes.pop("preset", "none")), **changes)


def _counts(labels: NDArray[np.float64], words: int) -> Tensor:
    return torch.from_numpy(np.bincount(labels[labels >= 0].astype(np.int64), minlength=words))
