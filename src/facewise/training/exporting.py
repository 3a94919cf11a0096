"""What a finished run gives: its model file, and what else is made of its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import facewise
from facewise.errors import FacewiseError
from facewise.models.export import check_embeddings, export_onnx
from facewise.models.file import ModelCard, ModelFile, write_model
from facewise.models.trained_on import TrainedOn
from facewise.models.weights import WeightsCard, weights_beside, write_weights
from facewise.training.closed_set import export_classifier, names_people
from facewise.training.engine import Trainer
from facewise.training.environment import git_hash
from facewise.training.pretrained import Origin

MODEL = "model.onnx"


def export_run(
    trainer: Trainer,
    folder: Path,
    result: Mapping[str, float],
    seen: TrainedOn | None,
    origin: Origin | None,
    say: Callable[[str], None],
) -> ModelFile:
    """Write the model file of the weights a trainer has, and beside it the weights and the classifier.

    Args:
        trainer: At the end.
        folder: Of the run.
        result: What was measured on held-out photos.
        seen: What it was trained on, if that was recorded.
        origin: The model it began with, or None.
        say: Told why there is no classifier, if it cannot be made: the training is not lost for that.

    Raises:
        ModelError: The export gives other embeddings than PyTorch, or cannot be made.
        FacewiseError: A file cannot be written.
    """
    network = trainer.learner.used_network.to("cpu").eval()
    store = trainer.data.train
    some = store.take(np.linspace(0, len(store) - 1, min(8, len(store))).astype(np.int64))
    preprocess = trainer.learner.preprocess
    images = torch.from_numpy(preprocess(some))
    plain = export_onnx(network, images[:2], dynamic={0: "batch"}, outputs=("embedding",))
    parity = check_embeddings(network, plain, (images, images[:1]))
    card = ModelCard(
        kind="embedder",
        name=trainer.config.name,
        version="1",
        licence=_licence(origin),
        source=f"trained by Facewise {facewise.__version__}",
        preprocess=preprocess,
        embedding_size=int(network.embedding_size),  # type: ignore[arg-type]
        training=_training(trainer, result, origin) | {"parity": parity.relative},
        trained_on=seen,
    )
    model = write_model(folder / MODEL, plain, card)
    _write_weights(trainer, network, model)
    if names_people(trainer):
        try:
            export_classifier(trainer, folder, model, result, seen)
        except FacewiseError as error:
            say(f"No classifier was written: {error}")
    return model


def _write_weights(trainer: Trainer, network: torch.nn.Module, model: ModelFile) -> None:
    """The weights beside the model file, so that `--from` a run begins with what it exported."""
    options = dict(trainer.config.backbone.options)
    options.setdefault("input_size", trainer.config.data.size)
    card = model.card
    weights = WeightsCard(
        card.name,
        trainer.config.backbone.name,
        options,
        card.preprocess,
        card.licence,
        card.source,
        {"name": card.name, "recipe": trainer.config.name},
        model.fingerprint,
    )
    write_weights(weights_beside(model.path), network, weights)


def _licence(origin: Origin | None) -> str:
    if origin is None:
        return "the user's own; mind the terms of the photos"
    return (
        f"that of {origin.name}, whose weights it began with: {origin.licence}; mind the terms of the photos"
    )


def _training(trainer: Trainer, result: Mapping[str, float], origin: Origin | None) -> dict[str, Any]:
    config, store = trainer.config, trainer.data.train
    return {
        "recipe": config.name,
        "backbone": config.backbone.model_dump(),
        "loss": config.loss.model_dump(),
        "git": git_hash(),
        "data": Path(store.name).name,  # a model file travels: where it lay is nobody's business
        "data_hash": store.data_hash,
        "photos": len(store),
        "people": len(store.names),
        **({} if trainer.learner.distiller is None else trainer.learner.distiller.facts()),
        **({} if origin is None else {"start": origin.facts() | _tuning(trainer)}),
        "seed": config.seed,
        "epochs": trainer.progress.epoch,
        "seconds": round(trainer.progress.seconds, 1),
        "held_out": dict(result),
    }


def _tuning(trainer: Trainer) -> dict[str, Any]:
    """How a run was fine-tuned, without where the model lay."""
    start = trainer.config.start
    return {} if start is None else start.model_dump(exclude={"model", "backbones"})
