"""Training `facewise-embed-s`: the recipe of that name on the gathered crops, with the public teacher."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from facewise.data.csvfile import csv_source
from facewise.data.sample import sample_crops
from facewise.models.file import ModelFile, read_model, write_model
from facewise.models.pretrained import read_pretrained
from facewise.models.quantize import quantize
from facewise.models.weights import weights_beside, write_weights
from facewise.pipeline import Pipeline
from facewise.training import train
from facewise.training.checkpoint import LAST, exists, folder_of

NAME = "facewise-embed-s"
LICENCE = "MIT for the code; the weights learned from research data: for research and evaluation"
TEACHER = "mobilefacenet_foamliu.pt"

CALIBRATED = 128
"""Crops for int8: more change nothing (docs/experiments/quantization.md)."""

ON_A_GPU: dict[str, Any] = {"data.batch_size": 256, "optimizer.rate": 0.012, "data.threads": 4}
"""Fewer, larger steps; the rate rises with the square root of the batch, as is usual for Adam."""


def train_embedder(listing: Path, checkpoint: Path, work: Path) -> ModelFile:
    """Train, or go on where a stopped training was, or find it done.

    Args:
        listing: The CSV of `photos.gather`.
        checkpoint: The public checkpoint that teaches.
        work: Its folder `embed-run` is the run.

    Returns:
        The model in full precision, under its licence, at WORK/NAME-fp32.onnx.
    """
    run = work / "embed-run"
    done = work / f"{NAME}-fp32.onnx"
    if done.is_file():
        return read_model(done)
    if exists(folder_of(run, LAST)):
        model = train(resume=run).model
    else:
        shutil.rmtree(run, ignore_errors=True)  # begun, but stopped before its first checkpoint
        settings: dict[str, Any] = {"distill.teachers": [str(checkpoint.resolve())]}
        if torch.cuda.is_available():
            settings |= ON_A_GPU
        model = train(listing, NAME, out=run, settings=settings).model
    return write_model(done, model.network, replace(model.card, name=done.stem, licence=LICENCE))


def quantize_embedder(listing: Path, work: Path) -> ModelFile:
    """The model in int8, at WORK/NAME.onnx: calibrated on crops it was trained on, nobody of View 2.

    Beside it are its weights in 16 bits, for others to go on training from.
    """
    original, done = read_model(work / f"{NAME}-fp32.onnx"), work / f"{NAME}.onnx"
    if done.is_file():
        return _with_weights(read_model(done), work)
    size = original.card.preprocess.size
    assert size is not None  # an embedder has one
    # The listing names crops, so nothing is aligned and no detector is asked for.
    crops = sample_crops(csv_source(listing), CALIBRATED, size, pipeline=Pipeline.load, seed=0)
    return _with_weights(quantize(original, done, photos=crops.images).model, work)


def _with_weights(model: ModelFile, work: Path) -> ModelFile:
    weights = weights_beside(model.path)
    if not weights.is_file():
        learned = read_pretrained(work / "embed-run")
        card = replace(learned.card(model.fingerprint), name=NAME, licence=LICENCE)
        write_weights(weights, learned.state, card, half=True)
    return model
