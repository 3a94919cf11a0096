"""Batches of scenes with targets, made ahead of the training; batch 7 is the same whatever came before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.concurrency import in_processes
from facewise.data.scenes import Mixture, Pool, compose
from facewise.detection import OnnxDetector
from facewise.errors import SettingError
from facewise.models.inner import with_outputs
from facewise.network import Network
from facewise.nn.detectors.small import MIN_SIZES, STRIDES, VARIANCES
from facewise.training.detection.targets import SceneTargets, assign
from facewise.types import Image
from facewise.variants import variants_of

_PART = 16
"""Pictures the teacher looks at in one call: it bounds memory."""

_ANSWERS = 3
"""Outputs of a RetinaFace: boxes, scores, landmarks."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneBatch:
    """Scenes of one size.

    Attributes:
        images: (B, H, W, 3) RGB uint8.
        targets: One a scene.
        hints: The teacher's features, (B, C, H/stride, W/stride) float16 at each stride; or none.
    """

    images: Image
    targets: list[SceneTargets]
    hints: tuple[NDArray[np.float16], ...] = ()


class SceneBatches:
    """All batches of a run, by step."""

    def __init__(
        self,
        pool: Pool,
        sizes: tuple[tuple[int, int], ...],
        mixture: Mixture,
        seed: int,
        *,
        teacher: OnnxDetector | None = None,
        workers: int = 1,
        hints: Sequence[str] = (),
    ) -> None:
        """Prepare.

        Args:
            pool: Where photos come from.
            sizes: (side, scenes) of batches in turn.
            mixture: What scenes there are.
            seed: Of the scenes.
            teacher: A detector with RetinaFace's anchors, to be imitated; or None.
            workers: Processes; 0 makes scenes when they are asked for.
            hints: Names of features in the teacher's graph that are wanted too.

        Raises:
            SettingError: The teacher has other anchors, or no such features.
        """
        if teacher is not None:
            options = dict(teacher.model.card.decoder or {})
            ours = (list(STRIDES), [list(sizes) for sizes in MIN_SIZES], list(VARIANCES))
            if (options.get("strides"), options.get("min_sizes"), options.get("variances")) != ours:
                raise SettingError(
                    f"{teacher.name} has other anchors than ours and cannot be imitated; set imitate=false."
                )
        self.pool, self.sizes, self.mixture, self.seed = pool, sizes, mixture, seed
        self.workers, self.hints = workers, tuple(hints)
        self.teacher = None
        if teacher is not None:
            # On the CPU, as each process that makes scenes opens it.
            seen, variant = with_outputs(teacher.model, hints), variants_of(teacher.model)[-1]
            # By name, as a run that is resumed must be taught by the same network of an int8 model.
            self.teacher = Network(seen, provider="cpu", threads=1, variant=variant)
        self._before = np.concatenate([[0], np.cumsum([count for _, count in sizes])])

    def make(self, step: int) -> SceneBatch:
        """The batch of a step, from 0."""
        rounds, place = divmod(step, len(self.sizes))
        side, count = self.sizes[place]
        first = int(rounds * self._before[-1] + self._before[place])
        scenes = [compose(self.pool, self.seed, first + i, (side, side), self.mixture) for i in range(count)]
        images = np.stack([scene.image for scene in scenes])
        if self.teacher is None:
            return SceneBatch(images, [assign(scene) for scene in scenes])
        targets: list[SceneTargets] = []
        hints: list[list[NDArray[np.float16]]] = []
        for start in range(0, count, _PART):
            answers = self.teacher.run(self.teacher.model.card.preprocess(images[start : start + _PART]))
            targets += [
                assign(scene, (boxes, scores, marks))
                for scene, boxes, scores, marks in zip(
                    scenes[start : start + _PART], *answers[:_ANSWERS], strict=True
                )
            ]
            hints.append([feature.astype(np.float16) for feature in answers[_ANSWERS:]])
        return SceneBatch(images, targets, tuple(np.concatenate(parts) for parts in zip(*hints, strict=True)))

    def between(self, start: int, end: int) -> Iterator[SceneBatch]:
        """The batches of steps `start` to `end` - 1, in order, made ahead."""
        if self.workers:
            return in_processes(_make, self, range(start, end), self.workers, chunk=1)
        return (self.make(step) for step in range(start, end))


def _make(batches: Any, step: int) -> SceneBatch:
    """`SceneBatches.make` in a process of `in_processes`."""
    made: SceneBatch = batches.make(step)
    return made
