"""A class matrix saved by so many processes goes on with any other number, its optimiser too."""

from __future__ import annotations

import shutil

import pytest
import torch

from facewise.errors import ModelError
from facewise.nn.losses.sharded import ShardedHead
from facewise.training.distributed import World
from facewise.training.row_optim import RowAdamW, RowSGD
from facewise.training.shards import (
    Shard,
    load_shards,
    read_shards,
    remove_shards,
    shard_state,
    write_shard,
)
from several import in_processes

D, C, BATCH = 6, 21, 8
OPTIMIZERS = {
    "rows": (RowSGD, {"lr": 0.5}),
    "adaptive rows": (RowAdamW, {"lr": 0.05}),
    "torch": (torch.optim.AdamW, {"lr": 0.05}),
}


def batch(step: int):
    generator = torch.Generator().manual_seed(step)
    return (
        torch.randn(BATCH, D, generator=generator, dtype=torch.float64),
        torch.randint(0, C, (BATCH,), generator=generator),
    )


def go_on(world: World, name: str, steps: range, read, write, sampling: float = 1.0):
    """Train from a saved state, if any, and save; the process's rows come back."""
    head = ShardedHead(D, C, scale=8.0, sampling=sampling).double()
    make, options = OPTIMIZERS[name]
    optimizer = make(head.parameters(), **options)
    if read:
        load_shards(head, read_shards(read, head), optimizer)
    for step in steps:
        own = world.share(BATCH)
        embeddings, labels = batch(step)
        optimizer.zero_grad()
        head(embeddings[own], labels[own]).backward()
        optimizer.step()
    write_shard(write, shard_state(head, optimizer))
    return head.weight.detach().clone()


def chain(world: World, folder, read: int, steps: range):
    return [
        go_on(world, name, steps, folder / f"{name}-{read}", folder / f"{name}-{world.size}")
        for name in OPTIMIZERS
    ]


@pytest.mark.parametrize("sizes", [(4, 2, 1), (1, 4, 2)])
def test_a_run_goes_on_with_another_number_of_processes(tmp_path, sizes):
    expected = [go_on(World(), name, range(8), None, tmp_path / "whole") for name in OPTIMIZERS]
    for name in OPTIMIZERS:
        go_on(World(), name, range(2), None, tmp_path / f"{name}-0")
    before = 0
    for i, size in enumerate(sizes):
        steps = range(2 + 2 * i, 4 + 2 * i)
        parts = (
            [chain(World(), tmp_path, before, steps)]
            if size == 1
            else in_processes(chain, size, tmp_path, before, steps)
        )
        before = size
        assert len(list((tmp_path / f"rows-{size}").iterdir())) == size
    for whole, pieces in zip(expected, zip(*parts, strict=True), strict=True):
        torch.testing.assert_close(torch.cat(pieces), whole, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["rows", "adaptive rows"])
def test_a_sampled_run_resumes_to_the_same_numbers(tmp_path, name):
    whole = go_on(World(), name, range(6), None, tmp_path / "whole", 0.5)
    go_on(World(), name, range(3), None, tmp_path / "half", 0.5)
    assert torch.equal(go_on(World(), name, range(3, 6), tmp_path / "half", tmp_path / "rest", 0.5), whole)


def shard(start: int, rows: int, classes: int = C, size: int = D) -> Shard:
    return Shard(start, rows, classes, {"weight": torch.zeros(rows, size), "draws": torch.tensor(3)})


def test_only_the_wanted_rows_are_taken():
    head = ShardedHead(D, C)
    head.start, head.rows = 5, 4
    head.weight = torch.nn.Parameter(torch.ones(4, D))
    rows = torch.arange(C)[:, None].repeat(1, D).float()
    pieces = [
        Shard(a, b - a, C, {"weight": rows[a:b], "draws": torch.tensor(3)}) for a, b in [(7, 21), (0, 7)]
    ]
    load_shards(head, pieces)
    assert head.weight[:, 0].tolist() == [5, 6, 7, 8]
    assert head.draws == 3


@pytest.mark.parametrize(
    ("shards", "message"),
    [
        ([shard(0, 10), shard(11, 10)], "each of the rows 0 to 20 once"),
        ([shard(0, 10), shard(9, 12)], "each of the rows 0 to 20 once"),
        ([shard(0, 20)], "each of the rows 0 to 20 once"),
        ([shard(0, 22, 22)], "has 22 rows, but this run has 21 people"),
        ([shard(0, C, C, 5)], "embeddings of 5 numbers, not 6"),
        ([], "each of the rows"),
    ],
)
def test_shards_that_do_not_fit_are_told(shards, message):
    with pytest.raises(ModelError, match=message):
        load_shards(ShardedHead(D, C), shards)


def test_incomplete_or_damaged_files_are_told(tmp_path):
    head = ShardedHead(D, C)
    with pytest.raises(ModelError, match="holds none"):
        read_shards(tmp_path, head)
    path = write_shard(tmp_path, shard_state(head))
    assert path.name == "head-00000-of-00001.safetensors"
    assert torch.equal(read_shards(tmp_path, head)[0].tensors["weight"], head.weight)
    other = tmp_path / "head-00001-of-00002.safetensors"
    shutil.copy(path, other)
    with pytest.raises(ModelError, match="the parts of one class matrix"):
        read_shards(tmp_path, head)
    path.unlink()
    with pytest.raises(ModelError, match="copy the whole checkpoint"):
        read_shards(tmp_path, head)
    other.rename(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ModelError, match="is no readable part"):
        read_shards(tmp_path, head)


def test_old_shards_go_and_nothing_of_a_like_name(tmp_path):
    kept = ("shards-9-of-2", "shards-backup", "shards-3-of-2.bak", "old-shards-3-of-2", "shards-4-of-2")
    for name in ("shards-3-of-2", "shards-8-of-4", *kept[:-1]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "head").write_bytes(b"x")
    (tmp_path / kept[-1]).symlink_to(tmp_path / "shards-backup")
    (tmp_path / "shards-5-of-2").write_bytes(b"a file")
    remove_shards(tmp_path, keep="shards-9-of-2")
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "shards-5-of-2"}
    assert (tmp_path / "shards-backup" / "head").exists()
