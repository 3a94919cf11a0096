"""Worker processes behind the engine: who gets which photo, what is noted first, and how all of it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from itertools import chain
from pickle import UnpicklingError

import numpy as np
import pytest

from facewise.errors import ImageError, StorageFullError
from facewise.pipeline import Pipeline
from facewise.serve import driving
from facewise.serve.admission import Ticket
from facewise.serve.driving import ProcessEngine
from facewise.serve.intake import take
from facewise.serve.lookers import OvertimeError
from facewise.serve.settings import Limits
from facewise.serve.uploads import Upload


@pytest.fixture(scope="module")
def pipeline(tiny_detector_file, tiny_embedder_file) -> Pipeline:
    return Pipeline.load(tiny_detector_file, tiny_embedder_file, threads=1)


def upload(data: bytes) -> Upload:
    made = Upload(data)
    made.name = "a.png"
    return made


def answers(rows, asked, _):
    return asked, [float(row[0]) for row in rows]


@pytest.fixture
def engine(pipeline):
    engine = ProcessEngine(pipeline, answers, Limits(), workers=2)
    yield engine
    engine.close()


def test_everybody_gets_their_own_faces_and_answers(engine, pipeline, photo_bytes):
    photos = [photo_bytes(i % 4) for i in range(24)] + [b"no photo"]

    async def ask():
        jobs = [engine.search(upload(p), i % 3, Ticket(120)) for i, p in enumerate(photos)]
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
        found = await engine.search(upload(photo_bytes(1, 2)), "x", Ticket(120), note)
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
        jobs = [
            engine.search(upload(photo_bytes(1)), "x", Ticket(120), note) for note in (full, broken, None)
        ]
        return await asyncio.gather(*jobs, return_exceptions=True)

    first, second, third = asyncio.run(ask())
    assert isinstance(first, StorageFullError)
    assert isinstance(second, KeyError)
    assert len(third[2]) == 1


class Fake:
    """A process in the test's hands: it answers when it is let, and ends at the photo `b"deadly"`."""

    def __init__(self, _pipeline, _limits, intake) -> None:
        self._intake = intake.theirs.dup()
        self.go, self.holds, self.looked, self.starts = threading.Semaphore(0), 0, [], 0
        self.start_fails = self.dies_untold = self.answers_again = self.talks_nonsense = 0
        self._again: list[int] = []

    def start(self) -> None:
        self.starts += 1
        self.holds = 0
        if self.start_fails:
            self.start_fails -= 1
            raise [OSError("no memory"), RuntimeError("a network that does not load")][self.start_fails % 2]

    def wait_until_ready(self) -> None:
        pass

    def answer(self):
        if self._again:
            return self._again.pop(), [ImageError("again")], 0
        self.go.acquire()
        job = take(self._intake)
        if job is None:
            raise EOFError
        photos = [photo.data for photo in job.photos()]
        if self.dies_untold:
            self.dies_untold -= 1
            raise EOFError
        self.holds = job.number
        if self.talks_nonsense:
            self.talks_nonsense -= 1
            raise UnpicklingError
        if b"deadly" in photos:
            raise EOFError
        if b"endless" in photos:
            raise OvertimeError
        self.looked.append(photos)
        if self.answers_again:
            self.answers_again -= 1
            self._again.append(job.number)
        self.holds = 0
        return job.number, [ImageError("looked")] * len(photos), 0

    def close(self) -> None:
        pass


@pytest.fixture
def fakes(pipeline, monkeypatch):
    """`fakes(workers)`: an engine and its processes."""
    monkeypatch.setattr(driving, "Looker", Fake)
    monkeypatch.setattr(driving, "_PAUSE", 0.01)
    engines = []

    def make(workers: int = 2, batch: int = 4) -> tuple[ProcessEngine, list[Fake]]:
        engines.append(ProcessEngine(pipeline, answers, Limits(), workers=workers, batch=batch))
        return engines[0], engines[0]._lookers

    yield make
    for fake in engines[0]._lookers:
        fake.go.release(1000)
    engines[0].close()


def told(engine: ProcessEngine, photos: list[bytes], then=lambda: None, wait: float = 120.0) -> list[str]:
    """What each photo's sender is told, if something happens once all are put in."""

    async def ask():
        jobs = [asyncio.ensure_future(engine.faces(upload(photo), Ticket(120))) for photo in photos]
        await asyncio.sleep(0.05)
        then()
        found = await asyncio.wait_for(asyncio.gather(*jobs, return_exceptions=True), wait)
        return [str(one) for one in found]

    return asyncio.run(ask())


def test_as_many_are_handed_out_as_are_looked_at_and_one_ahead_for_each(fakes):
    engine, lookers = fakes(workers=2)
    photos = [b"%d" % i for i in range(12)]

    def go() -> None:
        assert engine.waiting == 8
        for looker in lookers:
            looker.go.release(20)

    assert told(engine, photos, go) == ["looked"] * 12
    shares = lookers[0].looked + lookers[1].looked
    assert sorted(chain.from_iterable(shares)) == sorted(photos)
    # The first as they come, then shares of the rest.
    assert sorted(map(len, shares)) == [1, 1, 1, 1, 1, 1, 2, 4]


def test_a_process_is_left_to_those_whose_photos_take_less(fakes):
    engine, lookers = fakes(2)

    async def ask():
        for client, seconds in ((1, 3.0), (2, 0.1)):
            known = driving.Photo(upload(b""), True, False, None, Ticket(1, client), None)
            engine._photos.took([known], seconds)
        slow = [asyncio.ensure_future(engine.faces(upload(b"slow"), Ticket(120, 1))) for _ in range(6)]
        await asyncio.sleep(0.05)
        quick = asyncio.ensure_future(engine.faces(upload(b"quick"), Ticket(120, 2)))
        await asyncio.sleep(0.05)
        handed = [[bytes(one.upload) for one in photos] for photos in engine._jobs.values()]
        for looker in lookers:
            looker.go.release(1000)
        await asyncio.gather(*slow, quick, return_exceptions=True)
        return handed

    assert asyncio.run(ask()) == [[b"slow"], [b"quick"]]


def test_the_free_process_takes_what_the_slow_one_does_not(fakes):
    engine, (slow, quick) = fakes(workers=2, batch=1)
    quick.go.release(20)
    assert told(engine, [b"%d" % i for i in range(12)]) == ["looked"] * 12
    assert quick.looked == [[b"%d" % i] for i in range(12)]
    assert slow.looked == []


def test_photos_that_nobody_waits_for_are_not_looked_at(fakes):
    engine, lookers = fakes(workers=2)
    for looker in lookers:
        looker.go.release(50)

    async def ask():
        gone = Ticket(120)
        gone.gone = True
        for _ in range(10):
            with pytest.raises(TimeoutError):
                await engine.faces(upload(b"x"), gone)
            with pytest.raises(ImageError):
                await asyncio.wait_for(engine.faces(upload(b"y"), Ticket(120)), 120)

    asyncio.run(ask())
    assert {data for looker in lookers for share in looker.looked for data in share} == {b"y"}


def test_the_photo_that_ends_a_process_is_refused_and_what_came_with_it_is_kept(fakes):
    engine, (looker,) = fakes(workers=1)
    photos = [b"a", b"b", b"c", b"deadly", b"d", b"e"]
    found = told(engine, photos, lambda: looker.go.release(50))
    assert found[3] == "a.png cannot be read: looking at it failed."
    assert found[:3] + found[4:] == ["looked"] * 5
    assert looker.looked == [[b"a"], [b"b"], [b"c"], [b"d"], [b"e"]]
    assert looker.starts == 3  # at first, after the share, after the photo alone


def test_the_photo_that_takes_too_long_is_refused_in_a_sentence(fakes):
    engine, lookers = fakes(1)
    lookers[0].go.release(1000)
    found = told(engine, [b"one", b"two", b"endless", b"three"])
    assert [found[i] for i in (0, 1, 3)] == ["looked"] * 3
    assert found[2] == "a.png cannot be read: looking at it took too long; save it again as a plain JPEG."
    assert lookers[0].starts > 1


def test_a_job_that_was_lost_is_done_and_one_done_twice_is_told_once(fakes):
    engine, lookers = fakes(workers=2, batch=1)
    for looker in lookers:
        looker.dies_untold, looker.answers_again = 3, 2
        looker.go.release(200)
    assert told(engine, [b"%d" % i for i in range(20)]) == ["looked"] * 20
    assert engine._jobs == {}


def test_a_process_is_started_until_it_starts(fakes):
    engine, (looker,) = fakes(workers=1)
    looker.start_fails = 3
    looker.go.release(50)
    assert told(engine, [b"deadly", b"a"]) == ["a.png cannot be read: looking at it failed.", "looked"]
    assert looker.starts == 5


def test_a_process_that_talks_nonsense_is_started_again(fakes):
    engine, (looker,) = fakes(workers=1)
    looker.talks_nonsense = 1
    looker.go.release(50)
    assert told(engine, [b"a", b"b"]) == ["a.png cannot be read: looking at it failed.", "looked"]
    assert looker.starts == 2


def test_closing_with_no_process_left_tells_those_who_wait(fakes):
    engine, (looker,) = fakes(workers=1)
    looker.start_fails = 1 << 30
    looker.go.release(50)

    def close() -> None:
        threading.Thread(target=engine.close).start()

    found = told(engine, [b"deadly", b"a", b"b", b"c"], close)
    assert found[1:] == ["No worker process is left to look at this."] * 3


def test_a_photo_that_cannot_be_handed_out_is_told(fakes, monkeypatch):
    engine, (looker,) = fakes(workers=1)
    looker.go.release(50)

    def full(_name: str) -> int:
        raise OSError("Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(os, "memfd_create", full)
        assert told(engine, [b"a", b"b"]) == ["Too many open files"] * 2
    assert told(engine, [b"c"]) == ["looked"]


def test_closing_finishes_what_was_put_in(pipeline, photo_bytes):
    engine = ProcessEngine(pipeline, answers, Limits(), workers=2)

    async def ask():
        jobs = [
            asyncio.ensure_future(engine.search(upload(photo_bytes(i)), i % 2, Ticket(120)))
            for i in range(12)
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
