import asyncio
from collections.abc import Callable

from facewise.serve.rounds import Rounds


class Clock:
    """Goes on by what is worked."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def work(clock: Clock, done: list[str], name: str, steps: int) -> Callable[[], bool]:
    """So many steps of a millisecond."""
    left = [steps]

    def step() -> bool:
        clock.now += 0.001
        done.append(name)
        left[0] -= 1
        return left[0] > 0

    return step


def test_what_fits_is_done_at_once():
    async def all_() -> list[str]:
        clock, done = Clock(), list[str]()
        Rounds(0.004, clock).do("a", work(clock, done, "a", 4))
        return done

    assert asyncio.run(all_()) == ["a"] * 4


def test_an_address_has_so_much_of_a_round_however_many_connections_it_has():
    async def all_() -> tuple[list[int], list[str]]:
        clock, done = Clock(), list[str]()
        rounds = Rounds(0.0039, clock)
        for _ in range(100):
            rounds.do("crowd", work(clock, done, "crowd", 3))
        at_once = len(done)
        rounds.do("other", work(clock, done, "other", 2))
        assert done[at_once:] == ["other"] * 2
        counts = [at_once]
        while done.count("crowd") < 300:
            before = len(done)
            await asyncio.sleep(0)
            counts.append(len(done) - before)
        await asyncio.sleep(0)
        rounds.do("crowd", work(clock, done, "crowd", 1))
        return counts, done

    counts, done = asyncio.run(asyncio.wait_for(all_(), 10))
    assert max(counts) == 4
    assert len(done) == 303


def test_connections_of_one_address_take_steps_in_turn():
    async def all_() -> list[str]:
        clock, done = Clock(), list[str]()
        rounds = Rounds(0.001, clock)
        for name in "xyz":
            rounds.do("a", work(clock, done, name, 3))
        while len(done) < 9:
            await asyncio.sleep(0)
        return done

    assert asyncio.run(asyncio.wait_for(all_(), 10)) == list("xxyzxyzyz")
