"""The closed-set test: held-out photos of the people a run has learned, and whom it takes each for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from facewise.errors import FacewiseError
from facewise.metrics.classification import classify_metrics
from facewise.metrics.classification_result import ClassificationResult
from facewise.nn.losses import LOSSES
from facewise.nn.losses.base import ClassHead
from facewise.nn.losses.softmax import Softmax
from facewise.report.run_data import RunData
from facewise.training import checkpoint
from facewise.training.checkpoint import BEST, LAST, Checkpoint, folder_of
from facewise.training.heldout import HeldOutPhotos

_SAME = 0.999
"""Least share of photos that must be named as the run named them, for scores computed anew to be its own."""


@dataclass(frozen=True, slots=True, eq=False)
class ClosedSet:
    """How a run did on held-out photos of people it knows.

    Attributes:
        result: The figures.
        missing: Why scores are not known, and so no top-5 accuracy; empty where they are.
        scale: What the cosines are multiplied by in the loss.
        measured: The run's own loss on these photos, as it was trained with; None where it is not known.
        margin: Whether that loss has a margin; without one it is the cross-entropy itself.
    """

    result: ClassificationResult
    missing: str
    scale: float
    measured: float | None = None
    margin: bool = True

    @property
    def loss(self) -> float | None:
        """The cross-entropy of the test set; None where it is not known."""
        if self.scored:
            return self.result.loss
        return None if self.margin else self.measured

    @property
    def scored(self) -> bool:
        """Whether loss and ranks are known, and not the names alone."""
        return not self.missing


def closed_set(run: RunData) -> ClosedSet | str:
    """The closed-set figures, or why there are none.

    Scores are those of the run's class matrix with the held-out embeddings, times the loss's scale and
    without its margin: what is asked at test time.
    """
    known = None if run.held_out is None else run.held_out.known
    if known is None:
        return "The run held out no photos of the people it learned (`data.held_out_photos`)."
    if known.predicted is None:
        return "The run's loss names nobody, so there is nothing to count right or wrong."
    training = {} if run.model is None else run.model.card.training.get("held_out") or {}
    measured = float(training["loss"]) if "loss" in training else None
    margin = run.config["loss"].get("name") != "softmax"
    try:
        scores, scale = _scores(run, known)
    except FacewiseError as error:
        return ClosedSet(_named_only(known, known.predicted), str(error), 1.0, measured, margin)
    if float((scores.argmax(axis=1) == known.predicted).mean()) < _SAME:
        why = "The run's checkpoint names other people than the run did, so it is of another time."
        return ClosedSet(_named_only(known, known.predicted), why, 1.0, measured, margin)
    return ClosedSet(classify_metrics(scores, known.labels, known.names), "", scale, measured, margin)


def _named_only(known: HeldOutPhotos, predicted: np.ndarray[Any, Any]) -> ClassificationResult:
    """Figures of the names alone: who is not named rightly is ranked last, and losses are not numbers."""
    ranks = np.where(predicted == known.labels, 1, len(known.names)).astype(np.int64)
    return ClassificationResult(
        known.names, known.labels.astype(np.int64), predicted, ranks, np.full(len(ranks), np.nan)
    )


def _scores(run: RunData, known: HeldOutPhotos) -> tuple[np.ndarray[Any, Any], float]:
    """(N, C) logits, and their scale.

    Raises:
        FacewiseError: They cannot be computed.
    """
    loss = run.config["loss"]
    options = {key: value for key, value in loss.items() if key != "name"}
    head = LOSSES.build(loss["name"], known.embeddings.shape[1], len(known.names), **options)
    if not isinstance(head, ClassHead):
        raise FacewiseError("The run's loss has no scores of all people at once.")
    features = np.array(known.embeddings)
    if isinstance(head, Softmax):
        if known.lengths is None:
            raise FacewiseError(
                "This run's softmax weighs how long an embedding is, and the run, of an older Facewise, "
                "keeps only their directions; so the names it gives are known, not the order of the others."
            )
        features *= known.lengths[:, np.newaxis]
    state = _head_state(_checkpoint(run))
    try:
        head.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise FacewiseError(f"The checkpoint does not fit the people held out ({first}).") from error
    head.eval()
    with torch.no_grad():
        logits = head.logits(torch.from_numpy(features))
    scale = float(getattr(head, "scale", 1.0))
    return logits.double().numpy() * scale, scale


def _checkpoint(run: RunData) -> Checkpoint:
    for name in (BEST, LAST):
        if checkpoint.exists(folder_of(run.folder, name)):
            return checkpoint.load(folder_of(run.folder, name))
    raise FacewiseError("The run's checkpoints are gone, and with them the class matrix that scores people.")


def _head_state(found: Checkpoint) -> dict[str, torch.Tensor]:
    """The tensors of the loss that was measured: the averaged one where there is an average."""
    averaged = {
        key.removeprefix("head."): value
        for key, value in found.part("ema").items()
        if key.startswith("head.")
    }
    return averaged or found.part("head")
