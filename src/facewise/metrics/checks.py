"""What is allowed into the metrics of classes and probabilities: finite numbers, class numbers, names."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.errors import DatasetError
from facewise.metrics.scores import Floats, Scores, check_scores


def check_numbers(values: ArrayLike, name: str, ndim: int = 1) -> Scores:
    """An array of finite numbers in the precision it came in (integers become float64).

    Raises:
        DatasetError: Not numbers, not `ndim`-dimensional, empty, or not finite.
    """
    with suppress(ValueError):  # ragged lists are refused below
        array = np.asarray(values)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DatasetError(f"The {name} hold NaN or infinity; look for what made them before measuring.")
    return check_scores(values, name, ndim)


def check_probabilities(values: ArrayLike, name: str = "probabilities") -> Floats:
    """`(N,)` probabilities as float64.

    Raises:
        DatasetError: As `check_numbers`, or outside [0, 1].
    """
    array = check_numbers(values, name).astype(np.float64)
    if array.min() < 0.0 or array.max() > 1.0:
        raise DatasetError(f"The {name} must lie between 0 and 1, not {array.min():g} to {array.max():g}.")
    return array


def check_classes(labels: ArrayLike, items: int, classes: int | None = None) -> NDArray[np.int64]:
    """The class number of each of `items` items, 0 to `classes` - 1; 0 or more where that is None.

    Raises:
        DatasetError: Wrong shape, not integers, or out of range.
    """
    array = np.asarray(labels)
    if array.shape != (items,):
        raise DatasetError(f"There are {items} items but the labels have shape {array.shape}.")
    if array.dtype.kind not in "iu":
        raise DatasetError(f"The labels must be integers, the number of a class, not {array.dtype}.")
    if array.size and array.min() < 0:
        raise DatasetError(f"The labels must be 0 or more, the number of a class, not {array.min()}.")
    if array.size and classes is not None and array.max() >= classes:
        raise DatasetError(f"The labels must be below {classes}, the number of classes, not {array.max()}.")
    return array.astype(np.int64)


def check_names(names: Sequence[str] | None, classes: int) -> tuple[str, ...]:
    """A name for each class; its number where none are given.

    Raises:
        DatasetError: Not as many names as classes, or one name twice.
    """
    if names is None:
        return tuple(str(number) for number in range(classes))
    found = tuple(map(str, names))
    if len(found) != classes:
        raise DatasetError(f"There are {classes} classes but {len(found)} names; give one name a class.")
    if len(set(found)) < classes:
        twice = next(name for place, name in enumerate(found) if name in found[:place])
        raise DatasetError(f"Two classes are named {twice}; give each a name of its own.")
    return found
