"""Where the photos are LFW: some folds of its published protocol, View 2, with the default models."""

from __future__ import annotations

from facewise.data.lfw import Lfw
from facewise.demo.blocks import Section, Table
from facewise.demo.plan import Plan
from facewise.demo.teller import Teller
from facewise.evaluation import FaceCache, evaluate_lfw
from facewise.evaluation.lfw import photos_of
from facewise.models import Calibration
from facewise.pipeline import Pipeline


def photos_by_fold(lfw: Lfw, plan: Plan) -> list[int]:
    """How many photos are in the plan's first fold, in its first two, and so on."""
    ends = range(1, len(plan.folds) + 1)
    return [len(photos_of([pair for pair in lfw.pairs if pair.fold in plan.folds[:end]])) for end in ends]


def measure_folds(lfw: Lfw, pipeline: Pipeline, plan: Plan, teller: Teller) -> tuple[Section, Calibration]:
    """Measure, and take the thresholds; who is measured here plays no other part.

    Args:
        lfw: Photos and pairs.
        pipeline: The default models.
        plan: Says which folds.
        teller: Told of progress.
    """
    photos = photos_of([pair for pair in lfw.pairs if pair.fold in plan.folds])
    with FaceCache() as cache, teller.bar("LFW", len(photos)) as done:
        result = evaluate_lfw(lfw, pipeline, folds=plan.folds, cache=cache, progress=done, processes=True)
    metrics = result.metrics
    if metrics.kfold is None:
        raise RuntimeError("the protocol has folds")
    inside, scored = metrics.intervals, result.scored
    rows = [("accuracy", f"{metrics.kfold.mean:.4f}", inside["accuracy"])]
    rows += [
        (f"TAR at FMR {point.fmr_target:g}", f"{point.tar:.4f}", inside[f"tar@fmr={point.fmr_target!r}"])
        for point in metrics.operating_points
    ]
    told = (
        f"{len(plan.folds)} of View 2's 10 folds: {len(scored.pairs)} pairs of {scored.photos} photos; the "
        "threshold of each fold is chosen on the others. `facewise eval lfw` measures all ten. In "
        f"{len(scored.without_face)} photos no face was found: their pairs count as of two people."
    )
    section = Section(
        f"{pipeline.detector.name} and {pipeline.embedder.name}, the default models.",
        [
            Table(
                ["metric", "value", "95% interval"],
                [(name, value, f"{i.low:.4f} to {i.high:.4f}") for name, value, i in rows],
                (1, 2),
            ),
            told,
        ],
        result.to_dict(),
    )
    section.short = f"LFW View 2, {len(plan.folds)} folds: accuracy {metrics.kfold.mean:.4f}."
    section.blocks += [f"{photo}: {reason}" for photo, reason in scored.unreadable[:5]]
    return section, result.calibration(pipeline)
