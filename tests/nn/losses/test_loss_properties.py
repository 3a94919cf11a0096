"""What holds of every loss: invariances, finite gradients everywhere, precision, odd batches, size."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from facewise.errors import SettingError
from facewise.nn.losses import LOSSES, ClassHead, Head, MarginHead

NAMES = [
    "adacos",
    "adaface",
    "am-softmax",
    "arcface",
    "circle",
    "circle-pair",
    "combined",
    "contrastive",
    "cosface",
    "curricularface",
    "elasticface-arc",
    "elasticface-cos",
    "magface",
    "normface",
    "softmax",
    "sphereface",
    "sphereface-r",
    "sphereface2",
    "subcenter-arcface",
    "supcon",
    "triplet",
]
PAIRWISE = {"circle-pair", "contrastive", "supcon", "triplet"}
KNOW_LENGTH = {"softmax", "sphereface", "magface", "adaface"}
CLASSWISE = [name for name in NAMES if name not in PAIRWISE]
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in NAMES),
    ("arcface", {"large_angle": "easy"}),
    ("arcface", {"large_angle": "plain"}),
    ("combined", {"m1": 1.3, "m2": 0.2, "m3": 0.1}),
    ("sphereface-r", {"version": "v0"}),
    ("sphereface-r", {"version": "v1"}),
    ("triplet", {"mining": "all"}),
    ("triplet", {"mining": "batch-hard", "squared": False, "soft": True}),
    ("contrastive", {"negatives": "hard"}),
    ("contrastive", {"negatives": "balanced"}),
]
IDS = [f"{name}-{options}" if options else name for name, options in VARIANTS]
each_variant = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=IDS)
D, C = 6, 5
LABELS = torch.tensor([0, 0, 1, 1, 2, 3, 3, 4, 4, 4])


def head_of(name: str, seed: int = 0, dtype: torch.dtype = torch.float64, **options: Any) -> Head:
    """In evaluation mode, where a loss is a function of its arguments alone."""
    torch.manual_seed(seed)
    return LOSSES.build(name, D, C, **options).to(dtype).eval()


def batch_of(seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(LABELS), D, generator=generator, dtype=dtype) * 8


def gradients(head: Head, x: Tensor, labels: Tensor) -> tuple[Tensor, list[Tensor]]:
    x = x.detach().requires_grad_()
    value = head(x, labels)
    value.backward()
    return value, [x.grad, *(p.grad for p in head.parameters())]


def test_all_names_are_there():
    assert set(NAMES) <= set(LOSSES.names())


@pytest.mark.parametrize("name", NAMES)
def test_the_contract(name):
    head = head_of(name)
    assert head.needs_pairs == (name in PAIRWISE)
    assert isinstance(head, ClassHead) == (name not in PAIRWISE)
    value = head(batch_of(1).requires_grad_(), LABELS)
    assert value.shape == ()
    assert value.requires_grad
    if isinstance(head, ClassHead):
        logits = head.logits(batch_of(1))
        assert logits.shape == (len(LABELS), C)
        assert name == "softmax" or logits.abs().max() <= 1 + 1e-12


@pytest.mark.parametrize("name", CLASSWISE)
def test_logits_of_a_persons_own_row_are_the_highest(name):
    head = head_of(name)
    rows = head.weight.detach()[:: len(head.weight) // C]
    if name == "softmax":
        rows = rows / rows.norm(dim=1, keepdim=True)
        head.weight.data = rows.clone()
    assert head.logits(rows * 7).argmax(dim=1).tolist() == list(range(C))


@each_variant
@settings(max_examples=5)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_the_batch_makes_no_difference(name, options, seed):
    head, x = head_of(name, **options), batch_of(seed)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(head(x[order], LABELS[order]), head(x, LABELS))


@each_variant
@settings(max_examples=5)
@given(seed=st.integers(0, 10**6), factor=st.floats(1e-3, 1e3))
def test_length_makes_no_difference_where_embeddings_are_normalised(name, options, seed, factor):
    head, x = head_of(name, **options), batch_of(seed)
    same = torch.isclose(head(x * factor, LABELS), head(x, LABELS), rtol=1e-9)
    assert same or name in KNOW_LENGTH


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cosface", {"margin": 0.0}),
        ("arcface", {"margin": 0.0}),
        ("arcface", {"margin": 0.0, "large_angle": "easy"}),
        ("combined", {"m1": 1.0, "m2": 0.0, "m3": 0.0}),
        ("subcenter-arcface", {"margin": 0.0, "centers": 1}),
        ("elasticface-arc", {"margin": 0.0, "sigma": 0.0}),
        ("elasticface-cos", {"margin": 0.0, "sigma": 0.0}),
        ("adaface", {"margin": 0.0}),
        ("magface", {"margins": (0.0, 0.0), "regularizer": 0.0}),
        ("sphereface-r", {"margin": 1.0, "version": "v0"}),
        ("sphereface-r", {"margin": 1.0, "version": "v1"}),
        ("sphereface-r", {"margin": 1.0, "version": "v2"}),
    ],
)
def test_without_a_margin_it_is_normface(name, options):
    head, x = head_of(name, scale=30.0, **options), batch_of(3)
    plain = head_of("normface", scale=30.0)
    plain.load_state_dict({"weight": head.weight.detach()})
    value, mine = gradients(head, x, LABELS)
    expected, theirs = gradients(plain, x, LABELS)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(mine, theirs)


@each_variant
@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), exponent=st.floats(-9, -1), opposite=st.booleans())
def test_finite_close_to_and_opposite_of_the_right_direction(name, options, seed, exponent, opposite):
    torch.manual_seed(seed)
    head = LOSSES.build(name, D, C, **options)
    centers = torch.randn(C, D) * 0.1
    if isinstance(head, ClassHead):
        centers = head.weight.detach()[:: len(head.weight) // C]
    noise = centers.norm(dim=1).mean() * 10**exponent * torch.randn(len(LABELS), D)
    x = (centers[LABELS] + noise) * (-1 if opposite else 1) * 10
    value, grads = gradients(head, x, LABELS)
    assert value.isfinite()
    assert all(g.isfinite().all() for g in grads)


@each_variant
def test_finite_where_embeddings_are_zero_or_coincide(name, options):
    for x in (torch.zeros(len(LABELS), D), torch.ones(len(LABELS), D)):
        head = head_of(name, dtype=torch.float32, **options)
        value, grads = gradients(head, x, LABELS)
        assert value.isfinite()
        assert all(g.isfinite().all() for g in grads)


@pytest.mark.parametrize("train", [True, False])
@each_variant
def test_a_single_sample(name, options, train):
    head = head_of(name, dtype=torch.float32, **options).train(train)
    value, (gradient, *_) = gradients(head, torch.randn(1, D), torch.tensor([2]))
    assert value.isfinite()
    assert gradient.isfinite().all()
    assert all(buffer.isfinite().all() for buffer in head.buffers())
    if head.needs_pairs:
        assert value == 0
        assert (gradient == 0).all()


@each_variant
def test_a_batch_of_one_person(name, options):
    head = head_of(name, **options)
    value, (gradient, *_) = gradients(head, batch_of(4)[:4], torch.full((4,), 2))
    assert value.isfinite()
    assert gradient.isfinite().all()
    if head.needs_pairs and name != "contrastive":  # which has its positive pairs left
        assert value == 0
        assert (gradient == 0).all()


@pytest.mark.parametrize("name", sorted(PAIRWISE))
def test_a_batch_of_strangers(name):
    value, (gradient, *_) = gradients(head_of(name), batch_of(4)[:4], torch.arange(4))
    assert value.isfinite()
    assert gradient.isfinite().all()
    if name != "contrastive":  # which has its negative pairs left
        assert value == 0
        assert (gradient == 0).all()


@each_variant
def test_autocast_computes_in_float32(name, options):
    x = batch_of(5, torch.float32).bfloat16().requires_grad_()
    plain = x.detach().float().requires_grad_()
    head = head_of(name, dtype=torch.float32, **options)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = head(x, LABELS)
        if isinstance(head, ClassHead):
            assert head.logits(x).dtype == torch.float32
    expected = head(plain, LABELS)
    value.backward()
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(x.grad, torch.autograd.grad(expected, plain)[0].bfloat16())


@each_variant
def test_precision_follows_the_wider_of_embeddings_and_weights(name, options):
    assert head_of(name, dtype=torch.float32, **options)(batch_of(6), LABELS).dtype == torch.float64
    head = head_of(name, dtype=torch.float64, **options)
    if isinstance(head, ClassHead):
        assert head(batch_of(6, torch.float32), LABELS).dtype == torch.float64


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"circle", "circle-pair", "adaface"}])
def test_gradcheck(name):
    # As published, circle losses do not differentiate through their weights, nor AdaFace through the length.
    head, x = head_of(name, seed=2), batch_of(7)[:6].requires_grad_()

    def loss(x: Tensor, *parameters: Tensor) -> Tensor:
        names = [key for key, _ in head.named_parameters()]
        return torch.func.functional_call(head, dict(zip(names, parameters, strict=True)), (x, LABELS[:6]))

    parameters = [(p.detach() * 100).requires_grad_() for p in head.parameters()]
    assert torch.autograd.gradcheck(loss, [x, *parameters], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", CLASSWISE)
def test_a_hundred_thousand_people(name):
    torch.manual_seed(0)
    n, people, size = 32, 100_000, 8
    head = LOSSES.build(name, size, people)
    x, labels = torch.randn(n, size, requires_grad=True), torch.randint(0, people, (n,))
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.numel() >= n * people:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // (n * people)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = head(x, labels)
    value.backward()
    assert x.grad.isfinite().all()
    if (isinstance(head, MarginHead) and name != "subcenter-arcface") or name == "softmax":
        # Nothing of (N, C) waits for the backward pass but the softmax itself, in float32.
        assert sum(kept.values()) == 4
    assert sum(kept.values()) <= 16  # four numbers a class and photo at most


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("arcface", {"scale": 0}, "scale must be above 0, not 0"),
        ("arcface", {"margin": 2.0}, "margin must be between 0 and π/2 radians, not 2.0"),
        ("arcface", {"large_angle": "hard"}, "large_angle must be one of"),
        ("cosface", {"margin": -0.1}, "margin must be between 0 and 2"),
        ("normface", {"scale": -1}, "scale must be above 0"),
        ("sphereface", {"margin": 0.5}, "margin must be at least 1"),
        ("sphereface", {"lambda_min": -1}, "lambda_min must be at least 0"),
        ("sphereface-r", {"version": "v3"}, "version must be one of v0, v1, v2, not 'v3'"),
        ("sphereface2", {"balance": 1.0}, "balance must be above 0 and below 1"),
        ("combined", {"m1": 0.5}, "m1 must be between 1 and 4"),
        ("combined", {"m3": 3.0}, "m3 must be between 0 and 2"),
        ("subcenter-arcface", {"centers": 0}, "centers must be at least 1"),
        ("curricularface", {"ema": 0.0}, "ema must be above 0"),
        ("magface", {"norms": (110.0, 10.0)}, "norms must be two rising numbers"),
        ("magface", {"margins": (0.8, 0.45)}, "margins must be two rising numbers"),
        ("adaface", {"h": 0.0}, "h must be above 0"),
        ("elasticface-arc", {"sigma": -1.0}, "sigma must be at least 0"),
        ("elasticface-cos", {"margin": 3.0}, "margin must be between 0 and 2"),
        ("circle", {"gamma": 0.0}, "gamma must be above 0"),
        ("circle-pair", {"margin": 2.0}, "margin must be between 0 and 1"),
        ("triplet", {"mining": "hardest"}, "mining must be one of all, semi-hard, batch-hard"),
        ("triplet", {"margin": -1.0}, "margin must be at least 0"),
        ("contrastive", {"margin": 3.0}, "margin must be above 0 and at most 2"),
        ("contrastive", {"negatives": "soft"}, "negatives must be one of all, hard, balanced, given"),
        ("supcon", {"temperature": 0.0}, "temperature must be above 0"),
        ("arcface", {"scala": 1}, "no option 'scala'; did you mean scale"),
    ],
)
def test_a_wrong_option_is_told(name, options, message):
    with pytest.raises(SettingError, match=message):
        LOSSES.build(name, D, C, **options)


@pytest.mark.parametrize("name", NAMES)
def test_too_few_people_or_numbers_are_told(name):
    with pytest.raises(SettingError, match="classes must be at least 2"):
        LOSSES.build(name, D, 1)
    with pytest.raises(SettingError, match="embedding_size must be at least 1"):
        LOSSES.build(name, 0, C)


def test_adacos_needs_three_people():
    with pytest.raises(SettingError, match="classes must be at least 3 for adacos"):
        LOSSES.build("adacos", D, 2)


def test_shapes_that_do_not_fit_are_told():
    head = head_of("arcface")
    with pytest.raises(SettingError, match=r"expects embeddings of shape \(N, 6\) and got \(10, 7\)"):
        head(torch.zeros(10, 7), LABELS)
    with pytest.raises(SettingError, match="10 embeddings need as many labels"):
        head(torch.zeros(10, D), LABELS[:3])


def test_contrastive_keeps_the_nearest_strangers_of_a_batch_without_a_pair():
    x = torch.tensor([[1.0, 0.0], [0.8, 0.6], [-1.0, 0.0]], dtype=torch.float64)
    head = LOSSES.build("contrastive", 2, 3, negatives="hard", margin=2.0)
    assert float(head(x, torch.arange(3))) == pytest.approx((2 - math.sqrt(2 - 2 * 0.8)) ** 2)


def test_sphereface2_survives_cosines_below_minus_one():
    torch.manual_seed(0)
    head = LOSSES.build("sphereface2", D, 64, power=2.5)
    x = -head.weight.detach() * 1e3
    assert head.logits(x).diagonal().min() < -1
    value, grads = gradients(head, x, torch.arange(64))
    assert value.isfinite()
    assert all(g.isfinite().all() for g in grads)


def test_adacos_scale_stays_positive_with_few_people_far_away():
    head = LOSSES.build("adacos", 2, 3)
    head.weight.data = torch.tensor([[1.0, 0.0], [-1.0, 0.1], [-1.0, -0.1]])
    for _ in range(20):
        value = head(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    assert value.isfinite()
    assert head.scale >= math.sqrt(2) * math.log(2) - 1e-6
