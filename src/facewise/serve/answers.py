"""From results to plain data for JSON; `schemas` says what each holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from fastapi import Response

from facewise.analysis.attributes import AttributeModel
from facewise.analysis.told import attributes_dict
from facewise.gallery.results import Enrollment, Identification, Person, PersonDetail
from facewise.models.attributes import ATTRIBUTES
from facewise.models.calibration import Calibration
from facewise.models.file import ModelFile
from facewise.pipeline import PhotoFaces, Pipeline
from facewise.presence import Presence
from facewise.types import Candidate, Decision, Face, Liveness, Quality, Verification


def answer(data: Any, status: int = 200) -> Response:
    """JSON, which is kept nowhere on its way."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode("utf-8"), status, media_type="application/json")


def quality(found: Quality | None) -> dict[str, Any] | None:
    """A face's quality."""
    if found is None:
        return None
    return {
        "score": _short(found.score),
        "size": _short(found.size),
        "sharpness": _short(found.sharpness),
        "yaw": _short(found.yaw),
        "pitch": _short(found.pitch),
        "roll": _short(found.roll),
        "value": None if found.value is None else _short(found.value),
        "reasons": list(found.reasons),
        "remarks": list(found.remarks),
    }


def liveness(found: Liveness | None) -> dict[str, Any] | None:
    """Whether a face is live."""
    return (
        None
        if found is None
        else {"score": _short(found.score), "live": found.live, "note": told_liveness(found)}
    )


def told_liveness(found: Liveness) -> str:
    """Its note, without the words of the command line."""
    return found.note if found.live is not None else "no decision: liveness is not calibrated here"


def face(found: Face) -> dict[str, Any]:
    """A face; hundredths of a pixel are more than any detector knows."""
    return {
        "box": np.round(found.box.astype(np.float64), 2).tolist(),
        "landmarks": np.round(found.landmarks.astype(np.float64), 2).tolist(),
        "score": _short(found.score),
        "quality": quality(found.quality),
        "liveness": liveness(found.liveness),
    }


def detected(found: PhotoFaces) -> dict[str, Any]:
    """The faces of a photo."""
    return {"width": found.size[1], "height": found.size[0], "faces": [face(one) for one in found.faces]}


def analyzed(found: PhotoFaces, asked: Sequence[str], model: AttributeModel) -> dict[str, Any]:
    """The faces of a photo, and what they look like."""
    faces = [
        {**face(one), "attributes": one.attributes and attributes_dict(one.attributes, ATTRIBUTES)}
        for one in found.faces
    ]
    return {
        "width": found.size[1], "height": found.size[0], "model": model.name,
        "fingerprint": model.fingerprint, "attributes": list(asked), "faces": faces,
    }  # fmt: skip


def embedded(found: PhotoFaces, pipeline: Pipeline) -> dict[str, Any]:
    """The faces of a photo with their embeddings, to the last bit."""
    embedder = pipeline.embedder
    faces = [
        {**face(one), "embedding": [] if one.embedding is None else one.embedding.tolist()}
        for one in found.faces
    ]
    return {
        "model": embedder.name, "fingerprint": embedder.fingerprint, "flip": embedder.flip, "faces": faces,
    }  # fmt: skip


def verified(result: Verification) -> dict[str, Any]:
    """Whether two photos are of one person."""
    return {
        "same": result.same,
        "similarity": result.similarity,
        "threshold": result.threshold,
        "fmr": result.fmr,
        "probability": result.probability,
        "prior": result.prior,
        "note": result.note,
        "faces": [face(one) for one in result.faces],
        "found": list(result.found),
        "comparisons": result.comparisons,
    }


def decision(rule: Decision | None) -> dict[str, Any] | None:
    """What a search was decided by."""
    if rule is None:
        return None
    return {"threshold": rule.threshold, "fmr": rule.fmr, "fpir": rule.fpir, "source": rule.source}


def identified(found: Face, who: Identification, twice: bool) -> dict[str, Any]:
    """A face, who it is, and whether another face of the photo is said to be them too."""
    return {
        **face(found),
        "person": person_of(who),
        "name": who.name,
        "similarity": who.similarity,
        "decided": who.decided,
        "threshold": who.threshold,
        "note": who.note,
        "candidates": [_candidate(one) for one in who.candidates],
        "twice": twice,
    }


def present(found: Presence, actions: Sequence[str], who: Identification | None) -> dict[str, Any]:
    """Whether a challenge was passed, and who did."""
    return {
        "passed": found.passed,
        "note": found.note,
        "actions": list(actions),
        "done": found.done,
        "frame": found.frame,
        "liveness": liveness(found.liveness),
        "face": None if who is None or found.face is None else identified(found.face, who, twice=False),
    }


def person_of(who: Identification) -> int | None:
    """The number of whoever it is."""
    return None if who.name is None or not who.candidates else who.candidates[0].person


def _candidate(one: Candidate) -> dict[str, Any]:
    return {"person": one.person, "name": one.name, "similarity": one.similarity}


def person(one: Person) -> dict[str, Any]:
    """A person of the gallery."""
    return {
        "id": one.id, "name": one.name, "samples": one.samples, "created": one.created,
        "groups": list(one.groups),
    }  # fmt: skip


def brief(one: PersonDetail) -> dict[str, Any]:
    """A person of the gallery, without their samples but how many there are."""
    return {
        "id": one.id, "name": one.name, "samples": len(one.samples), "created": one.created,
        "groups": list(one.groups),
    }  # fmt: skip


def detail(one: PersonDetail) -> dict[str, Any]:
    """A person with samples."""
    samples = [
        {
            "id": sample.id, "created": sample.created, "quality": quality(sample.quality),
            "source": sample.source, "has_photo": sample.has_photo,
        }
        for sample in one.samples
    ]  # fmt: skip
    return {
        "id": one.id, "name": one.name, "created": one.created, "groups": list(one.groups),
        "samples": samples,
    }  # fmt: skip


def enrolled(one: PersonDetail, done: Enrollment) -> dict[str, Any]:
    """What an enrolment did."""
    return {
        "person": brief(one),
        "added": done.added,
        "duplicates": list(done.duplicates),
        "rejected": [{"source": r.source, "reason": r.reason} for r in done.rejected],
        "warnings": list(done.warnings),
    }


def models(pipeline: Pipeline, detector: ModelFile | None) -> dict[str, Any]:
    """The models in use, and what is known of how well they do."""
    embedder, runs = pipeline.embedder, pipeline.variants
    card = embedder.model.card
    return {
        "detector": {
            "name": pipeline.detector.name,
            "version": "" if detector is None else detector.card.version,
            "licence": "" if detector is None else detector.card.licence,
            "fingerprint": pipeline.detector.fingerprint,
            "provider": pipeline.providers.get("detector"),
            "variant": runs["detector"].name if "detector" in runs else None,
        },
        "embedder": {
            "name": card.name, "version": card.version, "licence": card.licence,
            "fingerprint": embedder.fingerprint, "provider": embedder.provider,
            "variant": embedder.variant.name, "embedding_size": embedder.embedding_size,
            "flip": embedder.flip,
            "calibration": _calibration(embedder.calibration, pipeline.detector.fingerprint),
        },
        "liveness": _liveness_models(pipeline),
    }  # fmt: skip


def _liveness_models(pipeline: Pipeline) -> dict[str, Any] | None:
    alive = pipeline.liveness
    if alive is None:
        return None
    known = alive.calibration
    return {
        "names": [model.card.name for model in alive.models],
        "fingerprints": list(alive.fingerprints),
        "calibration": None if known is None else {
            "dataset": known.dataset, "threshold": known.threshold,
            "apcer": known.apcer.rate, "apcer_interval": list(known.apcer.interval),
            "bpcer": known.bpcer.rate, "bpcer_interval": list(known.bpcer.interval),
            "same_detector": known.detector_fingerprint == pipeline.detector.fingerprint,
        },
    }  # fmt: skip


def _calibration(known: Calibration | None, detector: str) -> dict[str, Any] | None:
    if known is None:
        return None
    return {
        "dataset": known.dataset,
        "protocol": known.protocol,
        "genuine": known.genuine,
        "impostors": known.impostors,
        "detector": known.detector,
        "same_detector": known.detector_fingerprint == detector,
        "points": [_listed(asdict(point)) for point in known.thresholds],
        "score_map": None if known.score_map is None else asdict(known.score_map),
    }


def _listed(data: dict[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in data.items()}


def grouped(labels: Iterable[int], places: Iterable[tuple[int, int]]) -> list[list[dict[str, int]]]:
    """Groups of faces, the largest first, from a label a face."""
    groups: dict[int, list[dict[str, int]]] = {}
    for label, (photo, number) in zip(labels, places, strict=True):
        groups.setdefault(int(label), []).append({"photo": photo, "face": number})
    return [groups[label] for label in sorted(groups)]


def _short(value: float) -> float:
    return round(float(value), 5)
