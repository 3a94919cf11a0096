"""A run's own head as a classifier file: who of the people learned an embedding shows, without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from facewise.classify.build import head_network
from facewise.classify.file import ClassifierCard, ClassifierFile, write_classifier
from facewise.models.file import ModelFile
from facewise.models.trained_on import TrainedOn
from facewise.nn.losses.base import ClassHead, unit
from facewise.nn.losses.sharded import ShardedHead
from facewise.nn.losses.softmax import Softmax
from facewise.training.engine import Trainer

CLASSIFIER = "classifier.onnx"


def names_people(trainer: Trainer) -> bool:
    """Whether a run makes a classifier: its head names people, and naming them is what it was for.

    It was where photos of the same people are held out, or where a model was fine-tuned. A head that is split
    over processes is nowhere whole.
    """
    asked = trainer.data.known is not None or trainer.config.start is not None
    head = trainer.learner.head
    whole = isinstance(head, ClassHead) or (isinstance(head, ShardedHead) and head.rows == head.classes)
    return asked and whole


def export_classifier(
    trainer: Trainer, folder: Path, model: ModelFile, result: Mapping[str, float], seen: TrainedOn | None
) -> ClassifierFile:
    """Write `classifier.onnx` of the head a trainer has.

    Args:
        trainer: At the end, `names_people`.
        folder: Of the run.
        model: The run's model file, whose embeddings the head reads.
        result: What was measured on held-out photos.
        seen: What it was trained on, if that was recorded.
    """
    head = cast("ClassHead | ShardedHead", trainer.learner.used_head.to("cpu").eval())
    config, store = trainer.config, trainer.data.train
    people, class_of = store.names, None
    if trainer.learner.distiller is not None:
        class_of = trainer.learner.distiller.class_of
        people = tuple(name for name, number in zip(store.names, class_of, strict=True) if number >= 0)
    card = ClassifierCard(
        method="head",
        people=people,
        model=model.card.name,
        model_fingerprint=model.fingerprint,
        embedding_size=head.embedding_size,
        features="raw" if isinstance(head, Softmax) else "unit",
        unknown=None,
        settings={"loss": config.loss.model_dump()},
        training=_training(trainer),
        results=dict(result),
        trained_on=seen,
    )
    return write_classifier(folder / CLASSIFIER, _network(head), card)


def _network(head: ClassHead | ShardedHead) -> bytes:
    """The head's logits, which are linear in the embedding, or the greatest of several, as probabilities."""
    rows = head.weight.detach().float()
    if isinstance(head, Softmax):
        return head_network(rows.numpy(), None if head.bias is None else head.bias.detach().numpy())
    scale = float(getattr(head, "scale", 1.0))
    return head_network(unit(rows).numpy(), centres=len(rows) // head.classes, scale=scale)


def _training(trainer: Trainer) -> dict[str, Any]:
    store = trainer.data.train
    return {
        "recipe": trainer.config.name,
        "photos": len(store),
        "people": len(store.names),
        "data_hash": store.data_hash,
        "seed": trainer.config.seed,
    }
