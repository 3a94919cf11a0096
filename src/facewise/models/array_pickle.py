"""Pickles of a dictionary of numpy arrays, read without running them: VGGFace2 in PyTorch comes in such.

Python's unpickler calls what a file tells it to call, and PyTorch's safe one does not know the instructions
in which Python 2 wrote strings. This one follows only the instructions that write such a dictionary down,
calls nothing, and refuses a file at the first instruction or name beyond them. Nothing but text is a key or a
name, as to hash or print nested tuples takes time without bounds; and the arrays take no more bytes than the
file has, though it can name the same bytes again and again.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_NAMES = {
    *((module, "_reconstruct") for module in _MODULES),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
    ("__builtin__", "bytes"),
}
_DTYPES = {name: np.dtype(f"<{name}") for name in ("f2", "f4", "f8", "i4", "i8")}
_MAX_STEPS = 1_000_000
"""Instructions of a file above which it is refused: 400 arrays take 15,000."""

_MOST_AXES = 8
_LONGEST_NAME = 100
"""Characters of a module, a function, an encoding or a dtype."""

_PUSHED = {"BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES",
           "BININT", "BININT1", "BININT2", "LONG1"}  # fmt: skip
"""Instructions that put their own argument on the stack."""
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_COUNTS = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = {"PROTO", "FRAME"}


class NotArrays(Exception):  # noqa: N818  callers tell it in a sentence of their own
    """What the file holds beyond a dictionary of arrays."""


@dataclass(slots=True)
class _Name:
    """A name the file refers to; it is never looked up."""

    module: str
    name: str


@dataclass(slots=True)
class _Type:
    """A dtype in the making."""

    name: str


@dataclass(slots=True)
class _Array:
    """An array in the making."""

    value: np.ndarray[Any, Any] | None = None

    def fill(self, shape: tuple[int, ...], dtype: _Type, fortran: bool, data: str | bytes) -> None:
        """Gives it its numbers; `fortran` is whether the first axis varies fastest."""
        raw = data.encode("latin1") if isinstance(data, str) else data
        # As many numbers as there are bytes, so no file takes more memory than it has.
        flat = np.frombuffer(raw, _DTYPES[dtype.name])
        self.value = flat.reshape(shape, order="F" if fortran else "C")


def read_arrays(data: bytes) -> dict[str, Tensor]:
    """The arrays of such a pickle.

    Args:
        data: Of the file.

    Returns:
        Key → tensor; floats are float32.

    Raises:
        NotArrays: It holds anything else, or is damaged.
    """
    try:
        return _tensors(_Machine(len(data)).run(data))
    except NotArrays:
        raise
    # A damaged file trips whatever it likes: the stack is too short, a number no shape, a name no text.
    except Exception as error:
        raise NotArrays("it is damaged") from error


def _tensors(found: object) -> dict[str, Tensor]:
    """An array under two names is one tensor, as it is one array."""
    if type(found) is not dict:
        raise NotArrays("something else than a dictionary")
    made: dict[int, Tensor] = {}
    for value in found.values():
        if id(value) not in made:
            made[id(value)] = _tensor(value)
    return {key: made[id(value)] for key, value in found.items()}


def _tensor(value: object) -> Tensor:
    if not isinstance(value, _Array) or value.value is None:
        raise NotArrays("a value that is no array")
    wide = np.float32 if value.value.dtype.kind == "f" else np.int64
    return torch.from_numpy(np.array(value.value, dtype=wide, order="C"))


class _Machine:
    """Follows the instructions on a stack of its own.

    Args:
        budget: Bytes that texts made to bytes, and arrays, may take each.
    """

    def __init__(self, budget: int) -> None:
        self.texts = self.arrays = budget
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for steps, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if opcode.name == "STOP":
                return self.stack.pop()
            if steps > _MAX_STEPS:
                raise NotArrays("more instructions than any such file")
            self._step(opcode.name, argument)
        raise NotArrays("it is cut short")

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _PUSHED:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _COUNTS:
            if len(stack) < _COUNTS[name]:
                raise NotArrays("it is damaged")
            stack[-_COUNTS[name] :] = [tuple(stack[-_COUNTS[name] :])]
        elif name == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "MARK":
            self.marks.append(len(stack))
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if argument is None else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name in ("SETITEM", "SETITEMS"):
            self._set(stack[-2:] if name == "SETITEM" else None)
        elif name in ("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"):
            self._object(name, argument)
        elif name not in _IGNORED:
            raise NotArrays(f"the instruction {name}")

    def _since_mark(self) -> list[Any]:
        start = self.marks.pop()
        found = self.stack[start:]
        del self.stack[start:]
        return found

    def _set(self, pair: list[Any] | None) -> None:
        items = self._since_mark() if pair is None else pair
        if pair is not None:
            del self.stack[-2:]
        if type(self.stack[-1]) is not dict:
            raise NotArrays("an entry of something else than a dictionary")
        if not all(type(key) is str for key in items[::2]):
            raise NotArrays("an entry under something else than a name")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _object(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name == "BUILD":
            state = stack.pop()
            if isinstance(stack[-1], _Array):
                self._fill(stack[-1], *state)
            elif not isinstance(stack[-1], _Type) or _text(state[1]) not in ("<", "|"):
                raise NotArrays("numbers in the byte order of another machine")
            return
        if name == "REDUCE":
            arguments = stack.pop()
            stack.append(self._made(stack.pop(), arguments))
            return
        if name == "GLOBAL":
            module, _, called = argument.partition(" ")
        else:
            called, module = _text(stack.pop()), _text(stack.pop())
        if (module, called) not in _NAMES:
            raise NotArrays(f"{module}.{called}")
        stack.append(_Name(module, called))

    def _fill(self, array: _Array, _: Any, shape: Any, dtype: Any, fortran: Any, data: Any) -> None:
        """The state of an array; the first is a version."""
        if not isinstance(dtype, _Type) or not isinstance(data, str | bytes):
            raise NotArrays("an array of something else than numbers")
        if not isinstance(shape, tuple) or len(shape) > _MOST_AXES or not all(type(n) is int for n in shape):
            raise NotArrays("an array of no shape")
        self.arrays -= len(data)
        if self.arrays < 0:
            raise NotArrays("more numbers than it has bytes")
        array.fill(shape, dtype, bool(fortran), data)

    def _made(self, what: object, arguments: Any) -> Any:
        """What calling one of the allowed names would have made."""
        if not isinstance(what, _Name) or not isinstance(arguments, tuple):
            raise NotArrays("a call of something else than a name")
        if what.name == "_reconstruct":
            return _Array()
        if what.name == "dtype" and _text(arguments[0]) in _DTYPES:
            return _Type(arguments[0])
        if what.name == "encode":
            text, coding = arguments
            if not isinstance(text, str) or _text(coding) != "latin1":
                raise NotArrays("bytes of something else than text")
            self.texts -= len(text)
            if self.texts < 0:
                raise NotArrays("more bytes than it has")
            return text.encode("latin1")
        if what.name == "OrderedDict" and not arguments:
            return {}
        if what.name == "bytes" and not arguments:  # how Python 3 writes no bytes at all for Python 2
            return b""
        raise NotArrays(f"a call of {what.module}.{what.name}")


def _text(value: object) -> str:
    """A name: nothing else is looked up, compared or shown."""
    if type(value) is not str or len(value) > _LONGEST_NAME:
        raise NotArrays("something else than a name where one belongs")
    return value
