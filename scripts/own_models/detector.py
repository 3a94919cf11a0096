"""Training `facewise-detect-s`: photos labelled by the public detector, composed scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from facewise.hardware import available_threads
from facewise.models.file import ModelFile, read_model, write_model
from facewise.training.detection.reproduce import reproduce_detector
from facewise.training.display import Bar

NAME = "facewise-detect-s"

ON_A_GPU: dict[str, Any] = {"scenes.workers": 12}
"""The card waits for scenes, so as many processes as a usual machine with one has cores make them."""


def make_detector(data: Path, work: Path) -> ModelFile:
    """Train, or go on where a stopped training was, or find it done.

    Args:
        data: Folder with `celeba-wild` and `lfw`.
        work: Its folder `detector` holds the labelled photos and the run.

    Returns:
        The model, at WORK/NAME.onnx.
    """
    done = work / f"{NAME}.onnx"
    if done.is_file():
        return read_model(done)
    on_gpu, workers = torch.cuda.is_available(), max(1, available_threads() // 2)
    torch.set_num_threads(max(1, available_threads() - workers))
    run = reproduce_detector(
        data,
        work / "detector",
        overrides=ON_A_GPU if on_gpu else {"scenes.workers": workers},
        device="cuda" if on_gpu else "cpu",
        display=Bar(),
    )
    return write_model(done, run.model.network, run.model.card)
