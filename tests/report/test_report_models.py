"""The report of models on data: equal to scikit-learn, one file, no way out of it, errors told."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from drawn_data import HOSTILE, write_people
from html_checks import check_page, maps_of
from sklearn.metrics import roc_auc_score, roc_curve
from typer.testing import CliRunner

from facewise.cli.app import app
from facewise.embedding import Embedder
from facewise.models import Calibration, read_model, write_model
from facewise.models.calibration import Threshold
from facewise.models.score_map import ScoreMap
from facewise.models.trained_on import TrainedOn
from facewise.report.dataset import open_dataset


def run(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["report", *map(str, words)])
    assert done.exit_code == code, done.output
    return done.stdout


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return write_people(tmp_path_factory.mktemp("people") / "faces")


@pytest.fixture(scope="module")
def two(tmp_path_factory, people, tiny_embedder_file, other_embedder_file):
    """A report of two models on a folder: its page and its headline numbers."""
    out = tmp_path_factory.mktemp("two") / "deep" / "report.html"
    told = run(tiny_embedder_file, other_embedder_file, "--on", people, "--aligned", "--out", out, "--json")
    return check_page(out.read_text("utf-8")), json.loads(told), out


def test_figures_equal_scikit_learns(two, people, tiny_embedder_file):
    numbers = two[1]["models"][0]
    embedder, data = Embedder(read_model(tiny_embedder_file)), open_dataset(people)
    photos = sorted({photo for pair in data.file.pairs for photo in (pair.a, pair.b)})
    crops = np.stack([np.asarray(PIL.Image.open(people / photo)) for photo in photos])
    vector = dict(zip(photos, embedder.embed(crops).astype(np.float64), strict=True))
    scores = np.array([vector[pair.a] @ vector[pair.b] for pair in data.file.pairs])
    same = np.array([pair.same for pair in data.file.pairs])
    assert numbers["auc"] == pytest.approx(roc_auc_score(same, scores), abs=1e-9)
    fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    for rate in (0.1, 0.01):
        assert numbers[f"tar@fmr={rate!r}"] == pytest.approx(tpr[fpr <= rate].max(), abs=1e-12)
    low, high = numbers["intervals"]["auc"]
    assert low <= numbers["auc"] <= high
    assert 0 < numbers["accuracy"] <= 1


def test_every_part_is_there_and_whole(two):
    page, told, out = two
    titles = [
        "Same or different", "Differences", "Scores", "Probabilities", "Hardest pairs", "Embedding space",
        "Embedding map", "Data and provenance",
    ]  # fmt: skip
    for title in (*titles, "ROC", "DET", "McNemar", "Reliability", "biometric", told["data_hash"]):
        assert title in page.text
    assert told["bytes"] == out.stat().st_size < 2_000_000
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]
    assert f"{told['models'][0]['auc']:.4f}" in page.text


def test_a_hostile_name_stays_a_name(two):
    page = two[0]
    assert HOSTILE in page.text
    assert len(page.of("script")) == 2
    maps = maps_of(page)
    assert HOSTILE in maps["maps"][0]["names"]
    assert all(len(layout["points"]) == len(maps["maps"][0]["keys"]) for layout in maps["maps"][0]["layouts"])


def test_the_map_has_photos_and_says_what_it_cannot_do(two):
    page = two[0]
    maps = maps_of(page)
    assert all(face.startswith("data:image/jpeg;base64,") for face in maps["faces"])
    assert all(0 <= face < len(maps["faces"]) for one in maps["maps"] for face in one["face"])
    from importlib.util import find_spec

    assert ("UMAP is not offered" in page.text) == (find_spec("umap") is None)


def test_no_photos_means_no_photo(tmp_path, people, tiny_embedder_file):
    out = tmp_path / "plain.html"
    told = run(tiny_embedder_file, "--on", people, "--aligned", "--no-photos", "--out", out)
    html = out.read_text("utf-8")
    page = check_page(html)
    assert "data:image/jpeg" not in html
    assert not page.of("img")
    assert "Photos were left out" in page.text
    assert str(out) in told.replace("\n", "")


def test_pairs_without_names_and_with_groups(tmp_path, people, tiny_embedder_file):
    data = open_dataset(people)
    groups = tmp_path / "groups.csv"
    with groups.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "sex"])
        photos = sorted({photo for pair in data.file.pairs for photo in (pair.a, pair.b)})
        rows.writerows([people / photo, "f" if i % 2 else "m"] for i, photo in enumerate(photos))
    pairs = tmp_path / "pairs.csv"
    with pairs.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["a", "b", "same"])
        rows.writerows([pair.a, pair.b, int(pair.same)] for pair in data.file.pairs)
    out = tmp_path / "groups.html"
    run(tiny_embedder_file, "--on", pairs, "--root", people, "--aligned", "--groups", groups, "--by", "sex",
        "--out", out)  # fmt: skip
    page = check_page(out.read_text("utf-8"))
    assert "The worst false non-match rate" in page.text
    assert "The pairs name nobody" in page.text


def test_photos_are_detected_where_they_are_no_crops(tmp_path, tiny_detector_file, tiny_embedder_file):
    from tiny_models import draw

    for who in range(5):
        for number in range(3):
            path = tmp_path / "photos" / f"p{who}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(draw((120, 130), [(60 + 4 * number, 60, 50, 31 * who)])).save(path)
    PIL.Image.fromarray(draw((64, 64))).save(tmp_path / "photos" / "p0" / "nobody.png")
    out = tmp_path / "photos.html"
    run(tiny_embedder_file, "--detector", tiny_detector_file, "--on", tmp_path / "photos", "--out", out,
        "--no-cache")  # fmt: skip
    page = check_page(out.read_text("utf-8"))
    assert "data:image/jpeg" in out.read_text("utf-8")
    assert "1: p0/nobody.png" in page.text
    assert "photo without a face" in page.text


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["{nothing}"], 3, "no run"),
        (["{folder}"], 3, "no config.yaml"),
        (["{model}"], 3, "--on DATA"),
        (["{model}", "--on", "{nothing}"], 3, "no file or folder"),
        (["{broken}", "--on", "{people}", "--aligned"], 3, ""),
        (["{folder}", "--on", "{people}", "--aligned"], 3, "no model.onnx"),
        (["{model}", "{model}", "--on", "{people}"], 2, "twice"),
        (["{model}", "--on", "{people}", "--groups", "x.csv"], 2, "go together"),
        (["{folder}", "--aligned"], 2, "--on DATA"),
        ([], 2, ""),
    ],
)
def test_errors_are_one_sentence_with_a_code(
    tmp_path, people, tiny_embedder_file, words, code, sentence, capfd
):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    (tmp_path / "empty").mkdir()
    places = {
        "nothing": tmp_path / "nothing", "folder": tmp_path / "empty", "people": people, "broken": broken,
        "model": tiny_embedder_file,
    }  # fmt: skip
    said = CliRunner().invoke(app, ["report", *(word.format(**places) for word in words)])
    assert said.exit_code == code
    plain = " ".join((said.output + "".join(capfd.readouterr())).replace("│", " ").split())
    assert sentence in plain
    assert not Path("report.html").exists()


def test_the_models_own_map_threshold_and_training_photos_are_used(tmp_path, people, tiny_embedder_file):
    model = read_model(tiny_embedder_file)
    calibration = Calibration(
        dataset="elsewhere", protocol="some pairs", data_hash="0" * 64, genuine=9, impostors=9, flip=False,
        detector="d", detector_fingerprint="f", thresholds=(Threshold(1e-3, 0.25, 1e-3, 0.1, (0.05, 0.2)),),
        score_map=ScoreMap(slope=8.0, offset=-2.0, low=-6.0, high=6.0, prior=0.5),
    )  # fmt: skip
    seen = sorted(path for path in people.rglob("*.png") if "Person_3" in str(path))[:2]
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in seen]
    known = TrainedOn.of(2, ["Somebody"], contents, [])
    card = replace(model.card, calibration=calibration, trained_on=known)
    own = write_model(tmp_path / "own.onnx", model.network, card)
    out = tmp_path / "own.html"
    told = json.loads(run(own.path, "--on", people, "--aligned", "--no-flip", "--out", out, "--json"))
    page = check_page(out.read_text("utf-8"))
    assert "own map, fitted on elsewhere" in page.text
    assert "stored: 0.250" in page.text
    assert {"fmr", "fnmr"} <= set(told["models"][0])
    assert told["models"][0]["photos_trained_on"] == 2
    assert "was trained on 2 photos of these data" in page.text
    assert "Person_3/0.png" in page.text


def test_no_path_of_the_machine_is_in_the_page(two, people):
    assert str(people.parent) not in two[2].read_text("utf-8")
    assert "on faces" in two[0].text


def test_the_smallest_data_and_photos_that_cannot_be_read_make_a_page_too(tmp_path, tiny_embedder_file):
    people = write_people(tmp_path / "few", people=2, photos=2)
    out = tmp_path / "few.html"
    run(tiny_embedder_file, "--on", people, "--aligned", "--out", out)
    assert "too few" in check_page(out.read_text("utf-8")).text
    (people / "Person_1" / "broken.png").write_bytes(b"no photo")
    PIL.Image.new("RGB", (50, 20)).save(people / "Person_1" / "wide.png")
    words = (tiny_embedder_file, "--on", people, "--aligned", "--out", out)
    run(*words, code=3)
    run(*words, "--unreadable", 0.8, code=3)
    page = check_page(out.read_text("utf-8"))
    assert "2: Person_1/broken.png" in page.text
    assert page.of("img")
