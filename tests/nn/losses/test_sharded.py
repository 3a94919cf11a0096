"""The split class matrix: against the plain losses over all classes, with 1, 2 and 4 processes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from facewise.errors import SettingError
from facewise.nn.losses import LOSSES
from facewise.nn.losses.sharded import ShardedHead, bounds
from several import in_processes

D, C = 8, 23
MARGINS = {
    "normface": {},
    "cosface": {"margin": 0.4},
    "arcface": {"margin": 0.5, "large_angle": "easy"},
    "combined": {"m1": 1.2, "m2": 0.3, "m3": 0.1},
}
WEIGHT = torch.randn(C, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
UNEQUAL = {1: (0, 12), 2: (0, 5, 12), 4: (0, 3, 4, 9, 12)}
EQUAL = {1: (0, 12), 2: (0, 6, 12), 4: (0, 3, 6, 9, 12)}


def batch(dtype=torch.float64):
    generator = torch.Generator().manual_seed(2)
    embeddings = torch.randn(12, D, generator=generator, dtype=dtype)
    labels = torch.tensor([0, 22, 5, 5, 17, 11, 3, 9, 22, 6, 14, 1])
    # One photo beyond π - m of its person, where the branches of a margin differ.
    embeddings[2] = -WEIGHT[5] + 0.01 * embeddings[2]
    return embeddings, labels


def sharded(margin: str, **options) -> ShardedHead:
    head = ShardedHead(D, C, margin=margin, **options).double()
    with torch.no_grad():
        head.weight.copy_(WEIGHT[head.start : head.start + head.rows])
    return head


def plain(name: str, rows=slice(None), **options):
    """Loss, gradient of the embeddings and of the weights, of a plain loss over some rows."""
    weight = WEIGHT[rows]
    head = LOSSES.build(name, D, len(weight), **options).double()
    with torch.no_grad():
        head.weight.copy_(weight)
    embeddings, labels = batch()
    if not isinstance(rows, slice):
        labels = torch.searchsorted(rows, labels)
    embeddings.requires_grad_()
    loss = head(embeddings, labels)
    loss.backward()
    return loss.item(), embeddings.grad, head.weight.grad


def one_step(head: ShardedHead, start: int, stop: int):
    embeddings, labels = batch()
    own = embeddings[start:stop].requires_grad_()
    loss = head(own, labels[start:stop])
    loss.backward()
    return loss.item(), own.grad, head.weight.grad


def work(world):
    """All that is measured in several processes, in one go."""
    results = {}
    for name, cuts in (("equal", EQUAL), ("unequal", UNEQUAL)):
        start, stop = cuts[world.size][world.rank : world.rank + 2]
        for margin, options in MARGINS.items():
            head = sharded(margin, margin_options=options)
            loss, gradient, weight = one_step(head, start, stop)
            results[name, margin] = (loss, gradient / world.size, weight)
    embeddings = batch()[0]
    with pytest.raises(SettingError, match=r"labels must be in \[0, 23\), not 23"):
        head(embeddings[:2], torch.tensor([1, 23 if world.rank == world.size - 1 else 2]))
    if world.size > 1:
        with pytest.raises(SettingError, match="predict"):
            head.logits(embeddings)
    results["predicted"] = head.predict(embeddings[start:stop])
    sampler = sharded("arcface", sampling=0.5)
    loss, gradient, weight = one_step(sampler, *EQUAL[world.size][world.rank : world.rank + 2])
    results["sampled"] = (loss, gradient / world.size, weight, sampler.start)
    results["first"] = ShardedHead(D, 3000, seed=3).weight.detach()
    return results


@pytest.fixture(scope="module", params=[1, 2, 4])
def results(request):
    from facewise.training.distributed import World

    return [work(World())] if request.param == 1 else in_processes(work, request.param)


@pytest.mark.parametrize("cuts", ["equal", "unequal"])
@pytest.mark.parametrize("margin", MARGINS)
def test_loss_and_gradients_are_those_of_one_process_with_all_classes(results, margin, cuts):
    loss, embeddings, weight = plain(margin, **MARGINS[margin])
    losses, parts, weights = zip(*(one[cuts, margin] for one in results), strict=True)
    assert set(losses) == {losses[0]}
    assert losses[0] == pytest.approx(loss, abs=1e-9)
    torch.testing.assert_close(torch.cat(parts), embeddings, rtol=0, atol=1e-9)
    torch.testing.assert_close(torch.cat(weights), weight, rtol=0, atol=1e-9)


def test_prediction_is_the_highest_cosine_of_all_classes(results):
    expected = torch.nn.functional.cosine_similarity(batch()[0][:, None], WEIGHT[None], dim=2).argmax(dim=1)
    assert torch.cat([one["predicted"] for one in results]).tolist() == expected.tolist()


def test_sampled_loss_is_the_plain_one_over_the_sampled_rows(results):
    sparse = [one["sampled"][2].coalesce() for one in results]
    starts = [one["sampled"][3] for one in results]
    rows = torch.cat([s.indices()[0] + start for s, start in zip(sparse, starts, strict=True)])
    loss, embeddings, weight = plain("arcface", rows)
    assert all(one["sampled"][0] == pytest.approx(loss, abs=1e-9) for one in results)
    torch.testing.assert_close(
        torch.cat([one["sampled"][1] for one in results]), embeddings, rtol=0, atol=1e-9
    )
    torch.testing.assert_close(torch.cat([s.values() for s in sparse]), weight, rtol=0, atol=1e-9)
    assert set(batch()[1].tolist()) <= set(rows.tolist())


def test_first_weights_do_not_depend_on_the_number_of_processes(results):
    whole = torch.cat([one["first"] for one in results])
    assert torch.equal(whole, ShardedHead(D, 3000, seed=3).weight)
    assert not torch.equal(whole, ShardedHead(D, 3000, seed=4).weight)
    assert whole.std().item() == pytest.approx(0.01, rel=0.02)
    assert whole[:1024].ne(whole[1024:2048]).all()


@pytest.mark.parametrize("margin", MARGINS)
def test_float32_in_one_process_is_the_plain_loss_under_autocast_too(margin):
    embeddings, labels = batch(torch.float32)
    head = sharded(margin, margin_options=MARGINS[margin]).float()
    other = LOSSES.build(margin, D, C, **MARGINS[margin])
    other.weight.data.copy_(head.weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = head(embeddings, labels)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(other(embeddings, labels).item(), rel=1e-6)
    torch.testing.assert_close(head.logits(embeddings), other.logits(embeddings))


@pytest.mark.parametrize(("sampling", "expected"), [(0.5, 12), (0.9, 21), (0.01, 10)])
def test_sample_has_all_people_of_the_batch_and_others_up_to_the_rate(sampling, expected):
    head = sharded("arcface", sampling=sampling)
    rows = one_step(head, 0, 12)[2].coalesce().indices()[0]
    assert len(rows) == len(set(rows.tolist())) == expected
    assert set(batch()[1].tolist()) <= set(rows.tolist())


def test_negatives_are_drawn_evenly():
    embeddings, labels = batch()
    head = sharded("arcface", sampling=0.7)
    drawn = np.zeros(C)
    for _ in range(400):
        head.weight.grad = None
        head(embeddings, labels).backward()
        drawn[head.weight.grad.coalesce().indices()[0].numpy()] += 1
    others = np.setdiff1d(np.arange(C), labels)
    assert (drawn[labels.unique().numpy()] == 400).all()
    expected = 400 * (17 - 10) / (C - 10)
    assert np.abs(drawn[others] - expected).max() < 4 * np.sqrt(400 * 0.25)


def test_sampling_goes_on_from_a_saved_state_and_is_off_in_evaluation():
    embeddings, labels = batch()
    head = sharded("arcface", sampling=0.6)
    losses = [head(embeddings, labels).item() for _ in range(4)]
    assert len(set(losses)) == 4
    again = sharded("arcface", sampling=0.6)
    [again(embeddings, labels) for _ in range(2)]
    resumed = sharded("arcface", sampling=0.6)
    resumed.load_state_dict(again.state_dict())
    assert [resumed(embeddings, labels).item() for _ in range(2)] == losses[2:]
    other = sharded("arcface", sampling=0.6, seed=1)
    assert other(embeddings, labels).item() not in losses
    assert head.eval()(embeddings, labels).item() == pytest.approx(plain("arcface")[0], abs=1e-9)


def test_a_recipe_can_name_it():
    head = LOSSES.build("partial-fc", D, C, margin="cosface", scale=30.0, sampling=0.5)
    assert isinstance(head, ShardedHead)
    assert head.scale == 30
    assert ShardedHead(D, C, margin="normface").scale == LOSSES.build("normface", D, C).scale


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": 0}, "sampling must be above 0"),
        ({"sampling": 1.5}, "sampling must be above 0 and at most 1"),
        ({"margin": "triplet"}, "margin must be one of normface, cosface, arcface, combined, not 'triplet'"),
        ({"margin_options": {"margn": 1}}, "did you mean margin"),
        ({"scale": -1}, "scale must be above 0"),
    ],
)
def test_bad_options_are_told(options, message):
    with pytest.raises(SettingError, match=message):
        ShardedHead(D, C, **options)


@pytest.mark.parametrize("classes", [7, 8, 1_000_001])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_shares_tile_the_classes(classes, size):
    ends = [bounds(classes, rank, size) for rank in range(size)]
    assert ends[0][0] == 0
    assert ends[-1][1] == classes
    assert all(a[1] == b[0] for a, b in itertools.pairwise(ends))
    assert max(b - a for a, b in ends) - min(b - a for a, b in ends) <= 1
