"""Training `facewise-attributes-s` on UTKFace and FER2013, from the public embedder's backbone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from facewise.training.attributes.config import AttributesConfig, attributes_config
from facewise.training.attributes.faces import LabelledFaces, joined
from scripts.own_models.attribute_faces import TEST

NAME = "facewise-attributes-s"
LICENCE = "MIT for the code; the weights learned from research data: for research and evaluation"


def settings(checkpoint: Path) -> AttributesConfig:
    """Of the training.

    Args:
        checkpoint: The public embedder that it begins with.
    """
    return attributes_config(
        {
            "name": NAME,
            "start": str(checkpoint.resolve()),
            "branches": [
                {
                    "attributes": ["age", "gender", "race"],
                    "epochs": 8,
                    "frozen": 5,
                    "augmentation": {"preset": "medium", "grey": 0.15},
                },
                {
                    "attributes": ["emotion"],
                    "epochs": 8,
                    "side": 64,
                    "augmentation": {"preset": "medium", "downscale": [0.3, 0.15, 0.8]},
                },
            ],
        }
    )


def learned_from(folder: Path) -> LabelledFaces:
    """What `attribute_faces.gather` made, without what is tested on."""
    return joined(utkface(folder), fer2013(folder))


def utkface(folder: Path) -> LabelledFaces:
    """UTKFace, all parts."""
    facts, crops = _read(folder, "utkface")
    labels = {name: np.array(facts[name], np.float64) for name in ("age", "gender", "race")}
    return LabelledFaces((crops,), labels, np.array(facts["part"]), "UTKFace")


def fer2013(folder: Path) -> LabelledFaces:
    """FER2013, all parts; of those that are not tested on, the rows that its cleaning keeps."""
    facts, crops = _read(folder, "fer2013")
    part = np.array(facts["part"])
    part[(part != TEST) & ~np.array(facts["keep"], bool)] = -1
    return LabelledFaces((crops,), {"emotion": np.array(facts["emotion"], np.float64)}, part, "FER2013")


def _read(folder: Path, name: str) -> tuple[dict[str, list[float]], np.ndarray]:
    facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return facts, np.load(folder / f"{name}.npy", mmap_mode="r")
