"""The parts of a split class matrix, with the state of its optimiser: taken, kept as files, cut anew.

A run saved by four processes goes on with two or one, and one by four: each process reads the rows that are
now its own from whatever files hold them, and never more than those.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from facewise.errors import FacewiseError, ModelError
from facewise.files import atomic_write
from facewise.nn import collectives
from facewise.nn.losses.sharded import ShardedHead

_SHARDS = re.compile(r"shards-[0-9]+-of-[0-9]+")
_STATE = "optimizer."
"""What the optimiser's names begin with."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Some rows of the class matrix and all that belongs to them.

    Attributes:
        start: The first row.
        rows: How many.
        classes: C, the rows of the whole matrix.
        tensors: (rows, …) each, or a scalar that is the same in all shards.
    """

    start: int
    rows: int
    classes: int
    tensors: dict[str, Tensor]


def shard_state(head: ShardedHead, optimizer: Optimizer | None = None) -> Shard:
    """What this process holds of the class matrix; the tensors are those trained, not copies.

    Args:
        head: The loss.
        optimizer: The one that updates its weight.
    """
    tensors = {"weight": head.weight.detach(), "draws": head.draws}
    if optimizer is not None:
        state = optimizer.state.get(head.weight, {})
        tensors |= {_STATE + name: value for name, value in state.items() if isinstance(value, Tensor)}
    return Shard(head.start, head.rows, head.classes, tensors)


def load_shards(head: ShardedHead, shards: Sequence[Shard], optimizer: Optimizer | None = None) -> None:
    """Take this process's rows from shards cut anyhow.

    Args:
        head: The loss, made for as many classes.
        shards: Together they hold at least the rows of this process, each once.
        optimizer: The one that updates its weight, if its state is wanted too.

    Raises:
        ModelError: Rows are missing or held twice, or the shards are of another matrix.
    """
    if any(shard.classes != head.classes for shard in shards):
        raise ModelError(
            f"The saved class matrix has {shards[0].classes} rows, but this run has {head.classes} people: "
            "resume with the data the run began with."
        )
    stop = head.start + head.rows
    pieces = _overlapping(sorted(shards, key=lambda shard: shard.start), head.start, stop)
    tensors = {name: _joined([piece.tensors[name] for piece in pieces]) for name in pieces[0].tensors}
    if tensors["weight"].shape != head.weight.shape:
        raise ModelError(
            f"The saved class matrix is for embeddings of {tensors['weight'].shape[1]} numbers, not "
            f"{head.embedding_size}: resume with the backbone the run began with."
        )
    with torch.no_grad():
        head.weight.copy_(tensors.pop("weight"))
        head.draws.copy_(tensors.pop("draws"))
    if optimizer is not None:
        device = head.weight.device
        state = {name.removeprefix(_STATE): value for name, value in tensors.items()}
        # PyTorch's optimisers keep their scalar step count in main memory.
        optimizer.state[head.weight] = {
            name: value.clone() if value.ndim == 0 else value.to(device) for name, value in state.items()
        }


def write_shard(folder: str | os.PathLike[str], shard: Shard) -> Path:
    """Save this process's shard atomically as `head-<rank>-of-<size>.safetensors`; each saves its own.

    Raises:
        FacewiseError: The file cannot be written.
    """
    path = Path(folder) / f"head-{collectives.rank():05}-of-{collectives.size():05}.safetensors"
    place = json.dumps({"start": shard.start, "rows": shard.rows, "classes": shard.classes})
    tensors = {name: t.cpu().contiguous() for name, t in shard.tensors.items()}
    try:
        with atomic_write(path) as temporary:
            save_file(tensors, temporary, {"shard": place})
    except SafetensorError as error:  # what it makes of a full disk
        raise FacewiseError(f"Cannot write {path}: {error}; what was saved before is whole.") from error
    return path


def remove_shards(folder: Path, keep: str | None) -> None:
    """Removes the folders of shards that are older than a checkpoint's own, and nothing of like names.

    Args:
        folder: The checkpoint's.
        keep: The name of the folder that it uses, if any.
    """
    for old in folder.iterdir():
        if _SHARDS.fullmatch(old.name) and old.name != keep and old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)


def read_shards(folder: str | os.PathLike[str], head: ShardedHead) -> list[Shard]:
    """What files of `write_shard` hold of the rows that are this process's; other rows are not read.

    Raises:
        ModelError: There are no such files, one is missing or damaged, or they are of runs of different
        sizes.
    """
    paths = sorted(Path(folder).glob("head-*-of-*.safetensors"))
    sizes = {path.stem.split("-")[-1] for path in paths}
    if len(sizes) != 1 or len(paths) != int(next(iter(sizes))):
        raise ModelError(
            f"{folder} should hold the parts of one class matrix, head-00000-of-… and so on, and holds "
            f"{', '.join(path.name for path in paths) or 'none'}: copy the whole checkpoint there."
        )
    shards = (_read(path, head.start, head.start + head.rows) for path in paths)
    return [shard for shard in shards if shard.rows]


def _read(path: Path, start: int, stop: int) -> Shard:
    """The part of a file between two rows; of no rows where there is none."""
    try:
        with safe_open(path, framework="pt") as file:
            place = json.loads(file.metadata()["shard"])
            first, last = max(start, place["start"]), min(stop, place["start"] + place["rows"])
            tensors = {}
            for name in file.keys() if first < last else ():
                part = file.get_slice(name)
                whole = not part.get_shape()
                tensors[name] = (
                    file.get_tensor(name) if whole else part[first - place["start"] : last - place["start"]]
                )
            return Shard(first, max(last - first, 0), place["classes"], tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path} is no readable part of a class matrix: {error}; use another checkpoint."
        ) from error


def _overlapping(shards: Sequence[Shard], start: int, stop: int) -> list[Shard]:
    """The rows `start` to `stop`, cut out of shards in order of their rows."""
    pieces, reached = [], start
    for shard in shards:
        first, last = max(start, shard.start), min(stop, shard.start + shard.rows)
        if first >= last:
            continue
        if first != reached:
            break
        pieces.append(_cut(shard, first, last))
        reached = last
    if reached != stop:
        raise ModelError(
            f"The saved parts of the class matrix do not hold each of the rows {start} to {stop - 1} once: "
            "use the files of one checkpoint, all of them."
        )
    return pieces


def _cut(shard: Shard, first: int, last: int) -> Shard:
    rows = slice(first - shard.start, last - shard.start)
    tensors = {name: value if value.ndim == 0 else value[rows] for name, value in shard.tensors.items()}
    return Shard(first, last - first, shard.classes, tensors)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if parts[0].ndim == 0 else torch.cat(list(parts))
