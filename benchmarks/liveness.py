"""Liveness by MiniFASNet: errors on NUAA by subject, false alarms on LFW, whether weighing both nets pays.

    benchmarks/liveness.py [--lfw 1000] [--detector NAME]

NUAA's sample has 5 subjects, live before a webcam and as printed photos. Each is judged by a threshold that
was set on the other four, for APCER 0.05. LFW's photos (one of each of so many people) are live faces, so
what is called a picture there is a false alarm. `argmax` is how the nets are published: live where their
averaged probabilities are largest for live. `logistic` weighs both nets' log odds by a regression on the
other subjects.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from facewise.analysis.liveness import LivenessModel
from facewise.evaluation.liveness import APCER, Presentation, calibrate_liveness, cross_fitted, error_rate
from facewise.image import read_image
from facewise.metrics import binomial_interval
from facewise.metrics.bootstrap import bootstrap_interval
from facewise.models.home import make, models_folder
from facewise.models.liveness import ErrorRate
from facewise.pipeline import Pipeline, Steps
from facewise.types import Face, Image
from real import SHARED, have_models, photos

NUAA = SHARED / "data" / "liveness"
AVERAGED, LOGISTIC = "both nets averaged, threshold by subject", "logistic, threshold by subject"
CHECKPOINTS = ("minifasnet_v2_2.7_80x80.pth", "minifasnet_v1se_4.0_80x80.pth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lfw", type=int, default=1000, help="people of LFW, a photo of each")
    parser.add_argument("--detector", help="finds the faces; the default one where left out")
    options = parser.parse_args()
    have_models()
    _import_nets()
    pipeline = Pipeline.load(options.detector, embed=False, liveness=True)
    assert pipeline.liveness is not None
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "NUAA"
        _lay_out(root)
        result = calibrate_liveness(root, pipeline)
        rows = [(s.presentation, _odds(pipeline, s.presentation.path)) for s in result.scored]
    known = result.calibration
    print(f"{pipeline.liveness.name}, faces found by {pipeline.detector.name}; data {known.data_hash[:16]}\n")
    _say_nuaa(result.scored, rows, known.threshold)
    _say_lfw(pipeline, known.threshold, options.lfw)


def _import_nets() -> None:
    from facewise.models.importing import import_checkpoint

    for name in CHECKPOINTS:
        made = import_checkpoint(SHARED / "models" / name, make(models_folder()))
        assert made.parity is not None
        print(f"{made.model.card.name}: largest difference from PyTorch {made.parity.difference:.1e}")


def _lay_out(root: Path) -> None:
    """NUAA's photos as `calibrate-liveness` takes them."""
    with (NUAA / "labels.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            place = root / row["label"] / row["subject"] / Path(row["path"]).name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(NUAA / row["path"], place)


def _main_face(pipeline: Pipeline, image: Image) -> Face | None:
    faces = pipeline.read(image, Steps(embed=False, main_only=True)).faces
    return faces[0] if faces else None


def _probabilities(model: LivenessModel, image: Image, face: Face) -> np.ndarray:
    """(nets, 3) what each net gives."""
    rows = []
    for file, network in zip(model.models, model.networks, strict=True):
        crops = file.card.preprocess.cut.of(image, face.box[None], None)
        rows.append(network.run(file.card.preprocess(crops))[0][0])
    return np.array(rows, np.float64)


def _odds(pipeline: Pipeline, path: Path) -> np.ndarray:
    """(nets, 3) log odds of each class by each net for a photo's main face."""
    image = read_image(path)
    face = _main_face(pipeline, image)
    assert face is not None
    assert pipeline.liveness is not None
    return np.clip(_probabilities(pipeline.liveness, image, face), 1e-7, 1 - 1e-7)


def _say_nuaa(scored: tuple, rows: list[tuple[Presentation, np.ndarray]], threshold: float) -> None:
    print("| how | APCER | BPCER |\n|---|---|---|")
    for name, judged in _ways(scored, rows).items():
        attacks = error_rate([one for one in judged if one.presentation.attack])
        live = error_rate([one for one in judged if not one.presentation.attack])
        print(f"| {name} | {_told(attacks)} | {_told(live)} |")
    averaged, logistic = (_ways(scored, rows)[name] for name in (AVERAGED, LOGISTIC))
    for name, attack in (("APCER", True), ("BPCER", False)):
        low, high = _difference(averaged, logistic, attack=attack)
        print(f"\n{name}, logistic minus averaged, 95% over subjects: {low:+.3f} to {high:+.3f}.")
    print(f"\nThe threshold set on all five is {threshold:.4f}. By subject, at thresholds of the others:\n")
    print("| subject | live called pictures | least live score | prints called live | largest print score |")
    print("|---|---|---:|---|---:|")
    for subject in sorted({one.presentation.subject for one in scored}):
        own = [one for one in scored if one.presentation.subject == subject]
        live = [one for one in own if not one.presentation.attack]
        prints = [one for one in own if one.presentation.attack]
        print(
            f"| {subject} | {sum(not one.live for one in live)} of {len(live)} "
            f"| {min(one.score for one in live):.4f} | {sum(one.live for one in prints)} of {len(prints)} "
            f"| {max(one.score for one in prints):.4f} |"
        )


def _ways(scored: tuple, rows: list[tuple[Presentation, np.ndarray]]) -> dict[str, list]:
    """Photos judged in each way; a fixed rule needs no folds."""
    from dataclasses import replace

    told = {AVERAGED: list(scored)}
    for place, name in enumerate(("MiniFASNetV2 alone", "MiniFASNetV1SE alone")):
        told[f"{name}, threshold by subject"] = cross_fitted(
            [(p, float(r[place, 1])) for p, r in rows], APCER
        )[0]
    told[LOGISTIC] = _logistic(rows)
    argmax = [bool(r.mean(axis=0).argmax() == 1) for _, r in rows]
    told["averaged, argmax as published"] = [
        replace(one, live=live) for one, live in zip(scored, argmax, strict=True)
    ]
    told["averaged, score of 0.5"] = [replace(one, live=one.score >= 0.5) for one in scored]
    return told


def _logistic(rows: list[tuple[Presentation, np.ndarray]]) -> list:
    """Each subject judged by weights and a threshold of the others."""
    judged = []
    odds = np.array([np.log(r[:, 1] / (1 - r[:, 1])) for _, r in rows])
    labels = np.array([not p.attack for p, _ in rows])
    subjects = np.array([p.subject for p, _ in rows])
    for subject in sorted(set(subjects)):
        others = subjects != subject
        fit = LogisticRegression(class_weight="balanced").fit(odds[others], labels[others])
        scores = fit.predict_proba(odds)[:, 1]
        every = cross_fitted([(p, float(s)) for (p, _), s in zip(rows, scores, strict=True)], APCER)[0]
        judged += [one for one in every if one.presentation.subject == subject]
    return judged


def _difference(first: list, second: list, *, attack: bool) -> tuple[float, float]:
    """Of how often photos are wrong, resampled by subject."""
    subjects = sorted({one.presentation.subject for one in first})
    wrong = np.zeros((2, len(subjects)))
    photos = np.zeros(len(subjects))
    for way, judged in enumerate((first, second)):
        for one in judged:
            if bool(one.presentation.attack) == attack:
                place = subjects.index(one.presentation.subject)
                wrong[way, place] += one.live == attack
                photos[place] += way
    change = wrong[1] - wrong[0]
    found = bootstrap_interval(lambda counts: (counts @ change) / (counts @ photos), len(subjects))
    return found.low, found.high


def _told(rate: ErrorRate) -> str:
    low, high = rate.interval
    return f"{rate.rate:.3f} ({low:.3f} to {high:.3f}), {rate.wrong} of {rate.photos}"


def _say_lfw(pipeline: Pipeline, threshold: float, people: int) -> None:
    assert pipeline.liveness is not None
    firsts = {path.parent.name: path for path in reversed(photos())}
    every = sorted(firsts)
    step = len(every) / min(people, len(every))
    chosen = [firsts[every[int(i * step)]] for i in range(min(people, len(every)))]
    found, seconds, finding = [], [], []
    for path in chosen:
        image = read_image(path)
        face = _main_face(pipeline, image)
        if face is None:
            continue
        begun = time.perf_counter()
        found.append(_probabilities(pipeline.liveness, image, face))
        seconds.append(time.perf_counter() - begun)
        pipeline.detector.detect(image)
        finding.append(time.perf_counter() - begun - seconds[-1])
    mean = np.array(found).mean(axis=1)
    print(f"\nLFW: {len(mean)} live faces, of {len(chosen)} photos of as many people\n")
    print("| rule | called pictures | share (95% exact) |\n|---|---:|---|")
    for name, alarms in (
        (f"NUAA's threshold, {threshold:.4f}", mean[:, 1] < threshold),
        ("averaged, argmax as published", mean.argmax(axis=1) != 1),
        ("averaged, score of 0.5", mean[:, 1] < 0.5),
    ):
        rate = binomial_interval(int(alarms.sum()), len(alarms))
        print(f"| {name} | {int(alarms.sum())} | {rate.estimate:.3f} ({rate.low:.3f} to {rate.high:.3f}) |")
    took, find = (1e3 * float(np.median(times)) for times in (seconds, finding))
    print(f"\nBoth nets on one face: {took:.1f} ms, {took / find:.2f} of what finding it takes (medians).")


if __name__ == "__main__":
    main()
