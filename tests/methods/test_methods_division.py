"""The same test photos for all, fewer photos among more, and people who have few give what they have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_crops import DrawnCrops
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.data.store_build import build_store
from facewise.errors import DatasetError, SettingError
from facewise.methods.division import data_settings, divide_photos, wanted_shots
from facewise.methods.names import methods_of, shots_of
from facewise.training.crops import Crops

COUNTS = (10, 10, 4, 25, 2, 1)


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    source = DrawnCrops(len(COUNTS), COUNTS, size=14)
    return Crops(build_store(source, tmp_path_factory.mktemp("store"), 14), Path(), source)


def divided(crops, seed=0, **changes):
    return divide_photos(crops, data_settings({f"data.{k}": v for k, v in changes.items()}), seed)


@given(seed=st.integers(0, 1000), more=st.integers(1, 30), fewer=st.integers(1, 30))
@settings(max_examples=30)
def test_fewer_photos_are_among_more_and_none_is_tested_on(crops, seed, more, fewer):
    division = divided(crops, seed)
    small, large = (set(division.draw(str(k)).tolist()) for k in sorted((fewer, more)))
    assert small <= large <= set(division.draw("full").tolist())
    learned = {division.train.keys[i] for i in division.draw("full")}
    assert learned.isdisjoint(division.test.keys)
    assert learned | set(division.test.keys) == set(crops.store.keys)
    drawn = np.bincount(division.train.labels[division.draw(str(more))], minlength=len(COUNTS))
    assert drawn.tolist() == np.minimum(division.counts, more).tolist()


def test_four_fifths_of_each_are_learned_from_and_who_has_one_photo_is_not_tested_on(crops):
    division = divided(crops)
    tested = np.bincount(division.test.labels, minlength=len(COUNTS))
    assert tested.tolist() == [2, 2, 1, 5, 1, 0]
    assert division.counts.tolist() == [8, 8, 3, 20, 1, 1]
    assert division.names == crops.store.names


def test_each_seed_divides_and_draws_anew_and_the_same_seed_the_same(crops):
    one, again, other = divided(crops, 0), divided(crops, 0), divided(crops, 1)
    assert one.test.keys == again.test.keys != other.test.keys
    assert one.draw("2").tolist() == again.draw("2").tolist()
    fixed = [divided(crops, seed, split_seed=5) for seed in (0, 1)]
    assert fixed[0].test.keys == fixed[1].test.keys
    drawn = [{division.train.keys[i] for i in division.draw("2")} for division in fixed]
    assert drawn[0] != drawn[1]


def test_the_draw_does_not_depend_on_the_order_photos_are_found_in(crops):
    mixed = crops.store.subset(np.random.default_rng(0).permutation(len(crops.store)))
    one, other = divided(crops), divided(Crops(mixed, Path(), crops.source))
    for k in ("1", "3", "full"):
        keys = [sorted(d.train.keys[i] for i in d.draw(k)) for d in (one, other)]
        assert keys[0] == keys[1]


def test_people_and_photos_are_chosen_by_the_settings(crops):
    division = divided(crops, max_people=2, max_photos=5)
    assert division.names == ("P00", "P03")
    assert division.counts.tolist() == [4, 4]


def test_numbers_that_nobody_reaches_are_all_photos(crops):
    division = divided(crops)  # 20 photos to learn from at most
    shots, notes = wanted_shots([division], ["1", "5", "20", "50", "full"])
    assert shots == ["1", "5", "full"]
    assert any("20 is the same as full" in note for note in notes)
    assert any("With 5 photos a person, 3 of 6 people have fewer" in note for note in notes)
    assert wanted_shots([division], ["50"])[0] == ["full"]
    assert wanted_shots([division], ["20"])[0] == ["20"]
    assert wanted_shots([division], ["20", "50"])[0] == ["20", "full"]


def test_bad_settings_are_told(crops):
    with pytest.raises(SettingError, match="There is no method 'svm'; did you mean svc"):
        methods_of(["svm"], {})
    with pytest.raises(SettingError, match="settings for svc, which is not compared"):
        methods_of(["knn"], {"svc": {"c": 1}})
    with pytest.raises(SettingError, match=r"1 or more, or full .*not '0'"):
        shots_of(["1", "0"])
    with pytest.raises(SettingError, match="not 'few'"):
        shots_of(["few"])
    with pytest.raises(SettingError, match=r"set data\.held_out_photos above 0"):
        divided(crops, held_out_photos=0)
    with pytest.raises(SettingError, match="held_out_photos"):
        divided(crops, held_out_photos=2)
    with pytest.raises(DatasetError, match="Nobody of drawn is left"):
        divided(crops, min_photos=1000)
    assert shots_of(["full", "20", "1", "20"]) == ["1", "20", "full"]
    assert [m.factor for m in methods_of(["scratch", "scratch-10x"], {})] == [1, 10]
