"""Nobody with a key can have so much of the service that others wait for it, and whoever is alone has all."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi")

from facewise.serve.admission import Ticket
from facewise.serve.batching import ThreadEngine
from facewise.serve.fair import FairQueue
from facewise.serve.jobs import Photo
from facewise.serve.settings import Limits
from facewise.serve.uploads import Upload


def photo(client: int, name: str = "") -> Photo:
    upload = Upload(name.encode())
    upload.name = name
    return Photo(upload, True, False, None, Ticket(60, client), Future())


def test_how_many_workers_a_client_may_have_follows_from_who_else_is_there():
    now = [1000.0]
    queue = FairQueue(lambda: now[0])

    def took(client: int, seconds: float) -> None:
        queue.append(photo(client))
        queue.took([queue.popleft()], seconds)

    assert queue.most(1, 4) is None
    took(1, 3.0)
    assert queue.most(1, 4) is None  # alone
    took(2, 0.05)
    assert [queue.most(client, 4) for client in (1, 2, 3)] == [3, 4, 3]  # nobody knows of the last yet
    took(3, 0.09)
    assert [queue.most(client, 4) for client in (1, 2, 3)] == [3, 4, 4]
    assert queue.most(1, 1) == 1
    now[0] += 61
    assert queue.most(1, 4) is None


def test_a_job_is_of_one_client_and_of_those_who_may_have_one():
    queue = FairQueue()
    for client, name in ((1, "a"), (1, "b"), (1, "c"), (2, "d"), (2, "e")):
        queue.append(photo(client, name))
    names = [[one.upload.name for one in queue.take(2)] for _ in range(2)]
    assert sorted(names) == [["a", "b"], ["d", "e"]]
    queue.took([photo(2)], 0.1)
    queue.append(photo(1, "f"))
    assert [one.upload.name for one in queue.take(2)] == ["c"]  # one at a time where others are
    queue.took([photo(1)], 0.1)
    assert queue.take(2, lambda client: client != 1) == []
    assert len(queue.take(2)) == 1


def test_what_waits_is_left_alone_once_its_client_has_gone(make_app, photo_bytes):
    """Spoken to as a server does, without one."""
    app = make_app(workers=1)
    service = app.state.service
    engine = service.loaded.engine
    held, go = threading.Event(), threading.Event()
    looked = []

    def slow(data, *_, **__):
        looked.append(bytes(data))
        held.set()
        assert go.wait(60)
        raise ValueError(data)

    engine.pipeline = SimpleNamespace(read_bytes=slow, embedder=engine.pipeline.embedder)

    async def ask(body: bytes, gone: asyncio.Event) -> None:
        form = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n%s\r\n--b--' % body
        messages = [{"type": "http.request", "body": form, "more_body": False}]

        async def receive():
            if messages:
                return messages.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(_):
            pass

        headers = [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=b")]
        await app(
            {
                "type": "http", "http_version": "1.1", "method": "POST", "path": "/v1/detect",
                "raw_path": b"/v1/detect",
                "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1), "scheme": "http",
                "server": ("127.0.0.1", 80), "root_path": "", "asgi": {"version": "3.0"},
            },
            receive, send,
        )  # fmt: skip

    async def both() -> None:
        stays, gone = asyncio.Event(), asyncio.Event()
        first = asyncio.ensure_future(ask(b"first", stays))
        await asyncio.to_thread(held.wait, 60)
        second = asyncio.ensure_future(ask(b"second", gone))
        while not engine.waiting:
            await asyncio.sleep(0.01)
        gone.set()
        await asyncio.sleep(0.05)
        go.set()
        await asyncio.gather(first, second)

    asyncio.run(both())
    assert looked == [b"first"]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_threads_leave_a_worker_to_those_whose_photos_take_less(tiny_pipeline, workers):
    go, looked = threading.Event(), []

    class Slow:
        embedder = tiny_pipeline.embedder

        def read_bytes(self, data, *_, **__):
            looked.append(bytes(data))
            if data == b"slow":
                assert go.wait(60)
            raise ValueError(data)

    engine = ThreadEngine(Slow(), lambda *_: None, Limits(), workers=workers)
    for client, seconds in ((1, 3.0), (2, 0.1)):
        engine._photos.took([photo(client)], seconds)
    try:
        slow = [photo(1, "slow") for _ in range(9)]
        for one in slow:
            engine._put(one)
        quick = photo(2, "quick")
        engine._put(quick)
        if workers > 1:
            with pytest.raises(ValueError):
                quick.future.result(60)
            assert looked.count(b"slow") == workers - 1
        go.set()
        for one in (*slow, quick):
            with pytest.raises(ValueError):
                one.future.result(60)
    finally:
        go.set()
        engine.close()
