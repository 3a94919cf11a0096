"""The demo on drawn people: with nothing installed at all, and with a detector that does not see them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from small_demo import PLAN, best_model, demo, numbers

from facewise.demo import run as module
from facewise.errors import DatasetError, FacewiseError, ModelError
from facewise.gallery import Gallery
from facewise.models import read_model


def test_on_drawn_people_with_no_model_at_hand(no_pictures):
    sections, text = demo()
    assert numbers(sections, "Drawing")["people"] == PLAN.people
    assert numbers(sections, "Finding") == {"detector": None, "used": "known landmarks"}
    assert "No detector is installed: the landmarks of the drawn people" in text
    trained = numbers(sections, "Training")
    assert [run["method"] for run in trained["runs"]] == ["softmax", "arcface"]
    assert all(run["error"] is None and "auc" in run["values"] for run in trained["runs"])
    chosen = numbers(sections, "Which model")
    assert chosen["used"] == best_model(chosen)
    named = numbers(sections, "Enrolling")
    assert (named["enrolled"], named["probes"], named["strangers"]) == (2, 4, 2)
    assert named["named_right"] + named["named_wrong"] + named["missed"] == 4
    pairs = numbers(sections, "Verifying")
    assert pairs["pairs"] == 12 * 11 // 2
    assert pairs["same_right"] + pairs["same_wrong"] == 3 * 6
    assert numbers(sections, "Grouping")["people"] == 3
    assert numbers(sections, "first answer")["faces"] == 8
    for name in ("faces.jpg", "identified.png", "groups.png", "model.onnx", "gallery.db", "people/truth.csv"):
        assert (Path("demo") / name).is_file()
    model = read_model("demo/model.onnx")
    assert model.card.calibration.decision(chosen["fmr"]).threshold == chosen["threshold"]
    with Gallery.open("demo/gallery.db", create=False) as gallery:
        assert len(gallery.people()) == 2
        assert gallery.space.fingerprint == model.fingerprint
    seconds = [section.seconds for section in sections.values()]
    assert numbers(sections, "How long")["seconds"] == pytest.approx(sum(seconds))


def test_where_time_is_short_both_trainings_are_the_least(no_pictures, tiny_models, monkeypatch):
    monkeypatch.setattr(module, "Plan", lambda: replace(PLAN, epochs=3))
    monkeypatch.setattr("facewise.demo.sizing.FEWEST_IMAGES", 1)
    sections, text = demo(plan=None, seconds=0.001)
    training = numbers(sections, "Training")
    assert training["epochs"] == 1
    assert training["fitted"]["rate"] > 0
    assert training["fitted"]["forecast"] > training["fitted"]["seconds"]
    assert "the least that teaches anything" in text
    assert [epochs_of(run) for run in training["runs"]] == [1, 1]
    sizes = numbers(sections, "How much fits")
    assert sizes["photos_of_each"] == PLAN.photos  # fewer than the fewest from the start
    assert sizes["photos_drawn_per_second"] > 0


def test_where_there_is_time_all_is_done(no_pictures, monkeypatch):
    monkeypatch.setattr(module, "Plan", lambda: replace(PLAN, epochs=2))
    sections, _ = demo(plan=None, seconds=36_000)
    training = numbers(sections, "Training")
    assert training["epochs"] == 2
    assert training["fitted"]["forecast"] <= training["fitted"]["seconds"]
    assert [epochs_of(run) for run in training["runs"]] == [2, 2]


def epochs_of(run):
    return (Path(run["folder"]) / "metrics.jsonl").read_text(encoding="utf-8").count('"kind": "train"')


def test_a_detector_that_does_not_see_drawn_faces_is_not_used(base_install, tiny_models):
    sections, text = demo()
    found = numbers(sections, "Finding")
    assert found["looked_at"] == PLAN.looked_at
    assert found["found"] < 0.95 * PLAN.looked_at
    assert found["used"] == "known landmarks"
    assert "take its place" in text
    assert numbers(sections, "Which model")["used"].startswith("tiny-embedder")


def test_without_models_and_the_train_extra_and_then_again(base_install, photos):
    sections, text = demo()
    assert "Training was left out: it needs torch (pip install facewise[train])." in text
    assert "Nothing recognises here" in text
    assert not any("Enrolling" in title for title in sections)
    assert not Path("demo/gallery.db").exists()
    # An earlier demo is replaced, but not for one that cannot be done.
    before = Path("demo/report.html").read_bytes()
    Path("empty").mkdir()
    with pytest.raises(DatasetError, match="holds no people"):
        demo(Path("empty"))
    with pytest.raises(ModelError, match="No detector is installed"):
        demo(photos(6, 3))
    with pytest.raises(DatasetError, match="at least 5 people"):
        demo(photos(3, 2, "few"))
    with pytest.raises(FacewiseError, match="lie in one another"):
        demo(Path("demo/people"))
    assert Path("demo/report.html").read_bytes() == before
    Path("demo/report.html").write_text("old")
    Path("demo/old.png").touch()
    demo()
    assert not Path("demo/old.png").exists()
