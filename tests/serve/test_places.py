"""Places for connections, and turns on the event loop: who gives way, who waits, who is never shut out."""

from __future__ import annotations

import asyncio

import pytest

from facewise.serve.places import Place, Places
from facewise.serve.turns import GoneError, Turn, Turns


class House:
    """Places, and who was ended."""

    def __init__(self, most: int = 12, each: int = 3, **options) -> None:
        self.places = Places(most, each, **options)
        self.ended: list[str] = []
        self.now = 0.0

    def enter(self, name: str, address: str = "10.0.0.1") -> Place | None:
        self.now += 1
        place = self.places.enter(address, self.now)
        if place is not None:
            place.end = lambda: self.ended.append(name)
        return place


def test_the_longest_waiting_of_the_same_address_gives_way():
    house = House()
    for name in "abcd":
        assert house.enter(name) is not None
    assert house.ended == ["a"]
    assert (house.places.held, house.places.displaced) == (3, 1)


def speak(house: House, place: Place) -> None:
    """The client says something, and is waited for again."""
    place.serve()
    place.wait(house.now)


def test_a_crowd_of_silent_ones_does_not_end_who_spoke():
    house = House(each=4)
    for name in ("spoke", "spoke too"):
        speak(house, house.enter(name))
    for name in "abcdef":
        house.enter(name)
    assert house.ended == list("abcd")


def test_a_crowd_of_those_who_spoke_does_not_end_a_newcomer():
    house = House(each=4)
    for i in range(9):
        speak(house, house.enter(f"crowd {i}"))
    house.enter("new")
    speak(house, house.enter("crowd 9"))
    assert house.ended == [f"crowd {i}" for i in range(7)]


def test_a_request_keeps_its_place_and_another_address_finds_one():
    house = House()
    for name in "abc":
        house.enter(name).serve()
    assert house.enter("d") is None
    assert house.places.refused == 1
    assert house.enter("e", "10.0.0.2") is not None
    assert house.ended == []


def test_with_all_places_taken_any_waiting_one_gives_way():
    house = House(most=6)
    for i, name in enumerate("abcdef"):
        place = house.enter(name, f"10.0.0.{i}")
        if i != 3:
            place.serve()
    assert house.enter("new", "10.0.1.1") is not None
    assert house.ended == ["d"]
    house.enter("newer", "10.0.1.2")
    assert house.ended == ["d", "new"]


def test_neighbours_of_an_ipv6_network_are_one_address_and_a_proxy_is_many():
    house = House(proxies=("10.9.0.0/16",))
    for i in range(5):
        house.enter(str(i), f"2001:db8::{i + 1}")
    assert house.ended == ["0", "1"]
    for i in range(5):
        assert house.enter(f"proxy {i}", "10.9.1.1") is not None
    assert house.ended == ["0", "1"]


def test_a_place_is_given_back_once():
    house = House()
    place = house.enter("a")
    place.leave()
    place.leave()
    place.wait(9.0)  # a late answer changes nothing
    assert house.places.held == 0
    house.places.end_waiting(100.0)
    assert house.ended == []


def test_those_who_waited_too_long_are_ended():
    house = House()
    _, served, late = house.enter("slow"), house.enter("served"), house.enter("late")
    served.serve()
    house.places.end_waiting(late.since)
    assert house.ended == ["slow"]
    assert house.places.held == 2


@pytest.mark.parametrize("each", [1, 2, 5])
def test_a_crowd_of_one_address_waits_for_itself(each):
    """However many wait at one address, or hold on to their turns, another has its turn at once."""
    order: list[str] = []

    async def ask(turns: Turns, name: str, number: int) -> None:
        async with turns.of(name):
            await asyncio.sleep(0)
            order.append(f"{name}{number}")

    async def all_() -> None:
        turns = Turns(each)
        crowd = [asyncio.create_task(ask(turns, "crowd", i)) for i in range(50)]
        await asyncio.sleep(0)
        await asyncio.gather(*crowd, ask(turns, "other", 0), ask(turns, "third", 0))
        async with turns.of("crowd"):  # all were given back
            pass

    asyncio.run(all_())
    assert len(order) == 52
    assert order.index("other0") <= 2 * each + 1
    assert order.index("third0") <= 2 * each + 2
    assert [name for name in order if name.startswith("crowd")] == [f"crowd{i}" for i in range(50)]


def test_so_many_have_their_turns_in_one_round_of_the_loop():
    """Also where what they do takes no pause."""
    rounds = []

    async def ask(turns: Turns, count: list[int]) -> None:
        async with turns.of("crowd"):
            count[0] += 1

    async def all_() -> None:
        turns, count = Turns(8), [0]
        tasks = [asyncio.create_task(ask(turns, count)) for _ in range(100)]
        while count[0] < 100:
            before = count[0]
            await asyncio.sleep(0)
            rounds.append(count[0] - before)
        await asyncio.gather(*tasks)

    asyncio.run(asyncio.wait_for(all_(), 20))
    assert max(rounds) == 8


def test_a_turn_given_back_early_or_never_taken_is_not_lost():
    async def ask(turns: Turns) -> None:
        async with turns.of("a"):
            pass

    async def all_() -> int:
        turns = Turns(1)
        async with turns.of("a") as turn:
            gone = asyncio.create_task(ask(turns))
            waiting = asyncio.create_task(ask(turns))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.sleep(0)
            turn.give()
            turn.give()
            await waiting
        async with turns.of("a"), turns.of("b"):
            return 1

    assert asyncio.run(asyncio.wait_for(all_(), 10)) == 1


def test_whoever_has_gone_waits_for_no_turn():
    """Else those who ask and go fill the memory with requests that wait."""

    async def ask(turn: Turn) -> None:
        async with turn:
            pass

    async def all_() -> list[object]:
        turns = Turns(1)
        async with turns.of("a") as first:
            first.leave()  # has it, and keeps it
            left, kept = turns.of("a"), turns.of("a")
            tasks = [asyncio.create_task(ask(left)), asyncio.create_task(ask(kept))]
            await asyncio.sleep(0)
            left.leave()
            left.leave()
            with pytest.raises(GoneError):
                await tasks[0]
            assert not tasks[1].done()
        await tasks[1]
        kept.leave()  # had it, and gave it back
        async with turns.of("a"):
            return [len(turns._waiting), len(turns._taken)]

    assert asyncio.run(asyncio.wait_for(all_(), 10)) == [0, 1]
