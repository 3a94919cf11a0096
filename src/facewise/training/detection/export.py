"""A trained detector to a model file, proven to give the same numbers, with its score set by false alarms."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import facewise
from facewise.data.scenes import Pool
from facewise.detection import DetectorSettings, OnnxDetector
from facewise.models.export import check_parity, export_onnx
from facewise.models.file import ModelCard, ModelFile, write_model
from facewise.nn.detectors.small import MIN_SIZES, STRIDES, VARIANCES, SmallDetector
from facewise.preprocess import Preprocess
from facewise.training.detection.learner import MEAN, STD
from facewise.training.detection.measure import false_alarms

LICENCE = "the user's own; mind the terms of the photos"

_LEAST_SCORE = 0.02
"""Below this no false alarm is worth looking at."""

_SCALES = (0.0, 1.0, 0.0)
"""Of boxes, scores, landmarks: a good detector says nearly 0 everywhere; scores differ as probabilities."""

PROBES = ((2, 3, 250, 250), (1, 3, 117, 331), (1, 3, 480, 640))
"""Shapes of pictures that the export must give the same numbers for as PyTorch."""


def export_detector(
    network: SmallDetector,
    path: Path,
    name: str,
    *,
    shift: float = 0.0,
    training: Mapping[str, Any] | None = None,
    licence: str = LICENCE,
    probes: Sequence[tuple[int, ...]] = PROBES,
) -> ModelFile:
    """Write a detector as a model file.

    Args:
        network: Trained on pixels of [-1, 1].
        path: Where to.
        name: Of the model.
        shift: Added to all scores before the sigmoid, so that the usual threshold of 0.5 is the right one.
        training: What the card says of the training.
        licence: What the card says of the terms.
        probes: Shapes to compare the export with PyTorch on.

    Raises:
        ModelError: The export gives other numbers than PyTorch.
    """
    ready = copy.deepcopy(network).to("cpu").eval()
    ready.shift_scores(shift)
    stem = ready.stem[0]
    assert isinstance(stem, nn.Conv2d)  # noqa: S101  for the type checker
    with torch.no_grad():
        # The first convolution divides instead of a pass over all pixels.
        stem.weight /= STD
    ready.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    plain = export_onnx(
        ready,
        torch.zeros(1, 3, 160, 192),
        dynamic={0: "batch", 2: "height", 3: "width"},
        outputs=("boxes", "scores", "landmarks"),
    )
    generator = torch.Generator().manual_seed(0)
    pictures = [torch.randint(0, 256, shape, generator=generator).float() - MEAN for shape in probes]
    parity = check_parity(ready, plain, pictures, scales=_SCALES)
    card = ModelCard(
        kind="detector",
        name=name,
        version="1",
        licence=licence,
        source=f"trained by Facewise {facewise.__version__}",
        preprocess=Preprocess(None, (MEAN, MEAN, MEAN), (1.0, 1.0, 1.0), "RGB", "none"),
        decoder={
            "name": "retinaface",
            "strides": list(STRIDES),
            "min_sizes": [list(sizes) for sizes in MIN_SIZES],
            "variances": list(VARIANCES),
        },
        training={
            **(training or {}),
            "parameters": sum(p.numel() for p in ready.parameters()),
            "score_shift": round(shift, 6),
            "parity": parity.relative,
        },
    )
    return write_model(path, plain, card)


def score_shift(model: ModelFile, pool: Pool, pictures: int, rate: float) -> float:
    """What to add to the scores so that 0.5 gives so many false alarms a picture.

    Args:
        model: The detector as it was trained.
        pool: Photos for face-free pictures; not those that the result is measured on.
        pictures: How many.
        rate: False alarms a picture that are allowed.

    Returns:
        In units before the sigmoid, at most 5 either way.
    """
    detector = OnnxDetector(model, settings=DetectorSettings(score_threshold=_LEAST_SCORE))
    scores = false_alarms(detector, pool, pictures)
    allowed = int(rate * pictures)
    threshold = float(scores[allowed]) if allowed < len(scores) else _LEAST_SCORE
    threshold = float(np.clip(threshold, 1e-6, 1 - 1e-6))
    return float(np.clip(-math.log(threshold / (1 - threshold)), -5.0, 5.0))
