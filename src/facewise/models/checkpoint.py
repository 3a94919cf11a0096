"""Opening foreign checkpoints without running anything they may contain, and loading them strictly.

Needs the `train` extra. A foreign checkpoint is the one place a pickle is opened, and only with
`weights_only=True`, which cannot run code. Some hold more than tensors: settings and callbacks of a training
framework. The names in `_STAND_INS` are then read as plain dictionaries or empty boxes of our own, nothing of
that framework is imported; any other name is refused.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from facewise.errors import ModelError
from facewise.models.array_pickle import NotArrays, read_arrays

_TORCH_MAGIC = bytes.fromhex("8a0a6cfc9c46f9206aa85019")
"""The number, as a pickle has it, that files of the older format begin with."""

_DATA_PARALLEL = "module."
"""What `torch.nn.DataParallel` puts in front of every key."""

_WRAPPERS = ("state_dict", "net_state_dict", "model_state_dict", "state_dict_backbone", "model")
"""Keys under which trainers keep the weights."""


class _Box:
    """Takes whatever a pickle puts into it, and does nothing."""

    def __init__(self, *_given: object) -> None:
        """Forget what is given."""

    def __setstate__(self, _state: object) -> None:
        """Forget it."""


_DICTIONARIES = (
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
)
"""A framework's settings: dictionaries under another name."""

_BOXES = (
    "argparse.Namespace",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    *(
        f"{root}.callbacks.{name}"
        for root in ("pytorch_lightning", "lightning.pytorch")
        for name in (
            "model_checkpoint.ModelCheckpoint",
            "lr_monitor.LearningRateMonitor",
            "early_stopping.EarlyStopping",
            "progress.tqdm_progress.TQDMProgressBar",
        )
    ),
)
"""Harmless names in checkpoints of AdaFace and other Lightning trainings."""

_STAND_INS: list[Any] = [*((dict, name) for name in _DICTIONARIES), *((_Box, name) for name in _BOXES)]


def load_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, without running anything it may contain.

    Args:
        path: A PyTorch checkpoint (`.pt`, `.pth`, `.ckpt`, `.bin`), a `.safetensors`, or a `.pkl` with a
            dictionary of numpy arrays.

    Raises:
        ModelError: Missing, not a checkpoint, or holding something else than tensors.
    """
    data = _open(path)
    for wrapper in _WRAPPERS:
        if isinstance(data, Mapping) and isinstance(data.get(wrapper), Mapping):
            data = data[wrapper]
    if not isinstance(data, Mapping) or not data or not all(isinstance(v, Tensor) for v in data.values()):
        raise ModelError(f"{path} holds no state_dict of tensors, so there are no weights to import.")
    wrapped = all(str(key).startswith(_DATA_PARALLEL) for key in data)
    return {str(key).removeprefix(_DATA_PARALLEL if wrapped else ""): value for key, value in data.items()}


def _open(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return read_tensors(path)
        if path.suffix == ".pkl" and _is_plain_pickle(path):
            return read_arrays(path.read_bytes())
        with torch.serialization.safe_globals(_STAND_INS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"There is no checkpoint {path}.") from error
    except IsADirectoryError as error:
        raise ModelError(f"{path} is a folder, not a checkpoint.") from error
    except NotArrays as error:
        raise ModelError(
            f"{path} is no dictionary of plain arrays, and nothing else in a pickle is opened ({error})."
        ) from error
    except pickle.UnpicklingError as error:
        name = _refused(error)
        raise ModelError(
            f"{path} is not a PyTorch checkpoint that can be opened safely: "
            + (
                f"it holds {name}, which is more than weights; save its state_dict alone with torch.save."
                if name
                else "it is damaged, of another format, or holds more than weights."
            )
        ) from error
    # PyTorch's readers raise whatever they trip over in a damaged file: IndexError, KeyError, struct.error, …
    except Exception as error:
        raise ModelError(
            f"{path} is not a PyTorch checkpoint that can be opened safely: it is damaged, of another "
            "format, or holds more than weights."
        ) from error


def _is_plain_pickle(path: Path) -> bool:
    """Whether a file is neither of the two formats `torch.save` has written."""
    with path.open("rb") as file:
        start = file.read(64)
    return not start.startswith(b"PK") and _TORCH_MAGIC not in start


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        ModelError: It is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in list(file.keys())}
    except SafetensorError as error:
        raise ModelError(f"{path} is no whole safetensors file ({error}); fetch it again.") from error


def _refused(error: Exception) -> str:
    """The name a safe opening stumbled over, or nothing."""
    _, found, rest = str(error).partition("Unsupported global: GLOBAL ")
    return rest.split(" ")[0] if found else ""


def load_strictly(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load weights so that every key and shape fits, or say which do not.

    Args:
        network: Receives the weights.
        state: The checkpoint, as `load_state` gives it.

    Raises:
        ModelError: Keys missing, left over, or of another shape; they are named.
    """
    own = network.state_dict()
    check_keys({key: tuple(value.shape) for key, value in own.items()}, state)
    network.load_state_dict(own | dict(state), strict=True)


def check_keys(wanted: Mapping[str, tuple[int | None, ...]], state: Mapping[str, Tensor]) -> None:
    """See that a checkpoint has exactly these keys and shapes.

    Args:
        wanted: Key → shape; None is any length.
        state: The checkpoint.

    Raises:
        ModelError: Keys missing, left over, or of another shape; they are named.
    """
    # Counters that old checkpoints do not have and inference does not use.
    missing = [key for key in wanted if key not in state and not is_counter(key)]
    extra = [key for key in state if key not in wanted]
    shapes = [
        f"{key} is {tuple(state[key].shape)}, not {_shape(wanted[key])}"
        for key in wanted
        if key in state and not fits(state[key], wanted[key])
    ]
    problems = [
        f"{label}: {', '.join(items[:5])}{f' and {len(items) - 5} more' if len(items) > 5 else ''}"
        for label, items in (("missing keys", missing), ("unknown keys", extra), ("wrong shapes", shapes))
        if items
    ]
    if problems:
        raise ModelError(f"The checkpoint does not fit the network: {'; '.join(problems)}.")


def is_counter(key: str) -> bool:
    """Whether a key counts batches, which old checkpoints do not."""
    return key.endswith("num_batches_tracked")


def fits(tensor: Tensor, shape: tuple[int | None, ...]) -> bool:
    """Whether a tensor has a shape; None is any length."""
    return tensor.ndim == len(shape) and all(b in (None, a) for a, b in zip(tensor.shape, shape, strict=True))


def _shape(shape: tuple[int | None, ...]) -> str:
    if None not in shape:
        return str(tuple(shape))
    return "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
