"""Folders of runs as training leaves them, written by hand: quick, and every figure is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import yaml

from facewise.nn.losses import LOSSES
from facewise.training import checkpoint
from facewise.training.checkpoint import BEST, Checkpoint, Progress, folder_of
from facewise.training.heldout import HELD_OUT, HeldOut, HeldOutPhotos, write_held_out
from facewise.training.validation import make_pairs, pair_cosines

CLASSES, SIZE, SCALE = 7, 16, 16.0


def write_run(
    folder: Path,
    data: Path,
    *,
    seed: int = 0,
    loss: str = "arcface",
    names: list[str] | None = None,
    lengths: bool = False,
) -> HeldOut:
    """A run that held out photos of known and of unknown people.

    Args:
        folder: To be made.
        data: What it says it was trained on: a folder of people.
        seed: Of its weights and embeddings.
        loss: Of the run.
        names: Of the people it knows; by default those of `data`.
        lengths: Whether embeddings differ in length, and their lengths are kept.
    """
    rng = np.random.default_rng(seed)
    names = sorted(path.name for path in data.iterdir()) if names is None else names
    options = {} if loss == "softmax" else {"scale": SCALE, "margin": 0.3}
    torch.manual_seed(seed)
    head = LOSSES.build(loss, SIZE, len(names), **options)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(rng.standard_normal(head.weight.shape)))
    # Photos of each person around its own row, so that most but not all are named rightly.
    labels = np.repeat(np.arange(len(names)), 4)
    embeddings = head.weight.detach().numpy()[labels] / 4 + rng.standard_normal((len(labels), SIZE)) * 0.45
    embeddings = _unit(embeddings)
    long = rng.uniform(0.5, 9.0, len(labels)).astype(np.float32) if lengths else None
    features = embeddings if long is None else embeddings * long[:, np.newaxis]
    predicted = head.logits(torch.from_numpy(features)).argmax(1).numpy().astype(np.int64)
    keys = tuple(f"{names[label]}/{i % 4}.png" for i, label in enumerate(labels))
    known = HeldOutPhotos(keys, labels, tuple(names), embeddings, predicted, long)
    others = np.repeat(np.arange(6), 5)
    vectors = _unit(rng.standard_normal((6, SIZE))[others] + rng.standard_normal((30, SIZE)) * 0.6)
    strange = tuple(f"Stranger_{i}" for i in range(6))
    unknown = HeldOutPhotos(tuple(f"s/{i}.png" for i in range(30)), others, strange, vectors)
    pairs = make_pairs(others, 0)
    held = HeldOut(known, unknown, pairs, pair_cosines(vectors, pairs))
    folder.mkdir(parents=True)
    config = {
        "name": "drawn", "about": "A <run> of nobody.", "backbone": {"name": "mobilefacenet"},
        "loss": {"name": loss, **options}, "data": {"size": 32}, "epochs": 3,
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    facts = {"git": {"hash": "c0ffee", "diff": ""}, "data": str(data), "data_hash": "d1ce", "seed": seed,
             "machine": {"cores": 4}, "packages": {}, "command": ["train"],
             "pace": {"precision": "bf16", "fast_layers": [], "channels_last": True}}  # fmt: skip
    (folder / "environment.json").write_text(json.dumps(facts))
    lines = []
    for epoch in (1, 2, 3):
        lines.append({"kind": "train", "step": epoch, "epoch": epoch, "loss": 9.0 / epoch, "rate": 0.1,
                      "seconds": 60.0 * epoch, "accuracy": 0.2 * epoch})  # fmt: skip
        lines.append({"kind": "validation", "step": epoch, "epoch": epoch, "loss": 8.0 / epoch,
                      "accuracy": 0.25 * epoch, "auc": 0.8 + epoch / 30, "eer": 0.3})  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_held_out(folder / HELD_OUT, held)
    state = {f"head.{name}": value for name, value in head.state_dict().items()}
    checkpoint.save(folder_of(folder, BEST), Checkpoint(state, Progress()))
    return held


def logits_by_hand(folder: Path, held: HeldOut) -> np.ndarray:
    """(N, C) the scale times the cosines with the class matrix of the checkpoint."""
    assert held.known is not None
    matrix = checkpoint.load(folder_of(folder, BEST)).part("head")["weight"].double().numpy()
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return SCALE * held.known.embeddings.astype(np.float64) @ matrix.T


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
