"""Are the int8 network of a model and the float network within it one model? LFW answers.

View 2 with each, how alike their embeddings of one crop are, and the false match rate of each at the stored
thresholds, over the very pairs that these were measured on. FACEWISE_EMBEDDER names another model than the
bundled one. Faces are found once; it takes some minutes.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facewise.data.lfw import lfw_people, load_lfw
from facewise.embedding import Embedder
from facewise.evaluation import FaceCache, evaluate_lfw, open_calibration_data
from facewise.evaluation.calibration_data import CalibrationData
from facewise.evaluation.embedded import embed_photos
from facewise.models import ModelFile, find_model
from facewise.models.bundled import BUNDLED_MODELS
from facewise.pipeline import Pipeline
from facewise.variants import variants_of
from real import LFW

RATES = (1e-2, 1e-3, 1e-4)


def main() -> None:
    model = find_model(os.environ.get("FACEWISE_EMBEDDER", BUNDLED_MODELS["embedder"]), kind="embedder")
    calibration = model.card.calibration
    assert calibration is not None, "the model has no thresholds"
    points = [next(point for point in calibration.thresholds if point.fmr == rate) for rate in RATES]
    people, lfw, first = calibrated_on(model), load_lfw(LFW), Pipeline.load(model=model.path)
    tested = [lfw.images / key for key in sorted({key for pair in lfw.pairs for key in (pair.a, pair.b)})]
    rows, vectors = [], []
    with tempfile.TemporaryDirectory() as folder, FaceCache(Path(folder) / "faces.cache") as cache:
        for name in variants_of(model):
            pipeline = Pipeline(first.detector, Embedder(model, variant=name), threads=first.threads)
            kfold = evaluate_lfw(lfw, pipeline, cache=cache).metrics.kfold
            assert kfold is not None
            matched = false_matches(people, pipeline, cache, [point.threshold for point in points])
            rows.append(
                [name, f"{kfold.mean:.4f} ± {kfold.standard_error:.4f}", *map("{:.4g}".format, matched)]
            )
            vectors.append([photo.embedding for photo in embed_photos(pipeline, tested, cache=cache)])
    intervals = [point.fmr_interval or (np.nan, np.nan) for point in points]
    rows.append(["stored 95% interval", "", *(f"{low:.4g} to {high:.4g}" for low, high in intervals)])
    print(f"{model.card.name} with {first.detector.name} on LFW; thresholds and pairs of its calibration:\n")
    print(f"| network | View 2 | {' | '.join(f'FMR at the threshold of {rate:g}' for rate in RATES)} |")
    print("|---" * (len(RATES) + 2) + "|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    if len(vectors) == 2:
        pairs = [(a, b) for a, b in zip(*vectors, strict=True) if a is not None and b is not None]
        cosines = np.array([float(a @ b) for a, b in pairs])
        print(
            f"\nCosine between both embeddings of one crop, {len(cosines):,} photos of View 2: "
            f"mean {cosines.mean():.5f}, 1st percentile {np.quantile(cosines, 0.01):.4f}, "
            f"least {cosines.min():.4f}."
        )


def calibrated_on(model: ModelFile) -> CalibrationData:
    """The people of LFW that the model did not learn from: those of its thresholds."""
    names, record = list(lfw_people(LFW).names), model.card.trained_on
    learned = record.has_names(names) if record is not None else [False] * len(names)
    return open_calibration_data(
        LFW, without={name for name, seen in zip(names, learned, strict=True) if seen}
    )


def false_matches(
    people: CalibrationData, pipeline: Pipeline, cache: FaceCache, thresholds: list[float]
) -> NDArray[np.float64]:
    """The share of all pairs of two people that each threshold takes for one."""
    compared, _ = people.compared(embed_photos(pipeline, people.photos, cache=cache))
    matched, pairs = np.zeros(len(thresholds)), 0
    for block in compared.blocks():
        impostors = block.similarities[block.first != block.second]
        pairs += len(impostors)
        matched += [np.count_nonzero(impostors >= threshold) for threshold in thresholds]
    return matched / pairs


if __name__ == "__main__":
    main()
