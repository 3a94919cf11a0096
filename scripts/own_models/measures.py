"""What our models measure beside the public ones: WORK/measures.json, and thresholds in the model file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from facewise.data.lfw import load_lfw
from facewise.detection import OnnxDetector
from facewise.embedding import Embedder
from facewise.evaluation import (
    FaceCache,
    LfwResult,
    calibrate_model,
    evaluate_lfw,
    open_calibration_data,
)
from facewise.evaluation.calibration_data import PhotosOfPeople
from facewise.evaluation.quality_fit import calibrate_quality
from facewise.files import write_bytes
from facewise.models import find_model
from facewise.models.file import read_model, save_calibration
from facewise.pipeline import Pipeline
from scripts.own_models.detector import NAME as DETECTOR
from scripts.own_models.embedder import NAME as EMBEDDER
from scripts.own_models.slices import by_sex, detected, failures, false_matches

PUBLIC_DETECTOR, PUBLIC_EMBEDDER = "retinaface-mobilenet025", "mobilefacenet-foamliu"

FMR = 1e-3
"""Of the threshold at which groups are compared."""

ROOT = Path(__file__).resolve().parents[2]


def measure(data: Path, work: Path) -> None:
    """LFW View 2 with our models and the public ones, groups of people, failures, all of the detector.

    Args:
        data: Folder with `lfw` and `utkface`.
        work: Where the models are and the measures go.
    """
    ours, exact = work / f"{EMBEDDER}.onnx", work / f"{EMBEDDER}-fp32.onnx"
    detector = work / f"{DETECTOR}.onnx"
    lfw = load_lfw(data / "lfw")
    rows: list[dict[str, Any]] = []
    with FaceCache() as cache:
        # The last is what is shipped: it is calibrated, and its failures are the ones that count.
        for found, embedder in (
            (PUBLIC_DETECTOR, PUBLIC_EMBEDDER),
            (PUBLIC_DETECTOR, exact),
            (PUBLIC_DETECTOR, ours),
            (detector, PUBLIC_EMBEDDER),
            (detector, ours),
        ):
            pipeline = Pipeline.load(found, embedder, flip=False)
            result = evaluate_lfw(lfw, pipeline, cache=cache, processes=True)
            names = {"detector": pipeline.detector.name, "embedder": pipeline.embedder.name}
            rows.append(names | _summary(result))
            print(json.dumps(rows[-1]), flush=True)
        people = open_calibration_data(data / "lfw", without=_learned_from(work))
        calibration = calibrate_model(people, pipeline, cache=cache, processes=True).calibration
        if isinstance(people, PhotosOfPeople):
            calibration = calibrate_quality(people, pipeline, calibration)
    save_calibration(pipeline.embedder.model, calibration)
    decision = calibration.decision(FMR)
    assert decision is not None  # LFW's people are enough for it
    sexes, labels = data / "lfw" / "gender.csv", data / "utkface" / "labels.csv"
    held_out = work / "utkface-held-out.csv"
    groups = false_matches(held_out, labels, Embedder(read_model(ours)), decision.threshold)
    public, own = (
        OnnxDetector(find_model(name, kind="detector"), threads=1) for name in (PUBLIC_DETECTOR, detector)
    )
    measures = {
        "lfw": rows,
        "lfw by sex": by_sex(result, sexes),
        "failures": failures(result.scored),
        "calibration": {"protocol": calibration.protocol, "rates": calibration.rates()},
        "utkface": {"threshold": decision.threshold, "groups": groups},
        "detected": detected(held_out, data / "utkface", public, own),
        "detector": measure_detector(data, work),
    }
    write_bytes(work / "measures.json", json.dumps(measures, indent=2).encode())


def _learned_from(work: Path) -> set[str]:
    """The people of LFW whose photos the embedder learned from."""
    names = (work / "embed-run" / "people.txt").read_text(encoding="utf-8").splitlines()
    return {name.removeprefix("lfw-") for name in names if name.startswith("lfw-")}


def measure_detector(data: Path, work: Path) -> dict[str, Any]:
    """What `benchmarks/detector.py` finds: agreement on LFW, precision on scenes, false alarms, speed."""
    found = work / "detector.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "detector.py"), "--json", str(found)]
    command += ["--photos", str(work / "detector" / "photos"), "--lfw", str(data / "lfw")]
    subprocess.run([*command, "--detector", str(work / f"{DETECTOR}.onnx")], check=True, cwd=ROOT)
    measures: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
    return measures


def _summary(result: LfwResult) -> dict[str, Any]:
    kfold, intervals = result.metrics.kfold, result.metrics.intervals
    assert kfold is not None  # View 2 has folds
    return {
        "accuracy": kfold.mean,
        "standard_error": kfold.standard_error,
        "auc": result.metrics.auc,
        "without_face": len(result.scored.without_face),
        **{f"tar@fmr={p.fmr_target:g}": p.tar for p in result.metrics.operating_points},
        "intervals": {name: [i.low, i.high] for name, i in intervals.items()},
    }
