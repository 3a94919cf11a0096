"""Which model recognises: each is measured on people it has not seen, and the best one is taken."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facewise.demo.blocks import Section, Table
from facewise.demo.cast import People
from facewise.demo.faces import AllPairs, all_pairs, read_faces
from facewise.demo.plan import Plan
from facewise.demo.teller import Teller
from facewise.detection import Detector
from facewise.embedding import Embedder
from facewise.errors import DatasetError
from facewise.metrics import OperatingPoint, VerificationResult, verify_metrics
from facewise.models import Calibration, ModelFile, Threshold, write_model
from facewise.pipeline import Pipeline

_REPEATS = 200
"""Bootstrap resamples of the intervals that go into the model file."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that could recognise.

    Attributes:
        name: What to call it.
        model: The model file.
        calibration: Thresholds that hold for these photos, or None.
    """

    name: str
    model: ModelFile
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the demo goes on with.

    Attributes:
        name: What to call the model.
        pipeline: The detector and the chosen model, calibrated.
        path: The calibrated model file.
        fmr: The false match rate to decide at.
        threshold: Its threshold.
    """

    name: str
    pipeline: Pipeline
    path: Path
    fmr: float
    threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    candidate: Candidate
    embedder: Embedder
    pairs: AllPairs
    result: VerificationResult
    without: list[str]

    def tar(self, fmr: float) -> float:
        """At one of the rates that are measured."""
        return next(point.tar for point in self.result.operating_points if point.fmr_target == fmr)


def choose(
    candidates: Sequence[Candidate],
    detector: Detector,
    people: People,
    plan: Plan,
    out: Path,
    threads: int,
    teller: Teller,
) -> tuple[Section, Chosen]:
    """Measure the candidates on `cast.measure`, take the best, and write it with thresholds.

    The best recognises most pairs of one person at the false match rate that is decided at; of two that
    recognise as many it is the one of higher AUC.

    Args:
        candidates: At least one.
        detector: Finds the faces.
        people: Whose photos.
        plan: Says the false match rate.
        out: The demo's folder: `model.onnx` is written there.
        threads: CPU threads.
        teller: Told of progress.

    Raises:
        DatasetError: Too few faces were found to measure anything.
    """
    measured = [_measure(one, detector, people, threads, teller) for one in candidates]
    judged_at = _judged_at(measured, plan.fmr)
    best = max(measured, key=lambda one: (one.tar(judged_at), one.result.auc))
    calibration = best.candidate.calibration or _calibration(best, detector, people)
    path = out / "model.onnx"
    card = best.candidate.model.card
    model = write_model(path, best.candidate.model.network, replace(card, calibration=calibration))
    fmr = _rate(calibration, plan.fmr)
    decision = calibration.decision(fmr)
    if decision is None:
        raise RuntimeError("a rate of its own was asked for")
    embedder = Embedder(model, flip=calibration.flip, threads=threads)
    pipeline = Pipeline(detector, embedder, threads=threads)
    chosen = Chosen(best.candidate.name, pipeline, path, fmr, decision.threshold)
    return _told(measured, best, judged_at, calibration, chosen, people), chosen


def _judged_at(measured: Sequence[_Measured], wanted: float) -> float:
    """The rate to compare models at: the wanted one, or the next above it of which there are enough pairs."""
    points = measured[0].result.operating_points
    enough = [point.fmr_target for point in points if point.supported and point.fmr_target >= wanted]
    return min(enough, default=max(point.fmr_target for point in points))


def _measure(
    candidate: Candidate, detector: Detector, people: People, threads: int, teller: Teller
) -> _Measured:
    embedder = Embedder(candidate.model, threads=threads)
    pipeline = Pipeline(detector, embedder, threads=threads)
    label = f"Measuring {candidate.name}"
    faces, without = read_faces(pipeline, people, [people.cast.measure], label, teller, show=False)
    if len(faces) < 2:
        raise DatasetError(f"In {len(faces)} photos a face was found: too few to measure a model on.")
    pairs = all_pairs(faces)
    if pairs.same.all() or not pairs.same.any():
        raise DatasetError(
            "Too few faces were found to measure a model on: it takes two people, one of them with two "
            "photos."
        )
    return _Measured(candidate, embedder, pairs, verify_metrics(pairs.scores, pairs.same, repeats=0), without)


def _calibration(best: _Measured, detector: Detector, people: People) -> Calibration:
    """Thresholds from these very pairs; of rates too small for them, the largest rate at least."""
    result = verify_metrics(best.pairs.scores, best.pairs.same, repeats=_REPEATS)
    points = [p for p in result.operating_points if p.supported] or list(result.operating_points[:1])
    return Calibration(
        dataset=people.source.name if people.drawn else Path(people.source.name).name,
        protocol=f"demo, all pairs of {len(people.cast.measure)} people",
        data_hash=hashlib.sha256(best.pairs.scores.tobytes()).hexdigest(),
        genuine=result.genuine,
        impostors=result.impostors,
        flip=best.embedder.flip,
        detector=detector.name,
        detector_fingerprint=detector.fingerprint,
        thresholds=tuple(_threshold(point, result) for point in points),
    )


def _threshold(point: OperatingPoint, result: VerificationResult) -> Threshold:
    tar = result.intervals[f"tar@fmr={point.fmr_target!r}"]
    return Threshold(
        point.fmr_target, min(point.threshold, 1.0), point.fmr, point.fnmr, (1.0 - tar.high, 1.0 - tar.low)
    )


def _rate(calibration: Calibration, wanted: float) -> float:
    """The measured rate nearest above the wanted one, or the largest there is."""
    rates = calibration.rates()
    return min((rate for rate in rates if rate >= wanted * (1 - 1e-9)), default=max(rates))


def _told(
    measured: Sequence[_Measured],
    best: _Measured,
    judged_at: float,
    calibration: Calibration,
    chosen: Chosen,
    people: People,
) -> Section:
    section = Section()
    names = len(people.cast.measure)
    if len(measured) == 1:
        why = "the only one at hand."
    else:
        others = ", ".join(f"{m.candidate.name} {m.tar(judged_at):.4f}" for m in measured if m is not best)
        why = (
            f"at FMR {judged_at:g} no other recognises more pairs of {names} people that no training here "
            f"has seen, {best.tar(judged_at):.4f} of them against {others}."
        )
    section.model = f"{best.candidate.name}: {why}"
    rows = [
        [
            one.candidate.name + (" (used below)" if one is best else ""),
            f"{one.result.auc:.4f}",
            f"{one.result.eer:.4f}",
            *(f"{point.tar:.4f}" for point in one.result.operating_points),
        ]
        for one in measured
    ]
    targets = [f"TAR at FMR {point.fmr_target:g}" for point in best.result.operating_points]
    section.blocks.append(Table(["model", "AUC", "EER", *targets], rows, range(1, 3 + len(targets))))
    few = (
        ""
        if all(p.supported for p in best.result.operating_points)
        else (" There are too few pairs for the smallest rates: those columns hang on a single pair.")
    )
    sampled = "; a training is measured on a sample of them" if len(measured) > 1 else ""
    section.blocks.append(
        f"All {best.result.genuine} pairs of one person and {best.result.impostors} pairs of two{sampled}. "
        "TAR is the share of pairs of one person recognised at a threshold that takes the share FMR of pairs "
        f"of two people for one; EER is where both errors are equal.{few}"
    )
    section.blocks.append(
        f"From here on two faces of similarity {chosen.threshold:.3f} or more are one person: FMR "
        f"{chosen.fmr:g}, measured on {calibration.dataset} ({calibration.protocol}, {calibration.impostors} "
        "pairs of two people). The model file with its thresholds is model.onnx in the demo's folder."
    )
    section.blocks += [f"Left out: {reason}" for reason in best.without[:5]]
    section.short = f"{best.candidate.name}, recognises from similarity {chosen.threshold:.3f} on."
    section.numbers = {
        "used": best.candidate.name,
        "judged_at_fmr": judged_at,
        "fmr": chosen.fmr,
        "threshold": chosen.threshold,
        "calibrated_on": calibration.dataset,
        "models": {one.candidate.name: one.result.to_dict() for one in measured},
        "without_a_face": best.without,
    }
    return section
