"""Where photos wait for processes: each job goes to one of them, whole and in order; all see the end."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from facewise.serve.intake import Intake, Look, take


@pytest.fixture
def intake():
    intake = Intake()
    yield intake
    intake.close()


def look(data: bytes, name: str = "a photo", *, embed: bool = True, main_only: bool = False) -> Look:
    return Look(data, name, embed, main_only)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_job_comes_out_as_it_went_in(intake):
    jobs = {
        1: [look(b"one", "ü 李.jpg")],
        2: [look(os.urandom(12 << 20)), look(b"", main_only=True)],
        1 << 62: [look(b"x", embed=False)],
    }
    for number, photos in jobs.items():
        intake.put(number, photos)
    for number, photos in jobs.items():
        taken = take(intake.theirs)
        assert taken.number == number
        assert taken.photos() == photos


def test_each_job_goes_to_one_of_those_who_wait(intake):
    got, lock = [], threading.Lock()

    def work() -> None:
        while (taken := take(intake.theirs)) is not None and taken.number < 500:
            with lock:
                got.append((taken.number, taken.photos()[0].data))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for i in range(1, 201):
        intake.put(i, [look(b"%d" % i)])
    for i in range(500, 504):
        intake.put(i, [])
    for one in threads:
        one.join(30)
    assert sorted(got) == [(i, b"%d" % i) for i in range(1, 201)]


def test_what_waits_is_taken_before_the_end(intake):
    theirs = intake.theirs.dup()
    intake.put(7, [look(b"last")])
    intake.close()
    assert take(theirs).photos() == [look(b"last")]
    assert take(theirs) is None
    assert take(theirs) is None
    theirs.close()


def test_no_file_stays_open(intake):
    before = open_files()
    for i in range(1, 50):
        intake.put(i, [look(b"x")])
        take(intake.theirs).photos()
    assert open_files() == before
    with pytest.raises(AttributeError):
        intake.put(1, [None])  # type: ignore[list-item]
    assert open_files() == before
    for i in range(1, 9):
        intake.put(i, [look(b"x")])
    assert open_files() == before  # what waits is open nowhere but in the socket
