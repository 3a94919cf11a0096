"""The pieces a report is made of."""

from __future__ import annotations

import math
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from html_checks import Page
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from facewise.data.source import FileSource
from facewise.errors import DatasetError
from facewise.evaluation.folds import given_folds
from facewise.report.dataset import pairs_of
from facewise.report.figure import whisker
from facewise.report.fold_map import probabilities_by_fold
from facewise.report.html import plain_table, prose, share, text
from facewise.report.maps import chosen
from facewise.report.svg import Plot, deviate, linear, logarithmic


def test_a_deviate_axis_is_the_normal_quantile():
    axis = deviate("rate", 1e-5, 0.6)
    rates = np.array([1e-5, 1e-3, 0.01, 0.2, 0.6])
    wanted = (ndtri(rates) - ndtri(1e-5)) / (ndtri(0.6) - ndtri(1e-5))
    assert axis.place(rates) == pytest.approx(wanted, abs=1e-9)
    assert all(1e-5 <= value <= 0.6 for value, _ in axis.ticks)


def test_a_logarithmic_axis_puts_powers_of_ten_at_equal_distances():
    places = logarithmic("rate", 1e-4, 1.0).place([1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    assert np.diff(places) == pytest.approx(np.full(4, 0.25))


@given(st.floats(-1e4, 1e4), st.floats(1e-4, 1e6))
def test_linear_ticks_are_round_within_the_axis_and_few(low, length):
    axis = linear("value", low, low + length)
    values = [value for value, _ in axis.ticks]
    assert len(values) <= 6
    assert all(axis.low - 1e-9 * length <= value <= axis.high + 1e-9 * length for value in values)
    assert np.all(axis.place(values) >= -1e-9)


def test_rates_off_an_axis_are_drawn_on_its_edge():
    axis = deviate("rate", 0.001, 0.5)
    assert axis.place([0.0, 1.0]) == pytest.approx([0.0, 1.0])


@given(st.text())
def test_any_text_is_safe_in_elements_and_attributes(plain):
    page = Page(f'<p title="{text(plain)}">{text(plain)}{prose(plain)}</p>')
    assert [name for name, _ in page.elements if name != "code"] == ["p"]


def test_text_that_is_no_text_is_shown_as_question_marks():
    assert text(b"a\xff".decode("utf-8", "surrogateescape")) == "a?"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.0, "1.0000"), (0.0, "0.0000"), (0.99999, "0.999990"), (0.5, "0.5000"), (3e-6, "3.0e-06")],
)
def test_what_is_not_quite_0_or_1_is_not_called_so(value, shown):
    assert share(value) == shown
    assert share(math.nan) == "–"


def test_a_line_keeps_its_turns_and_drops_points_on_straight_ways():
    plot = Plot(linear("x", 0, 10), linear("y", 0, 10))
    plot.line([0, 1, 2, 3, 4], [5, 5, 5, 5, 5], 0)
    plot.line([0, 1, 1, 2], [0, 9, 0, 0], 1)
    straight, turned = (re.findall(r"[ML]", mark) for mark in plot.marks)
    assert len(straight) == 2
    assert len(turned) == 4


def test_a_chart_is_a_figure_with_its_numbers_behind_it():
    plot = Plot(linear("x", 0, 1), linear("y", 0, 1))
    plot.line([0, 1], [0, 1], 0, name="<b>one</b>")
    page = Page(plot.figure("Title & more", "What `it` shows.", behind=plain_table(["a"], [["1"]])))
    assert [tag for tag, _ in page.elements if tag in {"figure", "title", "desc", "table", "b"}] == [
        "figure", "b", "title", "desc", "table",
    ]  # fmt: skip
    assert "<b>one</b>" in page.text
    Page(whisker(-0.1, 0.0, 0.1))
    Page(whisker(0.0, 0.0, 0.0))


def _people(sizes: list[int]) -> FileSource:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    keys = [f"{label}/{i}.png" for i, label in enumerate(labels)]
    return FileSource("drawn", ".", keys, labels, [f"p{i:03d}" for i in range(len(sizes))])


@pytest.mark.parametrize("most", [10_000, 40, 7])
def test_pairs_of_a_folder_are_true_each_once_and_told_where_left_out(most):
    source = _people([9, 1, 4, 6, 2])
    pairs, told = pairs_of(source, most)
    label = dict(zip(source.keys, source.labels.tolist(), strict=True))
    assert len({frozenset((pair.a, pair.b)) for pair in pairs}) == len(pairs)
    assert all(pair.same == (label[pair.a] == label[pair.b]) and pair.a != pair.b for pair in pairs)
    kinds = {kind: sum(pair.same == kind for pair in pairs) for kind in (True, False)}
    everything = {True: 36 + 6 + 15 + 1, False: 22 * 21 // 2 - 58}
    assert kinds == {kind: min(most, number) for kind, number in everything.items()}
    assert len(told) == sum(most < number for number in everything.values())
    assert pairs == pairs_of(source, most)[0]


def test_a_folder_without_pairs_is_refused():
    with pytest.raises(DatasetError, match="makes no pairs"):
        pairs_of(_people([1, 1, 1]))


def test_maps_show_the_people_with_most_photos_evenly():
    people = ["a"] * 5 + ["b"] * 40 + ["c"] + ["d"] * 2
    taken = chosen(people, most=2, each=10)
    assert [people[i] for i in taken] == ["a"] * 5 + ["b"] * 10
    assert len(set(taken.tolist())) == len(taken)


def test_a_probability_never_depends_on_its_own_pair():
    rng = np.random.default_rng(0)
    same = rng.random(400) < 0.5
    scores = np.where(same, 0.5, 0.1) + 0.2 * rng.standard_normal(400)
    folds = given_folds(np.arange(400) % 5, "five")
    before = probabilities_by_fold(scores, same, folds)
    flipped = same.copy()
    flipped[7] = not same[7]
    after = probabilities_by_fold(scores, flipped, folds)
    assert before is not None
    assert after is not None
    assert after[folds.first == 2] == pytest.approx(before[folds.first == 2], abs=1e-12)
    assert np.abs(after - before).max() > 1e-6
    assert np.corrcoef(before, same)[0, 1] > 0.5


def test_no_probability_where_a_fold_leaves_one_kind_of_pair():
    same = np.array([True, True, False, False])
    assert probabilities_by_fold(np.arange(4.0), same, given_folds([0, 0, 1, 1], "two")) is None


def _points(photos: int = 12) -> np.ndarray:
    points = np.random.default_rng(0).standard_normal((photos, 6))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def test_layouts_are_offered_as_far_as_their_packages_are_there(monkeypatch):
    from facewise.report import maps
    from facewise.training import embedding_map

    class Umap:
        def __init__(self, **_: object) -> None: ...

        def fit_transform(self, points: np.ndarray) -> np.ndarray:
            return points[:, :2]

    monkeypatch.setattr(maps, "find_spec", lambda _: object())
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Umap))
    layouts, missing = maps.lay_out(_points())
    assert [one.name for one in layouts] == ["PCA", "t-SNE", "UMAP"]
    assert not missing
    for one in layouts:
        assert one.points.shape == (12, 2)
        assert one.points.min() >= 0
        assert (one.points <= [640, 460]).all()
    monkeypatch.setattr(maps, "find_spec", lambda _: None)
    monkeypatch.setattr(embedding_map, "find_spec", lambda _: None)
    layouts, missing = maps.lay_out(_points())
    assert [one.name for one in layouts] == ["PCA"]
    assert "scikit-learn" in missing[0]
    assert "umap-learn" in missing[1]


def test_photos_in_one_place_are_laid_out_too():
    from facewise.report import maps

    layouts, _ = maps.lay_out(np.tile(_points(1), (4, 1)))
    assert np.isfinite(layouts[0].points).all()
