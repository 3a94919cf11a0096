"""Test sets that hold training photos: from `facewise train` on drawn people to a refusal that names them."""

from __future__ import annotations

import csv
import pickle
import shutil
from pathlib import Path

import cv2
import PIL.Image
import pytest
import torch
from torch import nn

from facewise.data.folder import folder_source
from facewise.data.seen import record_in_model, seen_photos
from facewise.data.synthetic import SyntheticSource
from facewise.geometry import align
from facewise.models import read_model
from facewise.models.file import save_trained_on
from facewise.nn.backbones import BACKBONES

NAME = "test-tiny-that-leaks"
SIZE = 48
SETTINGS = (
    f"data.size={SIZE}", "data.batch_size=8", "data.min_photos=2", "data.held_out_photos=0",
    "data.held_out_people=0.2", f"backbone={NAME}", "precision=fp32", "epochs=1",
)  # fmt: skip


@BACKBONES.register(NAME)
class Tiny(nn.Sequential):
    embedding_size = 8

    def __init__(self, input_size=SIZE, unit=False):  # noqa: ARG002
        super().__init__(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(3 * (input_size // 4) ** 2, 8))


def write_crops(root: Path, people: int, photos: int, seed: int, prefix: str) -> Path:
    """Aligned crops of drawn people, a folder each."""
    drawn = SyntheticSource(people, photos, seed, size=120)
    for i, key in enumerate(drawn.keys):
        path = root / f"{prefix}{drawn.labels[i]:02d}" / f"{Path(key).stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(align(drawn.read(i), drawn.truth(i).landmarks, SIZE)).save(path)
    return root


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos to train on, and others to test on."""
    root = tmp_path_factory.mktemp("leaks")
    write_crops(root / "training", 15, 6, 1, "T")
    write_crops(root / "fresh", 8, 4, 2, "F")
    return root


@pytest.fixture
def world(drawn: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The photos in the current folder, and a home of its own; learning curves are not drawn."""
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("facewise.training.run.draw_curves", lambda *_: None)
    torch.set_num_threads(1)
    return Path(shutil.copytree(drawn, place, dirs_exist_ok=True))


@pytest.fixture
def run(world: Path, facewise) -> Path:
    """A training run."""
    facewise("train", "training", "--out", "run", "--json", "--device", "cpu", *SETTINGS)
    return Path("run")


def learned(run: Path) -> list[str]:
    """Keys of the photos a run was trained on."""
    with (run / "photos.csv").open(newline="") as file:
        return [row["key"] for row in csv.DictReader(file)]


def tamper(run: Path, folder: Path) -> tuple[list[str], list[str]]:
    """Put 50 training photos under other names into the folder of a test set: as they are, and saved anew."""
    same, anew = [], []
    for i, key in enumerate(learned(run)[:50]):
        crop = PIL.Image.open(Path("training") / key)
        path = folder / f"X{i // 5:02d}" / f"copy {i}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i % 5 < 3:
            path = path.with_suffix(".png")
            shutil.copy(Path("training") / key, path)
            same.append(path)
        elif i % 5 == 3:
            path = path.with_suffix(".jpg")
            crop.save(path, quality=80)
            anew.append(path)
        else:
            path = path.with_suffix(".png")
            crop.resize((SIZE - 8, SIZE - 8)).save(path)
            anew.append(path)
    return [[str(p.relative_to(folder).as_posix()) for p in some] for some in (same, anew)]


def write_pairs(folder: Path, *, named: bool = True) -> None:
    """All photos of a folder next to each other in pairs, and each with one of somebody else."""
    photos = sorted(p.relative_to(folder).as_posix() for p in folder.glob("*/*"))
    with Path("pairs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["a", "b", "same"] + ["person_a", "person_b"] * named)
        for i, a in enumerate(photos):
            for b in (photos[(i + 1) % len(photos)], photos[(i + 17) % len(photos)]):
                two = [photo.split("/")[0] for photo in (a, b)]
                rows.writerow([a, b, int(two[0] == two[1])] + two * named)


@pytest.fixture
def tampered(run: Path) -> tuple[list[str], list[str]]:
    return tamper(run, Path("fresh"))


def test_what_a_run_records(run, facewise):
    keys = learned(run)
    assert {key.split("/")[0] for key in keys} == set((run / "people.txt").read_text().split())
    card = read_model(run / "model.onnx").card
    record = card.trained_on
    assert (record.photos, record.people) == (len(keys), 12) == (card.training["photos"], 12)
    for one in seen_photos(folder_source("training")):
        assert record.has_contents([one.photo]) == [one.key in keys]  # people held out are not among them


def test_fifty_training_photos_in_a_folder_are_caught_and_named(run, tampered, facewise):
    same, anew = tampered
    words = ("eval", "folder", "fresh", "--aligned", "--shots", 0, "--model", "run/model.onnx")
    done = facewise(*words, code=3)
    (complaint,) = done.complaints
    assert (
        "was trained on 50 photos of fresh (30 the same and 20 that look the same: X00/copy 0.png"
        in complaint
    )
    assert "and 45 more" in complaint
    assert "--leaks exclude" in complaint
    assert "TAR" not in done.out
    told = facewise(*words, "--json", code=3).json
    assert "50 photos" in told["error"]
    (leakage,) = told["leakage"]
    found = {one["photo"]: one["how"] for one in leakage["photos_in_common"]}
    assert found == dict.fromkeys(same, "is") | dict.fromkeys(anew, "looks like")
    assert leakage["people_in_common"] == []

    marked = facewise(*words, "--leaks", "mark")
    assert "LEAKAGE: arcface-mobilefacenet was trained on 50 photos of these" in marked.out
    assert "flatter" in marked.out
    assert "TAR" in marked.out
    leakage = facewise(*words, "--leaks", "mark", "--json").json["models"][0]["leakage"]
    assert (leakage["policy"], len(leakage["photos_in_common"]), leakage["left_out"]) == ("mark", 50, None)

    excluded = facewise(*words, "--leaks", "exclude", "--json").json["models"][0]
    assert (excluded["people"], excluded["photos"]) == (8, 32)
    assert excluded["leakage"]["left_out"] == {"photos": 50, "people": 10, "photos_left_out": 50}
    text = facewise(*words, "--leaks", "exclude", "--no-cache").out
    assert "LEAKAGE: 50 photos are left out for 50 photos and 10 people trained on" in text
    for path in Path("fresh").glob("X*"):
        shutil.rmtree(path)
    clean = facewise(*words, "--json").json["models"][0]
    assert clean["verification"] == excluded["verification"]
    assert clean["leakage"]["photos_in_common"] == []
    assert "LEAKAGE" not in facewise(*words).out


@pytest.mark.parametrize("cache", ["--cache", "--no-cache"])
@pytest.mark.parametrize("named", [True, False])
def test_fifty_training_photos_in_a_list_of_pairs(run, tampered, facewise, named, cache):
    same, anew = tampered
    write_pairs(Path("fresh"), named=named)
    words = ("eval", "pairs", "pairs.csv", "--root", "fresh", "--aligned", "--model", "run/model.onnx", cache)
    told = facewise(*words, "--json", code=3).json
    found = {one["photo"]: one["how"] for one in told["leakage"][0]["photos_in_common"]}
    assert found == dict.fromkeys(same, "is") | dict.fromkeys(anew, "looks like")
    assert "LEAKAGE: arcface-mobilefacenet" in facewise(*words, "--leaks", "mark").out
    marked = facewise(*words, "--leaks", "mark", "--json").json["models"][0]
    excluded = facewise(*words, "--leaks", "exclude", "--json").json["models"][0]
    left_out = excluded["leakage"]["left_out"]
    assert left_out["pairs_left_out"] == marked["genuine"] + marked["impostors"] - excluded["pairs"] > 50
    assert left_out["people"] == (10 if named else 0)
    assert excluded["photos"] <= 32


def test_people_in_common_by_name_are_marked_and_can_be_left_out(run, facewise):
    learner = (run / "people.txt").read_text().split()[0]
    Path("fresh/F03").rename(Path("fresh") / learner.lower())
    words = ("eval", "folder", "fresh", "--aligned", "--shots", 0, "--model", "run/model.onnx")
    done = facewise(*words)
    assert f"was trained on people of 1 name of these ({learner.lower()})" in done.out
    told = facewise(*words, "--leaks", "exclude", "--json").json["models"][0]
    assert told["leakage"]["people_in_common"] == [learner.lower()]
    assert (told["people"], told["leakage"]["left_out"]["people"]) == (7, 1)


def test_what_is_not_recorded_is_told_once(world, facewise):
    facewise(
        "train",
        "training",
        "--out",
        "run",
        "--json",
        "--device",
        "cpu",
        *SETTINGS,
        "data.record_photos=false",
    )
    assert not Path("run/photos.csv").exists()
    assert read_model("run/model.onnx").card.trained_on is None
    shutil.copytree("training/T00", "fresh/T00")
    words = ("eval", "folder", "fresh", "--aligned", "--shots", 0, "--model", "run/model.onnx")
    done = facewise(*words)
    said = "What arcface-mobilefacenet was trained on is not recorded, so leakage cannot be checked."
    assert done.err.count(said) == 1
    told = facewise(*words, "--json").json["models"][0]["leakage"]
    assert told["not_checked"] == [said]
    assert (told["photos_checked"], told["training_photos"]) == (False, None)
    # The run has its people still.
    people = set(Path("run/people.txt").read_text().split())
    marked = facewise(*words, "--trained-on", "run")
    assert ("T00" in people) == ("trained on people of 1 name" in marked.out)
    assert "comes without a list of its training photos" in marked.err


def test_a_run_lists_what_a_model_file_has_no_room_for(run, tampered, facewise):
    model = read_model("run/model.onnx")
    record = model.card.trained_on
    save_trained_on(model, type(record)(record.photos, record.people, names=record.names, listed=False))
    words = ("eval", "folder", "fresh", "--aligned", "--shots", 0, "--model", "run/model.onnx")
    done = facewise(*words)
    assert f"comes without a list of its {record.photos} training photos" in done.err
    assert "--trained-on RUN" in done.err
    told = facewise(*words, "--trained-on", "run", "--json", code=3).json
    assert len(told["leakage"][0]["photos_in_common"]) == 50
    save_trained_on(model, record)
    assert "--trained-on is not needed" in facewise(*words, "--trained-on", "run", code=3).err


def test_verification_files(run, facewise):
    keys = learned(run)
    fresh = sorted(Path("fresh").glob("*/*.png"))
    images = [path.read_bytes() for path in fresh[:24]] + [
        (Path("training") / k).read_bytes() for k in keys[:4]
    ]
    picture = cv2.imread(str(Path("training") / keys[4]))
    images += [bytes(cv2.imencode(".jpg", picture)[1]), fresh[24].read_bytes()]
    Path("leaky.bin").write_bytes(pickle.dumps((images, [bool(i % 2) for i in range(15)])))
    Path("clean.bin").write_bytes(pickle.dumps((images[:24], [bool(i % 2) for i in range(12)])))
    words = ("eval", "bin", "leaky.bin", "clean.bin", "--model", "run/model.onnx")
    done = facewise(*words, "--json", code=3).json
    assert [file["dataset"] for file in done["files"]] == ["clean"]
    (refused,) = done["refused"]
    found = [(one["photo"], one["how"]) for one in refused["leakage"][0]["photos_in_common"]]
    assert found == [(f"image {i}", "is") for i in range(24, 28)] + [("image 28", "looks like")]
    assert "5 photos of leaky.bin" in done["bad"][0]["error"]
    left = facewise(*words, "--leaks", "exclude", "--json").json["files"]
    assert [file["models"][0]["pairs"] for file in left] == [12, 12]
    assert left[0]["models"][0]["leakage"]["left_out"]["pairs_left_out"] == 3
    assert (
        "LEAKAGE: arcface-mobilefacenet was trained on 5 photos of leaky.bin"
        in facewise(*words, "--leaks", "mark").out
    )


@pytest.mark.parametrize("command", [("pairs", "p.csv"), ("bin", "x.bin"), ("folder", "fresh"), ("lfw", "x")])
def test_a_policy_that_is_none(world, facewise, command):
    assert (
        "--leaks is one of refuse, exclude, mark" in facewise("eval", *command, "--leaks", "nope", code=2).err
    )


def test_a_run_that_is_none(run, facewise):
    words = ("eval", "folder", "fresh", "--aligned", "--model", "run/model.onnx", "--trained-on", "training")
    assert "There is no photos.csv in training" in facewise(*words, "--json", code=3).json["error"]


# With a detector: trained on photos that were aligned, tested on the photos


@pytest.fixture
def lfw(place: Path, monkeypatch: pytest.MonkeyPatch, tiny_embedder_file: Path) -> Path:
    """The drawn LFW, and a model that was trained on two of its people."""
    import importlib

    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "evaluation"))
    root = importlib.import_module("mini_lfw").make(place / "lfw")
    lines = (root / "pairs.txt").read_text().splitlines()[1:]
    (root / "pairsDevTrain.txt").write_text("\n".join(["6", *lines[:12]]) + "\n")
    (root / "pairsDevTest.txt").write_text("\n".join(["6", *lines[12:]]) + "\n")
    source = folder_source(root / "images")
    seen = seen_photos(
        source, [i for i, k in enumerate(source.keys) if k.startswith(("Person_F/", "Loner_G/"))]
    )
    model = shutil.copy(tiny_embedder_file, place / "leaky.onnx")
    record_in_model(model, seen, ["Somebody Else"])
    return root


def test_lfw(facewise, lfw):
    words = ("eval", "lfw", "lfw", "--model", "leaky.onnx")
    told = facewise(*words, "--json", code=3).json
    assert "3 photos of LFW" in told["error"]
    photos = [one["photo"] for one in told["leakage"][0]["photos_in_common"]]
    assert photos == [f"Person_F/Person_F_000{i}.jpg" for i in (1, 2, 3)]
    assert facewise(*words, "--leaks", "mark", "--json").json["leakage"]["policy"] == "mark"
    assert "LEAKAGE: tiny-embedder was trained on 3 photos" in facewise(*words, "--leaks", "mark").out
    without = facewise(*words, "--leaks", "exclude", "--json").json
    Path("people.txt").write_text("Person_F\n")
    by_name = facewise(*words, "--without-people", "people.txt", "--json").json
    assert without["kfold"] == by_name["kfold"]
    assert without["leakage"]["left_out"] == {"photos": 3, "people": 1, "pairs_left_out": 6}
    assert by_name["leakage"]["photos_in_common"] == []
    # View 1: the threshold's part has nothing of it, the other has.
    assert "3 photos of LFW" in facewise(*words, "--view", 1, "--json", code=3).json["error"]
    assert facewise(*words, "--view", 1, "--leaks", "exclude", "--json").json["left_out"] is None
    # One-shot looks at everybody.
    assert "4 photos of LFW" in facewise(*words, "--one-shot", "--json", code=3).json["error"]
    one = facewise(*words, "--one-shot", "--leaks", "exclude", "--json").json["one_shot"]
    assert (one["gallery"], one["strangers"]) == (5, 4)


def test_photos_that_were_trained_on_as_crops(facewise, lfw, monkeypatch):
    """From photos to a run to a test on photos: the crops are made on the way and are not what is tested."""
    monkeypatch.setattr("facewise.training.run.draw_curves", lambda *_: None)
    torch.set_num_threads(1)
    settings = [s for s in SETTINGS if "held_out" not in s] + ["data.held_out_photos=0"]
    facewise("train", "lfw/images", "--out", "run", "--json", "--device", "cpu", *settings)
    told = facewise("eval", "lfw", "lfw", "--model", "run/model.onnx", "--json", code=3).json
    assert len(told["leakage"][0]["photos_in_common"]) == 18
    assert {one["how"] for one in told["leakage"][0]["photos_in_common"]} == {"is"}
    assert len(told["leakage"][0]["people_in_common"]) == 6
    # And the same pixels in other bytes.
    for path in Path("lfw/images").glob("*/*.jpg"):
        PIL.Image.open(path).save(path, "PNG")
    told = facewise("eval", "lfw", "lfw", "--model", "run/model.onnx", "--json", code=3).json
    assert [one["how"] for one in told["leakage"][0]["photos_in_common"]] == ["looks like"] * 18


def test_calibrating_on_training_photos_is_refused_or_leaves_their_people_out(facewise, run, world):
    mixed = Path("mixed")
    shutil.copytree("fresh", mixed)
    keys = learned(run)[:12]
    for key in keys:
        (mixed / key).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path("training") / key, mixed / key)
    model = run / "model.onnx"
    before = model.read_bytes()
    error = facewise("calibrate", model, "--on", mixed, code=3).err
    assert "was trained on 12 photos of mixed" in error
    assert all(key in error for key in keys[:1])
    assert model.read_bytes() == before
    words = ["--dry-run", "--json"]
    clean = facewise("calibrate", model, "--on", "fresh", *words).json
    without = facewise("calibrate", model, "--on", mixed, "--leaks", "exclude", *words).json
    assert without["leakage"]["left_out"]["photos_left_out"] == 12
    assert without["calibration"]["thresholds"] == clean["calibration"]["thresholds"]
    assert "it was trained on" in without["calibration"]["protocol"]
    marked = facewise("calibrate", model, "--on", mixed, "--leaks", "mark", "--dry-run").out
    assert "LEAKAGE" in marked
