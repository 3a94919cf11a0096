"""Both readers of pickles on what is made to cost them: they end, and take no more memory than the file has.

Where nested tuples were hashed, compared by value or printed, a test here would not end in this century.
"""

from __future__ import annotations

import pickle
import random
import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from facewise.data.plainpickle import read_plain_pickle
from facewise.errors import DatasetError
from facewise.models.array_pickle import NotArrays, read_arrays

NESTED = b")" + b"q\x00h\x00\x86" * 60
"""A tuple of 2⁶⁰ empty ones, in 300 bytes."""

READERS: dict[str, Callable[[bytes], Any]] = {
    "pairs": lambda data: read_plain_pickle(data, "it"),
    "arrays": read_arrays,
}
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
DTYPE = b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R"
FLOATS = DTYPE.replace(b"u1", b"f4")


def text(data: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(data)) + data


def peak(reader: str, data: bytes) -> int:
    """Bytes that reading took at its most; whether it was read or refused is all the same."""
    tracemalloc.start()
    try:
        READERS[reader](data)
    except (DatasetError, NotArrays):
        pass
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return most


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "data",
    [
        NESTED + b".",
        b"}" + NESTED + b"K\x01s.",
        b"}(" + NESTED + b"K\x01u.",
        NESTED + text(b"a") + b"\x93.",
        text(b"a") + NESTED + b"\x93.",
        b"c_codecs\nencode\n" + NESTED + text(b"latin1") + b"\x86R.",
        b"c_codecs\nencode\n" + text(b"a") + NESTED + b"\x86R.",
        b"cnumpy\ndtype\n" + NESTED + b"\x85R.",
        b"cnumpy\ndtype\n" + NESTED + b"R.",
        b"cnumpy.core.multiarray\n_reconstruct\n" + NESTED + b"R.",
        b"cnumpy.core.multiarray\n_reconstruct\n" + NESTED + b"\x85R.",
        FLOATS + b"(K\x03" + NESTED + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb.",
        *(
            RECONSTRUCT
            + b"("
            + b"".join(NESTED if i == at else part for i, part in enumerate(parts))
            + b"tb."
            for parts in [(b"K\x01", b"K\x01\x85", FLOATS, b"\x89", b"C\x01a")]
            for at in range(5)
        ),
        b"cnumpy.core.numeric\n_frombuffer\n(" + NESTED + DTYPE + b"K\x01\x85" + text(b"C") + b"tR.",
    ],
    ids=range(18),
)
def test_tuples_in_tuples_are_taken_for_what_they_are(reader: str, data: bytes) -> None:
    assert peak(reader, b"\x80\x04" + data) < 1 << 20
    assert peak(reader, b"\x80\x04}" + text(b"key") + data[:-1] + b"s.") < 1 << 20


@pytest.mark.parametrize("reader", READERS)
def test_a_number_is_no_buffer_of_so_many_bytes(reader: str) -> None:
    data = b"\x80\x04cnumpy.core.numeric\n_frombuffer\n(J\xff\xff\xff\x7f" + DTYPE + b"K\x01\x85NtR."
    assert len(data) < 93
    assert peak(reader, data) < 1 << 20


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "each",
    [
        b"c_codecs\nencode\nh\x01" + text(b"latin1") + b"\x86R0",
        b"c_codecs\nencode\nh\x01" + text(b"latin1") + b"\x86Ra",
        RECONSTRUCT + b"(K\x01J" + struct.pack("<i", 25_000) + b"\x85" + FLOATS + b"\x89h\x01tb0",
    ],
)
def test_bytes_named_again_and_again_are_not_made_again_and_again(reader: str, each: bytes) -> None:
    data = b"\x80\x04]q\x02" + text(b"a" * 100_000) + b"q\x010" + each * 1000 + b"."
    assert peak(reader, data) < 20 * len(data)


def test_an_array_of_many_names_is_there_once() -> None:
    one = RECONSTRUCT + b"(K\x01J" + struct.pack("<i", 25_000) + b"\x85" + FLOATS
    one += b"\x89B" + struct.pack("<I", 100_000) + bytes(100_000) + b"tbq\x05"
    names = [b"%05d" % i for i in range(2000)]
    data = b"\x80\x04}(" + text(b"first") + one + b"".join(text(n) + b"h\x05" for n in names) + b"u."
    assert peak("arrays", data) < 10 * len(data)
    found = read_arrays(data)
    assert len(found) == 2001
    assert len({value.data_ptr() for value in found.values()}) == 1
    # The same bytes in a thousand arrays are another matter.
    again = RECONSTRUCT + b"(K\x01J" + struct.pack("<i", 25_000) + b"\x85" + FLOATS + b"\x89h\x06tb"
    data = b"\x80\x04}(" + text(b"first") + b"B" + struct.pack("<I", 100_000) + bytes(100_000) + b"q\x06"
    data += b"".join(text(n) + again for n in names) + b"u."
    assert peak("arrays", data) < 10 * len(data)


PARTS = [
    b"]", b"}", b")", b"(", b"l", b"t", b"\x85", b"\x86", b"\x87", b"a", b"e", b"s", b"u", b"R", b"b",
    b"\x93", b"N", b"\x88", b"\x89", b"K\x05", b"J\xff\xff\xff\x7f", b"\x8a\x09" + b"\xff" * 9,
    text(b"latin1"), text(b"u1"), text(b"numpy"), text(b"dtype"), b"C\x04abcd", b"B\xff\xff\xff\xffabc",
    b"\x96" + b"\xff" * 8,
    b"I99999999999\n", b"c_codecs\nencode\n", b"cnumpy\nndarray\n", b"cnumpy\ndtype\n",
    b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy.core.numeric\n_frombuffer\n", RECONSTRUCT, DTYPE,
    FLOATS, b"\x94", b"\x95" + bytes(8), b"0", b"2",
    *(b"%c%c" % (code, i) for code in b"qh" for i in range(3)),
]  # fmt: skip
WHOLE = [
    pickle.dumps(([np.frombuffer(b"abcd", np.uint8)] * 2, [True]), protocol=2),
    pickle.dumps({"a": np.arange(6.0, dtype=np.float32).reshape(2, 3)}, protocol=4),
]


def program(rng: random.Random) -> bytes:
    """Instructions in any order, repeated, or a whole file with some put in, taken out or changed."""
    if rng.random() < 0.5:
        data = b"\x80\x04" + b"".join(rng.choice(PARTS) * rng.choice([1, 1, 1, 2, 200]) for _ in range(40))
        return data + b"."
    data = rng.choice(WHOLE)
    for _ in range(rng.randint(1, 4)):
        at, gone = rng.randrange(len(data)), rng.choice([0, 0, 1, 3, 20])
        data = data[:at] + rng.choice([rng.choice(PARTS), rng.randbytes(2)]) + data[at + gone :]
    return data


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("count", [2000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_any_instructions_are_read_or_refused(reader: str, count: int) -> None:
    rng = random.Random(count)
    peak(reader, WHOLE[0])  # what is loaded once is not counted
    for _ in range(count):
        data = program(rng)
        assert peak(reader, data) < 300_000 + 400 * len(data), data
