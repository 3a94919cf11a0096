"""Making `facewise-attributes-s` from UTKFace and FER2013 and the public embedder's backbone, in int8."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from facewise.analysis.attributes import AttributeModel
from facewise.evaluation.attributes import AttributesResult, GroupFigure, measure_attributes
from facewise.files import write_bytes
from facewise.metrics.bootstrap import Interval
from facewise.models.file import ModelFile, read_model, write_model
from facewise.models.quantize import quantize
from facewise.training.attributes.calibrate import calibrate
from facewise.training.attributes.config import AttributesConfig, attributes_config
from facewise.training.attributes.faces import LEARN, VALIDATE, LabelledFaces, joined
from facewise.training.attributes.run import train_attributes
from facewise.training.pace import Pace
from scripts.own_models.attribute_faces import TEST, TRAIN
from scripts.own_models.embedder import CALIBRATED, LICENCE
from scripts.own_models.emotion_teacher import Teacher

NAME = "facewise-attributes-s"

RUN = "attributes-run"

_TAUGHT = (2000, 300, 1000, 2000, 1300, 1000, 2000)
"""Faces of UTKFace, at most, that the teacher says show each emotion: most smile or show none."""

_OFTEN = 3
"""How often a sharp picture of FER2013 is shown beside each of the blurred ones."""


def settings(checkpoint: Path) -> AttributesConfig:
    """Of the training.

    Args:
        checkpoint: The public embedder that it begins with.
    """
    looks = {"preset": "medium", "grey": 0.15}
    moods = {"preset": "medium", "downscale": [0.3, 0.15, 0.8]}
    return attributes_config(
        {
            "name": NAME,
            "start": str(checkpoint.resolve()),
            "branches": [
                {"attributes": ["age", "gender", "race"], "epochs": 8, "frozen": 5, "augmentation": looks},
                {"attributes": ["emotion"], "epochs": 3, "cycles": 2, "side": 64, "augmentation": moods},
            ],
        }
    )


def train(folder: Path, checkpoint: Path, teacher: Path, work: Path) -> ModelFile:
    """Train, or go on where a stopped training was, or find it done.

    Args:
        folder: What `attribute_faces.gather` made.
        checkpoint: The public embedder that it begins with.
        teacher: The public network that teaches emotions.
        work: Its folder `attributes-run` is the run.

    Returns:
        The model in full precision, at WORK/NAME-fp32.onnx.
    """
    done = work / f"{NAME}-fp32.onnx"
    if done.is_file():
        return read_model(done)
    faces = learned_from(folder, Teacher(teacher))
    # A fixed pace, so that the same numbers come of it on processors alike; a GPU takes float32.
    pace = None if torch.cuda.is_available() else Pace("bf16", ("strided", "global"), channels_last=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    run = train_attributes(
        faces, work / RUN, config=settings(checkpoint), device=device, pace=pace, licence=LICENCE
    )
    assert run is not None  # all branches were trained
    return write_model(done, run.model.network, replace(run.model.card, name=done.stem))


def quantize_attributes(folder: Path, work: Path) -> ModelFile:
    """The model in int8, at WORK/NAME.onnx, calibrated anew and measured on what nothing was learned from."""
    original, done = read_model(work / f"{NAME}-fp32.onnx"), work / f"{NAME}.onnx"
    if not (done.is_file() and _is_measured(read_model(done))):
        known = joined(utkface(folder), fer2013(folder))
        chosen = np.concatenate(
            [_some(known.chosen((name,), LEARN), CALIBRATED // 2) for name in ("gender", "emotion")]
        )
        calibrate(quantize(original, done, photos=list(known.some(chosen))).model, known)
        model = read_model(done)
        rule = model.card.attributes
        assert rule is not None  # it is a model of attributes
        measured = told(measure(model, folder))
        write_model(done, model.network, replace(model.card, attributes=replace(rule, measured=measured)))
    write_bytes(work / "attributes.json", json.dumps(figures(read_model(done), folder), indent=2).encode())
    return read_model(done)


def _is_measured(model: ModelFile) -> bool:
    return model.card.attributes is not None and bool(model.card.attributes.measured)


def measure(model: ModelFile, folder: Path) -> dict[str, AttributesResult]:
    """Figures on the faces held out: UTKFace's fifth, and FER2013's private test, whole and cleaned."""
    loaded = AttributeModel(model)
    rule = loaded.rule
    found = {}
    for name, faces in (("utkface", utkface(folder)), ("fer2013", fer2013(folder))):
        chosen = np.flatnonzero(faces.part == TEST)
        told = loaded.predict(faces.some(chosen))
        labels = {attribute: values[chosen] for attribute, values in faces.labels.items()}
        found[name] = measure_attributes(rule, told, labels)
        if name == "fer2013":
            keep = np.array(_read(folder, name)[0]["keep"], bool)[chosen]
            found["fer2013, cleaned"] = measure_attributes(
                rule, {k: v[keep] for k, v in told.items()}, {k: v[keep] for k, v in labels.items()}
            )
        if name == "utkface":
            adults = (labels["age"] >= 18) & (labels["age"] <= 60)
            found["utkface, 18 to 60"] = measure_attributes(
                rule, {k: v[adults] for k, v in told.items()}, {k: v[adults] for k, v in labels.items()}
            )
    return found


def figures(model: ModelFile, folder: Path) -> dict[str, Any]:
    """`measure` as plain JSON, with the hashes of the faces."""
    hashes = {name: _hash(folder / f"{name}.npy") for name in ("utkface", "fer2013")}
    results = {name: result.to_dict() for name, result in measure(model, folder).items()}
    parts = {"UTKFace": (utkface(folder), "non-commercial research")}
    parts["FER2013"] = (fer2013(folder), "research and education")
    data = {
        name: {
            "learned": int((faces.part == LEARN).sum()),
            "validated": int((faces.part == VALIDATE).sum()),
            "tested": int((faces.part == TEST).sum()),
            "terms": terms,
        }
        for name, (faces, terms) in parts.items()
    }
    return {"faces": hashes, "data": data, **results}


def told(results: dict[str, AttributesResult]) -> dict[str, Any]:
    """What the model file says of how good it is; see `models show`."""
    looks, moods = results["utkface"], results["fer2013"]
    assert looks.age is not None  # UTKFace has ages
    facts = {"age": _fact("mean absolute error, years", looks.age.mae, looks.age.faces, "UTKFace, held out")}
    facts["age"] |= {"covered": looks.age.coverage.estimate, "worst": _worst(looks.worst("age"))}
    for name, result, data in (
        ("gender", looks, "UTKFace, held out"),
        ("emotion", moods, "FER2013, private test"),
        ("race", looks, "UTKFace, held out"),
    ):
        one = result.words[name]
        facts[name] = _fact("accuracy", one.accuracy, one.faces, data)
        facts[name] |= {"ece": one.ece, "macro_recall": one.macro_recall.estimate}
        worst = result.worst(name)
        if worst is None:  # FER2013 says nothing of people: the word that is told rightly least often
            word, recall = min(one.recalls.items(), key=lambda item: item[1].estimate)
            support = sum(one.confusion[list(one.recalls).index(word)])
            worst = GroupFigure(f"labelled {word}", support, recall)
        facts[name] |= {"worst": _worst(worst)}
    return facts


def _fact(figure: str, value: Interval, faces: int, data: str) -> dict[str, Any]:
    return {
        "figure": figure,
        "value": value.estimate,
        "low": value.low,
        "high": value.high,
        "faces": faces,
        "data": data,
    }


def _worst(group: GroupFigure | None) -> dict[str, Any] | None:
    if group is None:
        return None
    value = group.value
    return {
        "group": group.group,
        "value": value.estimate,
        "low": value.low,
        "high": value.high,
        "faces": group.faces,
    }


def learned_from(folder: Path, teacher: Teacher) -> LabelledFaces:
    """Faces to learn from and to validate on; what is tested on has another part."""
    return joined(utkface(folder), *moods(folder, teacher))


def utkface(folder: Path) -> LabelledFaces:
    """UTKFace, all parts."""
    facts, crops = _read(folder, "utkface")
    labels = {name: np.array(facts[name], np.float64) for name in ("age", "gender", "race")}
    return LabelledFaces((crops,), labels, np.array(facts["part"]), "UTKFace")


def fer2013(folder: Path) -> LabelledFaces:
    """FER2013, all parts; of those that are not tested on, the rows that its cleaning keeps.

    Its training part is blurred in DATA. Four fifths of the public test, which is sharp, are learned from
    too; one is validated and calibrated on. The private test alone is tested on.
    """
    facts, crops = _read(folder, "fer2013")
    part = np.array(facts["part"])
    draws = np.array([_draw(key) for key in facts["keys"]])
    part = np.where((part == VALIDATE) & (draws >= 0.2), LEARN, part)
    part[(part != TEST) & ~np.array(facts["keep"], bool)] = -1
    return LabelledFaces((crops,), {"emotion": np.array(facts["emotion"], np.float64)}, part, "FER2013")


def moods(folder: Path, teacher: Teacher) -> list[LabelledFaces]:
    """Faces to learn emotions from, with what the teacher says of those that are sharp."""
    faces, (facts, crops) = fer2013(folder), _read(folder, "fer2013")
    split = np.array(facts["part"])
    blurred, sharp = (
        np.flatnonzero((split == TRAIN) & (faces.part == LEARN)),
        np.flatnonzero(split == VALIDATE),
    )
    plain = _subset(faces, blurred)
    asked = replace(
        _subset(faces, sharp), taught={"emotion": _taught(folder, "fer2013", crops, sharp, teacher)}
    )
    again = replace(asked, part=np.where(asked.part == LEARN, LEARN, -1))
    looks, (_, more) = utkface(folder), _read(folder, "utkface")
    says = _taught(folder, "utkface", more, np.arange(len(looks)), teacher)
    chosen = _by_mood(says.argmax(axis=1), looks.part == LEARN)
    others = LabelledFaces(
        (np.asarray(more[chosen]),),
        {"emotion": np.full(len(chosen), -1.0)},
        np.zeros(len(chosen), np.int64),
        "UTKFace",
        {"emotion": says[chosen]},
    )
    return [plain, asked, *[again] * (_OFTEN - 1), others]


def _by_mood(says: NDArray[np.int64], allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Some faces of each emotion, at most `_TAUGHT`."""
    rng = np.random.default_rng(0)
    parts = [rng.permutation(np.flatnonzero(allowed & (says == k)))[:most] for k, most in enumerate(_TAUGHT)]
    return np.sort(np.concatenate(parts))


def _taught(
    folder: Path, name: str, crops: NDArray[np.uint8], chosen: NDArray[np.int64], teacher: Teacher
) -> NDArray[np.float16]:
    """What the teacher says of some crops; asked once and kept."""
    place = folder / f"{name}-taught.npy"
    if not place.is_file():
        parts = [teacher.of_crops(crops[chosen[i : i + 500]]) for i in range(0, len(chosen), 500)]
        np.save(place, np.concatenate(parts).astype(np.float16))
    found: NDArray[np.float16] = np.load(place)
    return found


def _subset(faces: LabelledFaces, chosen: NDArray[np.int64]) -> LabelledFaces:
    labels = {name: values[chosen] for name, values in faces.labels.items()}
    return LabelledFaces((faces.some(chosen),), labels, faces.part[chosen], faces.name)


def _some(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(0).permutation(indices)[:count])


def _draw(key: str) -> float:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(folder: Path, name: str) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return facts, np.load(folder / f"{name}.npy", mmap_mode="r")
