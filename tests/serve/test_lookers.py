"""Worker processes: what they find is what the pipeline finds, and what kills one costs a photo at most."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

from facewise.errors import FacewiseError, ImageError
from facewise.pipeline import PhotoFaces, Pipeline
from facewise.serve.lookers import Look, Looker
from facewise.serve.settings import Limits


@pytest.fixture(scope="module")
def pipeline(tiny_detector_file, tiny_embedder_file) -> Pipeline:
    return Pipeline.load(tiny_detector_file, tiny_embedder_file, threads=1)


@pytest.fixture(scope="module")
def looker(pipeline):
    looker = Looker(pipeline, Limits())
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


def test_a_process_finds_what_the_pipeline_finds(pipeline, looker, look):
    (seen,), together = looker.look([look()])
    expected = pipeline.read_bytes(look().data)
    assert isinstance(seen, PhotoFaces)
    assert together == len(seen.faces) == len(expected.faces) > 0
    assert seen.crops is None
    for ours, theirs in zip(seen.faces, expected.faces, strict=True):
        np.testing.assert_array_equal(ours.box, theirs.box)
        np.testing.assert_allclose(ours.embedding, theirs.embedding, atol=1e-6)


def test_several_photos_keep_their_order_and_a_bad_one_costs_itself(looker, look):
    seen, together = looker.look([look(b"no photo"), look(), look(embed=False), look(main_only=True)])
    assert isinstance(seen[0], ImageError)
    assert [len(one.faces) for one in seen[1:]] == [2, 2, 1]
    assert seen[2].faces[0].embedding is None
    assert together == 3


def test_a_process_that_dies_is_started_again(looker, look):
    os.kill(looker._process.pid, signal.SIGKILL)
    (seen,), _ = looker.look([look()])
    # Nobody can tell whether the photo was what killed it: alone, it is not tried twice.
    assert isinstance(seen, ImageError)
    (seen,), _ = looker.look([look()])
    assert isinstance(seen, PhotoFaces)


def test_what_came_with_the_photo_that_killed_it_is_tried_again(looker, look):
    os.kill(looker._process.pid, signal.SIGKILL)
    seen, _ = looker.look([look(), look()])
    assert all(isinstance(one, PhotoFaces) for one in seen)


def test_photos_handed_over_ahead_are_looked_at_in_order(looker, look):
    looker.begin([look(b"no photo")])
    looker.begin([look(), look(main_only=True)])
    looker.begin([look(embed=False)])
    assert isinstance(looker.finish()[0][0], ImageError)
    assert [len(one.faces) for one in looker.finish()[0]] == [2, 1]
    assert looker.finish()[0][0].faces[0].embedding is None


def test_what_was_handed_over_ahead_outlives_the_photo_before_it(looker, look):
    os.kill(looker._process.pid, signal.SIGKILL)
    looker._process.join()
    looker.begin([look()])
    looker.begin([look(), look()])
    looker.begin([look()])
    assert isinstance(looker.finish()[0][0], ImageError)
    assert all(isinstance(one, PhotoFaces) for one in looker.finish()[0])
    assert isinstance(looker.finish()[0][0], PhotoFaces)


def test_a_long_answer_and_a_large_photo_do_not_wait_for_each_other(looker, look):
    """Both longer than a pipe holds: with nobody reading at the other end, both would wait for ever."""
    large = look().data + b"\0" * (8 << 20)
    for _ in range(3):
        looker.begin([look()] * 60)
        looker.begin([look(large)])
        assert len(looker.finish()[0]) == 60
        assert len(looker.finish()[0]) == 1


def test_a_process_killed_while_it_works_is_noticed_at_once(looker, look):
    killer = threading.Timer(0.2, lambda: os.kill(looker._process.pid, signal.SIGKILL))
    killer.start()
    began = time.monotonic()
    seen, _ = looker.look([look()] * 400)
    killer.join()
    assert all(isinstance(one, PhotoFaces) for one in seen)
    assert time.monotonic() - began < 50


def test_it_ends_with_the_service(pipeline, look):
    looker = Looker(pipeline, Limits())
    looker.start()
    looker.wait_until_ready()
    process = looker._process
    os.kill(process.pid, signal.SIGINT)  # Ctrl-C in a terminal reaches it too: it goes on
    (seen,), _ = looker.look([look()])
    assert isinstance(seen, PhotoFaces)
    looker._pipe.close()  # as when the service is killed
    process.join(10)
    assert process.exitcode == 0
    looker._pipe = None
    looker.close()


def test_networks_that_do_not_load_are_told(pipeline, monkeypatch):
    monkeypatch.setattr("facewise.serve.lookers._START", 0.0)
    looker = Looker(pipeline, Limits())
    looker.start()
    with pytest.raises(FacewiseError, match="did not start"):
        looker.wait_until_ready()
    looker.close()
