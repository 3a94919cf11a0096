"""A budget for each client: whose photo is next, who finds a place to work, how many bytes each may hold."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace

import pytest

from facewise.serve.admission import Admission, Ticket
from facewise.serve.bodies import Buffered
from facewise.serve.errors import ProblemError
from facewise.serve.fair import FairQueue
from facewise.serve.jobs import Photo
from facewise.serve.settings import Limits
from facewise.serve.uploads import Upload


def photo(client: str, number: int = 0) -> Photo:
    upload = Upload()
    upload.name = f"{client}{number}"
    return Photo(upload, True, False, None, Ticket(60, client), Future())


def taken(queue: FairQueue, seconds: dict[str, float]) -> list[str]:
    """The clients in the order of their photos, which take so long each."""
    order = []
    while queue:
        one = queue.popleft()
        client = str(one.ticket.client)
        order.append(client)
        queue.took([one], seconds[client])
    return order


def fill(queue: FairQueue, **counts: int) -> None:
    for client, count in counts.items():
        for i in range(count):
            queue.append(photo(client, i))


def test_one_client_is_served_in_order():
    queue = FairQueue()
    fill(queue, a=20)
    assert [queue.popleft().upload.name for _ in range(20)] == [f"a{i}" for i in range(20)]
    assert len(queue) == 0


def test_who_sends_one_photo_does_not_wait_for_who_sent_hundreds():
    queue = FairQueue()
    fill(queue, crowd=300)
    for _ in range(100):
        queue.took([queue.popleft()], 0.1)
    fill(queue, other=1)
    assert taken(queue, {"crowd": 0.1, "other": 0.1}).index("other") <= 1


def test_clients_share_the_time_and_not_the_number_of_photos():
    queue = FairQueue()
    fill(queue, heavy=100, light=400)
    order = taken(queue, {"heavy": 2.0, "light": 0.1})
    first = order[: order.index("light") + 220]
    assert 8 <= first.count("heavy") <= 14  # 2 s for every 20 photos of 0.1 s


def test_who_was_away_has_saved_up_nothing():
    queue = FairQueue()
    fill(queue, away=1, busy=200)
    taken_first = [queue.popleft() for _ in range(100)]
    for one in taken_first:
        queue.took([one], 0.1)
    fill(queue, away=50)
    order = taken(queue, {"away": 0.1, "busy": 0.1})
    assert 15 <= order[:40].count("busy") <= 25


def test_it_forgets_clients_who_are_gone():
    queue = FairQueue()
    for i in range(5000):
        fill(queue, **{f"c{i}": 1})
        queue.took([queue.popleft()], 0.1)
    assert len(queue._used) <= 1001  # the memory is what is tested


@pytest.fixture
def limits() -> Limits:
    return replace(Limits(), queue=8)


async def places(stack: AsyncExitStack, admission: Admission, client: str) -> int:
    """How many places a client gets, and keeps."""
    before = admission.inside

    async def all_() -> None:
        for _ in range(100):
            await stack.enter_async_context(admission.enter(client))

    with pytest.raises(ProblemError) as refused:
        await all_()
    assert (refused.value.status, refused.value.code) == (429, "busy")
    return admission.inside - before


def test_a_client_alone_has_all_places_and_keeps_nobody_out(limits):
    async def all_() -> list[int]:
        admission = Admission(limits, workers=2)
        async with AsyncExitStack() as stack:
            got = [await places(stack, admission, name) for name in "abcdefghijklmnop"]
        assert admission.inside == 0
        async with AsyncExitStack() as stack:
            assert await places(stack, admission, "a") == 10
        return got

    got = asyncio.run(all_())
    assert got[:3] == [10, 5, 4]
    assert sum(got) <= 20
    assert got[3] >= 1


def test_no_client_has_more_than_half_of_the_bytes():
    buffered = Buffered(1000)
    with ExitStack() as stack:
        one = stack.enter_context(buffered.share("a"))
        one.take(400)
        with pytest.raises(ProblemError):
            stack.enter_context(buffered.share("a")).take(200)
        other = stack.enter_context(buffered.share("b"))
        other.take(500)
        with pytest.raises(ProblemError):
            other.take(1)
        third = stack.enter_context(buffered.share("c"))
        with pytest.raises(ProblemError):
            third.take(200)
        one.keep(100)
        third.take(200)
        assert buffered.held == 800
    assert buffered.held == 0
    with buffered.share("a") as again:
        again.take(500)


def test_a_keys_work_is_counted_for_the_key_and_else_for_the_address(make_client, photo_bytes, monkeypatch):
    seen = []
    real = Admission.enter
    monkeypatch.setattr(Admission, "enter", lambda self, client: seen.append(client) or real(self, client))
    files = {"photo": ("a.png", photo_bytes(1))}
    assert make_client().post("/v1/detect", files=files).status_code == 200
    client = make_client(auth=True)
    key, info = client.app.state.service.keys.create("somebody", ["identify"])
    assert client.post("/v1/detect", files=files, headers={"X-API-Key": key}).status_code == 200
    assert seen == ["unknown", info.id]
