"""Token buckets: never faster than the rate, never slower than promised, bounded memory."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewise.errors import SettingError
from facewise.serve.ratelimit import Rate, RateLimiter, neighbourhood


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "rate", "shown"),
    [
        ("10/s", Rate(10, 1), "10/s"),
        ("100/min", Rate(100, 60), "100/m"),
        (" 5000 / DAY ", Rate(5000, 86400), "5000/d"),
        ("0.5/s", Rate(0.5, 1), "0.5/s"),
        ("7/hour", Rate(7, 3600), "7/h"),
    ],
)
def test_rates_are_read_and_shown(text: str, rate: Rate, shown: str) -> None:
    assert Rate.parse(text) == rate
    assert str(rate) == shown
    assert Rate.parse(shown) == rate


@pytest.mark.parametrize(
    "text", ["", "10", "10/x", "-1/s", "0/s", "0.0/m", "nan/s", "inf/s", "1e9/s", "10/s/s", "١/s"]
)
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(SettingError, match="is not a rate"):
        Rate.parse(text)


@pytest.mark.parametrize(
    ("number", "seconds"), [(0, 1), (-1, 1), (1, 0), (float("nan"), 1), (1, float("inf"))]
)
def test_rates_that_make_no_sense(number: float, seconds: float) -> None:
    with pytest.raises(SettingError):
        Rate(number, seconds)


def test_a_burst_then_the_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(Rate(5, 1), clock=clock)
    assert [limiter.take("a") for _ in range(5)] == [0.0] * 5
    assert limiter.take("a") == pytest.approx(0.2)
    clock.now += 0.1
    assert limiter.take("a") == pytest.approx(0.1)  # a refused request takes nothing
    clock.now += 0.1
    assert limiter.take("a") == 0.0
    assert limiter.take("a") > 0
    clock.now += 1000
    assert [limiter.take("a") for _ in range(6)][4:] == [0.0, pytest.approx(0.2)]  # never more than one burst


def test_names_have_buckets_of_their_own_and_rates_of_their_own() -> None:
    limiter = RateLimiter(Rate(1, 1), clock=Clock())
    assert limiter.take("a") == 0.0
    assert limiter.take("a") == pytest.approx(1.0)
    assert limiter.take("b") == 0.0
    assert [limiter.take("c", Rate(2, 60)) for _ in range(3)] == [0.0, 0.0, pytest.approx(30.0)]
    assert RateLimiter(None).take("d") == 0.0


def test_a_slow_rate_still_lets_one_in() -> None:
    limiter = RateLimiter(Rate(0.5, 60), clock=Clock())
    assert limiter.take("a") == 0.0
    assert limiter.take("a") == pytest.approx(120.0)


@given(
    st.floats(0.1, 50),
    st.floats(0.1, 100),
    st.lists(st.floats(0, 10), min_size=1, max_size=60),
)
def test_never_more_than_burst_plus_rate_and_waiting_as_told_is_enough(
    number: float, seconds: float, pauses: list[float]
) -> None:
    clock = Clock()
    rate = Rate(number, seconds)
    limiter = RateLimiter(rate, clock=clock)
    start = clock.now
    for let_in, pause in enumerate(pauses, start=1):
        clock.now += pause
        wait = limiter.take("a")
        if wait:
            assert wait <= 1 / rate.per_second * (1 + 1e-9)
            clock.now += wait
            assert limiter.take("a") == 0.0
        assert let_in <= rate.burst + (clock.now - start) * rate.per_second + 1e-3


def test_a_clock_that_goes_back_gives_and_takes_nothing() -> None:
    clock = Clock()
    limiter = RateLimiter(Rate(2, 1), clock=clock)
    assert limiter.take("a") == 0.0
    clock.now -= 500
    assert limiter.take("a") == 0.0
    assert limiter.take("a") == pytest.approx(0.5)


def test_memory_is_bounded_and_whoever_asks_often_is_remembered() -> None:
    clock = Clock()
    limiter = RateLimiter(Rate(1, 3600), most=100, clock=clock)
    limiter.take("busy")
    for i in range(10_000):
        limiter.take(f"address {i}")
        assert limiter.take("busy") > 0
    assert len(limiter) == 100
    with pytest.raises(SettingError):
        RateLimiter(Rate(1), most=0)


def test_threads_share_a_bucket() -> None:
    limiter = RateLimiter(Rate(100, 1), clock=Clock())
    let_in: list[float] = []

    def ask() -> None:
        let_in.extend(wait for wait in [limiter.take("a") for _ in range(50)] if wait == 0.0)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(let_in) == 100


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "unknown"),
        ("", "unknown"),
    ],
)
def test_what_of_an_address_is_counted(address: str, counted: str) -> None:
    assert neighbourhood(address) == counted
