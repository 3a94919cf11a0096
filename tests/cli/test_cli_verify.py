"""`facewise verify`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from facewise.image import read_image
from fake_runtime import CPU, CUDA, Runtime


@pytest.fixture
def pictures(photo):
    photo("ada1.png", (90, 80, 60, 1))
    photo("ada2.png", (200, 140, 80, 1))
    photo("bob.png", (150, 120, 70, 2))
    photo("nobody.png")


def test_same_and_different_people(facewise, pictures, tiny_pipeline):
    same = facewise("verify", "ada1.png", "ada2.png", "--threshold", 0.8, "--json").json
    different = facewise("verify", "ada1.png", "bob.png", "--threshold", 0.8, "--json").json
    assert (same["same"], different["same"]) == (True, False)
    a, b = (tiny_pipeline.read(name).faces[0].embedding for name in ("ada1.png", "bob.png"))
    assert different["similarity"] == pytest.approx(float(a @ b), abs=1e-4)
    assert same["probability"] is None
    assert same["fmr"] is None
    assert [len(face["landmarks"]) for face in same["faces"]] == [5, 5]
    assert facewise("verify", "ada1.png", "ada1.png", "--json").json["similarity"] == pytest.approx(1)


def test_where_networks_run_is_told(facewise, pictures, monkeypatch):
    words = ("verify", "ada1.png", "ada2.png", "--json")
    done = facewise(*words)
    assert done.json["providers"] == {"detector": "cpu", "embedder": "cpu"}
    assert "Running on" not in done.err
    Runtime(monkeypatch, [CUDA, CPU], {CUDA: [CPU]})
    fallen = facewise(*words)
    assert fallen.json == done.json
    assert "Provider 'cuda' did not start" in fallen.err
    assert "Running on cpu." in fallen.err
    assert "'cuda' did not start" in facewise(*words, "--provider", "cuda", code=3).err
    assert facewise(*words, "--provider", "cpu").err == done.err
    Runtime(monkeypatch, [CUDA, CPU], {})
    taken = facewise(*words)
    assert taken.json["providers"] == {"detector": "cuda", "embedder": "cuda"}
    assert "Running on cuda." in taken.err


def test_without_calibration_there_is_no_decision(facewise, pictures):
    done = facewise("verify", "ada1.png", "ada2.png")
    assert "no decision" in done.out
    assert "same person" not in done.out
    assert facewise("verify", "ada1.png", "ada2.png", "--json").json["same"] is None


def test_a_calibrated_model_decides_at_a_measured_rate(facewise, pictures):
    words = ["verify", "ada1.png", "ada2.png", "--model", "calibrated"]
    default, loose = facewise(*words, "--json").json, facewise(*words, "--fmr", "1e-2", "--json").json
    assert (default["same"], default["fmr"], default["threshold"]) == (True, 0.001, 0.8)
    assert (loose["fmr"], loose["threshold"]) == (0.01, 0.7)
    text = facewise(*words).out
    assert "the same person" in text
    assert "FMR 0.001" in text
    assert "only at 0.1, 0.01, 0.001" in facewise(*words, "--fmr", "1e-5", code=3).err


def test_several_faces_are_told(facewise, pictures, photo):
    photo("group.png", (160, 120, 60, 5), (60, 60, 40, 1))
    words = ["verify", "group.png", "ada1.png", "--threshold", 0.8]
    main = facewise(*words)
    assert "different people" in main.out
    assert main.err == (
        "group.png has 2 faces: the main one was taken, from 130,90 to 190,150; --face best compares all.\n"
    )
    best = facewise(*words, "--face", "best")
    assert "the same person" in best.out
    assert "most alike of 2 pairs" in best.out
    assert "that of the most alike pair was taken, from 40,40 to 80,80." in best.err
    told = facewise(*words, "--face", "best", "--json").json
    assert (told["same"], told["face"], told["found"], told["comparisons"]) == (True, "best", [2, 1], 2)
    assert "faces" not in facewise("verify", "ada1.png", "ada2.png").err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["ada1.png"], 2, "B"),
        (["ada1.png", "missing.png"], 3, "missing.png"),
        (["ada1.png", "."], 3, "folder"),
        (["ada1.png", "nobody.png"], 3, "No face was found in nobody.png"),
        (["ada1.png", "ada2.png", "--threshold", "2"], 3, "between -1 and 1"),
        (["ada1.png", "ada2.png", "--threshold", "nan"], 3, "between -1 and 1"),
        (["ada1.png", "ada2.png", "--fmr", "7"], 3, "false match rate"),
        (["ada1.png", "ada2.png", "--fmr", "0.1", "--threshold", "0.5"], 3, "not both"),
        (["ada1.png", "ada2.png", "--draw", "x.gif"], 3, "name it with one of"),
    ],
)
def test_errors(facewise, pictures, words, code, told):
    done = facewise("verify", *words, code=code)
    assert told in done.err
    assert done.out == ""
    if code == 3:
        assert len(done.err.splitlines()) == 1


def test_draw_shows_both_faces(facewise, pictures):
    assert "Drawn in both.png" in facewise("verify", "ada1.png", "bob.png", "--draw", "both.png").out
    sheet = read_image("both.png")
    assert sheet.shape[1] > 2 * 224
    assert "Drawn" not in facewise("verify", "ada1.png", "bob.png", "--draw", "both.png", "--json").out
    PIL.Image.open("both.png").verify()


def test_swapping_two_people_is_noticed(facewise, pictures):
    right = facewise("verify", "ada1.png", "ada2.png", "--json").json["similarity"]
    Path("bob.png").replace("ada2.png")
    wrong = facewise("verify", "ada1.png", "ada2.png", "--json").json["similarity"]
    assert right > 0.9
    assert wrong < 0.7
    assert np.isfinite(wrong)
