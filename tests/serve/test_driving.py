"""Worker processes behind the engine: who gets which photo, what is noted first, and how all of it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import numpy as np
import pytest

from facewise.errors import ImageError, StorageFullError
from facewise.pipeline import Pipeline
from facewise.serve import driving
from facewise.serve.admission import Ticket
from facewise.serve.driving import ProcessEngine
from facewise.serve.settings import Limits
from facewise.serve.uploads import Upload


@pytest.fixture(scope="module")
def pipeline(tiny_detector_file, tiny_embedder_file) -> Pipeline:
    return Pipeline.load(tiny_detector_file, tiny_embedder_file, threads=1)


def upload(data: bytes) -> Upload:
    made = Upload(data)
    made.name = "a.png"
    return made


def answers(rows, asked):
    return asked, [float(row[0]) for row in rows]


@pytest.fixture
def engine(pipeline):
    engine = ProcessEngine(pipeline, answers, Limits(), workers=2)
    yield engine
    engine.close()


def test_everybody_gets_their_own_faces_and_answers(engine, pipeline, photo_bytes):
    photos = [photo_bytes(i % 4) for i in range(24)] + [b"no photo"]

    async def ask():
        jobs = [engine.search(upload(p), i % 3, Ticket(30)) for i, p in enumerate(photos)]
        return await asyncio.gather(*jobs, return_exceptions=True)

    *found, bad = asyncio.run(ask())
    assert isinstance(bad, ImageError)
    for i, (faces, shared, told) in enumerate(found):
        own = pipeline.read_bytes(photos[i]).faces
        assert shared == i % 3
        assert np.allclose(faces.faces[0].embedding, own[0].embedding, atol=1e-5)
        assert told == pytest.approx([float(face.embedding[0]) for face in own], abs=1e-5)


def test_what_was_found_is_noted_before_it_is_told(engine, photo_bytes):
    noted, late = [], threading.Event()

    def note(found, done) -> None:
        noted.append(len(found[2]))
        threading.Timer(0.3, lambda: (late.set(), done(None))).start()

    async def ask():
        found = await engine.search(upload(photo_bytes(1, 2)), "x", Ticket(30), note)
        assert late.is_set()
        return found

    assert len(asyncio.run(ask())[2]) == 2
    assert noted == [2]


def test_what_cannot_be_noted_is_not_told(engine, photo_bytes):
    def full(_, done) -> None:
        done(StorageFullError("The disk is full."))

    def broken(_, done) -> None:
        raise KeyError("a bug")

    async def ask():
        jobs = [engine.search(upload(photo_bytes(1)), "x", Ticket(30), note) for note in (full, broken, None)]
        return await asyncio.gather(*jobs, return_exceptions=True)

    first, second, third = asyncio.run(ask())
    assert isinstance(first, StorageFullError)
    assert isinstance(second, KeyError)
    assert len(third[2]) == 1


class SlowLooker:
    """A process that looks when it is let."""

    def __init__(self) -> None:
        self.given, self.go = [], threading.Semaphore(0)
        self._asked: list[int] = []

    def begin(self, photos) -> None:
        self.given += [photo.data for photo in photos]
        self._asked.append(len(photos))

    def finish(self):
        self.go.acquire()
        return [ImageError("looked")] * self._asked.pop(0), 0

    def close(self) -> None:
        pass


def test_one_share_is_given_ahead_and_none_that_an_idle_process_could_take(pipeline, monkeypatch):
    lookers = [SlowLooker(), SlowLooker()]
    monkeypatch.setattr(driving, "_started", lambda *_: lookers)
    engine = ProcessEngine(pipeline, answers, Limits(), workers=2, batch=1)

    async def ask():
        jobs = []
        for i in range(6):
            jobs.append(asyncio.ensure_future(engine.faces(upload(b"%d" % i), Ticket(30))))
            await asyncio.sleep(0.05)
            if i == 1:  # both have one: nobody was given two while the other had none
                assert sorted(len(looker.given) for looker in lookers) == [1, 1]
        assert sum(len(looker.given) for looker in lookers) + engine.waiting == 6
        for looker in lookers:
            for _ in range(6):
                looker.go.release()
        return await asyncio.gather(*jobs, return_exceptions=True)

    assert [str(error) for error in asyncio.run(ask())] == ["looked"] * 6
    engine.close()
    assert sorted(data for looker in lookers for data in looker.given) == [b"%d" % i for i in range(6)]


def test_photos_that_nobody_waits_for_do_not_stop_a_driver(pipeline, monkeypatch):
    lookers = [SlowLooker(), SlowLooker()]
    monkeypatch.setattr(driving, "_started", lambda *_: lookers)
    engine = ProcessEngine(pipeline, answers, Limits(), workers=2)
    for looker in lookers:
        looker.go.release(50)

    async def ask():
        gone = Ticket(30)
        gone.gone = True
        for _ in range(10):
            with pytest.raises(TimeoutError):
                await engine.faces(upload(b"x"), gone)
            with pytest.raises(ImageError):
                await asyncio.wait_for(engine.faces(upload(b"y"), Ticket(30)), 10)

    asyncio.run(ask())
    engine.close()
    assert {data for looker in lookers for data in looker.given} == {b"y"}


def test_closing_finishes_what_was_put_in(pipeline, photo_bytes):
    engine = ProcessEngine(pipeline, answers, Limits(), workers=2)

    async def ask():
        jobs = [
            asyncio.ensure_future(engine.search(upload(photo_bytes(i)), i % 2, Ticket(30))) for i in range(12)
        ]
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(asyncio.to_thread(engine.close))
        found = await asyncio.gather(*jobs)
        await closing
        return found

    assert [shared for _, shared, _ in asyncio.run(ask())] == [i % 2 for i in range(12)]


def test_a_process_that_dies_costs_at_most_the_photo_it_had(engine, photo_bytes):
    photo = photo_bytes(1)

    async def ask():
        jobs = [asyncio.ensure_future(engine.faces(upload(photo), Ticket(60))) for _ in range(40)]
        await asyncio.sleep(0.02)
        os.kill(engine._lookers[0]._process.pid, signal.SIGKILL)
        return await asyncio.gather(*jobs, return_exceptions=True)

    found = asyncio.run(ask())
    lost = [one for one in found if isinstance(one, Exception)]
    assert len(lost) <= 1, lost
    assert all(isinstance(one, ImageError) for one in lost)
