"""The real data and models the benchmarks run on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facewise.models.home import make, models_folder

if TYPE_CHECKING:
    from facewise.pipeline import Pipeline

SHARED = Path(os.environ.get("FACEWISE_TEST_DATA") or Path(__file__).parents[2] / "shared")
LFW = SHARED / "data" / "lfw"
CHECKPOINTS = ("retinaface_mobilenet025.pth", "mobilefacenet_foamliu.pt")
PUBLIC = ("retinaface-mobilenet025", "mobilefacenet-foamliu")
"""Their names: detector, embedder."""


def have_models() -> None:
    """Import both public checkpoints into the store, unless they are there."""
    # Here, so that worker processes, which read this file again, do not load PyTorch.
    from facewise.models.importing import import_checkpoint

    for checkpoint, name in zip(CHECKPOINTS, PUBLIC, strict=True):
        if not (models_folder() / f"{name}.onnx").exists():
            import_checkpoint(SHARED / "models" / checkpoint, make(models_folder()))


def public_pipeline(**options: Any) -> Pipeline:
    """The public models by name: figures are to be compared with those from before any were bundled."""
    from facewise.pipeline import Pipeline

    return Pipeline.load(*PUBLIC, **options)


def photos(step: int = 1) -> list[Path]:
    """Every `step`-th photo of LFW."""
    return sorted((LFW / "images").glob("*/*.jpg"))[::step]
