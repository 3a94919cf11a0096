"""Error rates by group against a loop."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewise.errors import DatasetError, SettingError
from facewise.metrics.binomial import binomial_interval
from facewise.metrics.groups import rates_by_group

pairs = st.lists(
    st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.booleans(), st.sampled_from("abc")), min_size=1
)


@given(pairs)
def test_counts_are_those_of_a_loop(rows):
    scores, same, groups = zip(*rows, strict=True)
    found = rates_by_group(scores, same, groups, 0.5)
    assert [row.group for row in found.rows] == sorted(set(groups))
    for row in found.rows:
        genuine = [score for score, one, group in rows if one and group == row.group]
        impostors = [score for score, one, group in rows if not one and group == row.group]
        missed, wrong = sum(s < 0.5 for s in genuine), sum(s >= 0.5 for s in impostors)
        assert (row.genuine, row.impostors) == (len(genuine), len(impostors))
        assert (row.false_non_matches, row.false_matches) == (missed, wrong)
        assert row.fnmr == (binomial_interval(missed, len(genuine)) if genuine else None)
        assert row.fmr == (binomial_interval(wrong, len(impostors)) if impostors else None)
    json.dumps(found.to_dict(), allow_nan=False)
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = rates_by_group(*(np.array(part)[order] for part in (scores, same, groups)), 0.5)
    assert shuffled == found


def impostors(**errors):
    """Groups of 100 impostor pairs with so many false matches."""
    scores = np.concatenate([np.arange(100) < count for count in errors.values()]).astype(float)
    return rates_by_group(scores, np.zeros(len(scores), bool), np.repeat(list(errors), 100), 0.5)


def test_the_worst_ratio():
    found = impostors(men=2, women=8, others=4).worst_ratio("fmr")
    assert (found.rate, found.worst, found.best, found.ratio) == ("fmr", "women", "men", 4.0)
    assert found.at_least == 1.0  # 8 and 2 of 100 are not told apart
    clear = impostors(men=2, women=80).worst_ratio("fmr")
    ends = binomial_interval(80, 100, 0.975).low / binomial_interval(2, 100, 0.975).high
    assert clear.at_least == pytest.approx(ends)
    assert 1.0 < clear.at_least < clear.ratio == 40.0


def test_no_error_seen_is_no_rate_to_divide_by():
    one = impostors(men=0, women=60).worst_ratio("fmr")
    assert (one.worst, one.best, one.ratio) == ("women", "men", None)
    assert one.at_least > 5
    none = impostors(men=0, women=0).worst_ratio("fmr")
    assert (none.worst, none.best, none.ratio, none.at_least) == ("men", "men", None, 1.0)


def test_equal_groups_and_too_few():
    even = impostors(men=5, women=5).worst_ratio("fmr")
    assert (even.ratio, even.at_least) == (1.0, 1.0)
    assert impostors(men=5, women=5).worst_ratio("fnmr") is None
    assert impostors(men=5).worst_ratio("fmr") is None
    # A group without impostors has no false match rate, and is not the best.
    found = rates_by_group([0.9, 0.1, 0.9], [False, False, True], ["a", "b", "c"], 0.5)
    assert (found.worst_ratio("fmr").best, found.rows[2].fmr, found.rows[0].fnmr) == ("b", None, None)


def test_at_least_holds_in_a_simulation():
    # True rates 0.05 and 0.15 at 400 pairs each, so the ratio is 3: at_least must not exceed it too often.
    rng = np.random.default_rng(0)
    over = 0
    for _ in range(300):
        scores = np.concatenate([rng.random(400) < rate for rate in (0.05, 0.15)]).astype(float)
        found = rates_by_group(scores, np.zeros(800, bool), ["a"] * 400 + ["b"] * 400, 0.5)
        over += found.worst_ratio("fmr").at_least > 3.0
    assert over <= 0.05 * 300


def test_bad_data():
    for scores, same, groups in (
        ([], [], []),
        ([math.nan], [True], ["a"]),
        ([0.5, 0.4], [True, False], ["a"]),
        ([0.5, 0.4], [True], ["a", "b"]),
        ([0.5, 0.4], [True, False], "ab"),
    ):
        with pytest.raises(DatasetError):
            rates_by_group(scores, same, groups, 0.5)
    for settings_ in ({"threshold": math.nan}, {"threshold": math.inf}, {"threshold": 0.5, "level": 1.0}):
        with pytest.raises(SettingError):
            rates_by_group([0.5, 0.4], [True, False], ["a", "b"], **settings_)
    with pytest.raises(SettingError):
        impostors(men=5, women=5).worst_ratio("tar")
