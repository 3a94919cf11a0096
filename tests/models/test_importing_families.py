"""Every public architecture through the importer: recognised, strict, and the file gives its numbers."""

from __future__ import annotations

import json
import sys
import types
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  its usual name

from facewise.errors import ModelError, SettingError
from facewise.geometry import TEMPLATE_112, Cut
from facewise.models.families import FAMILIES, family_named
from facewise.models.families.base import network_shapes, shapes_of
from facewise.models.foreign_onnx import ONNX_FAMILIES
from facewise.models.importing import Imported, import_checkpoint, load_state, recognise
from facewise.models.pretrained import read_pretrained
from facewise.nn.backbones import info

GOLDEN = {
    "evolve_ir_50": ("evolve-ir50", None),
    "evolve_ir_se_50": ("evolve-se-ir50", None),
    "facenet_inception_resnet_v1": ("facenet", None),
    "insightface_iresnet18": ("arcface-iresnet18", None),
    "insightface_iresnet50": ("arcface-iresnet50", None),
    "insightface_mbf": ("arcface-mbf", None),
    "mobilefacenet_512": ("evolve-mobilefacenet", None),
    "torchvision_resnet18": ("imagenet-resnet18", "fc"),
    "torchvision_resnet34": ("imagenet-resnet34", "fc"),
    "torchvision_resnet50": ("imagenet-resnet50", "fc"),
    "torchvision_vgg16": ("imagenet-vgg16", "classifier.6"),
    "vggface2_resnet50": ("vggface2-resnet50", "fc"),
    "vggface2_senet50": ("vggface2-se-resnet50", "fc"),
}
"""Golden file → the family it is of, and the layer that makes classes of features."""
UNIT = {"evolve_ir_50", "evolve_ir_se_50", "facenet_inception_resnet_v1", "mobilefacenet_512"}
"""Golden outputs of unit length; model files give them before that."""
FAST = {"mobilefacenet_512", "torchvision_resnet18"}
"""The rest takes some seconds each."""


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "reference" / "architectures"


def weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The recipe of reference/README.md: numbers from the name of the key."""
    random = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if key.endswith("running_mean"):
        values = 0.1 * random.standard_normal(shape)
    elif key.endswith("running_var"):
        values = random.uniform(0.5, 1.5, shape)
    elif len(shape) >= 2:
        values = random.standard_normal(shape) * np.sqrt(1.0 / np.prod(shape[1:]))
    elif key.endswith("weight"):
        values = random.uniform(0.5, 1.0, shape)
    else:
        values = 0.1 * random.standard_normal(shape)
    return np.asarray(values.astype(np.float32))


def hollow(shapes: dict[str, Any]) -> dict[str, Tensor]:
    """A checkpoint of these shapes that takes no space: every tensor is one number, repeated."""
    return {
        key: torch.zeros((), dtype=torch.int64)
        if key.endswith("num_batches_tracked")
        else torch.ones(1).expand(tuple(7 if n is None else n for n in shape))
        for key, shape in shapes.items()
    }


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def run(imported: Imported, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(imported.model.path)
    (out,) = session.run(None, {session.get_inputs()[0].name: images})
    return np.asarray(out)


def close(got: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.abs(got - expected).max() <= 1e-4 * np.sqrt(np.mean(expected**2)))


@pytest.mark.real
@pytest.mark.parametrize(
    "golden", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in GOLDEN]
)
def test_golden_architectures(folder: Path, golden: str, tmp_path: Path) -> None:
    facts = json.loads((folder / f"{golden}.json").read_text())
    name, top = GOLDEN[golden]
    state = {key: torch.from_numpy(weight(key, tuple(s))) for key, s in facts["state_dict"].items()}
    path = saved(tmp_path / f"{golden}.pt", state)
    asked = FAMILIES[name].asked
    imported = import_checkpoint(path, tmp_path, family=name if asked else None)
    assert imported.model.path == tmp_path / f"{name}.onnx"
    images = np.random.default_rng(zlib.crc32(b"input")).uniform(-1, 1, (2, *facts["input_size"]))
    expected = np.load(folder / f"{golden}.npy").reshape(facts["output_shape"])
    got = run(imported, images.astype(np.float32))
    if golden in UNIT:
        got /= np.linalg.norm(got, axis=1, keepdims=True)
    if top is None:
        assert close(got, expected)
        return
    # The model file gives features; the checkpoint's classifier, left out of it, makes classes of them.
    assert close(got @ state[f"{top}.weight"].numpy().T + state[f"{top}.bias"].numpy(), expected)
    network = FAMILIES[name].build(top=True).eval()
    network.load_state_dict(state, strict=True)
    with torch.inference_mode():
        assert close(network(torch.from_numpy(images.astype(np.float32))).numpy(), expected)


@pytest.mark.real
@pytest.mark.parametrize("golden", GOLDEN)
def test_keys_that_differ_are_named(folder: Path, golden: str, tmp_path: Path) -> None:
    """One removed, one added, one of another shape: in one file, and each alone at several places."""
    shapes = json.loads((folder / f"{golden}.json").read_text())["state_dict"]
    state, (name, _) = hollow(shapes), GOLDEN[golden]
    keys = [key for key in state if not key.endswith("num_batches_tracked")]
    first, middle, last = keys[0], keys[len(keys) // 2], keys[-1]
    changed = state | {first: torch.zeros(3, 5), "more.weight": torch.zeros(2)}
    del changed[middle]
    path = saved(tmp_path / "weights.pt", changed)
    with pytest.raises(ModelError) as caught:
        import_checkpoint(path, tmp_path / "store", family=name if FAMILIES[name].asked else None)
    for said in (
        f"missing keys: {middle};",
        "unknown keys: more.weight;",
        f"wrong shapes: {first} is (3, 5), not {tuple(shapes[first])}.",
    ):
        assert said in str(caught.value)
    assert not list(tmp_path.glob("store/*"))
    for key in (first, middle, last):
        for wrong, said in (
            ({k: v for k, v in state.items() if k != key}, f"missing keys: {key}."),
            (state | {f"{key}_more": torch.zeros(2)}, f"unknown keys: {key}_more."),
            (state | {key: torch.zeros(3, 5)}, f"{key} is (3, 5), not {tuple(shapes[key])}."),
        ):
            with pytest.raises(ModelError) as caught:
                FAMILIES[name].take(wrong)
            assert str(caught.value).endswith(said)


@pytest.mark.real
def test_no_golden_file_is_missed(folder: Path) -> None:
    assert {path.stem for path in folder.glob("*.json")} == set(GOLDEN)


# Every family


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_recognised_or_asked_for(name: str) -> None:
    family = FAMILIES[name]
    state = hollow(shapes_of(family))
    if family.asked:
        other = name.replace("evolve", "treb1en") if "evolve" in name else name.replace("treb1en", "evolve")
        with pytest.raises(ModelError, match=f"--as {other}") as caught:
            recognise(state)
        assert f"`--as {name}` ({family.card.preprocess.color})" in str(caught.value)
        assert recognise(state, name) == name
    else:
        assert recognise(state) == name
    own = family.take(state)
    assert {key: tuple(v.shape) for key, v in own.items()} == network_shapes(family)
    counters = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert set(family.take(counters)) == set(own)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.backbone])
def test_what_a_family_declares(name: str) -> None:
    family = FAMILIES[name]
    card, published = family.card, info(family.backbone)
    with torch.device("meta"):
        network = family.build()
    assert card.embedding_size == network.embedding_size
    assert not {"unit", "classes"} & set(family.options)
    assert card.licence
    assert card.source
    assert card.preprocess.cut.size == card.preprocess.size
    if name == "vgg-face" or name.startswith("treb1en"):  # a network of others under other weights
        assert card.preprocess.color == "BGR"
    else:
        assert (card.preprocess.mean, card.preprocess.std) == (published.mean, published.std)
        assert card.preprocess.color == published.color
    shape = family.inputs()[0]
    assert network.eval()(torch.zeros(shape, device="meta")).shape == (1, card.embedding_size)


def test_colours_and_cuts_are_as_published() -> None:
    """One of each source, by hand from its code or paper."""
    facenet = FAMILIES["facenet-vggface2"].card.preprocess
    assert (facenet.color, facenet.mean, facenet.std) == ("RGB", (127.5,) * 3, (128.0,) * 3)
    assert facenet.cut == Cut(160, "box", 14 / 146)
    vggface2 = FAMILIES["vggface2-resnet50"].card.preprocess
    assert (vggface2.color, vggface2.mean) == ("BGR", (91.4953, 103.8827, 131.0912))
    assert vggface2.cut == Cut(224, "square", 1.3 * 224 / 256 - 1)
    vggface = FAMILIES["vgg-face"].card.preprocess
    assert (vggface.color, vggface.mean, vggface.std) == ("BGR", (93.5940, 104.7624, 129.1863), (1.0,) * 3)
    assert FAMILIES["adaface-ir101"].card.preprocess.color == "BGR"
    assert FAMILIES["arcface-iresnet100"].card.preprocess.color == "RGB"
    assert FAMILIES["evolve-ir50"].card.preprocess.color == "RGB"
    assert FAMILIES["treb1en-ir50"].card.preprocess.color == "BGR"


def test_depths_and_tops_are_told_apart_by_keys_and_shapes() -> None:
    def top(classes: int, name: str) -> dict[str, Tensor]:
        changed = {
            "fc.weight": torch.zeros(1).expand(classes, 2048),
            "fc.bias": torch.zeros(1).expand(classes),
        }
        return hollow(shapes_of(FAMILIES[name])) | changed

    assert recognise(top(1000, "vggface2-resnet50")) == "imagenet-resnet50"
    assert recognise(top(8631, "imagenet-resnet50")) == "vggface2-resnet50"
    with pytest.raises(ModelError, match=r"fc\.weight is \(17, 2048\)"):
        FAMILIES["vggface2-resnet50"].take(top(17, "vggface2-resnet50"))


def test_facenet_with_and_without_its_logits(tmp_path: Path) -> None:
    plain = hollow(shapes_of(FAMILIES["facenet"]))
    for classes, name in ((8631, "facenet-vggface2"), (10575, "facenet-casia-webface")):
        logits = {
            "logits.weight": torch.ones(1).expand(classes, 512),
            "logits.bias": torch.ones(1).expand(classes),
        }
        assert recognise(plain | logits) == name
        assert "logits.weight" not in FAMILIES[name].take(plain | logits)
    assert recognise(plain) == "facenet"
    wrong = plain | {"logits.weight": torch.zeros(100, 512), "logits.bias": torch.zeros(100)}
    with pytest.raises(ModelError, match=r"logits\.weight"):
        import_checkpoint(saved(tmp_path / "w.pt", wrong), tmp_path / "store")


def test_vgg_face_under_matconvnets_names() -> None:
    """`conv1_1` … `conv5_3`, `fc6` … `fc8`, in the order of its 16 layers."""
    layers = [f"conv{s}_{i}" for s, n in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, n + 1)]
    layers += ["fc6", "fc7", "fc8"]
    ours = hollow(shapes_of(FAMILIES["vgg-face"]))
    names = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    theirs = dict(zip(names, ours.values(), strict=True))
    assert recognise(theirs) == "vgg-face"
    assert list(FAMILIES["vgg-face"].take(theirs)) == [k for k in ours if not k.startswith("classifier.6")]
    theirs.pop("conv4_2.bias")
    with pytest.raises(ModelError, match=r"missing keys: features\.19\.bias"):
        FAMILIES["vgg-face"].take(theirs)


def test_a_family_that_is_named_wrongly(tmp_path: Path) -> None:
    state = hollow(shapes_of(FAMILIES["mobilefacenet-foamliu"]))
    path = saved(tmp_path / "w.pt", state)
    with pytest.raises(SettingError, match="did you mean evolve-ir50"):
        import_checkpoint(path, tmp_path, family="evolv-ir50")
    with pytest.raises(ModelError, match="does not fit the network: missing keys"):
        import_checkpoint(path, tmp_path, family="arcface-mbf")
    assert family_named("arcface-mbf").name == "arcface-mbf"


def test_the_page_tells_of_every_family() -> None:
    """Its crop, its colours, its licence: docs/models/importing.md against the families."""
    page = (Path(__file__).parents[2] / "docs" / "models" / "importing.md").read_text()
    cards = [family.card for family in FAMILIES.values()]
    for card in (*cards, *ONNX_FAMILIES.values()):
        rows = [line for line in page.splitlines() if line.startswith(f"| `{card.name}`")]
        row = next(line for line in rows if card.licence in line)
        assert f"| {card.preprocess.color} |" in row
        height, width = card.preprocess.input_shape
        assert (f"{height}×{width}" if height else "any size") in row
        assert f"| {card.embedding_size or '—'} |" in row


# AdaFace


def adaface18(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """AdaFace's IR-18 layer by layer, from its description: an oracle without modules."""

    def norm(x: Tensor, key: str, *, weights: bool = True) -> Tensor:
        mean, var = state[f"{key}.running_mean"], state[f"{key}.running_var"]
        scale = (state[f"{key}.weight"], state[f"{key}.bias"]) if weights else (None, None)
        return F.batch_norm(x, mean, var, *scale)

    x = F.conv2d(x, state["input_layer.0.weight"], padding=1)
    x = F.prelu(norm(x, "input_layer.1"), state["input_layer.2.weight"])
    width = 64
    for i in range(8):
        at, stride, outputs = f"body.{i}", 1 if i % 2 else 2, 64 * 2 ** (i // 2)
        short = x[:, :, ::stride, ::stride]
        if outputs != width:
            short = norm(
                F.conv2d(x, state[f"{at}.shortcut_layer.0.weight"], stride=stride), f"{at}.shortcut_layer.1"
            )
        y = F.conv2d(norm(x, f"{at}.res_layer.0"), state[f"{at}.res_layer.1.weight"], padding=1)
        y = F.prelu(norm(y, f"{at}.res_layer.2"), state[f"{at}.res_layer.3.weight"])
        y = F.conv2d(y, state[f"{at}.res_layer.4.weight"], stride=stride, padding=1)
        x, width = norm(y, f"{at}.res_layer.5") + short, outputs
    x = norm(x, "output_layer.0").flatten(1)
    x = F.linear(x, state["output_layer.3.weight"], state["output_layer.3.bias"])
    return norm(x, "output_layer.4", weights=False)


HEAD = {
    "head.kernel": torch.ones(1).expand(512, 40),
    "head.t": torch.zeros(1),
    "head.batch_mean": torch.ones(1) * 20,
    "head.batch_std": torch.ones(1) * 100,
}


def lightning(monkeypatch: pytest.MonkeyPatch, name: str) -> type:
    """A class that pickles under a name of Lightning's, which is not installed."""
    module, _, made = name.rpartition(".")
    kind = type(made, (dict,), {"__module__": module})
    for i in range(module.count(".") + 1):
        part = ".".join(module.split(".")[: i + 1])
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    setattr(sys.modules[module], made, kind)
    return kind


def test_a_lightning_checkpoint_of_adaface(tmp_path: Path) -> None:
    shapes = network_shapes(FAMILIES["adaface-ir18"])
    state = {key: torch.from_numpy(weight(key, shape)) for key, shape in shapes.items()}  # type: ignore[arg-type]
    whole = {f"model.{key}": value for key, value in state.items()} | HEAD
    path = tmp_path / "adaface.ckpt"
    with pytest.MonkeyPatch.context() as patch:
        settings = lightning(patch, "pytorch_lightning.utilities.parsing.AttributeDict")
        callback = lightning(patch, "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint")
        content = {
            "epoch": 24,
            "callbacks": {callback: {"best": np.float64(0.9)}},
            "hyper_parameters": settings(lr=0.1, arch="ir_18"),
            "state_dict": whole,
        }
        torch.save(content, path)
    weights = read_pretrained(path)
    assert not any(name.startswith("pytorch_lightning") for name in sys.modules)
    assert weights.name == "adaface-ir18"
    x = torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert close(weights.build().eval()(x).numpy(), adaface18(state, x).numpy())
    wrong = whole | {"head.kernel": torch.zeros(3, 4)}
    with pytest.raises(ModelError, match=r"head\.kernel is \(3, 4\), not \(512, any\)"):
        import_checkpoint(saved(path, {"state_dict": wrong}), tmp_path)


def test_a_name_that_is_not_harmless_is_refused_and_told(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        strange = lightning(patch, "pytorch_lightning.strange.Thing")
        path = saved(tmp_path / "w.ckpt", {"state_dict": HEAD, "more": strange(a=1)})
    with pytest.raises(ModelError, match=r"pytorch_lightning\.strange\.Thing.*save its state_dict alone"):
        load_state(path)


# The public MobileFaceNet for 112×96


@pytest.mark.real
def test_the_public_checkpoint_for_narrow_crops(shared: Path, tmp_path: Path) -> None:
    """96×112 crops cut with its own template and the middle of our 112 crops are the same pixels."""
    import cv2

    from facewise.embedding import Embedder
    from facewise.geometry import similarity_transform
    from facewise.image import read_image

    imported = import_checkpoint(shared / "models" / "mobilefacenet_xiaoccer_068.ckpt", tmp_path)
    assert imported.known
    preprocess = imported.model.card.preprocess
    assert preprocess.input_shape == (112, 96)
    embedder = Embedder(imported.model)
    with np.load(shared / "reference" / "lfw_retinaface.npz") as found:
        paths, landmarks = found["path"][:200:10], found["landmarks"][:200:10]
    network = FAMILIES["mobilefacenet-xiaoccer"].build().eval()
    network.load_state_dict(load_state(shared / "models" / "mobilefacenet_xiaoccer_068.ckpt"))
    own = TEMPLATE_112 - np.array([8.0, 0.0])
    for name, points in zip(paths, landmarks, strict=True):
        photo = read_image(shared / "data" / "lfw" / "images" / str(name))
        matrix = similarity_transform(points, own)
        narrow = cv2.warpAffine(photo, matrix, (96, 112), flags=cv2.INTER_LINEAR)
        crop = preprocess.cut.of(photo, [[0, 0, 1, 1]], points[None])
        difference = np.abs(crop[0, :, 8:104].astype(int) - narrow)
        # OpenCV interpolates at thirty-seconds of a pixel: a shift of the origin may round one the other way.
        assert difference.mean() < 0.1
        x = torch.from_numpy((narrow.astype(np.float32) - 127.5).transpose(2, 0, 1)[None] / 128)
        with torch.inference_mode():
            expected = F.normalize(network(x))[0].numpy()
        assert float(embedder.embed(crop)[0] @ expected) > 0.9999


def test_a_narrow_model_takes_square_crops() -> None:
    card = FAMILIES["mobilefacenet-xiaoccer"].card
    crops = np.zeros((2, 112, 112, 3), np.uint8)
    assert card.preprocess(crops).shape == (2, 3, 112, 96)
    assert replace(card.preprocess, width=None)(crops).shape == (2, 3, 112, 112)
