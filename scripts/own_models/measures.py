"""What our models measure beside the public ones: WORK/measures.json, and thresholds in the model file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from facewise.data.lfw import load_lfw
from facewise.embedding import Embedder
from facewise.evaluation import FaceCache, LfwResult, evaluate_lfw
from facewise.files import write_bytes
from facewise.models.file import read_model, save_calibration
from facewise.pipeline import Pipeline
from scripts.own_models.embedder import NAME
from scripts.own_models.slices import by_sex, false_matches

PUBLIC_DETECTOR, PUBLIC_EMBEDDER = "retinaface-mobilenet025", "mobilefacenet-foamliu"

FMR = 1e-3
"""Of the threshold at which groups are compared."""


def measure_embedders(data: Path, work: Path) -> None:
    """LFW View 2 with ours in float32 and int8 and with the teacher; then groups of people.

    Args:
        data: Folder with `lfw` and `utkface`.
        work: Where the models are and the measures go.
    """
    lfw = load_lfw(data / "lfw")
    found: dict[str, Any] = {"lfw": {}}
    with FaceCache() as cache:
        for model in (PUBLIC_EMBEDDER, work / f"{NAME}-fp32.onnx", work / f"{NAME}.onnx"):
            pipeline = Pipeline.load(PUBLIC_DETECTOR, model, flip=False)
            result = evaluate_lfw(lfw, pipeline, cache=cache, processes=True)
            found["lfw"][pipeline.embedder.name] = _summary(result)
            print(pipeline.embedder.name, json.dumps(_summary(result)), flush=True)
    # The last one is what is shipped.
    save_calibration(pipeline.embedder.model, result.calibration(pipeline))
    embedder = Embedder(read_model(work / f"{NAME}.onnx"))
    point = next(point for point in result.metrics.operating_points if point.fmr_target == FMR)
    found["lfw by sex"] = by_sex(result, data / "lfw" / "gender.csv")
    found["utkface"] = {
        "threshold": point.threshold,
        "groups": false_matches(
            work / "utkface-held-out.csv", data / "utkface" / "labels.csv", embedder, point.threshold
        ),
    }
    write_bytes(work / "measures.json", json.dumps(found, indent=2).encode())


def _summary(result: LfwResult) -> dict[str, Any]:
    kfold, intervals = result.metrics.kfold, result.metrics.intervals
    assert kfold is not None  # View 2 has folds
    return {
        "accuracy": kfold.mean,
        "standard_error": kfold.standard_error,
        "auc": result.metrics.auc,
        "without_face": len(result.without_face),
        **{f"tar@fmr={p.fmr_target:g}": p.tar for p in result.metrics.operating_points},
        "intervals": {name: [i.low, i.high] for name, i in intervals.items()},
    }
