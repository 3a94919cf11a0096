"""`facewise models …`, `eval lfw` and `bench`."""

from __future__ import annotations

import importlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from facewise.models import bundled, read_model, write_model
from facewise.models.score_map import ScoreMap
from facewise.models.trained_on import TrainedOn
from tiny_models import write_attributes

NAMES = [
    "calibrated", "facewise-attributes-s", "facewise-detect-s", "facewise-embed-s", "mobilefacenet-foamliu",
    "other", "retinaface-mobilenet025",
]  # fmt: skip

INT8 = bundled.FOLDER / f"{bundled.BUNDLED_MODELS['embedder']}.onnx"
"""A model with both networks, where the package has it."""


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch) -> Path:
    """No bundled models, whatever the package has: a test that wants some puts them here."""
    folder = tmp_path / "package"
    folder.mkdir()
    monkeypatch.setattr(bundled, "FOLDER", folder)
    return folder


@pytest.fixture
def own_store(store, tmp_path, monkeypatch) -> Path:
    """A copy of the store for tests that change it."""
    home = tmp_path / "own"
    shutil.copytree(store, home)
    monkeypatch.setenv("FACEWISE_HOME", str(home))
    return home / "models"


def test_list(facewise, store):
    done = facewise("models", "list", "--json").json
    assert done["folder"] == str(store / "models")
    assert [Path(model["path"]).stem for model in done["models"]] == NAMES
    assert done["broken"] == []
    assert "7 models" in facewise("models", "list").out


def test_list_says_what_is_bundled_and_what_is_used(facewise, package, other_embedder_file):
    shutil.copy(other_embedder_file, package / "other.onnx")
    shutil.copy(other_embedder_file, package / "inside.onnx")
    listed = facewise("models", "list", "--json").json["models"]
    places = {(Path(model["path"]).stem, model["place"]) for model in listed}
    assert {("other", "store"), ("other", "replaced"), ("inside", "bundled")} <= places
    text = facewise("models", "list").out
    for told in ("7 models", "2 bundled with Facewise", "replaced by the store's", "embedder, the default"):
        assert told in text
    assert facewise("models", "show", "inside", "--json").json["kind"] == "embedder"
    assert len(facewise("models", "verify", "--json").json["good"]) == 9


def test_list_of_what_can_be_downloaded(facewise):
    entries = facewise("models", "list", "--available", "--json").json["available"]
    assert {"name", "kind", "licence", "size"} <= set(entries[0])
    assert entries[0]["name"] in facewise("models", "list", "--available").out


def test_show(facewise):
    done = facewise("models", "show", "calibrated", "--json").json
    assert (done["kind"], done["embedding_size"]) == ("embedder", 32)
    assert [p["fmr"] for p in done["calibration"]["thresholds"]] == [0.1, 0.01, 0.001]
    text = facewise("models", "show", "calibrated").out
    assert "Calibrated on drawings" in text
    assert "No calibration" in facewise("models", "show", "other").out
    assert "models list" in facewise("models", "show", "nope", code=3).err
    assert "nope.onnx" in facewise("models", "show", "./nope.onnx", code=3).err


def test_show_of_a_full_calibration(facewise, own_store):
    model = read_model(own_store / "calibrated.onnx")
    points = tuple(
        replace(point, fmr_interval=(point.fmr / 2, point.fmr * 2), fmr_elsewhere=(0.0, point.fmr * 3))
        for point in model.card.calibration.thresholds
    )
    scale = ScoreMap(slope=20.0, offset=-10.0, low=-7.0, high=9.0, prior=0.5)
    calibration = replace(model.card.calibration, thresholds=points, score_map=scale)
    record = TrainedOn.of(3, ["ann", "bob"], ["ab" * 32] * 3, [])
    card = replace(model.card, calibration=calibration, trained_on=record)
    path = own_store / "full.onnx"
    write_model(path, model.network, card)
    text = " ".join(facewise("models", "show", "full").out.split())
    for told in ("true FMR", "another group's", "0.005 to 0.02", "0 to 0.03", "100 same pairs"):
        assert told in text
    assert "where half of the pairs are: 0.01 at similarity 0.270, 0.5 at similarity 0.500, 0.99 at" in text
    for told, place in ((0.01, 0.270), (0.5, 0.5), (0.99, 0.730)):
        assert calibration.probability_at(place) == pytest.approx(told, abs=2e-3)
    assert "none below 0.00091 or above 1 - 0.00012" in text
    assert "3 photos, 2 people by name; kept as hashes" in text
    told = facewise("models", "show", "full", "--json").json
    assert told["trained_on"] == {"photos": 3, "people": 2, "listed": True}
    assert told["calibration"]["score_map"]["slope"] == 20
    # Half of the pairs need not be of one person, and not every probability need be within reach.
    rare = replace(calibration, score_map=replace(scale, prior=0.01, low=-2.0, high=5.0))
    many = TrainedOn.of(3, ["ann"], [], [], most=2)
    write_model(path, model.network, replace(card, calibration=rare, trained_on=many))
    text = " ".join(facewise("models", "show", "full").out.split())
    assert "where 0.01 of the pairs are: 0.01 at similarity 0.500, 0.5 at similarity 0.730." in text
    assert rare.probability_at(0.73) == pytest.approx(0.5, abs=2e-2)
    assert "3 photos, 1 person by name; too many to list" in text


def test_show_says_which_networks_there_are_and_which_runs(facewise):
    both = facewise("models", "show", INT8, "--json").json["variants"]
    assert both["has"] == ["int8", "float"]
    assert both["runs"] in both["has"]
    assert both["why"] in " ".join(facewise("models", "show", INT8).out.split())
    alone = facewise("models", "show", "calibrated", "--json").json["variants"]
    assert alone == {"has": ["float"], "runs": "float", "why": "its only network"}


def test_a_variant_is_taken_at_its_word(facewise, photo):
    photo("a.png", (90, 80, 60, 1))
    for variant in ("int8", "float"):
        words = [
            "verify",
            "a.png",
            "a.png",
            "--model",
            INT8,
            "--variant",
            variant,
            "--threshold",
            "0.5",
            "--json",
        ]
        done = facewise(*words).json
        assert done["similarity"] == pytest.approx(1)
        assert done["variants"] == {"detector": "float", "embedder": variant}
    told = facewise("verify", "a.png", "a.png", "--variant", "int8", code=3).complaints
    assert len(told) == 1
    assert "has no int8 network" in told[0]
    assert "no variant 'int4'" in facewise("verify", "a.png", "a.png", "--variant", "int4", code=3).err


def test_show_says_what_a_file_has_not(facewise):
    text = " ".join(facewise("models", "show", "calibrated").out.split())
    assert "not recorded, so a test set cannot be checked" in text
    assert "No probabilities" in text
    assert text.count("not recorded") == 1 + 2 * 3  # three points without two intervals
    assert facewise("models", "show", "calibrated", "--json").json["trained_on"] is None
    detector = facewise("models", "show", "retinaface-mobilenet025").out
    assert "retinaface" in detector
    assert "decisions" not in detector


def test_verify(facewise, own_store):
    assert len(facewise("models", "verify", "--json").json["good"]) == 7
    whole = (own_store / "other.onnx").read_bytes()
    (own_store / "other.onnx").write_bytes(whole[: len(whole) // 2])
    done = facewise("models", "verify", "--json", code=3)
    assert len(done.json["good"]) == 6
    assert ["other.onnx" in bad["item"] for bad in done.json["bad"]] == [True]
    listed = facewise("models", "list", "--json", code=3)
    assert ["other.onnx" in broken["path"] for broken in listed.json["broken"]] == [True]
    Path("a.png").touch()
    assert "other.onnx" in facewise("verify", "a.png", "a.png", "--model", "other", code=3).err


def test_damage_inside_a_model_is_told_on_stderr_alone(facewise, own_store):
    path = own_store / "other.onnx"
    data = bytearray(path.read_bytes())
    at = data.find(b"Conv")
    data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    done = facewise("models", "verify", "other", "--json", code=3)
    assert [bad["item"] for bad in done.json["bad"]] == ["other"]


def test_an_empty_store(facewise, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "none"))
    assert "models import" in facewise("detect", "a.png", code=3).err
    assert facewise("models", "list", "--json").json["models"] == []
    assert "no model" in facewise("models", "verify").out


def test_a_home_that_cannot_be_made(facewise, monkeypatch):
    Path("file").touch()
    monkeypatch.setenv("FACEWISE_HOME", "file/home")
    assert "0 models in" in facewise("models", "list").out
    assert "set FACEWISE_HOME" in facewise("models", "import", "x.pt", code=3).err


def test_import_names_what_is_no_checkpoint(facewise):
    Path("text.pt").write_text("hello")
    done = facewise("models", "import", "text.pt", "missing.pt", "--to", "out", "--json", code=3)
    assert done.json["imported"] == []
    assert [bad["item"] for bad in done.json["bad"]] == ["text.pt", "missing.pt"]
    assert "2 bad checkpoints, named above, and no good one." in done.err
    assert "--name" in facewise("models", "import", "a.pt", "b.pt", "--name", "x", code=2).err


def test_download_of_an_unknown_model(facewise):
    assert "'nope'" in facewise("models", "download", "nope", code=3).err


@pytest.fixture
def lfw(monkeypatch, place) -> Path:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "evaluation"))
    return importlib.import_module("mini_lfw").make(place / "lfw")


def test_eval_lfw(facewise, lfw, own_store):
    first = facewise("eval", "lfw", lfw, "--json").json
    assert 0.5 <= first["accuracy"] <= 1
    assert len(first["kfold"]["accuracies"]) == 2
    assert first["saved"] is False
    assert (
        first["embedder"]["fingerprint"] == read_model(own_store / "mobilefacenet-foamliu.onnx").fingerprint
    )
    again = facewise("eval", "lfw", lfw, "--save", "--json").json
    assert again["accuracy"] == first["accuracy"]
    assert again["saved"] is True
    assert read_model(own_store / "mobilefacenet-foamliu.onnx").card.calibration.dataset == "LFW"
    text = facewise("eval", "lfw", lfw, "--one-shot", "--no-cache").out
    for told in ("accuracy, 2 folds", "TAR at FMR 0.001", "EER", "AUC", "One-shot", "rank-1"):
        assert told in text


def test_eval_lfw_names_what_it_cannot_read(facewise, lfw):
    broken = lfw / "images/Person_A/Person_A_0001.jpg"
    broken.write_text("no photo")
    refused = facewise("eval", "lfw", lfw, "--no-cache", "--json", code=3)
    assert "Person_A_0001.jpg" in refused.json["error"]
    done = facewise("eval", "lfw", lfw, "--no-cache", "--json", "--unreadable", "0.5", code=3)
    assert done.json["unreadable"][0]["photo"] == "Person_A/Person_A_0001.jpg"
    assert "Person_A_0001.jpg" in done.err


@pytest.mark.parametrize(("root", "told"), [("nope", "no folder nope"), (".", "pairs.txt")])
def test_eval_lfw_without_lfw(facewise, root, told):
    done = facewise("eval", "lfw", root, "--json", code=3)
    assert told in done.json["error"]


def test_bench(facewise, photo):
    for i in range(3):
        photo(f"in/{i}.png", (90, 80, 60, i))
    done = facewise("bench", "in", "--rounds", 1, "--threads", 1, "--json").json
    assert [stage["name"] for stage in done["stages"]] == ["decode", "detect", "align", "embed"]
    assert done["throughput"]["photos"] == 3
    only = {"runs": "float", "why": "its only network", "milliseconds": None}
    assert done["variants"] == {"detector": only, "embedder": only}
    Path("text.jpg").write_text("hello")
    assert "text.jpg" in facewise("bench", "text.jpg", code=3).err
    Path("empty").mkdir()
    assert "No photos" in facewise("bench", "empty", code=3).err


def test_bench_times_both_networks_of_a_model(facewise, monkeypatch):
    rates = {"embedder": 2.0, "raw": 1.0, "raw_batch": 1.0, "ratio": 2.0}
    monkeypatch.setattr("facewise.benchmark.embedder_rate", lambda *_, **__: rates)
    runs = facewise("bench", "--rounds", 1, "--model", INT8, "--json").json["variants"]["embedder"]
    assert runs["why"].startswith("measured here")
    assert set(runs["milliseconds"]) == {"int8", "float"}
    assert runs["runs"] in runs["milliseconds"]
    fixed = facewise("bench", "--rounds", 1, "--model", INT8, "--variant", "float")
    assert "embedder: float (asked for)" in fixed.out


def test_show_tells_where_a_bundled_model_comes_from(facewise, package, monkeypatch):
    """By its content: a file of the same name with anything else in it is another model."""
    monkeypatch.setattr(bundled, "FOLDER", INT8.parent)
    path = INT8.with_name(f"{bundled.BUNDLED_MODELS['detector']}.onnx")
    told = facewise("models", "show", str(path), "--json").json
    assert told["sha256"] == read_model(path).sha256
    assert [data["name"] for data in told["provenance"]["learned_from"]] == [
        "CelebA in the wild",
        "LFW",
        "drawn people",
    ]
    assert "WIDER FACE" in " ".join(facewise("models", "show", str(path)).out.split())
    model = read_model(path)
    other = package / path.name
    write_model(other, model.network, replace(model.card, version="2"))
    assert facewise("models", "show", str(other), "--json").json["provenance"] is None


def test_show_and_verify_of_attributes(facewise, own_store):
    model = write_attributes(own_store / "looks.onnx")
    measured = {
        "gender": {
            "figure": "accuracy", "value": 0.95, "low": 0.94, "high": 0.96, "faces": 4000, "data": "held out",
            "worst": {"group": "0 to 3 years", "value": 0.7, "low": 0.6, "high": 0.8, "faces": 300},
        }
    }  # fmt: skip
    rule = replace(model.card.attributes, measured=measured)
    write_model(model.path, model.network, replace(model.card, attributes=rule))
    text = " ".join(facewise("models", "show", "looks").out.split())
    assert "decisions" not in text
    for told in ("0.80", "angry", "0.95", "0 to 3", "not measured"):
        assert told in text
    done = facewise("models", "show", "looks", "--json").json
    assert (done["kind"], done["attributes"]["measured"]) == ("attributes", measured)
    assert facewise("models", "verify", "looks", "--json").json["good"][0]["name"] == "looks"
