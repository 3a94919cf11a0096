"""Worker processes: what they find is what the pipeline finds, and what one held when it died is known."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from itertools import chain
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from facewise.errors import FacewiseError, ImageError
from facewise.pipeline import PhotoFaces, Pipeline
from facewise.serve.intake import Intake, Look
from facewise.serve.lookers import Looker, OvertimeError
from facewise.serve.settings import Limits
from photo_formats import heic


@pytest.fixture(scope="module")
def pipeline(tiny_detector_file, tiny_embedder_file) -> Pipeline:
    return Pipeline.load(tiny_detector_file, tiny_embedder_file, threads=1)


@pytest.fixture(scope="module")
def intake():
    intake = Intake()
    yield intake
    intake.close()


@pytest.fixture(scope="module")
def looker(pipeline, intake):
    looker = Looker(pipeline, Limits(), intake)
    looker.start()
    looker.wait_until_ready()
    yield looker
    looker.close()


@pytest.fixture
def look(photo_bytes):
    """`look()`: a photo of two people to look at; `look(data)`: other bytes."""
    photo = photo_bytes(1, 2)

    def make(data: bytes = photo, **how: bool) -> Look:
        return Look(data, "a photo", how.get("embed", True), how.get("main_only", False))

    return make


def until(true, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_process_finds_what_the_pipeline_finds(pipeline, intake, looker, look):
    intake.put(5, [look()])
    number, (seen,), together = looker.answer()
    expected = pipeline.read_bytes(look().data)
    assert number == 5
    assert isinstance(seen, PhotoFaces)
    assert together == len(seen.faces) == len(expected.faces) > 0
    assert seen.crops is None
    for ours, theirs in zip(seen.faces, expected.faces, strict=True):
        np.testing.assert_array_equal(ours.box, theirs.box)
        np.testing.assert_allclose(ours.embedding, theirs.embedding, atol=1e-6)
    until(lambda: looker.holds == 0)


def test_several_photos_keep_their_order_and_a_bad_one_costs_itself(intake, looker, look):
    intake.put(1, [look(b"no photo"), look(), look(embed=False), look(main_only=True)])
    intake.put(2, [look(b"no photo")])
    number, seen, together = looker.answer()
    assert number == 1
    assert isinstance(seen[0], ImageError)
    assert [len(one.faces) for one in seen[1:]] == [2, 2, 1]
    assert seen[2].faces[0].embedding is None
    assert together == 3
    number, (seen,), together = looker.answer()
    assert (number, together) == (2, 0)
    assert isinstance(seen, ImageError)


def test_a_long_answer_and_a_large_photo_do_not_wait_for_each_other(intake, looker, look):
    """Both longer than a pipe holds: with nobody reading at the other end, both would wait for ever."""
    large = look().data + b"\0" * (8 << 20)
    for at in range(3):
        intake.put(2 * at + 1, [look()] * 60)
        intake.put(2 * at + 2, [look(large)])
        assert [len(looker.answer()[1]) for _ in range(2)] == [60, 1]


def test_what_a_process_held_when_it_died_is_known_and_the_rest_waits(intake, looker, look):
    intake.put(8, [look()] * 400)
    intake.put(9, [look()])
    until(lambda: looker.holds == 8)
    os.kill(looker._process.pid, signal.SIGKILL)
    with pytest.raises((EOFError, OSError)):
        looker.answer()
    looker.close()
    assert looker.holds == 8
    looker.start()
    looker.wait_until_ready()
    assert looker.answer()[0] == 9


def test_a_process_that_does_not_get_on_is_told_from_one_with_nothing_to_do(
    intake, looker, look, monkeypatch
):
    monkeypatch.setattr("facewise.serve.lookers._PATIENCE", 0.3)
    late = threading.Timer(1.5, lambda: intake.put(3, [look()]))
    late.start()
    assert looker.answer()[0] == 3
    late.join()
    intake.put(4, [look()] * 200)
    until(lambda: looker.holds == 4)
    os.kill(looker._process.pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        looker.answer()
    looker.close()
    assert looker.holds == 4
    looker.start()
    looker.wait_until_ready()


class Spinning(Pipeline):
    """Looks at the photo `b"endless"` for ever, as a decoder may that somebody's file leads astray."""

    def read_bytes(self, data, steps, **options):
        while data == b"endless":
            pass
        return super().read_bytes(data, steps, **options)


def test_a_photo_that_takes_too_long_is_told_from_one_that_broke_the_process(
    tiny_detector_file, tiny_embedder_file, look
):
    intake = Intake()
    pipeline = Spinning.load(tiny_detector_file, tiny_embedder_file, threads=1)
    looker = Looker(pipeline, Limits(photo_seconds=0.01), intake)
    looker.start()
    looker.wait_until_ready()
    try:
        for number in range(1, 4):  # each photo has its own time
            intake.put(number, [look()])
            assert isinstance(looker.answer()[1][0], PhotoFaces)
        intake.put(4, [look(), look(b"endless")])
        with pytest.raises(OvertimeError):
            looker.answer()
        assert looker.holds == 4
    finally:
        intake.close()
        looker.close()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says what holds of a process")
def test_a_process_is_confined_and_reads_every_kind_of_photo(intake, looker, look):
    told = Path(f"/proc/{looker._process.pid}/status").read_text()
    assert ("Seccomp:\t2" in told) == ("seccomp" in looker.confined)
    assert "limits" in looker.confined
    kinds = ["TIFF", "GIF", "BMP", "WEBP", "AVIF", "JPEG"]
    photo = PIL.Image.open(io.BytesIO(look().data)).convert("RGB")
    files = [io.BytesIO() for _ in kinds]
    for kind, file in zip(kinds, files, strict=True):
        photo.save(file, kind)
    intake.put(11, [look(file.getvalue()) for file in files] + [look(heic(photo))])
    number, seen, _ = looker.answer()
    assert number == 11
    assert [one for one in seen if isinstance(one, Exception)] == []


def test_photos_that_cannot_be_read_leave_no_memory_behind(intake, looker, look):
    file = io.BytesIO()
    PIL.Image.new("RGB", (4000, 4000), (90, 120, 200)).save(file, "JPEG", progressive=True)
    last = file.getvalue().rindex(b"\xff\xda")
    damaged = file.getvalue()[:-2] + file.getvalue()[last:-2] * 2 + b"\xff\xd9"  # 48 MB as pixels
    held = []
    for number in range(30, 36):
        intake.put(number, [look(damaged)])
        assert isinstance(looker.answer()[1][0], ImageError)
        intake.put(number + 10, [look()])  # behind what follows an answer
        looker.answer()
        told = Path(f"/proc/{looker._process.pid}/status").read_text()
        held.append(int(told.partition("RssAnon:")[2].split()[0]) / 2**10)
    assert held[-1] - held[1] < 24, held


def test_processes_share_what_waits(pipeline, look):
    intake = Intake()
    lookers = [Looker(pipeline, Limits(), intake) for _ in range(2)]
    for one in lookers:
        one.start()
    for one in lookers:
        one.wait_until_ready()
    for number in range(1, 41):
        intake.put(number, [look()])
    intake.close()  # then each ends when nothing is left
    numbers: dict[Looker, list[int]] = {one: [] for one in lookers}

    def hear(one: Looker) -> None:
        while True:
            try:
                numbers[one].append(one.answer()[0])
            except (EOFError, OSError):
                return

    threads = [threading.Thread(target=hear, args=[one]) for one in lookers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for one in lookers:
        one.close()
    assert sorted(chain.from_iterable(numbers.values())) == list(range(1, 41))
    assert min(map(len, numbers.values())) > 0


def test_it_ends_with_the_service(pipeline, look):
    intake = Intake()
    looker = Looker(pipeline, Limits(), intake)
    looker.start()
    looker.wait_until_ready()
    process = looker._process
    os.kill(process.pid, signal.SIGINT)  # Ctrl-C in a terminal reaches it too: it goes on
    intake.put(1, [look()])
    intake.close()  # as when the service is killed, or ends: what was put in is still looked at
    assert isinstance(looker.answer()[1][0], PhotoFaces)
    process.join(10)
    assert process.exitcode == 0
    with pytest.raises(EOFError):
        looker.answer()
    looker.close()


def test_networks_that_do_not_load_are_told(pipeline, intake, monkeypatch):
    monkeypatch.setattr("facewise.serve.lookers._START", 0.0)
    looker = Looker(pipeline, Limits(), intake)
    looker.start()
    with pytest.raises(FacewiseError, match="did not start"):
        looker.wait_until_ready()
    looker.close()


def test_no_file_is_shared_with_a_process(pipeline, monkeypatch):
    """As where there is no /dev/shm, in which `multiprocessing` keeps what it shares."""

    def refuse(*_, **__):
        raise FileNotFoundError(2, "No such file or directory", "/dev/shm")

    monkeypatch.setattr("multiprocessing.heap.Arena.__init__", refuse)
    monkeypatch.setattr("_multiprocessing.SemLock", refuse)
    intake = Intake()
    looker = Looker(pipeline, Limits(), intake)
    looker.start()
    try:
        looker.wait_until_ready()
        assert looker.holds == 0
    finally:
        intake.close()
        looker.close()
