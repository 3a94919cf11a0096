"""Who plays what in the demo."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewise.demo.cast import FEWEST, cast
from facewise.demo.plan import Plan
from facewise.errors import DatasetError


def photos(counts):
    return {f"P{i:03d}": tuple(f"P{i:03d}/{k}.jpg" for k in range(count)) for i, count in enumerate(counts)}


@given(st.lists(st.integers(1, 20), min_size=0, max_size=90), st.sets(st.integers(0, 89)))
def test_nobody_plays_two_parts_and_all_parts_are_played(counts, chosen):
    people = photos(counts)
    unseen = {f"P{i:03d}" for i in chosen} if chosen else None
    plan = Plan()
    free = [name for name in people if unseen is None or name in unseen]
    if sum(len(people[name]) >= 2 for name in free) < FEWEST:
        with pytest.raises(DatasetError, match="at least 5 people"):
            cast(people, plan, "photos", unseen)
        return
    found = cast(people, plan, "photos", unseen)
    groups = (found.learn, found.measure, found.enrolled, found.strangers)
    everybody = [name for group in groups for name in group]
    assert len(everybody) == len(set(everybody))
    assert set(everybody) <= set(people)
    for group, most in zip(groups, (plan.learn, plan.measure, plan.enrolled, plan.strangers), strict=True):
        assert len(group) <= most
    assert len(found.measure) >= 2
    assert len(found.enrolled) >= 2
    assert found.strangers
    assert all(len(people[name]) >= 2 for name in (*found.measure, *found.enrolled))
    assert not found.learn or len(found.learn) >= 4
    if unseen is not None:
        assert not set(found.learn) & unseen
        assert {*found.measure, *found.enrolled, *found.strangers} <= unseen


def test_the_plan_is_met_where_there_are_enough():
    plan = Plan()
    found = cast(photos([plan.photos] * plan.people), plan, "photos")
    assert [len(g) for g in (found.learn, found.measure, found.enrolled, found.strangers)] == [
        plan.learn, plan.measure, plan.enrolled, plan.strangers,
    ]  # fmt: skip


def test_few_people_are_not_trained_on():
    found = cast(photos([3] * 6), Plan(), "photos")
    assert found.learn == ()
