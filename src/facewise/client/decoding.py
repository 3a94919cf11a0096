"""From an answer's JSON to dataclasses, by their fields' types; nothing is taken on trust."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from facewise.client.errors import AnswerError
from facewise.types import Attributes, Face, Liveness, Quality

_T = TypeVar("_T")


def decoded(kind: type[_T], data: Any, where: str = "the answer") -> _T:
    """The `kind` that `data` says.

    Args:
        kind: A dataclass, or what its fields are: `int`, `float`, `str`, `bool`, `datetime`, `Mapping`,
            `Face`, `tuple[…, ...]`, a fixed tuple, or one of these or None.
        data: Plain JSON.
        where: What it is, for the error.

    Raises:
        AnswerError: A field is missing or of another kind.
    """
    result: _T = _decoded(kind, data, where)
    return result


def _decoded(kind: Any, data: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        one = next(one for one in arguments if one is not type(None))
        return None if data is None else _decoded(one, data, where)
    if origin is tuple:
        return _tuple(arguments, data, where)
    if origin is Mapping:
        return _of(dict, data, where)
    return _single(kind, data, where)


def _single(kind: Any, data: Any, where: str) -> Any:
    if kind is Face:
        return _face(data, where)
    if kind is datetime:
        return _time(data, where)
    if kind is float:
        return float(_of((int, float), data, where))
    if not dataclasses.is_dataclass(kind):
        return _of(kind, data, where)
    values = _of(dict, data, where)
    build: Any = kind
    return build(**{name: _field(values, name, of, where) for name, of in _fields(build).items()})


@cache
def _fields(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _field(values: dict[str, Any], name: str, kind: Any, where: str) -> Any:
    if kind is Face and name not in values:
        return _face(values, where)  # an answer about a face has the face's fields beside its own
    optional = type(None) in get_args(kind)
    if name not in values and not optional:
        raise AnswerError(f"The service's answer is not as expected: {where} has no {name}.")
    return _decoded(kind, values.get(name), f"{name} of {where}")


def _tuple(arguments: tuple[Any, ...], data: Any, where: str) -> tuple[Any, ...]:
    items = _of(list, data, where)
    if arguments[-1] is Ellipsis:
        return tuple(_decoded(arguments[0], item, where) for item in items)
    if len(items) != len(arguments):
        raise AnswerError(f"The service's answer is not as expected: {where} has {len(items)} entries.")
    return tuple(_decoded(of, item, where) for of, item in zip(arguments, items, strict=True))


def _of(kind: Any, data: Any, where: str) -> Any:
    # True is an int to Python, and neither to JSON nor to anybody who reads a count.
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        raise AnswerError(f"The service's answer is not as expected: {where} is {type(data).__name__}.")
    return data


def _time(data: Any, where: str) -> datetime:
    try:
        return datetime.fromisoformat(_of(str, data, where))
    except ValueError:
        raise AnswerError(f"The service's answer is not as expected: {where} is no time.") from None


def _face(data: Any, where: str) -> Face:
    values = _of(dict, data, where)
    embedding = values.get("embedding")
    return Face(
        box=_array(values.get("box"), (4,), f"box of {where}"),
        score=_field(values, "score", float, where),
        landmarks=_array(values.get("landmarks"), (5, 2), f"landmarks of {where}"),
        embedding=None if embedding is None else _array(embedding, None, f"embedding of {where}"),
        quality=_field(values, "quality", Quality | None, where),
        attributes=_field(values, "attributes", Attributes | None, where),
        liveness=_field(values, "liveness", Liveness | None, where),
    )


def _array(data: Any, shape: tuple[int, ...] | None, where: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    try:
        array = np.asarray(data, dtype=np.float32)
    except (TypeError, ValueError):
        array = np.empty(0, dtype=np.float32)
    if array.size == 0 or (array.ndim != 1 if shape is None else array.shape != shape):
        raise AnswerError(f"The service's answer is not as expected: {where} is no array of its shape.")
    return array
