"""Putting what `make models` made into the source tree: the models, their cards and logs."""

from __future__ import annotations

from pathlib import Path

from facewise.errors import ModelError
from facewise.files import write_bytes
from facewise.models.bundled import BUNDLED_MODELS
from facewise.models.file import read_model
from facewise.models.weights import weights_beside

MOST = 9_000_000
"""Bytes of all bundled models together: the package is to stay small."""


def bundle(work: Path, root: Path) -> None:
    """Copy the models into the package and the cards into the documentation.

    Args:
        work: Where models and cards are.
        root: Of the source tree.

    Raises:
        ModelError: A model is missing, broken, not measured, or they are too large together.
    """
    models = [read_model(work / f"{name}.onnx", kind=kind) for kind, name in BUNDLED_MODELS.items()]
    for model in models:
        if model.card.kind == "embedder" and model.card.calibration is None:
            raise ModelError(
                f"{model.card.name} was not measured, so it has no thresholds; run the step measure."
            )
        if model.card.attributes is not None and not model.card.attributes.measured:
            raise ModelError(f"{model.card.name} was not measured; run the step attributes.")
    files = [model.path for model in models]
    # What the embedder learned, for others to go on training from; of the detector nobody does.
    files += [weights for model in models if (weights := weights_beside(model.path)).is_file()]
    size = sum(file.stat().st_size for file in files)
    if size > MOST:
        raise ModelError(f"The models have {size:,} bytes together, more than the {MOST:,} of the package.")
    for file in files:
        write_bytes(root / "src/facewise/models/bundled" / file.name, file.read_bytes())
    for model in models:
        for page in (work / "cards").glob(f"{model.card.name}.*"):
            write_bytes(root / "docs/models" / page.name, page.read_bytes())
