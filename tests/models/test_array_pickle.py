"""Pickles of dictionaries of arrays: read as numpy would, and nothing in them is ever called."""

from __future__ import annotations

import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.errors import ModelError
from facewise.models.array_pickle import NotArrays, read_arrays
from facewise.models.checkpoint import load_state
from facewise.models.families import FAMILIES, recognise
from facewise.models.families.base import shapes_of

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "conv.weight": RANDOM.standard_normal((4, 3, 5, 5)).astype(np.float32),
    "fc.weight": np.asfortranarray(RANDOM.standard_normal((7, 300)).astype(np.float32)),
    "wide": RANDOM.standard_normal(9),
    "half": RANDOM.standard_normal(3).astype(np.float16),
    "count": np.array(5),
    "empty": np.zeros((0, 4), np.float32),
}


def same(found: dict[str, torch.Tensor], arrays: dict[str, np.ndarray]) -> bool:
    return set(found) == set(arrays) and all(
        found[key].shape == value.shape and np.allclose(found[key].numpy(), value)
        for key, value in arrays.items()
    )


def python2(arrays: dict[str, np.ndarray]) -> bytes:
    """As Python 2 writes it with protocol 2: text and data in BINSTRING."""

    def text(data: bytes) -> bytes:
        if len(data) < 256:
            return b"U" + bytes([len(data)]) + data
        return b"T" + struct.pack("<i", len(data)) + data

    out = b"\x80\x02}("
    for key, value in arrays.items():
        shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in value.shape) + b"t"
        kind = value.dtype.str[1:].encode()
        out += (
            text(key.encode())
            + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        )
        out += b"(K\x01" + shape + b"cnumpy\ndtype\n" + text(kind) + b"K\x00K\x01\x87R"
        out += b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + text(value.tobytes()) + b"tb"
    return out + b"u."


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_read_as_written(protocol: int, kind: type) -> None:
    assert same(read_arrays(pickle.dumps(kind(ARRAYS), protocol=protocol)), ARRAYS)


def test_read_as_python_2_wrote_it() -> None:
    arrays = {key: np.ascontiguousarray(value) for key, value in ARRAYS.items() if value.ndim}
    data = python2(arrays)
    theirs = pickle.loads(data, encoding="latin1")
    assert same({key: torch.from_numpy(value.copy()) for key, value in theirs.items()}, arrays)
    assert same(read_arrays(data), arrays)


def test_the_conversion_of_vggface2_is_recognised(tmp_path: Path) -> None:
    """Its keys and shapes, in few bytes: what is checked is the way from the file to the family."""
    family = FAMILIES["vggface2-se-resnet50"]
    shapes = {k: s for k, s in shapes_of(family).items() if not k.endswith("num_batches_tracked")}
    few = dict(list(shapes.items())[:40])
    arrays = {key: np.zeros(tuple(n or 1 for n in shape), np.float32) for key, shape in few.items()}
    path = tmp_path / "senet50_ft_weight.pkl"
    path.write_bytes(python2(arrays))
    state = load_state(path)
    assert same(state, arrays)
    rest = {k: torch.zeros(1).expand(s) for k, s in shapes.items() if k not in few}  # type: ignore[arg-type]
    assert recognise(state | rest) == family.name


@pytest.mark.parametrize("old", [False, True])
def test_a_pkl_that_torch_saved_is_a_checkpoint(tmp_path: Path, old: bool) -> None:
    state = {"a.weight": torch.arange(6.0).reshape(2, 3)}
    torch.save(state, tmp_path / "w.pkl", _use_new_zipfile_serialization=not old)
    assert torch.equal(load_state(tmp_path / "w.pkl")["a.weight"], state["a.weight"])


class Malice:
    """A pickle that makes a folder when it is opened carelessly."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_nothing_is_called(tmp_path: Path, protocol: int) -> None:
    trap, path = tmp_path / "trap", tmp_path / "w.pkl"
    path.write_bytes(pickle.dumps({"a": ARRAYS["wide"], "b": Malice(trap)}, protocol=protocol))
    with pytest.raises(ModelError, match=r"w\.pkl is no dictionary of plain arrays"):
        load_state(path)
    assert not trap.exists()
    pickle.loads(path.read_bytes())  # it would have
    assert trap.exists()


@pytest.mark.parametrize(
    "content",
    [[1], {"a": 1}, {"a": "text"}, {"a": np.array(["x"])}, {"a": np.array([object()])}, {"a": ARRAYS}, 5,
     None, {"a": np.zeros(3, ">f4")}, {"a": np.zeros(3, np.complex64)}, {"a": {1}}],
    ids=lambda content: repr(content)[:30],
)  # fmt: skip
def test_what_is_no_dictionary_of_numbers(content: object) -> None:
    with pytest.raises(NotArrays):
        read_arrays(pickle.dumps(content, protocol=2))


WHOLE = pickle.dumps({"a": np.arange(6.0, dtype=np.float32).reshape(2, 3)}, protocol=2)


@settings(max_examples=100)
@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=6), st.booleans())
def test_a_damaged_one_is_read_or_refused(place: int, data: bytes, cut: bool) -> None:
    damaged = WHOLE[:place] if cut else WHOLE[:place] + data + WHOLE[place + len(data) :]
    try:
        found = read_arrays(damaged)
    except NotArrays:
        return
    assert sum(value.numel() for value in found.values()) <= len(damaged)
