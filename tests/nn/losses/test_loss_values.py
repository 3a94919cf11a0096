"""Values and gradients of every loss against pytorch-metric-learning, or against the paper in plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import loss_oracles as oracle
import pytest
import torch
from pytorch_metric_learning import losses as pml
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor

from facewise.nn.losses import LOSSES, Head

D, C = 4, 5
LABELS = [0, 0, 1, 1, 2, 2, 3, 3, 4, 0]
TOLERANCE = 1e-6


class Batch(NamedTuple):
    x: Tensor
    labels: Tensor


@pytest.fixture(autouse=True)
def _float64():
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make(seed: int, name: str, **options: Any) -> tuple[Head, Batch]:
    """A head, and embeddings of all lengths: at random, close to their person, and nearly opposite to it."""
    torch.manual_seed(seed)
    head = LOSSES.build(name, D, C, **options)
    labels = torch.tensor(LABELS)
    x = torch.randn(len(LABELS), D)
    if not head.needs_pairs:
        per_class = len(head.weight) // C
        centers = head.weight.detach()[labels * per_class]
        x[0] = -centers[0] + 0.1 * centers.norm(dim=1).mean() * torch.randn(D)
        x[2] = centers[2] + 0.1 * centers.norm(dim=1).mean() * torch.randn(D)
    lengths = torch.logspace(-1, 2.2, len(x))[torch.randperm(len(x))]
    x = x / x.norm(dim=1, keepdim=True) * lengths[:, None]
    return head, Batch(x.requires_grad_(), labels)


def largest_error(head: Head, batch: Batch, reference: Callable[..., Tensor]) -> dict[str, float]:
    """Largest differences of value and gradients, relative to the largest entry of the reference.

    `reference(x, **parameters)` is given leaves of its own, so that nothing is shared.
    """
    parameters = {name: value.detach().clone().requires_grad_() for name, value in head.named_parameters()}
    x = batch.x.detach().clone().requires_grad_()
    expected = reference(x, **parameters)
    leaves = {"x": x, **parameters}
    gradients = torch.autograd.grad(expected, list(leaves.values()))
    value = head(batch.x, batch.labels)
    mine = torch.autograd.grad(value, [batch.x, *head.parameters()])
    assert value.dtype == torch.float64
    errors = {"value": float((value - expected).abs() / expected.abs())}
    for name, a, b in zip(leaves, mine, gradients, strict=True):
        assert b.abs().max() > 0
        errors[name] = float((a - b).abs().max() / b.abs().max())
    return errors


def from_pml(loss: Any, miner: Any = None) -> Callable[..., Tensor]:
    """pytorch-metric-learning's loss as a reference; its W is (D, C)."""

    def reference(x: Tensor, weight: Tensor | None = None) -> Tensor:
        labels = torch.tensor(LABELS)
        if weight is not None:
            # As a plain tensor of our leaf, so that the gradient reaches it.
            del loss.W
            loss.W = weight.T
            loss.cast_types = lambda *_: None
        return loss(x, labels, miner(x, labels) if miner else None)

    return reference


def arc(margin: float) -> float:
    """Degrees, which pytorch-metric-learning takes."""
    return math.degrees(margin)


def squared(power: int) -> LpDistance:
    return LpDistance(power=power)


def adaface_after_one_batch(x: Tensor, weight: Tensor) -> Tensor:
    norms = [min(max(float(oracle.length(v)), 1e-3), 100.0) for v in x]
    batch = sum(norms) / len(norms)
    deviation = math.sqrt(sum((n - batch) ** 2 for n in norms) / (len(norms) - 1))
    mu, sigma = 0.99 * 20 + 0.01 * batch, 0.99 * 100 + 0.01 * deviation
    return oracle.adaface(x, weight, LABELS, 64.0, 0.4, 0.333, mu, sigma)


# name, options, reference
CASES: list[tuple[str, dict[str, Any], Callable[..., Tensor]]] = [
    ("softmax", {}, lambda x, weight, bias: oracle.softmax(x, weight, LABELS, bias)),
    (
        "normface",
        {"scale": 30.0},
        from_pml(pml.NormalizedSoftmaxLoss(num_classes=C, embedding_size=D, temperature=1 / 30)),
    ),
    (
        "cosface",
        {"scale": 64.0, "margin": 0.35},
        from_pml(pml.CosFaceLoss(num_classes=C, embedding_size=D, scale=64, margin=0.35)),
    ),
    (
        "arcface",
        {"scale": 64.0, "margin": 0.5},
        from_pml(pml.ArcFaceLoss(num_classes=C, embedding_size=D, scale=64, margin=arc(0.5))),
    ),
    (
        "arcface",
        {"margin": 0.3, "scale": 10.0, "large_angle": "easy"},
        lambda x, weight: oracle.margin_loss(
            x, weight, LABELS, 10.0, lambda _, a: torch.cos(a + 0.3 if a < math.pi / 2 else a)
        ),
    ),
    (
        "arcface",
        {"margin": 0.3, "scale": 10.0, "large_angle": "plain"},
        lambda x, weight: oracle.margin_loss(x, weight, LABELS, 10.0, lambda _, a: torch.cos(a + 0.3)),
    ),
    (
        "combined",
        {},
        from_pml(pml.ArcFaceLoss(num_classes=C, embedding_size=D, scale=64, margin=arc(0.5))),
    ),
    (
        "combined",
        {"m1": 1.0, "m2": 0.3, "m3": 0.2, "scale": 20.0},
        lambda x, weight: oracle.margin_loss(
            x, weight, LABELS, 20.0, lambda _, a: oracle.arc_target(a, 0.3) - 0.2
        ),
    ),
    (
        "combined",
        {"m1": 1.2, "m2": 0.3, "m3": 0.2, "scale": 20.0, "large_angle": "plain"},
        lambda x, weight: oracle.margin_loss(
            x, weight, LABELS, 20.0, lambda _, a: torch.cos(1.2 * a + 0.3) - 0.2
        ),
    ),
    (
        "sphereface",
        {"lambda_base": 0.0, "lambda_min": 0.0},
        from_pml(pml.SphereFaceLoss(num_classes=C, embedding_size=D, margin=4, scale=1)),
    ),
    (
        "sphereface",
        {"lambda_base": 2.0},
        lambda x, weight: oracle.sphereface(x, weight, LABELS, 4, 5.0),
    ),
    ("sphereface", {"margin": 1.7}, lambda x, weight: oracle.sphereface(x, weight, LABELS, 1.7, 1000.0)),
    (
        "sphereface-r",
        {},
        lambda x, weight: oracle.sphereface_r_v2(x, weight, LABELS, 30.0, 1.4),
    ),
    (
        "sphereface-r",
        {"version": "v0", "margin": 1.5},
        lambda x, weight: oracle.margin_loss(x, weight, LABELS, 30.0, lambda _, a: oracle.psi(a, 1.5)),
    ),
    (
        "sphereface-r",
        {"version": "v1", "margin": 1.5},
        lambda x, weight: oracle.margin_loss(
            x, weight, LABELS, 30.0, lambda _, a: torch.cos(torch.clamp(1.5 * a, max=math.pi))
        ),
    ),
    (
        "sphereface2",
        {},
        lambda x, weight, bias: 50 * oracle.sphereface2(x, weight, LABELS, bias, 40.0, 0.4, 0.7, 3.0),
    ),
    (
        "subcenter-arcface",
        {"centers": 3},
        from_pml(
            pml.SubCenterArcFaceLoss(
                num_classes=C, embedding_size=D, sub_centers=3, scale=64, margin=arc(0.5)
            )
        ),
    ),
    (
        "subcenter-arcface",
        {"centers": 2, "scale": 16.0},
        lambda x, weight: oracle.subcenter(x, weight, LABELS, 16.0, 0.5, 2),
    ),
    (
        "adacos",
        {"fixed": True},
        lambda x, weight: oracle.margin_loss(
            x, weight, LABELS, math.sqrt(2) * math.log(C - 1), lambda _, a: torch.cos(a)
        ),
    ),
    (
        "adacos",
        {},
        lambda x, weight: oracle.margin_loss(
            x,
            weight,
            LABELS,
            oracle.adacos_scale(x, weight, LABELS, math.sqrt(2) * math.log(C - 1)),
            lambda _, a: torch.cos(a),
        ),
    ),
    (
        "curricularface",
        {},
        lambda x, weight: oracle.curricular(
            x,
            weight,
            LABELS,
            64.0,
            0.5,
            0.01 * float(oracle.mean([oracle.cosine(v, weight[y]) for v, y in zip(x, LABELS, strict=True)])),
        ),
    ),
    (
        "magface",
        {},
        lambda x, weight: oracle.magface(x, weight, LABELS, 64.0, (10.0, 110.0), (0.45, 0.8), 35.0),
    ),
    ("adaface", {}, adaface_after_one_batch),
    (
        "elasticface-arc",
        {"sigma": 0.0},
        from_pml(pml.ArcFaceLoss(num_classes=C, embedding_size=D, scale=64, margin=arc(0.5))),
    ),
    (
        "elasticface-cos",
        {"sigma": 0.0},
        from_pml(pml.CosFaceLoss(num_classes=C, embedding_size=D, scale=64, margin=0.35)),
    ),
    ("circle", {}, lambda x, weight: oracle.circle(x, weight, LABELS, 256.0, 0.25)),
    ("circle-pair", {}, lambda x: oracle.circle_pair(x, LABELS, 256.0, 0.25)),
    ("triplet", {}, lambda x: oracle.triplet(x, oracle.semi_hard(x, LABELS), 0.2, 2)),
    (
        "triplet",
        {"mining": "all"},
        from_pml(pml.TripletMarginLoss(margin=0.2, distance=squared(2), reducer=MeanReducer())),
    ),
    (
        "triplet",
        {"mining": "all", "active_only": True},
        from_pml(pml.TripletMarginLoss(0.2, distance=squared(2))),
    ),
    (
        "triplet",
        {"mining": "batch-hard", "squared": False, "margin": 0.5},
        lambda x: oracle.triplet(x, oracle.batch_hard(x, LABELS), 0.5, 1),
    ),
    (
        "triplet",
        {"mining": "batch-hard", "squared": False, "soft": True},
        lambda x: oracle.triplet(x, oracle.batch_hard(x, LABELS), 0.0, 1, soft=True),
    ),
    ("contrastive", {}, lambda x: oracle.contrastive(x, LABELS, 1.0)),
    ("contrastive", {"margin": 1.5}, lambda x: oracle.contrastive(x, LABELS, 1.5)),
    ("contrastive", {"negatives": "balanced"}, lambda x: oracle.balanced_contrastive(x, LABELS, 1.0)),
    ("contrastive", {"negatives": "given"}, lambda x: oracle.given_contrastive(x, LABELS, 1.0)),
    ("contrastive", {"negatives": "hard"}, lambda x: oracle.contrastive(x, LABELS, 1.0, hardest=True)),
    ("supcon", {}, lambda x: oracle.supcon(x, LABELS, 0.1)),
]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("name", "options", "reference"), CASES, ids=[f"{name}-{options}" for name, options, _ in CASES]
)
def test_equals_its_reference(name, options, reference, seed):
    head, batch = make(seed, name, **options)
    errors = largest_error(head, batch, reference)
    assert max(errors.values()) <= TOLERANCE, errors


@pytest.mark.parametrize(
    ("name", "options", "loss"),
    [
        (
            "circle-pair",
            {"gamma": 80.0, "margin": 0.4},
            pml.CircleLoss(m=0.4, gamma=80, reducer=MeanReducer()),
        ),
        ("supcon", {"temperature": 0.2}, pml.SupConLoss(temperature=0.2, reducer=MeanReducer())),
    ],
    ids=["circle-pair", "supcon"],
)
def test_equals_pytorch_metric_learning_where_every_anchor_has_a_positive(name, options, loss):
    head, batch = make(3, name, **options)
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 4, 4])

    def reference(x):
        return loss(x, labels)

    errors = largest_error(head, Batch(batch.x, labels), reference)
    assert max(errors.values()) <= TOLERANCE, errors


@pytest.mark.parametrize("power", [1, 2])
def test_batch_hard_equals_pytorch_metric_learning(power):
    head, batch = make(4, "triplet", mining="batch-hard", squared=power == 2, margin=0.4)
    loss = pml.TripletMarginLoss(margin=0.4, distance=squared(power), reducer=MeanReducer())
    errors = largest_error(head, batch, from_pml(loss, BatchHardMiner(distance=squared(1))))
    assert max(errors.values()) <= TOLERANCE, errors


def test_adaface_clips_the_quality_at_both_ends():
    head, batch = make(5, "adaface")
    head.eval()
    head.std.fill_(5.0)
    errors = largest_error(
        head, batch, lambda x, weight: oracle.adaface(x, weight, LABELS, 64.0, 0.4, 0.333, 20.0, 5.0)
    )
    assert max(errors.values()) <= TOLERANCE, errors


def test_magface_gradient_flows_through_the_length():
    head, batch = make(6, "magface", margins=(0.2, 0.2), regularizer=35.0)
    (gradient,) = torch.autograd.grad(head(batch.x, batch.labels), [batch.x])
    radial = (gradient * batch.x).sum(dim=1) / batch.x.norm(dim=1)
    a = batch.x.detach().norm(dim=1)
    # Without a varying margin only λ_g·g'(a) = λ_g·(1/u_a² − 1/a²) acts along the embedding.
    inside = (a > 10) & (a < 110)
    expected = torch.where(inside, 35 * (1 / 110**2 - 1 / a**2), 0) / len(a)
    torch.testing.assert_close(radial, expected, rtol=1e-6, atol=1e-9)


def test_curricularface_weighs_hard_negatives_as_t_grows():
    head, batch = make(7, "curricularface")
    head.eval()
    for t in (0.0, 0.4, 0.9):
        head.curriculum.fill_(t)
        errors = largest_error(
            head, batch, lambda x, weight, t=t: oracle.curricular(x, weight, LABELS, 64.0, 0.5, t)
        )
        assert max(errors.values()) <= TOLERANCE, errors


@pytest.mark.parametrize("name", ["sphereface-r", "sphereface2"])
def test_detached_gradient_keeps_the_value_and_is_that_of_the_cosine(name):
    head, batch = make(8, name)
    value = head(batch.x, batch.labels)
    head.detach = True
    assert torch.isclose(head(batch.x, batch.labels), value, rtol=1e-12)
    (gradient,) = torch.autograd.grad(head(batch.x, batch.labels), [batch.x])
    # Softmax or sigmoid of the margined logits, pulled back through plain cosines.
    x, w = batch.x.detach().requires_grad_(), head.weight.detach()
    cosines = torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(w).T
    onehot = torch.nn.functional.one_hot(batch.labels, C).double()
    c = cosines.detach()
    if name == "sphereface-r":
        logits = torch.where(onehot == 1, c, torch.cos(c.acos() / 1.4))
        pull = 30 * ((30 * logits).softmax(dim=1) - onehot)
    else:
        g = 2 * ((c + 1) / 2) ** 3 - 1
        positive = -0.7 * torch.sigmoid(-40 * (g - 0.4) - head.bias.detach())
        negative = 0.3 * torch.sigmoid(40 * (g + 0.4) + head.bias.detach())
        pull = 50 * torch.where(onehot == 1, positive, negative)
    (expected,) = torch.autograd.grad((pull * cosines).sum() / len(x), [x])
    torch.testing.assert_close(gradient, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 4, 1000])
def test_sphereface2_starts_balanced(classes):
    head = LOSSES.build("sphereface2", D, classes)
    g = 2 * 0.5**3 - 1
    positive = 0.7 * torch.sigmoid(-40 * (torch.tensor(g) - 0.4) - head.bias)
    negative = 0.3 * (classes - 1) * torch.sigmoid(40 * (torch.tensor(g) + 0.4) + head.bias)
    assert torch.isclose(positive, negative, rtol=1e-9)


@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize("name", ["elasticface-arc", "elasticface-cos"])
def test_elasticface_draws_a_margin_a_sample_from_the_global_generator(name, plus):
    head, batch = make(9, name, scale=8.0, sigma=0.1, plus=plus)
    torch.manual_seed(77)
    mean_margin = 0.5 if name.endswith("arc") else 0.35
    margins = torch.randn(len(LABELS)) * 0.1 + mean_margin
    if plus:
        cosines = head.logits(batch.x)[torch.arange(len(LABELS)), batch.labels]
        ranks = cosines.argsort(descending=True).argsort()
        margins = margins.sort().values[ranks]

    def reference(x, weight):
        def target(i, a):
            return oracle.arc_target(a, float(margins[i])) if name.endswith("arc") else a.cos() - margins[i]

        return oracle.margin_loss(x, weight, LABELS, 8.0, target)

    torch.manual_seed(77)
    errors = largest_error(head, batch, reference)
    assert max(errors.values()) <= TOLERANCE, errors
