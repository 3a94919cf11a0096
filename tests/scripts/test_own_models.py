"""The parts of making our own models that can be checked without training them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from scipy.stats import beta

from facewise.data.lfw import Pair
from facewise.errors import ModelError
from facewise.models import Calibration, read_model, write_model
from facewise.models.file import save_calibration
from facewise.types import Face
from scripts.own_models.bundle import bundle
from scripts.own_models.cards import write_cards
from scripts.own_models.photos import embeddings, nearest, sources, view_2, write_listing
from scripts.own_models.slices import by_sex, detected, failures, false_matches, rate
from tiny_models import write_attributes


def unit(count, size=8, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_nearest_is_the_largest_cosine():
    some, others = unit(2500), unit(7, seed=1)
    expected = [max(float(a @ b) for b in others) for a in some]
    assert nearest(some, others) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("count", "of"), [(0, 30), (3, 30), (30, 30)])
def test_intervals_are_exact(count, of):
    """Against the beta quantiles they are defined by."""
    share, low, high = rate(count, of)
    assert share == count / of
    assert low == pytest.approx(beta.ppf(0.025, count, of - count + 1) if count else 0.0, abs=1e-9)
    assert high == pytest.approx(beta.ppf(0.975, count + 1, of - count) if count < of else 1.0, abs=1e-9)
    assert rate(0, 0) is None


def photo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((40, 40, 3), 90, np.uint8))


@pytest.fixture
def data(tmp_path):
    """The three datasets, in small."""
    for name in ("Ann", "Ben", "Cid"):
        for number in (1, 2):
            photo(tmp_path / "lfw" / "images" / name / f"{name}_000{number}.jpg")
    (tmp_path / "lfw" / "pairs.txt").write_text("1\t1\nAnn\t1\t2\nAnn\t1\tBen\t1\n")
    for i in range(3):
        photo(tmp_path / "celeba-wild" / "images" / f"{i}.webp")
        photo(tmp_path / "utkface" / "images" / f"u{i}.webp")
    rows = "".join(f"images/{i}.webp,7\n" for i in range(3))
    (tmp_path / "celeba-wild" / "identities.csv").write_text("path,identity\n" + rows)
    rows = "".join(f"images/u{i}.webp,{30 + i},{'male' if i else 'female'},white\n" for i in range(3))
    (tmp_path / "utkface" / "labels.csv").write_text("path,age,gender,race\n" + rows)
    return tmp_path


def test_nobody_of_view_2_is_learned_from(data):
    found = sources(data)
    assert set(found["lfw"].names) == {"Cid"}  # Ben's second photo is in no pair, but Ben is
    assert len(found["utkface"].names) == 3
    assert len(found["celeba-wild"].names) == 1
    assert set(view_2(data).keys) == {"Ann/Ann_0001.jpg", "Ann/Ann_0002.jpg", "Ben/Ben_0001.jpg"}


class Colours:
    """An embedder of mean colours."""

    def embed(self, crops):
        means = crops.reshape(len(crops), -1, 3).mean(1).astype(np.float32) + 1
        return means / np.linalg.norm(means, axis=1, keepdims=True)


def test_a_listing_is_read_as_the_dataset_it_names(tmp_path):
    from facewise.data.csvfile import csv_source

    for i in range(4):
        path = tmp_path / "crops" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.full((8, 8, 3), 60 * i, np.uint8))
    write_listing(tmp_path / "all.csv", [(f"crops/{i}.png", f"p, {i % 2}") for i in range(4)])
    source = csv_source(tmp_path / "all.csv")
    assert set(source.names) == {"p, 0", "p, 1"}
    assert embeddings(source, Colours()).shape == (4, 3)


def test_rates_by_sex_count_the_pairs_of_two_of_one(tmp_path):
    with (tmp_path / "gender.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "gender"])
        writer.writerows([["images/a.jpg", "female"], ["images/b.jpg", "female"], ["images/c.jpg", "male"]])
    pairs = [
        Pair("a.jpg", "b.jpg", same=True, fold=0),
        Pair("a.jpg", "b.jpg", same=False, fold=1),
        Pair("a.jpg", "c.jpg", same=False, fold=0),
        Pair("c.jpg", "c.jpg", same=True, fold=1),
        Pair("a.jpg", "unknown.jpg", same=True, fold=1),
    ]
    kfold = SimpleNamespace(folds=(0, 1), thresholds=(0.5, 0.3))
    result = SimpleNamespace(
        scored=SimpleNamespace(pairs=pairs, similarities=np.array([0.4, 0.4, 0.9, 0.4, 0.9])),
        metrics=SimpleNamespace(kfold=kfold),
    )
    women, men = by_sex(result, tmp_path / "gender.csv")
    assert (women["genuine"], women["impostor"], men["genuine"], men["impostor"]) == (1, 1, 1, 0)
    assert women["fnmr"][0] == 1.0  # 0.4 at the 0.5 of its fold
    assert women["fmr"][0] == 1.0  # 0.4 at the 0.3 of its fold
    assert men["fnmr"][0] == 0.0
    assert men["fmr"] is None


def test_false_matches_by_group_are_those_of_all_pairs(tmp_path):
    colours = [(250, 0, 0), (240, 5, 0), (0, 250, 0), (0, 0, 250)]
    races, rows = ["black", "black", "white", "white"], []
    for i, colour in enumerate(colours):
        cv2.imwrite(str(tmp_path / f"u{i}.png"), np.full((8, 8, 3), colour[::-1], np.uint8))
        rows.append((f"u{i}.png", f"utkface-u{i}"))
    write_listing(tmp_path / "held.csv", rows)
    text = "".join(f"images/u{i}.webp,{20 * i},male,{race}\n" for i, race in enumerate(races))
    (tmp_path / "labels.csv").write_text("path,age,gender,race\n" + text)
    found = {
        row["group"]: row
        for row in false_matches(tmp_path / "held.csv", tmp_path / "labels.csv", Colours(), 0.9)
    }
    assert (found["all"]["pairs"], found["all"]["matched"]) == (6, 1)
    assert (found["race black"]["pairs"], found["race black"]["matched"]) == (1, 1)
    assert (found["race white"]["pairs"], found["race white"]["matched"]) == (1, 0)
    assert found["age 20 to 39"]["fmr"] is None


class Boxes:
    """A detector that knows its answers by the photo's red value."""

    def __init__(self, answers):
        self.answers = answers

    def detect(self, image, *, threads=None):  # noqa: ARG002  as every detector takes it
        boxes = self.answers.get(int(image[0, 0, 0]), [])
        return [Face(np.array(box, np.float32), 0.9, np.zeros((5, 2), np.float32)) for box in boxes]


def test_found_faces_are_counted_by_group(tmp_path):
    utkface = tmp_path / "utkface"
    (utkface / "images").mkdir(parents=True)
    rows, text = [], "path,age,gender,race\n"
    for i, race in enumerate(("black", "black", "white", "white")):
        cv2.imwrite(str(utkface / "images" / f"u{i}.png"), np.full((8, 8, 3), i, np.uint8))
        rows.append((f"u{i}.png", f"utkface-u{i}"))
        text += f"images/u{i}.png,{20 * i},male,{race}\n"
    write_listing(utkface / "held.csv", rows)
    (utkface / "labels.csv").write_text(text)
    face = (0, 0, 6, 6)
    reference = Boxes({0: [face], 1: [face, (7, 7, 8, 8)], 2: [face]})  # none in the last photo
    mine = Boxes({0: [(1, 0, 6, 6)], 1: [(7, 7, 8, 8)], 3: [face]})
    found = {row["group"]: row for row in detected(utkface / "held.csv", utkface, reference, mine)}
    assert (found["all"]["faces"], found["all"]["found"][0]) == (3, pytest.approx(1 / 3))
    assert (found["race black"]["faces"], found["race black"]["found"][0]) == (2, 0.5)
    assert (found["race white"]["faces"], found["race white"]["found"][0]) == (1, 0.0)
    assert found["age 60 to 116"]["found"] is None


def test_failures_are_the_worst_of_both_kinds():
    pairs = [Pair(f"a{i}", f"b{i}", same=i % 2 == 0, fold=0) for i in range(6)]
    result = SimpleNamespace(pairs=pairs, similarities=np.array([0.9, 0.1, 0.2, 0.8, 0.5, 0.3]))
    found = failures(result, 2)
    assert [row["a"] for row in found["one person"]] == ["a2", "a4"]
    assert [row["b"] for row in found["two people"]] == ["b3", "b5"]
    assert found["two people"][0]["similarity"] == 0.8


LFW_ROW = {
    "detector": "d", "embedder": "e", "accuracy": 0.98, "standard_error": 0.002, "auc": 0.99,
    "without_face": 0, "tar@fmr=0.001": 0.9,
}  # fmt: skip
SHARE = [0.5, 0.25, 0.75]
AGREED = {"found": 1.0, "main": 1.0, "landmarks": 0.03, "points": 0.02, "worst": 0.1}
MEASURES = {
    "lfw": [LFW_ROW],
    "lfw by sex": [
        {"pairs of two": "male", "genuine": 3, "impostor": 0, "accuracy": SHARE, "fnmr": SHARE, "fmr": None}
    ],
    "failures": {kind: [{"a": "A/A_1.jpg", "b": "B/B_2.jpg", "similarity": 0.5}] for kind in
                 ("one person", "two people")},
    "calibration": {"protocol": "all pairs of 5 people", "rates": [0.1, 0.01]},
    "utkface": {"threshold": 0.3, "groups": [
        {"group": "all", "photos": 4, "pairs": 6, "matched": 3, "fmr": SHARE}]},
    "detected": [{"group": "all", "faces": 3, "found": SHARE}],
    "detector": {"lfw": {"work/facewise-detect-s.onnx": AGREED}, "face-free": {"d": 0.002},
                 "scenes": {"d": {"all": 0.9}, "faces": {"all": 1234}}},
}  # fmt: skip


@pytest.fixture
def made(tmp_path, tiny_detector_file, tiny_embedder_file):
    """A work folder with tiny models, as `make models` leaves it."""
    for name, file, run in (
        ("facewise-embed-s", tiny_embedder_file, "embed-run"),
        ("facewise-detect-s", tiny_detector_file, "detector/run"),
    ):
        model = read_model(file)
        training = {
            "seconds": 7200,
            "seed": 0,
            "photos": 8350,
            "epochs": 14,
            "steps": 20000,
            "parameters": 441354,
        }
        write_model(
            tmp_path / f"{name}.onnx", model.network, replace(model.card, name=name, training=training)
        )
        (tmp_path / run).mkdir(parents=True)
        facts = {"machine": {"processor": "Some CPU", "cores": 4}, "packages": {"torch": "2.0"}}
        (tmp_path / run / "environment.json").write_text(json.dumps(facts))
        (tmp_path / run / "metrics.jsonl").write_text('{"kind": "train"}\n')
    (tmp_path / "measures.json").write_text(json.dumps(MEASURES))
    row = {"photos": 9, "no_face": 1, "matched": 2, "held_out": 0, "used": 6}
    (tmp_path / "gathered.json").write_text(json.dumps({"lfw": row}))
    return tmp_path


def test_cards_have_every_figure_and_the_log_beside_them(made, tmp_path):
    write_cards(made, tmp_path / "docs")
    embedder = (tmp_path / "docs" / "facewise-embed-s.md").read_text()
    assert "| d | e | 0.9800 ± 0.0020 | 0.9000 | 0.9900 | 0 |" in embedder
    assert "| male | 3 | 0 | 0.5000 (0.2500 to 0.7500) | 0.5000 (0.2500 to 0.7500) | — |" in embedder
    assert "A_1 and B_2: 0.500" in embedder
    assert "116,900 crops" in embedder.replace("\n", " ")
    assert "0.04 to 0.08 kWh" in embedder.replace("\n", " ")
    detector = (tmp_path / "docs" / "facewise-detect-s.md").read_text()
    assert "| facewise-detect-s | 1.0000 | 1.0000 | 0.0300 | 0.0200 | 0.1000 |" in detector
    assert "441,354" in detector
    assert "all (1,234)" in detector
    assert (tmp_path / "docs" / "facewise-detect-s.jsonl").read_text() == '{"kind": "train"}\n'


def test_models_without_thresholds_or_too_large_are_not_bundled(made, tmp_path, monkeypatch):
    root = tmp_path / "root"
    for folder in ("src/facewise/models/bundled", "docs/models"):
        (root / folder).mkdir(parents=True)
    looks = write_attributes(made / "facewise-attributes-s.onnx")
    with pytest.raises(ModelError, match="has no thresholds"):
        bundle(made, root)
    model = read_model(made / "facewise-embed-s.onnx")
    save_calibration(model, Calibration("Some", "pairs", "0" * 64, 1, 1, False, "d", "0" * 64, ()))
    write_cards(made, made / "cards")
    with pytest.raises(ModelError, match="facewise-attributes-s was not measured"):
        bundle(made, root)
    rule = replace(looks.card.attributes, measured={"age": {}})
    write_model(looks.path, looks.network, replace(looks.card, attributes=rule))
    bundle(made, root)
    assert {path.name for path in (root / "src/facewise/models/bundled").iterdir()} == {
        "facewise-attributes-s.onnx", "facewise-detect-s.onnx", "facewise-embed-s.onnx",
    }  # fmt: skip
    assert (root / "docs/models/facewise-embed-s.md").exists()
    monkeypatch.setattr("scripts.own_models.bundle.MOST", 10)
    with pytest.raises(ModelError, match="more than the 10 "):
        bundle(made, root)
