"""A comparison measures what it says, goes on where it was, and does not lose all for one that fails."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from drawn_crops import DrawnCrops
from misbehaving import Task

from facewise.classify.fit import fit_classifier
from facewise.embedding import Embedder
from facewise.errors import FacewiseError, ModelError, SettingError
from facewise.files import one_at_a_time
from facewise.methods import network, process
from facewise.methods.compare import compare_methods
from facewise.methods.division import data_settings, divide_photos
from facewise.models.file import read_model
from facewise.training.crops import load_crops
from facewise.training.display import Quiet
from facewise.training.engine import StoppedError
from facewise.training.run import train

TINY = {"backbone": "test-methods-tiny", "epochs": 2, "precision": "fp32", "data.augmentation": "none"}


def scratch(**changes):
    return {"scratch": TINY | {key.replace("__", "."): value for key, value in changes.items()}}


@pytest.fixture
def run(tiny_embedder_file):
    def compare(data, methods=("one-shot",), **options):
        options = {
            "start": tiny_embedder_file,
            "shots": ("1", "3", "full"),
            "seeds": (0, 1),
            "out": "cmp",
            "device": "cpu",
            "processes": False,
        } | options
        return compare_methods(data, methods, **options)

    return compare


def values(found):
    return {(cell.method, cell.shots): cell.accuracy.by_seed for cell in found.cells}


def test_one_shot_is_the_nearest_mean(run, tiny_embedder_file):
    data = DrawnCrops()
    found = run(data)
    crops = load_crops(data, 112)
    embedder = Embedder(read_model(tiny_embedder_file))
    vectors = dict(
        zip(crops.store.keys, embedder.embed(crops.store.take(range(len(crops.store)))), strict=True)
    )
    naive = {}
    for seed in (0, 1):
        division = divide_photos(crops, data_settings({}), seed)
        for k in ("1", "3", "full"):
            means = np.zeros((len(division.names), 32))
            for i in division.draw(k):
                means[division.train.labels[i]] += vectors[division.train.keys[i]]
            means /= np.linalg.norm(means, axis=1, keepdims=True)
            tested = np.stack([vectors[key] for key in division.test.keys])
            right = (tested @ means.T).argmax(axis=1) == division.test.labels
            naive.setdefault(("one-shot", k), {})[seed] = pytest.approx(right.mean())
    assert values(found) == naive
    assert 0.3 < naive["one-shot", "1"][0].expected < 1  # it can be better and worse
    assert found.cell("one-shot", "1").photos == 5
    assert found.cell("one-shot", "full").photos == 40
    assert found.cell("one-shot", "1").keep_bytes == 5 * 32 * 4
    assert (found.test_photos, found.people) == (10, tuple(f"P{p:02d}" for p in range(5)))


def test_everything_is_written_down(run):
    found = run(DrawnCrops(), ("one-shot", "scratch"), per_method=scratch(epochs=1), shots=("1", "full"))
    folder = Path("cmp")
    assert not found.failures
    assert {path.name for path in folder.iterdir() if path.is_file()} >= {
        "methods.md",
        "methods.json",
        "shots.png",
        "confusion-one-shot.png",
        "confusion-scratch.png",
        "confusions.json",
    }
    data = json.loads((folder / "methods.json").read_text())
    assert [(row["method"], row["shots"]) for row in data["table"]] == [
        ("one-shot", "1"),
        ("scratch", "1"),
        ("one-shot", "full"),
        ("scratch", "full"),
    ]
    row = data["table"][0]
    assert row["accuracy"]["low"] <= row["accuracy"]["mean"] <= row["accuracy"]["high"]
    assert set(row["accuracy"]["by_seed"]) == {"0", "1"}
    assert set(data["verdicts"]) == {"1", "full"}
    report = (folder / "methods.md").read_text()
    assert data["verdicts"]["full"] in report
    assert "scratch: 1 epoch of the recipe arcface-mobilefacenet" in report
    confusions = json.loads((folder / "confusions.json").read_text())
    cells = confusions["cells"]["scratch"]
    assert sum(count for *_, count in cells) == 2 * 10  # all test photos of both seeds
    right = sum(count for i, j, count in cells if i == j) / 20
    assert right == pytest.approx(found.cell("scratch", "full").accuracy.mean)


def test_classifiers_are_those_of_classify_and_too_few_photos_are_no_failure(run):
    data = DrawnCrops()
    found = run(data, ("one-shot", "svc", "lda"), shots=("1", "full"), seeds=(0,))
    assert not found.failures
    assert set(values(found)) == {(m, k) for m in ("one-shot", "svc") for k in ("1", "full")} | {
        ("lda", "full")
    }
    assert any(note.startswith("lda is left out with 1 photo a person: ") for note in found.notes)
    assert not any("missing" in note for note in found.notes)
    # What is kept is the classifier's file, and what it says is what scikit-learn says.
    crops = load_crops(data, 112)
    division = divide_photos(crops, data_settings({}), 0)
    with np.load("cmp/vectors.npz") as stored:
        vectors = dict(zip(crops.store.keys, stored["vectors"], strict=True))
    rows = division.draw("full")
    fitted = fit_classifier(
        np.stack([vectors[division.train.keys[i]] for i in rows]),
        division.train.labels[rows],
        division.names,
        method="svc",
    )
    chances = fitted.probabilities(np.stack([vectors[key] for key in division.test.keys]))
    right = (chances.argmax(axis=1) == division.test.labels).mean()
    assert values(found)["svc", "full"] == {0: pytest.approx(right)}
    assert found.cell("svc", "full").keep_bytes > 1000
    assert found.cell("svc", "full").facts["method"] == "svc"


def test_all_methods_have_the_same_photos_and_networks_see_only_those(run):
    data = DrawnCrops()
    run(data, ("one-shot", "scratch"), per_method=scratch(), shots=("2",), seeds=(4,))
    crops = load_crops(data, 112)
    division = divide_photos(crops, data_settings({}), 4)
    rows = [line.split(",") for line in Path("cmp/runs/scratch-2-seed4.csv").read_text().splitlines()[1:]]
    assert {key for key, _, part in rows if part == "val"} == set(division.test.keys)
    assert {key for key, _, part in rows if part == "train"} == {
        division.train.keys[i] for i in division.draw("2")
    }
    assert all(key.startswith(person) for key, person, _ in rows)
    lines = [
        json.loads(line) for line in Path("cmp/runs/scratch-2-seed4/metrics.jsonl").read_text().splitlines()
    ]
    # The test photos are looked at once, at the end: nothing is chosen by them.
    assert [line["epoch"] for line in lines if line["kind"] == "validation"] == [2]


def test_a_run_is_gone_on_from_its_own_weights(run):
    data = DrawnCrops()
    plain = {"data.size": 112, "data.min_photos": 1, "data.held_out_photos": 0.0, **TINY}
    train(data, settings=plain, out="begun", display=Quiet(), device="cpu")
    own = {"finetune": {"epochs": 3, "start.backbones": [], "data.augmentation": "none"}}
    options = {
        "per_method": own,
        "recipe": "finetune-mobilefacenet",
        "start": "begun",
        "shots": ("2", "full"),
    }
    found = run(data, ("one-shot", "finetune"), seeds=(0,), **options)
    assert not found.failures
    assert (found.model, found.cell("finetune", "full").facts["epochs"]) == ("arcface-mobilefacenet", 3)
    assert found.cell("finetune", "full").keep_bytes > Path("begun/model.onnx").stat().st_size * 0.9
    assert "finetune: 3 epochs of the recipe finetune-mobilefacenet" in Path("cmp/methods.md").read_text()
    # The run learned from these photos, and its model file knows.
    assert any(
        "was trained on photos that are tested on here, 10 that look the same" in note for note in found.notes
    )
    with pytest.raises(SettingError, match="No recipe is made for test-methods-tiny"):
        run(data, ("finetune",), start="begun", out="other")


def test_it_goes_on_where_it_was(run, monkeypatch):
    data = DrawnCrops()

    class StopsAt(Quiet):
        left = 13  # in the midst of the second run

        def step(self, _):
            StopsAt.left -= 1
            if StopsAt.left == 0:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(network, "Quiet", StopsAt)
    small = {"per_method": scratch(data__batch_size=8), "shots": ("full",)}
    with pytest.raises(StoppedError, match="what is done is kept"):
        run(data, ("one-shot", "scratch"), **small)
    done = sorted(path.name for path in Path("cmp/results").iterdir())
    assert "one-shot-full-seed1.json" in done
    assert "scratch-full-seed1.json" not in done
    stamps = {name: (Path("cmp/results") / name).stat().st_mtime_ns for name in done}
    told = []
    resumed = run(data, ("one-shot", "scratch"), **small, say=told.append)
    assert f"{len(done)} of 4 results are there already." in told
    assert all((Path("cmp/results") / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items())
    straight = run(data, ("one-shot", "scratch"), **small, out="straight")
    assert values(resumed) == values(straight)

    monkeypatch.setattr(network, "train", None)  # all is there: nothing is trained
    assert values(run(data, ("one-shot", "scratch"), **small)) == values(resumed)
    # Methods, numbers of photos and seeds can be added.
    more = run(data, ("one-shot",), shots=("1", "full"), seeds=(0, 1, 2))
    assert values(more)["one-shot", "full"].items() > values(resumed)["one-shot", "full"].items()


def test_a_method_that_fails_does_not_lose_the_others(run, monkeypatch):
    data = DrawnCrops()
    wild = scratch(optimizer__rate=1e20, clip=None, schedule__warmup_epochs=0)
    found = run(data, ("scratch", "one-shot"), per_method=wild, shots=("full",))
    assert [(one.method, one.shots, one.seed) for one in found.failures] == [
        ("scratch", "full", 0),
        ("scratch", "full", 1),
    ]
    assert "The loss became" in found.failures[0].error
    assert list(values(found)) == [("one-shot", "full")]
    report = Path("cmp/methods.md").read_text()
    assert "scratch, all photos, seed 0, failed: The loss became" in report
    assert "2 of 4 results are missing" in report
    with pytest.raises(
        FacewiseError, match="No method could be measured; the first failed so: The loss became"
    ):
        run(data, ("scratch",), per_method=wild, shots=("full",), out="alone")

    def broken(_task, _tell):
        raise process.CutShortError("Its process was ended by SIGKILL, perhaps for want of memory.")

    monkeypatch.setattr("facewise.methods.compare.run_here", broken)
    again = run(data, ("scratch", "one-shot"), per_method=wild, shots=("full",))
    assert {one.error for one in again.failures} == {
        "Its process was ended by SIGKILL, perhaps for want of memory."
    }


def test_what_cannot_be_compared_is_told_before_anything_is_done(run, tiny_embedder_file):
    data = DrawnCrops()
    with pytest.raises(SettingError, match="There is no method 'one-shoot'; did you mean one-shot"):
        run(data, ("one-shoot",))
    with pytest.raises(SettingError, match="not '0'"):
        run(data, shots=(0, 1))
    with pytest.raises(SettingError, match="needs a seed"):
        run(data, seeds=())
    with pytest.raises(SettingError, match="epochs: settings of training, and none of one-shot trains"):
        run(data, settings={"epochs": 3})
    with pytest.raises(SettingError, match=r"There is no setting data\.max_foto"):
        run(data, ("scratch",), settings={"data.max_foto": 3})
    with pytest.raises(SettingError, match="There is no setting epoch; did you mean epochs"):
        run(data, ("scratch",), per_method={"scratch": {"epoch": 3}})
    with pytest.raises(SettingError, match="seed is no setting of a comparison"):
        run(data, ("scratch",), settings={"seed": 3})
    with pytest.raises(SettingError, match="chooses the photos, which are the same for all"):
        run(data, ("scratch",), per_method={"scratch": {"data.min_photos": 3}})
    with pytest.raises(SettingError, match="one-shot has no settings"):
        run(data, per_method={"one-shot": {"k": 3}})
    with pytest.raises(SettingError, match="svc has no settings: they are chosen by cross-validation"):
        run(data, ("svc",), per_method={"svc": {"c": 3}})
    with pytest.raises(ModelError, match="has no weights to train beside it"):
        run(data, ("finetune",))
    with pytest.raises(ModelError, match="No model named 'mobilefacenot'"):
        run(data, start="mobilefacenot")
    with pytest.raises(SettingError, match=r"There is no model.onnx in .*it is no run"):
        run(data, start=tiny_embedder_file.parent)
    assert not Path("cmp").exists() or not list(Path("cmp").glob("results/*"))


def test_a_folder_of_another_comparison_is_left_alone(run, other_embedder_file):
    data = DrawnCrops()
    run(data)
    with pytest.raises(
        SettingError, match=r"holds a comparison with other settings.*another folder with --out"
    ):
        run(data, start=other_embedder_file)
    with pytest.raises(SettingError, match="holds a comparison with other settings"):
        run(data, settings={"data.max_photos": 5})
    with one_at_a_time("cmp/.lock"), pytest.raises(SettingError, match="Another comparison runs in cmp"):
        run(data)
    Path("cmp/results/one-shot-1-seed0.json").write_text("{}")
    with pytest.raises(FacewiseError, match=r"one-shot-1-seed0\.json is damaged .*delete it"):
        run(data)


def test_each_method_is_measured_in_a_process_of_its_own(run):
    found = run(DrawnCrops(), shots=("1",), seeds=(0,), processes=True)
    (cell,) = found.cells
    assert 20e6 < cell.peak_bytes < 2e9
    assert cell.predict_ms > 0
    assert values(found) == values(run(DrawnCrops(), shots=("1",), seeds=(0,), out="here"))


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("killed", "ended by SIGKILL, perhaps for want of memory"),
        ("crashes", r"ended with code 1.*ZeroDivisionError: nothing to divide"),
        ("fails", "It cannot be so"),
    ],
)
def test_a_process_that_ends_badly_is_told_of(what, error, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    told = []
    with pytest.raises(FacewiseError, match=error):
        process.run_apart(Task(what), told.append)
    assert told == [{"done": "first"}]


def test_what_is_printed_in_a_process_is_no_result_and_ctrl_c_ends_it(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    told = []
    process.run_apart(Task("prints"), told.append)
    assert told == [{"done": "first"}]
    told.clear()
    process.run_apart(Task("has too few"), told.append)
    assert told[1:] == [
        {"too few": "second", "error": "Two are needed."},
        {"failed": "third", "error": "It broke."},
    ]

    def stop(fact):
        if fact["done"] == "waiting":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        process.run_apart(Task("waits"), stop)
