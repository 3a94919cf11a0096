"""Every registered backbone, at the smallest input it takes: one contract, one set of tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # its usual name

from facewise.errors import SettingError
from facewise.models.export import check_parity, export_onnx
from facewise.nn.backbones import BACKBONES, BackboneInfo, info

NAMES = (
    "adaface-ir101",
    "adaface-ir18",
    "adaface-ir50",
    "inception-resnet-v1",
    "ir50",
    "iresnet100",
    "iresnet18",
    "iresnet34",
    "iresnet50",
    "mbf",
    "mobilefacenet",
    "mobilefacenet-relu6",
    "mobilefacenet-xiaoccer",
    "resnet18",
    "resnet34",
    "resnet50",
    "se-ir50",
    "se-resnet50",
    "vgg16",
    "vggface2-resnet50",
    "vit-small",
    "vit-tiny",
)
SMALLEST = {"inception-resnet-v1": 75}
SIZE = 24
LIGHT = {"mobilefacenet", "resnet18", "vit-tiny"}
"""Exported in a second or less; the others are slow tests."""


DEEP = {
    "adaface-ir50",
    "adaface-ir101",
    "iresnet34",
    "iresnet50",
    "iresnet100",
    "ir50",
    "resnet34",
    "resnet50",
    "vggface2-resnet50",
    "vit-small",
}
"""The same code as another one, only more of it or less: their runs are slow tests."""


ALL = [pytest.param(name, marks=pytest.mark.slow if name in DEEP else ()) for name in NAMES]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=ALL)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def side(name: str) -> int:
    return SMALLEST.get(name, 32)


def run(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return network(images)


def trained_for_a_while(name: str, side: int, **options: object) -> nn.Module:
    """Fresh weights with the batch statistics of a network that has seen some photos.

    Without them activations double in every residual unit, and rounding errors as well.
    """
    torch.manual_seed(0)
    network = BACKBONES.build(name, embedding_size=SIZE, input_size=side, **options)
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            if module.affine and module.weight.requires_grad:
                module.weight.data.uniform_(0.5, 1, generator=generator)
    return network.eval()


@pytest.fixture(scope="module")
def network(name: str, side: int) -> nn.Module:
    return trained_for_a_while(name, side, unit=False)


@pytest.fixture(scope="module")
def images(side: int) -> Tensor:
    """(3, 3, S, S): smooth ones, as different as photos are; averages of plain noise are all alike."""
    coarse = 2 * torch.randn(3, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    return F.interpolate(coarse, size=(side, side), mode="bilinear")


def meta(name: str, **options: object) -> nn.Module:
    """A network without numbers: only shapes are computed."""
    with torch.device("meta"):
        return BACKBONES.build(name, **options)


def shape_of(network: nn.Module, *shape: int) -> tuple[int, ...]:
    return tuple(run(network, torch.empty(shape, device="meta")).shape)


@pytest.fixture(scope="module")
def variant(network: nn.Module, name: str, side: int) -> nn.Module:
    """The same weights with unit output and dropout."""
    other = meta(name, embedding_size=SIZE, input_size=side, unit=True, dropout=0.5)
    # Vectors are cloned, since training writes batch statistics; matrices can be shared.
    state = {key: v.clone() if v.dim() < 2 else v for key, v in network.state_dict().items()}
    other.load_state_dict(state, assign=True)
    return other


def test_all_backbones_are_tested() -> None:
    # Other tests register small ones of their own.
    assert tuple(n for n in BACKBONES.names() if not n.startswith("test-")) == NAMES


def test_embeddings_have_the_size_asked_for_and_do_not_depend_on_the_batch(
    network: nn.Module, images: Tensor
) -> None:
    embeddings = run(network, images)
    assert embeddings.shape == (3, SIZE)
    assert network.embedding_size == SIZE
    assert torch.equal(run(network, images), embeddings)
    torch.testing.assert_close(run(network, images[2:3]), embeddings[2:3], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(embeddings[0], embeddings[1], rtol=1e-3), "two photos, one embedding"


def test_unit_divides_by_the_length_and_dropout_rests(
    network: nn.Module, variant: nn.Module, images: Tensor
) -> None:
    plain = run(network, images)
    torch.testing.assert_close(
        run(variant.eval(), images), plain / plain.square().sum(1, keepdim=True).sqrt()
    )


def test_dropout_drops_in_training(variant: nn.Module, images: Tensor) -> None:
    variant.train()
    assert not torch.equal(run(variant, images), run(variant, images))


def test_gradient_reaches_every_parameter(network: nn.Module, images: Tensor) -> None:
    out = network(images)
    (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    for key, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key
            assert parameter.grad.any(), key
    network.zero_grad()


def test_bfloat16_in_channels_last_stays_close(network: nn.Module, images: Tensor) -> None:
    expected = run(network, images)
    network.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        got = run(network, images.to(memory_format=torch.channels_last))
    network.to(memory_format=torch.contiguous_format)
    assert got.dtype == torch.float32
    assert (got - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("every", ALL)
def test_takes_its_published_size_and_112(every: str) -> None:
    shape = info(every).input_shape
    assert shape_of(meta(every, embedding_size=SIZE), 2, *shape) == (2, SIZE)
    if shape != (3, 112, 112):
        assert shape_of(meta(every, embedding_size=SIZE, input_size=112), 2, 3, 112, 112) == (2, SIZE)


@pytest.mark.parametrize(
    "exported", [pytest.param(name, marks=() if name in LIGHT else pytest.mark.slow) for name in NAMES]
)
def test_onnx_runtime_gives_the_same_embeddings(exported: str) -> None:
    side = SMALLEST.get(exported, 32)
    network = trained_for_a_while(exported, side, unit=True)
    images = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(3))
    onnx = export_onnx(network, images[:2], dynamic={0: "batch"}, outputs=["embedding"])
    check_parity(network, onnx, [images, images[:1]])


@pytest.mark.parametrize("double", ["mobilefacenet", "vit-tiny"])
def test_float64_stays_float64(double: str) -> None:
    network = BACKBONES.build(double, embedding_size=SIZE, input_size=32).double().eval()
    assert run(network, torch.randn(1, 3, 32, 32, dtype=torch.float64)).dtype == torch.float64


def test_bfloat16_weights_run_without_autocast() -> None:
    network = BACKBONES.build("vit-tiny", embedding_size=SIZE, input_size=32).bfloat16().eval()
    assert run(network, torch.randn(2, 3, 32, 32, dtype=torch.bfloat16)).isfinite().all()


@pytest.mark.parametrize(
    ("published", "size", "mean", "std", "color"),
    [
        ("mobilefacenet", 112, (127.5,) * 3, (127.5,) * 3, "RGB"),
        ("iresnet50", 112, (127.5,) * 3, (127.5,) * 3, "RGB"),
        ("inception-resnet-v1", 160, (127.5,) * 3, (128.0,) * 3, "RGB"),
        ("se-resnet50", 224, (91.4953, 103.8827, 131.0912), (1.0,) * 3, "BGR"),
        ("mobilefacenet-relu6", 112, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), "RGB"),
    ],
)
def test_info_is_the_published_preprocessing(
    published: str, size: int, mean: tuple[float, ...], std: tuple[float, ...], color: str
) -> None:
    card = info(published)
    assert (card.name, card.input_size, card.mean, card.std, card.color) == (
        published,
        size,
        mean,
        std,
        color,
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        card.input_size = 1  # type: ignore[misc]


@pytest.mark.parametrize("every", NAMES)
def test_every_info_is_complete(every: str) -> None:
    card = info(every)
    assert isinstance(card, BackboneInfo)
    assert card.color in {"RGB", "BGR"}
    assert min(card.std) > 0
    assert card.source


def test_crops_that_are_not_square_are_told() -> None:
    assert info("mobilefacenet-xiaoccer").input_shape == (3, 112, 96)


def test_first_weights_keep_the_variance_of_depthwise_convolutions_too() -> None:
    network = BACKBONES.build("mobilefacenet")
    depthwise = torch.cat(
        [
            m.weight.flatten()
            for m in network.modules()
            if isinstance(m, nn.Conv2d) and m.weight.shape[1:] == (1, 3, 3)
        ]
    )
    assert depthwise.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.05)
    assert network.linear.weight.std().item() == pytest.approx(512**-0.5, rel=0.05)


def test_iresnet_keeps_one_scale_for_all_dimensions_of_an_embedding() -> None:
    frozen = [key for key, value in meta("iresnet18").named_parameters() if not value.requires_grad]
    assert frozen == ["features.weight"]


@pytest.mark.parametrize(("pooled", "features"), [("resnet18", 512), ("resnet50", 2048), ("vgg16", 4096)])
def test_without_an_embedding_the_features_come_out(pooled: str, features: int) -> None:
    network = meta(pooled, input_size=64)
    assert shape_of(network, 2, 3, 64, 64) == (2, features) == (2, network.embedding_size)


def test_features_leave_autocast_in_float32() -> None:
    network = BACKBONES.build("resnet18", unit=True, input_size=32).eval()
    with torch.autocast("cpu", torch.bfloat16):
        features = run(network, torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(4)))
    assert features.dtype == torch.float32
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2))


def test_the_face_stem_keeps_the_last_map_of_the_imagenet_stem() -> None:
    def last_map(crop: int, **options: object) -> torch.Size:
        network = meta("resnet18", **options)
        shapes = []
        network.layer4.register_forward_hook(lambda *call: shapes.append(call[2].shape))
        shape_of(network, 1, 3, crop, crop)
        return shapes[0][2:]

    assert last_map(112) == last_map(224, stem="imagenet") == last_map(56, stem_stride=1) == (7, 7)


@pytest.mark.parametrize(
    ("wrong", "options", "says"),
    [
        ("resnet18", {"stem": "faces"}, "no stem 'faces'"),
        ("resnet18", {"stem_stride": 3}, "of stride 3"),
        ("resnet18", {"stem": "imagenet", "stem_stride": 1}, "imagenet without"),
        ("resnet18", {"classes": 10, "embedding_size": 8}, "leave one of them out"),
        ("vgg16", {"classes": 10, "embedding_size": 8}, "leave one of them out"),
        ("vgg16", {"input_size": 31}, "at least 32"),
        ("inception-resnet-v1", {"input_size": 74}, "at least 75"),
        ("mobilefacenet", {"input_size": 15}, "at least 16"),
        ("vit-tiny", {"input_size": 100}, "no multiple of the patch of 8"),
        ("mobilefacenet", {"embeding_size": 8}, "did you mean embedding_size"),
    ],
)
def test_wrong_options_are_refused(wrong: str, options: dict[str, object], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        meta(wrong, **options)


def test_info_of_an_unknown_name_tells_the_nearest() -> None:
    with pytest.raises(SettingError, match="did you mean iresnet100"):
        info("iresnet101")
