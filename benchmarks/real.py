"""The real data and models the benchmarks run on."""

from __future__ import annotations

import os
from pathlib import Path

from facewise.models.home import models_folder

SHARED = Path(os.environ.get("FACEWISE_TEST_DATA") or Path(__file__).parents[2] / "shared")
LFW = SHARED / "data" / "lfw"
CHECKPOINTS = ("retinaface_mobilenet025.pth", "mobilefacenet_foamliu.pt")


def have_models() -> None:
    """Import both public checkpoints into the store, unless they are there."""
    # Here, so that worker processes, which read this file again, do not load PyTorch.
    from facewise.models.importing import import_checkpoint

    for checkpoint, name in zip(
        CHECKPOINTS, ("retinaface-mobilenet025", "mobilefacenet-foamliu"), strict=True
    ):
        if not (models_folder() / f"{name}.onnx").exists():
            import_checkpoint(SHARED / "models" / checkpoint, models_folder())


def photos(step: int = 1) -> list[Path]:
    """Every `step`-th photo of LFW."""
    return sorted((LFW / "images").glob("*/*.jpg"))[::step]
