"""How much the demo does on a machine of some speed, and what it says is left."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewise.demo import clock as module
from facewise.demo.clock import Clock
from facewise.demo.plan import Plan
from facewise.demo.sizing import (
    FEWEST_FOLDS,
    FEWEST_IMAGES,
    FEWEST_PHOTOS,
    SIZES,
    Rates,
    fit_folds,
    fit_photos,
    fit_training,
    steps_of,
)

speeds = st.floats(0.01, 1e5)


def images(plan, photos):
    """Pixels both networks are shown, in small images."""
    return plan.epochs * photos * (plan.training["data.size"] / min(SIZES)) ** 2


@given(speeds, st.integers(10, 2000), st.floats(-50, 1e4))
def test_a_training_fits_or_is_the_least(rate, photos, seconds):
    plan, forecast = fit_training(Plan(), rate, photos, seconds)
    least = plan.training["data.size"] == min(SIZES) and (
        plan.epochs == 1 or (plan.epochs - 1) * photos < FEWEST_IMAGES
    )
    assert forecast <= seconds or least
    assert 1 <= plan.epochs <= Plan().epochs
    # A slower one would have been forecast to take longer, so less is never chosen for a faster machine.
    faster, _ = fit_training(Plan(), 2 * rate, photos, seconds)
    assert images(faster, photos) >= images(plan, photos)


def test_a_fast_machine_does_all_and_a_slow_one_trains_on_the_smallest_crops():
    full, seconds = fit_training(Plan(), 1e4, 520, 60)
    assert (full.epochs, full.training["data.size"]) == (Plan().epochs, Plan().training["data.size"])
    assert seconds < 30  # and is then done
    slow, _ = fit_training(Plan(), 100, 520, 60)
    assert FEWEST_IMAGES / 520 <= slow.epochs < Plan().epochs
    assert slow.training["data.size"] == min(SIZES)


@given(speeds, speeds, st.floats(1, 1e4))
def test_there_are_as_many_photos_as_there_is_time_for(drawn, read, seconds):
    rates = Rates(drawn, read)
    plan = fit_photos(Plan(), rates, seconds)
    assert FEWEST_PHOTOS <= plan.photos <= Plan().photos
    assert plan.people == Plan().people
    steps = steps_of(plan, rates)
    if plan.photos > FEWEST_PHOTOS:
        assert steps["drawing"] - 1 <= seconds / 3


@given(speeds, st.floats(1, 1e4))
def test_of_lfw_there_are_as_many_folds_as_there_is_time_for(read, seconds):
    counts = [900, 1800, 2700, 3600]
    plan = fit_folds(Plan(), Rates(None, read), seconds, counts)
    assert plan.folds == Plan().folds[: len(plan.folds)]
    assert len(plan.folds) == FEWEST_FOLDS or counts[len(plan.folds) - 1] / read <= seconds / 4


@pytest.fixture
def at(monkeypatch):
    """`at(seconds)`: what time it is."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def be(seconds):
        now[0] = seconds

    return be


def test_what_is_left(at):
    clock = Clock(120)
    clock.start("first")
    at(5)
    assert clock.left() == 115
    clock.forecast(drawing=20, training=math.inf, rest=10)
    clock.start("drawing")
    assert clock.left() == 115  # training will get what is left
    clock.forecast(training=60)
    assert clock.left() == 90
    at(10)
    assert clock.left() == 85
    clock.advance(0.5)  # twice as fast as it was forecast
    assert clock.left() == 5 + 70
    assert clock.after("drawing") == 70
    at(15)
    clock.start("training")
    at(100)
    assert clock.left() == 10  # late, and still not below what is to come
    clock.start("rest")
    at(130)
    assert clock.left() == 0
    assert clock.unspent == -10


def test_with_sizes_that_are_given_nothing_is_forecast():
    clock = Clock(None)
    clock.start("drawing")
    assert clock.left() is None
