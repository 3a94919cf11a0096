"""Training in several processes gives what one gives, step by step; and the loss of one is told."""

from __future__ import annotations

import io
import math
import os
import pickle
import signal
import time

import onnx
import pytest
import torch
from torch import nn

from facewise.errors import FacewiseError, SettingError
from facewise.hardware import Cpu
from facewise.nn import collectives
from facewise.nn.losses import LOSSES
from facewise.nn.losses.sharded import ShardedHead
from facewise.training import sync_norm
from facewise.training.clipping import clip_gradients
from facewise.training.distributed import World
from facewise.training.row_optim import RowSGD
from several import in_processes

PEOPLE, BATCH = 10, 16


class Net(nn.Module):
    """Small, with both kinds of batch norm.

    Smooth: with ReLU, a number within rounding of 0 falls on the other side once in a few dozen steps of
    float32, and from there the curves part by 1e-3, if every step is right. In float64 ReLU's curves agree to
    1e-12.
    """

    def __init__(self, activation: type[nn.Module] = nn.SiLU) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, bias=False),
            nn.BatchNorm2d(8),
            activation(),
            nn.Conv2d(8, 12, 3, stride=2, bias=False),
            nn.BatchNorm2d(12),
            activation(),
            nn.Flatten(),
            nn.Linear(12 * 9, 16),
            nn.BatchNorm1d(16),
        )

    def forward(self, x):
        return self.body(x)


def photos(step: int, dtype=torch.float32):
    generator = torch.Generator().manual_seed(step)
    labels = torch.randint(0, PEOPLE, (BATCH,), generator=generator)
    prototypes = torch.randn(PEOPLE, 3, 16, 16, generator=torch.Generator().manual_seed(99))
    return (prototypes[labels] + torch.randn(BATCH, 3, 16, 16, generator=generator)).to(dtype), labels


def curve(world: World, name: str, steps: int, accumulate: int, dtype: torch.dtype):
    """Losses and gradient norms of a few dozen steps, then what the trained backbone says in evaluation."""
    torch.manual_seed(0 if world.is_main else 1 + world.rank)  # replicate must undo the difference
    backbone = Net(nn.SiLU if dtype == torch.float32 else nn.ReLU).to(
        dtype, memory_format=torch.channels_last
    )
    replica = world.replicate(backbone)
    sharded = name == "partial-fc"
    head = ShardedHead(16, PEOPLE, scale=16.0) if sharded else LOSSES.build(name, 16, PEOPLE)
    head = head.to(dtype)
    if not sharded:
        world.copy_from_main(head)
    optimizers = [torch.optim.SGD(backbone.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)]
    if list(head.parameters()):
        optimizers.append((RowSGD if sharded else torch.optim.AdamW)(head.parameters(), 0.05))
    losses, norms = [], []
    for step in range(steps):
        for part in range(accumulate):
            images, labels = photos(step * accumulate + part, dtype)
            own = world.share(BATCH)
            with world.accumulate(replica, last=part == accumulate - 1):
                embeddings, labels = replica(images[own]), labels[own]
                if not sharded:
                    embeddings, labels = collectives.gather_batch(embeddings, labels)
                loss = head(embeddings, labels) / accumulate
                loss.backward()
        shared = [*backbone.parameters(), *([] if sharded else head.parameters())]
        norms.append(clip_gradients(shared, head.parameters() if sharded else [], limit=5.0))
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    backbone.eval()
    with torch.no_grad():
        return losses, norms, backbone(photos(0, dtype)[0]), sorted(backbone.state_dict())


CURVES = {
    "float32": ("partial-fc", 30, 1, torch.float32),
    "float64": ("partial-fc", 12, 1, torch.float64),
    "accumulated": ("partial-fc", 4, 2, torch.float64),
    "with state": ("curricularface", 4, 2, torch.float64),
    "of pairs": ("supcon", 3, 1, torch.float64),
}


def norm_results(world: World):
    """Forward, backward and running statistics of batch norms on this process's part of a batch."""
    results = {}
    for name, (module, values, _) in norm_cases().items():
        replica = world.replicate(module)
        cut = [0, 3, 7] if world.size == 2 else [0, 2, 3, 6, 7]
        own = values[cut[world.rank] : cut[world.rank + 1]].requires_grad_()
        out = replica(own)
        (out * weights(out, cut[world.rank])).sum().backward()
        grads = [parameter.grad for parameter in module.parameters()]
        kept = {key: value.clone() for key, value in module.state_dict().items()}
        results[name] = (out.detach(), own.grad, grads, kept, module.eval()(values.detach()).detach())
    return results


def weights(out, first: int):
    """Fixed numbers that make of an output a loss; `first`: the place of its first row in the batch."""
    every = torch.randn(7, *out.shape[1:], generator=torch.Generator().manual_seed(5), dtype=out.dtype)
    return every[first : first + len(out)]


def norm_cases():
    generator = torch.Generator().manual_seed(4)
    double = {"dtype": torch.float64}
    maps = torch.randn(7, 3, 4, 5, generator=generator, dtype=torch.float64) * 3 + 2
    rows = torch.randn(7, 6, generator=generator, dtype=torch.float64)
    cases = {
        "maps": (nn.BatchNorm2d(3, **double), maps, 1e-10),
        "channels last": (
            nn.BatchNorm2d(3, **double),
            maps.contiguous(memory_format=torch.channels_last),
            1e-10,
        ),
        "rows": (nn.BatchNorm1d(6, momentum=0.3, **double), rows, 1e-10),
        "sequences": (nn.BatchNorm1d(3, momentum=None, **double), maps.flatten(2), 1e-10),
        "no affine": (nn.BatchNorm2d(3, affine=False, **double), maps, 1e-10),
        "no running": (nn.BatchNorm2d(3, track_running_stats=False, **double), maps, 1e-10),
        "far from zero": (nn.BatchNorm2d(3), (maps + 1e4).float(), 5e-3),
    }
    for module, *_ in cases.values():
        for i, parameter in enumerate(module.parameters()):
            nn.init.normal_(parameter, 1 - i, 0.2, generator=torch.Generator().manual_seed(i))
    return cases


def talk(world: World):
    value = world.broadcast({"seed": [7, world.rank]})
    world.barrier()
    frozen = nn.Linear(2, 2).requires_grad_(False)
    nn.init.constant_(frozen.weight, world.rank)
    kept = world.replicate(frozen) is frozen and not frozen.weight.any()
    halves = torch.full((world.rank + 1, 2), world.rank, dtype=torch.bfloat16, requires_grad=True)
    gathered, labels = collectives.gather_batch(halves, torch.full((world.rank + 1,), world.rank))
    gathered.sum().backward()
    kept &= gathered.dtype == torch.float32 and gathered[:, 1].tolist() == labels.tolist()
    kept &= halves.grad.dtype == torch.bfloat16 and bool((halves.grad == world.size).all())
    return value, world.mean(world.rank), list(range(10))[world.share(10)], collectives.rank(), kept


def everything(world: World):
    return {
        "curves": {name: curve(world, *case) for name, case in CURVES.items()},
        "norms": norm_results(world),
        "talk": talk(world),
    }


@pytest.fixture(scope="module")
def alone():
    with World() as world:
        assert not torch.distributed.is_initialized()
        return {name: curve(world, *case) for name, case in CURVES.items()}


@pytest.fixture(scope="module", params=[2, 4])
def together(request):
    return in_processes(everything, request.param)


@pytest.mark.parametrize("name", CURVES)
def test_a_training_is_the_same_however_many_processes(alone, together, name):
    losses, norms, embeddings, keys = alone[name]
    close = 1e-4 if name == "float32" else 1e-10
    assert losses[-1] < losses[0]
    for other in together:
        assert other["curves"][name][0] == pytest.approx(losses, abs=close)
        assert other["curves"][name][1] == pytest.approx(norms, abs=10 * close)
        torch.testing.assert_close(other["curves"][name][2], embeddings, rtol=0, atol=10 * close)
        assert other["curves"][name][3] == keys


@pytest.mark.parametrize("name", norm_cases())
def test_batch_norm_is_the_plain_one_of_the_whole_batch(together, name):
    module, values, close = norm_cases()[name]
    values.requires_grad_()
    out = module(values)
    (out * weights(out, 0)).sum().backward()
    parts = [one["norms"][name] for one in together]
    same = {"rtol": close, "atol": close}
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), out.detach(), **same)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), values.grad, **same)
    for part in parts:
        for averaged, parameter in zip(part[2], module.parameters(), strict=True):
            torch.testing.assert_close(averaged * len(parts), parameter.grad, **same)
        torch.testing.assert_close(part[3], dict(module.state_dict()), **same)
    module.eval()
    for part in parts:
        torch.testing.assert_close(part[4], module(values.detach()).detach(), **same)


def test_processes_talk(together):
    size = len(together)
    talked = [one["talk"] for one in together]
    assert all(value == {"seed": [7, 0]} for value, *_ in talked)
    assert all(mean == (size - 1) / 2 for _, mean, *_ in talked)
    assert [place for *_, part, _, _ in talked for place in part] == list(range(10))
    assert [rank for *_, rank, _ in talked] == list(range(size))
    assert all(kept for *_, kept in talked)


def die(world: World, how: str):
    """Process 1 goes, or does nothing, in the midst of training."""
    replica = world.replicate(Net())
    if world.rank == 0:
        replica(photos(0)[0]).sum().backward()
    elif how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "failed":
        raise FacewiseError("a photo is bad")
    else:
        time.sleep(1.5)


def told(world: World, how: str):
    try:
        with World(world.rank, world.size, timeout=1 if how == "silent" else 120) as begun:
            die(begun, how)
    except FacewiseError as error:
        return str(error)


@pytest.mark.parametrize(
    ("how", "own"), [("killed", None), ("failed", "a photo is bad"), ("silent", "Process 1 of 2 lost")]
)
def test_the_loss_of_a_process_is_one_plain_sentence(how, own):
    survivor, other = in_processes(told, 2, how, begun=False)
    assert survivor.startswith("Process 0 of 2 lost another one, which died or did not answer")
    assert other is None if own is None else other.startswith(own)


def test_without_torchrun_there_is_one_process_and_no_group(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    with World.from_environment("cpu") as world:
        assert (world.rank, world.size, world.device.type, world.is_main) == (0, 1, "cpu", True)
        assert not torch.distributed.is_initialized()
        net = Net()
        assert world.replicate(net) is net
        assert type(net.body[1]) is nn.BatchNorm2d
        assert world.mean(3) == 3
        assert world.broadcast("a") == "a"
        world.barrier()
    assert pickle.loads(pickle.dumps(world)) == world


@pytest.mark.parametrize(("limit", "expected"), [(None, 3), (1.5, 2), (0.5, 1), (16.0, 3)])
def test_a_quota_limits_the_threads_of_training(monkeypatch, limit, expected):
    """Without one they are PyTorch's, or what the user set."""
    before = torch.get_num_threads()
    monkeypatch.setattr("facewise.training.distributed.cpu", lambda: Cpu("some", frozenset(), 8, limit))
    torch.set_num_threads(3)
    try:
        with World():
            assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("environment", "device", "message"),
    [
        (
            {"RANK": "2", "WORLD_SIZE": "2"},
            "cpu",
            "RANK is 2 but WORLD_SIZE is 2: start the run with torchrun",
        ),
        ({"RANK": "one", "WORLD_SIZE": "2"}, "cpu", "RANK must be a whole number, not 'one'"),
        ({}, "gpu", "There is no device 'gpu'"),
        ({}, "cuda:99", "GPU 99 is asked for and this machine has"),
    ],
)
def test_a_contradictory_environment_is_told(monkeypatch, environment, device, message):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=message):
        World.from_environment(device)


def test_nobody_at_the_meeting_point_is_told(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")
    with pytest.raises(FacewiseError, match="Process 1 of 2 cannot reach the others"):
        World(1, 2, timeout=1).__enter__()


def test_gradients_are_clipped_sparse_ones_too():
    dense, sparse = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(5, 2))
    (dense * torch.tensor([3.0, 0.0])).sum().backward()
    (nn.functional.embedding(torch.tensor([1, 1]), sparse, sparse=True) * 2).sum().backward()
    assert clip_gradients([dense], [sparse], limit=1.0) == pytest.approx((9 + 16 + 16) ** 0.5)
    assert dense.grad[0] == pytest.approx(3 / 41**0.5)
    assert sparse.grad.to_dense()[1, 0] == pytest.approx(4 / 41**0.5)
    assert clip_gradients([dense], [sparse], limit=2.0) == pytest.approx(1)
    assert dense.grad[0] == pytest.approx(3 / 41**0.5)
    sparse.grad = torch.full((5, 2), torch.nan)
    assert math.isnan(clip_gradients([dense, sparse], limit=0.1))
    assert dense.grad[0] == pytest.approx(3 / 41**0.5)
    assert clip_gradients([], limit=1.0) == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's exporter, of itself
def test_a_converted_network_is_saved_and_exported_as_a_plain_one(monkeypatch):
    plain = Net()
    state = {key: value.clone() for key, value in plain.state_dict().items()}
    monkeypatch.setattr(collectives, "size", lambda: 2)
    synced = sync_norm.convert(Net())
    assert isinstance(synced.body[1], sync_norm.SyncedBatchNorm2d)
    synced.load_state_dict(state, strict=True)
    assert repr(synced).replace("Synced", "") == repr(plain)
    graphs = []
    for net in (plain.eval(), synced.eval()):
        file = io.BytesIO()
        torch.onnx.export(net, (photos(0)[0],), file, dynamo=False)
        graphs.append(onnx.load_from_string(file.getvalue()).graph)
    assert [node.op_type for node in graphs[0].node] == [node.op_type for node in graphs[1].node]
    assert len(graphs[1].initializer) == len(graphs[0].initializer)
