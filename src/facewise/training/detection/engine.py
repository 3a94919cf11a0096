"""The training loop of a detector, readable from top to bottom.

A run that was stopped anywhere goes on to the same numbers, as scenes depend on the step alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from facewise.errors import FacewiseError, SettingError
from facewise.training import checkpoint
from facewise.training.checkpoint import LAST, Checkpoint, Progress, folder_of
from facewise.training.detection.batches import SceneBatches
from facewise.training.detection.config import DetectorConfig
from facewise.training.detection.learner import DetectorLearner
from facewise.training.display import Display, Quiet, describe
from facewise.training.interrupt import Interrupt
from facewise.training.log import MetricsLog
from facewise.training.schedule import rate_at


class StoppedTrainingError(FacewiseError):
    """Somebody stopped the run; it is saved and can be resumed."""


class DetectorTrainer:
    """One run: a learner shown scenes, measured, saved.

    Attributes:
        progress: Where the run is; its epochs are rounds of `config.round_steps`.
    """

    def __init__(
        self,
        learner: DetectorLearner,
        batches: SceneBatches,
        folder: Path,
        *,
        measure: Callable[[], Mapping[str, float]] = dict,
        identity: Mapping[str, str] | None = None,
        display: Display | None = None,
    ) -> None:
        """Prepare a run; `fit` runs it.

        Args:
            learner: Network and loss.
            batches: Of scenes.
            folder: Of the run.
            measure: What to write down after each round.
            identity: Hashes that a checkpoint must share to be resumed from.
            display: Shows what happens.
        """
        self.learner, self.batches, self.folder = learner, batches, folder
        self.config: DetectorConfig = learner.config
        self.measure, self.identity = measure, dict(identity or {})
        self.display: Display = display or Quiet()
        self.progress = Progress()
        self._sums: dict[str, float] = {}
        self._summed = 0
        self._waited = 0.0
        self._saved_at = time.monotonic()

    def fit(self) -> None:
        """Train until the end, or until somebody stops it.

        Raises:
            StoppedTrainingError: By Ctrl-C or a signal to end; the run is saved.
            FacewiseError: The loss is no number, or the disk is full.
        """
        progress, steps = self.progress, self.config.steps
        with (
            MetricsLog(self.folder, resume_step=progress.step) as log,
            Interrupt() as interrupt,
            self.display,
        ):
            self.display.begin(steps, progress.step)
            self.learner.network.train()
            begun = asked = time.perf_counter()
            for batch in self.batches.between(progress.step, steps):
                started = time.perf_counter()
                self._waited += started - asked
                rate = rate_at(self.config.schedule, progress.step, steps, self.config.round_steps)
                values = self.learner.step(batch, progress.step, rate)
                self._check(values["loss"])
                progress.step += 1
                progress.step_in_epoch += 1
                progress.photos += len(batch.images)
                progress.loss_sum += values["loss"]
                for name, value in values.items():
                    self._sums[name] = self._sums.get(name, 0.0) + value
                self._summed += 1
                progress.seconds += time.perf_counter() - started
                self.display.step({"loss": values["loss"]})
                if progress.step_in_epoch >= self.config.round_steps or progress.step == steps:
                    self._end_round(log, rate, time.perf_counter() - begun)
                    begun = time.perf_counter()
                if interrupt.asked and progress.step < steps:
                    self._save()
                    raise StoppedTrainingError(
                        f"Stopped and saved at step {progress.step} of {steps}; resume from {self.folder}."
                    )
                if (time.monotonic() - self._saved_at) / 60 > self.config.save_minutes:
                    self._save()
                asked = time.perf_counter()
            progress.finished = True
            self._save()

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise FacewiseError(
                f"The loss became {loss} at step {self.progress.step}: lower optimizer.rate or set "
                "precision=fp32. The last checkpoint is from before that."
            )

    def _end_round(self, log: MetricsLog, rate: float, elapsed: float) -> None:
        progress = self.progress
        # After a resume within a round the parts are those of the steps since; the loss is the whole round's.
        values = {name: total / self._summed for name, total in self._sums.items() if name != "loss"}
        values = {"loss": progress.loss_sum / progress.step_in_epoch} | values
        progress.epoch += 1
        extra = {
            "epoch": progress.epoch,
            "rate": rate * self.config.optimizer.rate,
            "seconds": round(progress.seconds, 1),
            "data_wait": round(self._waited / max(elapsed, 1e-9), 4),
            "images/s": round(progress.photos / max(elapsed, 1e-9), 1),
        }
        log.write("train", progress.step, values | extra)
        self.display.say(
            f"step {progress.step}/{self.config.steps}: {describe(values)}, "
            f"{extra['images/s']:.0f} scenes/s, waiting for scenes {100 * self._waited / elapsed:.0f}%"
        )
        progress.step_in_epoch, progress.loss_sum, progress.photos = 0, 0.0, 0
        self._sums, self._summed, self._waited = {}, 0, 0.0
        found = dict(self.measure())
        self.learner.network.train()
        if found:
            log.write("validation", progress.step, {"epoch": progress.epoch, **found})
            self.display.say(f"    held out: {describe(found)}")

    def _save(self) -> None:
        saved = Checkpoint(self.learner.state(), replace(self.progress), self.identity)
        checkpoint.save(folder_of(self.folder, LAST), saved)
        self._saved_at = time.monotonic()

    def load(self) -> None:
        """Go on from the last checkpoint of this run.

        Raises:
            ModelError: There is none, or it is damaged.
            SettingError: It is of another configuration or other photos.
        """
        found = checkpoint.load(folder_of(self.folder, LAST))
        for key, value in self.identity.items():
            if found.identity.get(key, value) != value:
                raise SettingError(
                    f"The checkpoint in {self.folder} was made with another {key}: resume with the same, or "
                    "begin a new run in another folder."
                )
        self.learner.load(found.part)
        self.progress = replace(found.progress)
