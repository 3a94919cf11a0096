"""Reads pickles that hold nothing but lists, bytes, bools, numbers and plain arrays, without running them.

Python's unpickler calls what a file tells it to call. This one knows only the instructions that write such
data down, keeps arrays as inert values, and refuses a file at the first instruction or name beyond them.

Each instruction does little, whatever it is given, and all of them together make no more bytes than the file
has: what is counted against that is said before it is made.
"""

from __future__ import annotations

import io
import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from facewise.errors import DatasetError

_DTYPES = {"u1": np.dtype(np.uint8), "b1": np.dtype(np.bool_), "|b1": np.dtype(np.bool_)}
_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
_MAX_STEPS = 1_000_000
"""Instructions of a file above which it is refused: 12,000 arrays take 270,000."""
_MAX_SIDE = 2**40
_LONGEST_NAME = 100
"""Characters of a module, a function, an encoding or a dtype."""


@dataclass(slots=True)
class PlainArray:
    """An array of bytes or bools as a pickle writes it down; the pixels are not looked at.

    Attributes:
        shape: Of the array.
        dtype: uint8 or bool.
        data: Its elements.
    """

    shape: tuple[int, ...] = ()
    dtype: np.dtype[Any] | None = None
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class _Name:
    """A name that the file refers to; it is never looked up."""

    module: str
    name: str


@dataclass(slots=True)
class _Type:
    """A numpy dtype in the making."""

    dtype: np.dtype[Any]


class _Refused(Exception):  # noqa: N818  it is told as a DatasetError
    """What the file holds that it may not."""


def read_plain_pickle(data: bytes, name: str) -> Any:
    """What a pickle holds: nested tuples and lists of bytes, text, numbers, bools and `PlainArray`s.

    Args:
        data: The file, of any protocol; text of Python 2 becomes bytes.
        name: What to call it in a message.

    Raises:
        DatasetError: It is no pickle, is cut short, or holds anything else.
    """
    machine = _Machine(len(data))
    try:
        for opcode, argument, _ in pickletools.genops(io.BytesIO(data)):
            if machine.step(opcode.name, argument):
                return machine.result()
    except _Refused as error:
        raise DatasetError(
            f"{name} holds {error}, which no file of image pairs needs and which could do harm: "
            "it was not opened."
        ) from None
    except (ValueError, IndexError, KeyError, TypeError, EOFError, OverflowError, MemoryError) as error:
        raise DatasetError(f"{name} is damaged, cut short or no verification file.") from error
    raise DatasetError(f"{name} is cut short: download it again.")


class _Mark:
    """Where a list or tuple begins on the stack."""


class _Machine:
    """The few instructions of a pickle that only write data down.

    Args:
        budget: Bytes that may be made out of those of the file, which are there once.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.steps = 0

    def step(self, name: str, argument: Any) -> bool:
        """One instruction; True at the end of the pickle."""
        self.steps += 1
        if self.steps > _MAX_STEPS:
            raise _Refused("too many instructions")
        if name == "STOP":
            return True
        if name in _VALUES:
            self.stack.append(_VALUES[name](argument))
        elif name in {"PROTO", "FRAME"}:
            pass
        elif name in {"PUT", "BINPUT", "LONG_BINPUT"}:
            self.memo[int(argument)] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in {"GET", "BINGET", "LONG_BINGET"}:
            self.stack.append(self.memo[int(argument)])
        elif name in _STEPS:
            _STEPS[name](self)
        else:
            raise _Refused(f"the instruction {name}")
        return False

    def result(self) -> Any:
        """The one value left."""
        (value,) = self.stack
        return value

    def to_mark(self) -> list[Any]:
        """Takes what lies above the last mark off the stack, and the mark."""
        marks = (i for i in range(len(self.stack) - 1, -1, -1) if isinstance(self.stack[i], _Mark))
        start = next(marks, None)
        if start is None:
            raise IndexError
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def top(self, count: int) -> tuple[Any, ...]:
        """Takes so many values off the stack."""
        if len(self.stack) < count:
            raise IndexError
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return items

    def extend(self, items: list[Any]) -> None:
        """Appends to the list on top of the stack."""
        if not isinstance(self.stack[-1], list):
            raise _Refused("something appended to what is no list")
        self.stack[-1].extend(items)

    def stack_global(self) -> None:
        """A name given by two texts."""
        module, name = self.top(2)
        self.stack.append(_known(_text(module), _text(name)))

    def reduce(self) -> None:
        """A call: only those that write bytes and arrays down, and none is really made."""
        function, arguments = self.top(2)
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):
            raise _Refused("a call of what is no function")
        if function.name == "encode":
            self.spend(arguments[0])
        self.stack.append(_CALLS[function.name](arguments))

    def spend(self, text: Any) -> None:
        """Counts what a text takes as bytes, before it is made: a memo can name one text a million times."""
        if not isinstance(text, str):
            raise _Refused("bytes of what is no text")
        self.budget -= len(text)
        if self.budget < 0:
            raise _Refused("more bytes than it has")

    def build(self) -> None:
        """The state of an array or dtype."""
        (state,) = self.top(1)
        target = self.stack[-1]
        if isinstance(target, PlainArray) and not target.data:
            _, shape, kind, _, data = state
            _fill(target, shape, kind, data)
        elif not isinstance(target, _Type):  # a dtype's state repeats what is known of it
            raise _Refused("the state of an object")


def _known(module: str, name: str) -> _Name:
    """A name that only writes data down."""
    if (module, name) in {("_codecs", "encode"), ("numpy", "ndarray"), ("numpy", "dtype")}:
        return _Name(module, name)
    if module in _MODULES and name in {"_reconstruct", "_frombuffer"}:
        return _Name(module, name)
    raise _Refused(f"a reference to {module}.{name}"[:120])


def _global(argument: str) -> _Name:
    module, _, name = _text(argument).partition(" ")
    return _known(module, name)


def _encode(arguments: tuple[Any, ...]) -> bytes:
    """`_codecs.encode(text, "latin1")`: how protocol 2 of Python 3 writes bytes."""
    text, encoding = arguments
    if _text(encoding) not in {"latin1", "latin-1"}:
        raise _Refused("bytes in an unusual encoding")
    encoded: bytes = text.encode("latin1")
    return encoded


def _dtype(arguments: tuple[Any, ...]) -> _Type:
    kind = _text(arguments[0])
    if kind not in _DTYPES:
        raise _Refused(f"an array of {kind[:20]!r}")
    return _Type(_DTYPES[kind])


def _reconstruct(arguments: tuple[Any, ...]) -> PlainArray:
    if arguments[0] != _Name("numpy", "ndarray"):
        raise _Refused("an object that is no plain array")
    return PlainArray()


def _frombuffer(arguments: tuple[Any, ...]) -> PlainArray:
    data, kind, shape, _ = arguments
    array = PlainArray()
    _fill(array, shape, kind, data)
    return array


def _fill(array: PlainArray, shape: Any, kind: Any, data: Any) -> None:
    """Give an array its elements; they must be as many as the shape says."""
    if not isinstance(kind, _Type) or not isinstance(shape, tuple) or not isinstance(data, bytes):
        raise _Refused("an array that is not plain")
    sides = [side for side in shape[:4] if isinstance(side, int) and 0 <= side < _MAX_SIDE]
    if len(sides) != len(shape) or math.prod(sides) != len(data):
        raise _Refused("an array of another size than its shape says")
    array.shape, array.dtype, array.data = shape, kind.dtype, data


def _text(value: Any) -> str:
    if not isinstance(value, str | bytes):  # made to text, nested tuples can grow without bounds
        raise _Refused("a value where a text belongs")
    if len(value) > _LONGEST_NAME:
        raise _Refused("a name that is longer than any")
    return value.decode("latin1") if isinstance(value, bytes) else value


def _python2(text: str) -> bytes:
    """Text of Python 2, which is bytes."""
    return text.encode("latin1")


_CALLS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "encode": _encode,
    "dtype": _dtype,
    "_reconstruct": _reconstruct,
    "_frombuffer": _frombuffer,
}
_INTEGERS = ("INT", "LONG", "BININT", "BININT1", "BININT2", "LONG1", "LONG4")
_TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8")
_VALUES: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys((*_INTEGERS, *_TEXTS), lambda value: value),
    **dict.fromkeys(_BYTES, bytes),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), _python2),
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
    "MARK": lambda _: _Mark(),
    "GLOBAL": _global,
}
_STEPS: dict[str, Callable[[_Machine], None]] = {
    "LIST": lambda machine: machine.stack.append(machine.to_mark()),
    "TUPLE": lambda machine: machine.stack.append(tuple(machine.to_mark())),
    "TUPLE1": lambda machine: machine.stack.append(machine.top(1)),
    "TUPLE2": lambda machine: machine.stack.append(machine.top(2)),
    "TUPLE3": lambda machine: machine.stack.append(machine.top(3)),
    "APPEND": lambda machine: machine.extend(list(machine.top(1))),
    "APPENDS": lambda machine: machine.extend(machine.to_mark()),
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}
