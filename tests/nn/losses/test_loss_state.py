"""What losses remember: it moves in training only, survives a resume, and is one over all processes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from facewise.nn.losses import LOSSES, Head

D, C, N = 6, 5, 8
STATES = {
    "sphereface": {"step"},
    "adacos": {"scale"},
    "curricularface": {"curriculum"},
    "adaface": {"mean", "std"},
}
each_state = pytest.mark.parametrize("name", sorted(STATES))


def make(name: str, seed: int = 0, **options: Any) -> Head:
    torch.manual_seed(seed)
    return LOSSES.build(name, D, C, **options)


def batch(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, D, generator=generator) * 9, torch.randint(0, C, (N,), generator=generator)


def state(head: Head) -> dict[str, float]:
    return {name: float(buffer) for name, buffer in head.named_buffers()}


@each_state
def test_state_moves_in_training_and_rests_in_evaluation(name):
    head = make(name)
    assert set(state(head)) == STATES[name]
    before = state(head)
    head.eval()(*batch(1))
    assert state(head) == before
    head.train()(*batch(1))
    assert all(value != before[key] for key, value in state(head).items())


@each_state
def test_a_resumed_loss_goes_on_to_the_same_numbers(name):
    head = make(name)
    for seed in range(3):
        head(*batch(seed))
    resumed = make(name, seed=9)
    resumed.load_state_dict(head.state_dict())
    assert state(resumed) == state(head)
    assert all(torch.equal(head(*batch(seed)), resumed(*batch(seed))) for seed in (3, 4))


@each_state
def test_two_batches_may_be_summed_before_the_backward_pass(name):
    head = make(name)
    (head(*batch(1)) + head(*batch(2))).backward()
    assert head.weight.grad.isfinite().all()


def test_sphereface_anneals():
    """λ = max(5, 1000/(1 + 0.12·t)) blends ψ in: the loss rises from NormFace's towards the margin's."""
    head = make("sphereface")
    x, labels = batch(1)
    values = []
    for step in (0, 10, 10_000):
        head.step.fill_(step)
        values.append(float(head(x, labels)))
        assert int(head.step) == step + 1
    plain = torch.nn.functional.cross_entropy(head.logits(x) * x.norm(dim=1, keepdim=True), labels)
    assert values == sorted(values)
    assert values[0] == pytest.approx(float(plain), rel=0.02)
    assert values[-1] > 1.1 * float(plain)


def test_curriculum_follows_the_mean_cosine():
    head = make("curricularface", ema=0.25)
    expected = 0.0
    for seed in range(5):
        x, labels = batch(seed)
        expected += 0.25 * (float(head.logits(x)[range(N), labels].mean()) - expected)
        head(x, labels)
    assert float(head.curriculum) == pytest.approx(expected, rel=1e-5)


def test_adaface_follows_mean_and_deviation_of_the_lengths():
    head = make("adaface")
    mean, std = 20.0, 100.0
    for seed in range(5):
        x, labels = batch(seed)
        mean += 0.01 * (float(x.norm(dim=1).mean()) - mean)
        std += 0.01 * (float(x.norm(dim=1).std()) - std)
        head(x, labels)
    assert state(head) == {"mean": pytest.approx(mean, rel=1e-5), "std": pytest.approx(std, rel=1e-5)}


def test_adacos_starts_from_the_fixed_scale():
    assert float(make("adacos").scale) == pytest.approx(math.sqrt(2) * math.log(C - 1))
    fixed = make("adacos", fixed=True)
    fixed(*batch(1))
    assert float(fixed.scale) == pytest.approx(math.sqrt(2) * math.log(C - 1))


def _one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    results = {}
    for name in STATES:
        head = make(name)
        for seed in range(3):
            x, labels = batch(seed)
            half = slice(rank * N // 2, (rank + 1) * N // 2)
            head(x[half], labels[half])
        results[name] = state(head)
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_processes_share_one_state(tmp_path: Path):
    torch.multiprocessing.spawn(_one_of_two, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first == second
    for name, buffer in (("curricularface", "curriculum"), ("adaface", "mean"), ("sphereface", "step")):
        # Means over two equal halves are the mean over the whole batch.
        whole = make(name)
        for seed in range(3):
            whole(*batch(seed))
        assert first[name][buffer] == pytest.approx(state(whole)[buffer], rel=1e-5)
    assert first["adacos"]["scale"] == pytest.approx(_adacos_of_two_halves(), rel=1e-5)


def _adacos_of_two_halves() -> float:
    """AdaCos's scale after three batches, B_avg over both halves and θ_med the mean of their medians."""
    head, scale = make("adacos"), math.sqrt(2) * math.log(C - 1)
    for seed in range(3):
        x, labels = batch(seed)
        cosines = head.logits(x).detach().double()
        others = (cosines * scale).exp()
        others[range(N), labels] = 0
        angles = cosines[range(N), labels].acos()
        median = (angles[: N // 2].median() + angles[N // 2 :].median()) / 2
        scale = math.log(float(others.sum()) / N) / math.cos(min(math.pi / 4, float(median)))
        scale = max(scale, 1.0)
    return scale
