"""What a worker says is plain data: it comes out as it went in, and nothing in it is run."""

from __future__ import annotations

import json
import os
import pickle
import random
import struct
from contextlib import suppress

import numpy as np
import pytest

from facewise.errors import DamagedPhotoError, PhotoTooLargeError
from facewise.pipeline import PhotoFaces
from facewise.serve.frames import answer_of, error_of, packed
from facewise.types import Age, Attributes, Face, Guess, Liveness, Mesh, Pose, Quality

QUALITY = Quality(0.9, 41.5, 1e3, -0.25, 0.5, float("nan"), 0.75, ("blurred", "too dark"))


LOOKS = (
    None,
    Attributes(note="too small"),
    Attributes(
        Age(31.25, 20.1, 1 / 3), Guess(None, {"female": 0.1 + 0.2, "male": 0.7}), race=Guess("x", {"x": 1})
    ),
)


def face(number: int, *, embedded: bool = True) -> Face:
    chance = np.random.default_rng(number)
    box, marks, row = (chance.normal(size=n).astype(np.float32) for n in (4, 10, 512))
    looks = LOOKS[number % len(LOOKS)]
    mesh = None
    if number % 2:
        points = chance.normal(size=(478, 3)).astype(np.float32)
        mesh = Mesh(points, 0.875, {"jawOpen": 1 / 3}, Pose(0.1, -0.2, 0.3), (0.25, 0.5))
    alive = (None, Liveness(0.1 + 0.2, None, "not calibrated"), Liveness(0.5, False, "a picture"))[number % 3]
    return Face(
        box, 0.5 + number / 100, marks.reshape(5, 2), row if embedded else None, QUALITY, looks, alive, mesh
    )


def same(a: Face, b: Face) -> bool:
    arrays = [(a.box, b.box), (a.landmarks, b.landmarks), (a.embedding, b.embedding)]
    if a.mesh is not None and b.mesh is not None:
        arrays.append((a.mesh.points, b.mesh.points))
    plain = [
        (
            repr(one.quality),
            one.score,
            one.attributes,
            one.liveness,
            one.mesh and (one.mesh.presence, one.mesh.blendshapes, one.mesh.pose, one.mesh.eyes_open),
        )
        for one in (a, b)
    ]
    told = plain[0] == plain[1]
    return told and all(
        (x is None and y is None) or np.array_equal(x, y) for x, y in arrays
    )  # fmt: skip


def test_what_was_found_comes_out_as_it_went_in():
    seen = [
        PhotoFaces("ü 李.jpg", "ab" * 32, (480, 640), (face(1), face(2)), 3),
        PhotoTooLargeError("It is too large."),
        PhotoFaces("none", "cd", (1, 1)),
        DamagedPhotoError("Half of it is missing."),
        PhotoFaces("only found", "ef", (9, 9), (face(3, embedded=False),)),
        ZeroDivisionError("a bug"),
    ]
    number, found, together = answer_of(packed(1 << 62, seen, 7))
    assert (number, together) == (1 << 62, 7)
    for before, after in zip(seen, found, strict=True):
        if isinstance(before, PhotoFaces):
            assert (after.source, after.sha256, after.size, after.others) == (
                before.source, before.sha256, before.size, before.others,
            )  # fmt: skip
            assert all(map(same, before.faces, after.faces))
    assert type(found[1]) is PhotoTooLargeError
    assert str(found[1]) == "It is too large."
    assert type(found[3]) is DamagedPhotoError
    assert type(found[5]) is RuntimeError
    assert "a bug" in str(found[5])


@pytest.mark.parametrize("name", ["SystemExit", "eval", "FacewiseError.__init__", "os.system", "annotations"])
def test_a_name_is_only_that_of_an_error_of_ours(name):
    assert type(error_of({"error": name, "told": "x"})) is RuntimeError


class Evil:
    def __reduce__(self):
        return os.putenv, ("FACEWISE_EVIL", "1")


def test_what_is_no_answer_is_an_error_and_nothing_else():
    whole = packed(3, [PhotoFaces("a", "b", (4, 4), (face(1), face(2)), 0)], 1)
    head = json.loads(whole[4 : 4 + struct.unpack("<I", whole[:4])[0]])
    hostile = [
        b"",
        b"abc",
        pickle.dumps(Evil()),
        struct.pack("<I", 2**31) + b"{}",
        struct.pack("<I", 2) + b"[]",
    ]
    hostile += [whole[:i] for i in range(0, len(whole) - 1, 97)]
    hostile.append(whole + b"more")
    for change in (
        {"photos": 3}, {"photos": [None]}, {"job": None}, {"job": "x"},
        {"photos": [{**head["photos"][0], "values": -5}]},
        {"photos": [{**head["photos"][0], "values": 2**40}]},
        {"photos": [{**head["photos"][0], "scores": [0.5] * 10**5}]},
        {"photos": [{**head["photos"][0], "qualities": [{"score": 1}] * 2}]},
    ):  # fmt: skip
        told = json.dumps({**head, **change}).encode()
        hostile.append(struct.pack("<I", len(told)) + told)
    chance = random.Random(1)
    for _ in range(300):
        broken = bytearray(whole)
        for _ in range(3):
            broken[chance.randrange(600)] = chance.randrange(256)
        with suppress(ValueError):
            answer_of(bytes(broken))
    for frame in hostile:
        with pytest.raises(ValueError):
            answer_of(frame)
    assert "FACEWISE_EVIL" not in os.environ
