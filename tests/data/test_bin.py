"""Verification files: read as real unpicklers wrote them, and never run, whatever is in them."""

from __future__ import annotations

import os
import pickle
import pickletools
import struct
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.data.bin import read_bin
from facewise.errors import DatasetError

IMAGES = [bytes(cv2.imencode(".jpg", np.full((6, 5, 3), v, np.uint8))[1]) for v in (10, 80, 160, 250)]
ARRAYS = [np.frombuffer(image, np.uint8) for image in IMAGES]
SAME = [True, False]


def written(tmp_path: Path, data: object, protocol: int = 4) -> Path:
    path = tmp_path / "pairs.bin"
    path.write_bytes(data if isinstance(data, bytes) else pickle.dumps(data, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("images", [IMAGES, ARRAYS], ids=["bytes", "arrays"])
@pytest.mark.parametrize("whole", [tuple, list])
def test_files_of_every_protocol(tmp_path: Path, protocol: int, images: list, whole: type) -> None:
    pairs = read_bin(written(tmp_path, whole((images, SAME)), protocol))
    assert pairs.contents == tuple(IMAGES)
    assert pairs.same.tolist() == SAME
    assert len(pairs) == 2
    assert abs(int(pairs.pair(1)[0][0, 0, 0]) - 160) < 3


def test_the_answers_may_be_an_array_or_numbers(tmp_path: Path) -> None:
    for same in (np.array(SAME), [1, 0], (True, False)):
        assert read_bin(written(tmp_path, (IMAGES, same))).same.tolist() == SAME


def test_files_of_python_2(tmp_path: Path) -> None:
    """Protocol 2 of Python 2: bytes are text without an encoding, names of numpy are the old ones."""
    text = b"".join(b"T" + struct.pack("<i", len(image)) + image for image in IMAGES[:2])
    assert read_bin(written(tmp_path, b"\x80\x02](" + text + b"e]\x88a\x86.")).contents == tuple(IMAGES[:2])
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01(cnumpy\nndarray\nq\x02K\x00\x85U\x01bt"
        b"Rq\x03(K\x01K\x03\x85cnumpy\ndtype\nq\x04(U\x02u1K\x00K\x01tRq\x05(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x03abctb"
    )
    data = b"\x80\x02](" + array + b"h\x03e]\x88a\x86."
    assert pickle.loads(data, encoding="bytes")[0][0].tobytes() == b"abc"
    assert read_bin(written(tmp_path, data)).contents == (b"abc", b"abc")


class Hostile:
    """Pickles to a call that leaves a mark."""

    def __init__(self, call: object, *arguments: object) -> None:
        self.reduced = (call, arguments)

    def __reduce__(self) -> object:
        return self.reduced


class Plain:
    """An object of a class."""


def hostile(mark: Path) -> dict[str, object]:
    command = f"touch {mark}"
    return {
        "system": Hostile(os.system, command),
        "in a list": ([*IMAGES, Hostile(os.system, command)], SAME),
        "in the answers": (IMAGES, [True, Hostile(os.system, command)]),
        "eval": Hostile(eval, f"open({str(mark)!r}, 'w')"),
        "open": Hostile(open, str(mark), "w"),
        "getattr": Hostile(getattr, "a", "b"),
        "numpy.load": Hostile(np.load, "x.npy", None, True),
        "an object": (IMAGES, Plain()),
        "array of objects": ([np.array([Plain()], dtype=object)] * 2, [True]),
        "array of floats": ([np.zeros(3)] * 2, [True]),
        "array of names": ([np.array(["a"])] * 2, [True]),
        "dict": ({0: b"a"}, [True]),
        "set": ({b"a"}, [True]),
    }


@pytest.mark.parametrize("name", list(hostile(Path())))
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_what_could_do_harm_is_refused_and_not_run(tmp_path: Path, name: str, protocol: int) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(DatasetError):
        read_bin(written(tmp_path, hostile(mark)[name], protocol))
    assert not mark.exists()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"cos\nsystem\n(S'touch mark'\ntR.", "os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
        (b"(S'touch mark'\nios\nsystem\n.", "INST"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"Pmark\n.", "PERSID"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
        # A name that is known, used for what it is not for.
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00utf-7\x86R.", "unusual encoding"),
        (b"\x80\x02cnumpy\nndarray\n)R.", "damaged"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "NEWOBJ"),
        (b"\x80\x02cnumpy\ndtype\nX\x01\x00\x00\x00O\x85R.", "an array of 'O'"),
        (b"\x80\x02cnumpy\nndarray\n}b.", "EMPTY_DICT"),
        (b"\x80\x02cnumpy\nndarray\nNb.", "the state of an object"),
        (b"\x80\x02cnumpy.core.multiarray\nscalar\n.", "numpy.core.multiarray.scalar"),
        (b"\x80\x02]]R.", "a call of what is no function"),
        (b"\x80\x02K\x01K\x02a.", "appended"),
        # What claims to be larger than it is, or grows without bounds.
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"abc.", "damaged"),
        (b"\x80\x04B" + struct.pack("<I", 2**32 - 1) + b"abc.", "damaged"),
        (b"\x80\x02]r\xff\xff\xff\xff.", "no verification file"),
        (b"\x80\x02]" + b"q\x00h\x00a" * 3 + b".", "no verification file"),
        (b"I" + b"9" * 10000 + b"\n.", "damaged"),
        (b"", "damaged"),
        (b"\x80\x04", "damaged"),
        (b".", "damaged"),
        (b"\x80\x02((((.", "damaged"),
        (b"\x80\x02eeee.", "damaged"),
        (b"\xff\xd8\xff", "damaged"),
        (b"\x80\x02h\x05.", "damaged"),
    ],
)  # fmt: skip
def test_instructions_by_hand(tmp_path: Path, monkeypatch, data: bytes, told: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=told):
        read_bin(written(tmp_path, data))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.bin"]


def test_a_tuple_that_doubles_is_not_unrolled(tmp_path: Path) -> None:
    bomb = b"\x80\x02)" + b"q\x00h\x00\x86" * 60
    for data in (
        bomb + b".",
        b"\x80\x04" + bomb[2:] + b"\x8c\x01a\x93.",
        b"\x80\x02cnumpy\ndtype\n" + bomb[2:] + b"R.",
    ):
        with pytest.raises(DatasetError):
            read_bin(written(tmp_path, data))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ((IMAGES[:3], SAME), "3 images and 2 answers"),
        (([], []), "0 images and 0 answers"),
        ((IMAGES, [True, "yes"]), "not all true or false"),
        ((IMAGES, [True, 2]), "not all true or false"),
        (([1, 2], [True]), "Image 0 of .* is a int"),
        ((["a", "b"], [True]), "Image 0 of .* is a str"),
        (([np.zeros((2, 3), np.uint8)] * 2, [True]), "damaged|array of uint8"),
        (("ab", [True]), "no list of images"),
        (IMAGES, "not a pair"),
        (7, "not a pair"),
    ],
)
def test_pickles_of_something_else(tmp_path: Path, data: object, told: str) -> None:
    with pytest.raises(DatasetError, match=told):
        read_bin(written(tmp_path, data))


def test_arrays_of_another_size_than_they_say(tmp_path: Path) -> None:
    good = pickle.dumps(([np.frombuffer(b"abcd", np.uint8)] * 2, [True]), protocol=2)
    assert read_bin(written(tmp_path, good)).contents == (b"abcd", b"abcd")
    with pytest.raises(DatasetError, match="another size"):
        read_bin(written(tmp_path, good.replace(b"K\x04\x85", b"K\x05\x85")))


def test_files_that_are_not_there_or_too_large(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(DatasetError, match="There is no file"):
        read_bin(tmp_path / "gone.bin")
    with pytest.raises(DatasetError, match="Cannot read"):
        read_bin(tmp_path)
    monkeypatch.setattr("facewise.data.bin.MAX_BYTES", 10)
    with pytest.raises(DatasetError, match="larger than"):
        read_bin(written(tmp_path, (IMAGES, SAME)))


def test_too_many_instructions(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("facewise.data.plainpickle._MAX_STEPS", 1000)
    with pytest.raises(DatasetError, match="too many instructions"):
        read_bin(written(tmp_path, b"\x80\x02" + b"]" * 2000 + b"."))


@settings(max_examples=100)
@given(st.data())
def test_damaged_pickles_never_do_worse(tmp_path_factory, data: st.DataObject) -> None:
    protocol, images = ((2, ARRAYS), (4, IMAGES), (5, ARRAYS))[data.draw(st.integers(0, 2))]
    raw = bytearray(pickle.dumps(([image[:9] for image in images], SAME), protocol))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "fuzz.bin"
    path.write_bytes(bytes(raw))
    with suppress(DatasetError):
        assert all(isinstance(content, bytes) for content in read_bin(path).contents)


def test_the_instructions_are_those_of_pickletools() -> None:
    """Every name in the tables is one that exists, so none is refused or let through by a slip of the pen."""
    from facewise.data import plainpickle

    known = {opcode.name for opcode in pickletools.opcodes}
    assert set(plainpickle._VALUES) | set(plainpickle._STEPS) <= known
