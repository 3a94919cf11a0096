"""The training loop, readable from top to bottom.

All that is drawn at random depends on the seed and on where the run is, never on what happened before: a run
that was stopped anywhere goes on to the same numbers, and several processes see the batches of one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from facewise.data.batches import Batch, Batches
from facewise.data.store import CropStore
from facewise.errors import FacewiseError, SettingError
from facewise.nn.losses.sharded import ShardedHead
from facewise.training import checkpoint
from facewise.training.checkpoint import BEST, LAST, Checkpoint, Progress, folder_of
from facewise.training.display import Display, Quiet, describe
from facewise.training.interrupt import Interrupt
from facewise.training.learner import Learner
from facewise.training.log import MetricsLog
from facewise.training.schedule import rate_at
from facewise.training.shards import load_shards, read_shards, remove_shards, shard_state, write_shard
from facewise.training.validation import (
    NotFiniteError,
    accuracy_and_loss,
    agreement,
    embed_store,
    make_pairs,
    verification,
)

_STEADIER = (
    "lower optimizer.rate or the margin, lengthen schedule.warmup_epochs, or set precision=fp32. The last "
    "checkpoint is from before that."
)


class StoppedError(FacewiseError):
    """Somebody stopped the run; it is saved and can be resumed."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Crops for a run.

    Attributes:
        train: What is learned from; labels are classes.
        known: Other photos of the same people, with the same labels, or None.
        unknown: Photos of people who are not in `train`, or None.
    """

    train: CropStore
    known: CropStore | None = None
    unknown: CropStore | None = None


class Trainer:
    """One run: a learner shown batches, validated, saved.

    Attributes:
        progress: Where the run is.
    """

    def __init__(
        self,
        learner: Learner,
        data: TrainingData,
        batches: Batches,
        folder: Path,
        *,
        identity: dict[str, str] | None = None,
        display: Display | None = None,
    ) -> None:
        """Prepare a run; `fit` runs it.

        Args:
            learner: Network and loss.
            data: Crops.
            batches: Of `data.train`; of this process's share.
            folder: Of the run.
            identity: Hashes that a checkpoint must share to be resumed from.
            display: Shows what happens.
        """
        self.learner, self.data, self.batches, self.folder = learner, data, batches, folder
        self.config, self.world = learner.config, learner.world
        self.identity = identity or {}
        self.display: Display = (display or Quiet()) if self.world.is_main else Quiet()
        drawn_by = self.config.data.split_seed
        seed = self.config.seed if drawn_by is None else drawn_by
        self.pairs = None if data.unknown is None else make_pairs(data.unknown.labels, seed)
        self.progress = Progress()
        self._answers: Tensor | None = None
        self._saved_at = time.monotonic()

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.config.epochs * len(self.batches)

    @property
    def best_by(self) -> str | None:
        """What the best checkpoint is chosen by, or None: the last is."""
        if self.config.best_by is not None:
            return self.config.best_by
        if self.data.known is not None:
            return "accuracy" if hasattr(self.learner.head, "logits") else "loss"
        return None if self.data.unknown is None else "verification"

    def fit(self) -> None:
        """Train until the end, or until somebody stops it.

        Raises:
            StoppedError: By Ctrl-C or a signal to end; the run is saved.
            FacewiseError: The loss, or what is measured of held-out photos, is no number; memory or the disk
                is full.
        """
        folder = self.folder if self.world.is_main else None
        with (
            MetricsLog(folder, resume_step=self.progress.step) as self.log,
            Interrupt() as interrupt,
            self.display,
            self._explained(),
        ):
            self.display.begin(self.steps, self.progress.step)
            while not self.progress.finished:
                self._epoch(interrupt)
                if self.progress.epoch % self.config.validate_every == 0 or self._is_over():
                    self._validate()
                self.progress.finished = self.progress.finished or self._is_over()
                self._save()
                if not self.progress.finished and self._asked(interrupt):
                    raise self._stopped()

    def _epoch(self, interrupt: Interrupt) -> None:
        progress = self.progress
        self.learner.train()
        begun, waited = time.perf_counter(), self.batches.waited_s
        first = progress.photos
        for batch in self.batches.epoch(progress.epoch, progress.step_in_epoch):
            started = time.perf_counter()
            rate = rate_at(self.config.schedule, progress.step, self.steps, len(self.batches))
            epoch = progress.step / len(self.batches)
            loss, correct, count = self.learner.step(batch, progress.step, rate, epoch)
            self._check(loss, batch)
            seconds = time.perf_counter() - started
            progress.loss_sum += loss * count
            progress.correct += correct
            progress.photos += count
            progress.step += 1
            progress.step_in_epoch += 1
            progress.seconds += seconds
            self.display.step(
                self._with_accuracy({"loss": loss}, correct, count) | {"images/s": count / seconds}
            )
            # What an epoch's last step leaves is saved with the epoch's end, never without: resumed between
            # the two, an epoch without a batch would be left to end.
            if progress.step_in_epoch < len(self.batches):
                self._between_steps(interrupt)
        elapsed, waited = time.perf_counter() - begun, self.batches.waited_s - waited
        self._end_epoch(rate, elapsed, waited, (progress.photos - first) / max(elapsed, 1e-9))

    def _between_steps(self, interrupt: Interrupt) -> None:
        if self._asked(interrupt):
            self._save()
            raise self._stopped()
        minutes = (time.monotonic() - self._saved_at) / 60
        # Asking the others costs a message: not after every step.
        if (self.world.size == 1 or self.progress.step % 10 == 0) and self.world.broadcast(
            minutes > self.config.save_minutes
        ):
            self._save()

    def _asked(self, interrupt: Interrupt) -> bool:
        # All processes must decide alike, and only one of them may have been asked.
        return self.world.mean(float(interrupt.asked)) > 0

    def _stopped(self) -> StoppedError:
        return StoppedError(
            f"Stopped and saved at step {self.progress.step} of {self.steps}; "
            f"go on with `facewise train --resume {self.folder}`."
        )

    def _check(self, loss: float, batch: Batch) -> None:
        if math.isfinite(loss):
            return
        keys = ", ".join(self.data.train.keys[i] for i in batch.indices[:4])
        more = max(0, len(batch.indices) - 4)
        raise FacewiseError(
            f"The loss became {loss} at step {self.progress.step} (epoch {self.progress.epoch + 1}), in the "
            f"batch of {keys} and {more} more: {_STEADIER}"
        )

    def _end_epoch(self, rate: float, elapsed: float, waited: float, speed: float) -> None:
        progress = self.progress
        values = {"loss": progress.loss_sum / max(1, progress.photos)}
        values = self._with_accuracy(values, progress.correct, progress.photos)
        progress.epoch += 1
        extra = {
            "epoch": progress.epoch,
            "rate": rate * self.config.optimizer.rate,
            "seconds": round(progress.seconds, 3),
            "data_wait": round(waited / max(elapsed, 1e-9), 5),
            "images/s": round(speed, 2),
        }
        self.log.write("train", progress.step, values | extra)
        self.display.say(
            f"epoch {progress.epoch}/{self.config.epochs}: {describe(values)}, {speed:.0f} images/s"
        )
        progress.step_in_epoch, progress.loss_sum, progress.photos, progress.correct = 0, 0.0, 0, 0

    def _with_accuracy(self, values: dict[str, float], correct: int, count: int) -> dict[str, float]:
        return values | ({"accuracy": correct / max(1, count)} if self.learner.counts else {})

    def _is_over(self) -> bool:
        return self.progress.epoch >= self.config.epochs

    def _validate(self) -> None:
        found = self.measure()
        if not found:
            return
        self.log.write("validation", self.progress.step, {"epoch": self.progress.epoch, **found})
        self.display.say(f"    held out: {describe(found)}")
        value = self._value(found)
        if value is None:
            return
        progress, stopping = self.progress, self.config.early_stopping
        if progress.best is None or value > progress.best + (stopping.least if stopping else 0.0):
            progress.best, progress.since_best = value, 0
            self._write(BEST)
            return
        progress.since_best += 1
        if stopping and progress.since_best >= stopping.patience:
            progress.finished = True
            self.display.say(f"Stopped early: no better for {progress.since_best} validations.")

    def measure(self) -> dict[str, float]:
        """Loss, accuracy and verification on held-out crops, of the averaged weights if there are any.

        Raises:
            FacewiseError: One of them is no number: nothing can be chosen by it, and nobody helped by such a
                model.
        """
        try:
            found = self._measure()
        except NotFiniteError as error:
            raise FacewiseError(f"{error} by {self._where()}: {_STEADIER}") from error
        for name, value in found.items():
            if not math.isfinite(value):
                raise FacewiseError(
                    f"The {name} of held-out photos became {value} by {self._where()}: {_STEADIER}"
                )
        return found

    def _where(self) -> str:
        return f"step {self.progress.step} (epoch {self.progress.epoch})"

    def _measure(self) -> dict[str, float]:
        found: dict[str, float] = {}
        learner, data = self.learner, self.data
        if data.known is not None:
            found |= accuracy_and_loss(data.known, learner.embed, learner.used_head, learner.device)
        if data.unknown is not None and self.pairs is not None:
            found |= verification(data.unknown, learner.embed, self.pairs)
        if data.unknown is not None and learner.distiller is not None:
            found["agreement"] = agreement(data.unknown, learner.embed, self._taught())
        learner.train()
        return found

    def _taught(self) -> Tensor:
        """(N, D) what the teachers say of the held-out people, asked once."""
        if self._answers is None and self.data.unknown is not None and self.learner.distiller is not None:
            distiller = self.learner.distiller
            self._answers = embed_store(self.data.unknown, lambda crops: distiller.ask(crops).embeddings)
        assert self._answers is not None  # noqa: S101  # asked only where there are both
        return self._answers

    def _value(self, found: dict[str, float]) -> float | None:
        """What to choose the best by, higher is better."""
        by = self.best_by
        if by == "last":
            return None
        if by == "loss":
            return -found["loss"] if "loss" in found else None
        return found.get("auc" if by == "verification" else "accuracy") if by else None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Says what to lower where memory runs out, and what to leave where compiling does not work."""
        try:
            yield
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise self._too_large() from error
        except RuntimeError as error:
            if "not enough memory" in str(error) or "can't allocate memory" in str(error).lower():
                raise self._too_large() from error
            if self.config.compile and _is_of_compiler(error):
                raise SettingError(
                    f"torch.compile does not work here ({_reason(error)}): set compile=false."
                ) from error
            raise

    def _too_large(self) -> SettingError:
        data = self.config.data
        return SettingError(
            f"Memory is full at step {self.progress.step}: lower data.batch_size (now {data.batch_size}), "
            f"raise accumulate (now {self.config.accumulate}), or lower data.size (now {data.size}); "
            "for very many people use loss partial-fc with sampling."
        )

    def _save(self) -> None:
        self._write(LAST)
        self._saved_at = time.monotonic()

    def _write(self, name: str) -> None:
        folder, identity = folder_of(self.folder, name), dict(self.identity)
        if self.learner.split:
            # A folder of their own for each step, so that the one before is whole until all of this one is.
            identity["shards"] = f"shards-{self.progress.step}-of-{self.world.size}"
            head = cast("ShardedHead", self.learner.head)
            write_shard(folder / identity["shards"], shard_state(head, self.learner.head_optimizer))
            self.world.barrier()
        if self.world.is_main:
            checkpoint.save(folder, Checkpoint(self.learner.state(), replace(self.progress), identity))
            remove_shards(folder, keep=identity.get("shards"))
        self.world.barrier()

    def load(self, name: str = LAST) -> None:
        """Go on from a checkpoint of this run.

        Raises:
            ModelError: There is none, or it is damaged.
            SettingError: It is of another configuration or other data.
        """
        folder = folder_of(self.folder, name)
        found = checkpoint.load(folder)
        for key, value in self.identity.items():
            if found.identity.get(key, value) != value:
                raise SettingError(
                    f"The checkpoint in {self.folder} was made with another {key}: resume with the same, or "
                    "begin a new run in another folder."
                )
        self.learner.load(found.part)
        if self.learner.split:
            head = cast("ShardedHead", self.learner.head)
            shards = folder / found.identity.get("shards", "")
            load_shards(head, read_shards(shards, head), self.learner.head_optimizer)
        self.progress = replace(found.progress)


def _is_of_compiler(error: RuntimeError) -> bool:
    from torch._dynamo.exc import TorchDynamoException  # noqa: PLC0415  takes a second to import

    return isinstance(error, TorchDynamoException)


def _reason(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0].rstrip(".")
