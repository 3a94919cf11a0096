"""What is said of the methods is what was measured, in words and in pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from facewise.methods.intervals import Accuracy
from facewise.methods.pictures import draw_confusion, draw_shots
from facewise.methods.result import Cell, Failure, MethodsComparison, duration, size
from facewise.methods.verdict import verdicts
from facewise.training.differences import Difference


def cell(method, mean, seconds, shots="5"):
    accuracy = Accuracy(mean, mean - 0.01, min(1.0, mean + 0.01), 0.002, {0: mean, 1: mean})
    return Cell(method, shots, 50.0, accuracy, seconds, 2.0, 5000, 60_000_000, {})


def behind(first, second, estimate, half, p, shots="5"):
    return Difference(
        f"accuracy@{shots}", first, second, estimate, estimate - half, estimate + half, p, p, 5, 10
    )


def test_the_quicker_of_two_that_are_as_good_is_named():
    cells = [cell("svc", 0.978, 0.5), cell("finetune", 0.980, 100)]
    found = verdicts(["5"], cells, [behind("finetune", "svc", 0.002, 0.004, 0.4)])
    assert found == {
        "5": "With 5 photos a person, svc (0.978) is as good as finetune (0.980; difference 0.002 ± 0.004) "
        "and takes 1/200 of the time."
    }


def test_a_method_that_is_best_and_quickest_needs_no_other():
    cells = [cell("one-shot", 1.0, 0.02, "1"), cell("finetune", 1.0, 9, "1"), cell("scratch", 0.1, 3, "1")]
    pairs = [
        behind("one-shot", "finetune", 0.0, 0.0, 1.0, "1"),
        behind("one-shot", "scratch", 0.9, 0.1, 1e-6, "1"),
        behind("finetune", "scratch", 0.9, 0.1, 1e-6, "1"),
    ]
    assert verdicts(["1", "5"], cells, pairs) == {
        "1": "With 1 photo a person, one-shot (1.000) is as good as any and the quickest, 0.02 s. As good: "
        "finetune. Worse, by more than noise: scratch (0.100)."
    }


def test_what_data_cannot_tell_is_told():
    cells = [cell("svc", 0.95, 1, "full"), cell("knn", 0.91, 1, "full"), cell("lda", 0.80, 1, "full")]
    pairs = [behind("svc", "knn", 0.04, 0.05, 0.1, "full"), behind("svc", "lda", 0.15, 0.05, 0.001, "full")]
    assert verdicts(["full"], cells, pairs)["full"] == (
        "With all photos to learn from, svc (0.950) is ahead. Perhaps as good, which more seeds or photos "
        "would tell: knn (behind by 0.040 ± 0.050). Worse, by more than noise: lda (0.800)."
    )
    alone = verdicts(["full"], [cells[0], cells[2]], pairs[1:])["full"]
    assert "svc (0.950) is ahead of all others by more than noise. Worse, by more than noise: lda" in alone


@pytest.fixture
def found():
    cells = [cell(m, a, 1, k) for m, a in (("one-shot", 0.97), ("scratch", 0.3)) for k in ("1", "5", "full")]
    people = tuple(f"P_{i}" for i in range(6))
    matrix = np.diag(np.full(6, 4)) + np.eye(6, k=1, dtype=np.int64)
    return MethodsComparison(
        Path("x"), "tiny", people, 12.0, (0, 1), ("one-shot", "scratch", "svc"), ("1", "5", "full"), 8.25,
        cells, [behind("one-shot", "scratch", 0.67, 0.02, 1e-9)], {"one-shot": matrix},
        [Failure("svc", "full", 1, "Memory | is full.")], {"5": "Choose one-shot."}, ["Mind the gap."],
    )  # fmt: skip


def test_the_report_has_all_of_it(found):
    text = found.markdown()
    assert "| one-shot | 0.970 (0.960–0.980) | 0.970 (0.960–0.980) |" in text
    assert "| svc | – | – | – |" in text
    assert "| method | 1 | 5 | all (8.25) |" in text
    assert "svc, all photos, seed 1, failed: Memory | is full." in text
    assert "- Choose one-shot." in text
    assert "- Mind the gap." in text
    assert "5 photos a person:" in text
    assert "| scratch | 1 s | 1 s | 1 s |" in text
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [row["method"] for row in data["table"]] == ["one-shot"] * 3 + ["scratch"] * 3
    assert data["failures"] == [{"method": "svc", "shots": "full", "seed": 1, "error": "Memory | is full."}]
    assert found.confusions_dict()["cells"]["one-shot"][:3] == [[0, 0, 4], [0, 1, 1], [1, 1, 4]]


def test_pictures_are_drawn_of_few_and_of_many_people(found):
    draw_shots(found, Path("shots.png"))
    with PIL.Image.open("shots.png") as picture:
        assert picture.width > 1.5 * picture.height  # a second panel for those that are nearly always right
    alone = replace(
        found, cells=[one for one in found.cells if one.method == "one-shot" and one.shots == "1"]
    )
    draw_shots(alone, Path("alone.png"))
    with PIL.Image.open("alone.png") as picture:
        assert picture.width < 1.5 * picture.height
    draw_confusion("one-shot", found.confusions["one-shot"], found, Path("few.png"))
    many = replace(found, people=tuple(map(str, range(60))))
    draw_confusion("one-shot", np.diag(np.full(60, 3)), many, Path("many.png"))
    assert all(Path(name).stat().st_size > 5000 for name in ("few.png", "many.png"))


def test_durations_and_sizes_are_readable():
    assert [duration(s) for s in (0.0123, 5.25, 34, 200, 9000)] == [
        "0.012 s",
        "5.2 s",
        "34 s",
        "3.3 min",
        "2.5 h",
    ]
    assert [size(n) for n in (5120, 3_998_548, 2_420_000_000)] == ["5.12 kB", "4 MB", "2.42 GB"]
