"""Work side by side: in order, few in flight, and what happens when a worker fails or dies."""

import os
import time

import pytest

from facewise import pipeline as pipeline_module
from facewise.concurrency import in_processes, side_by_side
from facewise.errors import FacewiseError, FacewiseWarning, ImageError
from facewise.pipeline import Pipeline, Steps


def slow_square(number):
    time.sleep(0.002 * (number % 3))
    return number**2


def plus(shared, number):
    if number == 70:
        raise ImageError("seventy is bad")
    return shared + number, os.getpid()


def die(shared, number):
    os._exit(shared)


def test_threads_keep_the_order():
    assert list(side_by_side(slow_square, range(50), 4)) == [n**2 for n in range(50)]


def test_processes_keep_the_order_and_are_others():
    found = list(in_processes(plus, 1000, range(70), 2))
    assert [value for value, _ in found] == [1000 + n for n in range(70)]
    assert os.getpid() not in {pid for _, pid in found}


def test_an_error_in_a_process_is_raised_here():
    with pytest.raises(ImageError, match="seventy"):
        list(in_processes(plus, 0, range(80), 2))


def test_a_process_that_dies_is_told():
    with pytest.raises(FacewiseError, match="worker process died"):
        list(in_processes(die, 9, range(3), 2))


def test_threads_do_the_work_where_no_processes_can(monkeypatch):
    """As in a container without /dev/shm, in which semaphores are files."""
    monkeypatch.setattr("_multiprocessing.SemLock", no_semaphores)
    with pytest.warns(FacewiseWarning, match=r"No such file .* /dev/shm is missing .* threads do the work"):
        found = list(in_processes(plus, 1000, range(70), 2))
    assert found == [(1000 + n, os.getpid()) for n in range(70)]


def no_semaphores(*_):
    raise FileNotFoundError(2, "No such file or directory")


def test_a_pipeline_reads_the_same_in_processes(
    monkeypatch, tmp_path, tiny_detector_file, tiny_embedder_file, drawn_photo
):
    from facewise.drawing import save_image

    monkeypatch.setattr(pipeline_module, "_MANY_OF_TWO", 3)
    paths = []
    for i in range(6):
        paths.append(tmp_path / f"{i}.png")
        save_image(paths[-1], drawn_photo([(60 + 4 * i, 60, 32)]))
    (tmp_path / "5.png").write_bytes(b"no photo")
    pipeline = Pipeline.load(tiny_detector_file, tiny_embedder_file, threads=2)
    here = list(pipeline.read_many(paths, Steps(keep_crops=True)))
    there = list(pipeline.read_many(paths, Steps(keep_crops=True), processes=True))
    assert [p.source for p in there] == [str(p) for p in paths]
    for a, b in zip(here, there, strict=True):
        assert (a.sha256, a.size, len(a.faces), str(a.error)) == (
            b.sha256,
            b.size,
            len(b.faces),
            str(b.error),
        )
        for one, other in zip(a.faces, b.faces, strict=True):
            assert one.embedding == pytest.approx(other.embedding, abs=1e-5)
    assert there[5].error is not None
    assert here[0].faces
