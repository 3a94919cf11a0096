"""Foreign checkpoints: loaded strictly, never executed, and proven equal to what is saved."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from facewise.errors import ModelError
from facewise.models import read_model
from facewise.models.export import check_embeddings, check_parity, export_onnx
from facewise.models.importing import FAMILIES, import_checkpoint, load_state, load_strictly, recognise
from facewise.nn.backbones.mobilefacenet_relu6 import MobileFaceNetReLU6
from facewise.nn.detectors.retinaface import RetinaFace


def random_state(network: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Weights that keep activations of a sane size, batch norms that are not the identity."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, value in network.state_dict().items():
        if value.dtype != torch.float32:
            state[key] = value.clone()
        elif key.endswith("running_var"):
            state[key] = torch.rand(value.shape, generator=generator) + 0.5
        elif value.dim() > 1:
            state[key] = torch.randn(value.shape, generator=generator) / value[0].numel() ** 0.5
        elif key.endswith("weight"):
            state[key] = torch.rand(value.shape, generator=generator) / 2 + 0.5
        else:
            state[key] = torch.randn(value.shape, generator=generator) / 10
    return state


@pytest.fixture(scope="module")
def embedder_state() -> dict[str, Tensor]:
    return random_state(MobileFaceNetReLU6())


@pytest.fixture(scope="module")
def detector_state() -> dict[str, Tensor]:
    return random_state(RetinaFace())


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


# Numbers of parameters, and names


def test_number_of_parameters() -> None:
    """As the two public repositories state them."""
    assert sum(p.numel() for p in RetinaFace().parameters()) == 426_608
    assert sum(p.numel() for p in MobileFaceNetReLU6().parameters()) == 999_936


# From checkpoint to model file


def test_an_embedder_checkpoint_becomes_a_model_file(
    tmp_path: Path, embedder_state: dict[str, Tensor]
) -> None:
    import onnxruntime

    checkpoint = saved(tmp_path / "weights.pt", embedder_state)
    imported = import_checkpoint(checkpoint, tmp_path / "store")
    assert imported.model.path == tmp_path / "store" / "mobilefacenet-foamliu.onnx"
    assert not imported.known
    assert 0 <= imported.parity.relative <= 1e-4
    card = imported.model.card
    assert (card.kind, card.embedding_size, card.licence) == ("embedder", 128, "Apache-2.0")
    assert card.preprocess.color == "RGB"
    np.testing.assert_allclose(card.preprocess.mean, np.array([0.485, 0.456, 0.406]) * 255)
    np.testing.assert_allclose(card.preprocess.std, np.array([0.229, 0.224, 0.225]) * 255)
    assert card.training["checkpoint_sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert card.training["checkpoint"] == "weights.pt"
    onnx.checker.check_model(onnx.load(imported.model.path))
    network = MobileFaceNetReLU6()
    network.load_state_dict(embedder_state)
    session = onnxruntime.InferenceSession(str(imported.model.path))
    for batch in (1, 3):
        crops = torch.randn(batch, 3, 112, 112, generator=torch.Generator().manual_seed(batch))
        with torch.inference_mode():
            expected = network.eval()(crops).numpy()
        (got,) = session.run(None, {session.get_inputs()[0].name: crops.numpy()})
        assert got.shape == (batch, 128)
        np.testing.assert_allclose(got, expected, atol=1e-4 * np.sqrt(np.mean(expected**2)))


def test_a_detector_checkpoint_from_data_parallel(tmp_path: Path, detector_state: dict[str, Tensor]) -> None:
    import onnxruntime

    wrapped = OrderedDict((f"module.{key}", value) for key, value in detector_state.items())
    imported = import_checkpoint(saved(tmp_path / "weights.pth", wrapped), tmp_path, name="my-detector")
    assert imported.model.path == tmp_path / "my-detector.onnx"
    assert imported.model.card.name == "my-detector"
    assert imported.model.card.preprocess.color == "BGR"
    assert imported.model.card.preprocess.mean == (104, 117, 123)
    network = RetinaFace()
    network.load_state_dict(detector_state)
    session = onnxruntime.InferenceSession(str(imported.model.path))
    assert len(session.get_outputs()) == 3
    for shape in ((1, 3, 33, 70), (2, 3, 64, 48)):
        photos = 50 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            expected = network.eval()(photos)
        for got, want in zip(session.run(None, {"images": photos.numpy()}), expected, strict=True):
            assert got.shape == want.shape
            scale = max(float(want.square().mean().sqrt()), 1e-3)
            np.testing.assert_allclose(got, want.numpy(), atol=2e-4 * scale)


@pytest.mark.parametrize(
    "wrapper", ["state_dict", "net_state_dict", "model_state_dict", "state_dict_backbone", "model"]
)
def test_checkpoints_that_wrap_their_weights(
    tmp_path: Path, embedder_state: dict[str, Tensor], wrapper: str
) -> None:
    path = saved(tmp_path / "weights.ckpt", {"epoch": 68, wrapper: embedder_state, "optimizer": {"lr": 0.1}})
    state = load_state(path)
    assert list(state) == list(embedder_state)
    assert recognise(state) == "mobilefacenet-foamliu"


def test_a_key_that_only_looks_wrapped_is_left_alone(tmp_path: Path) -> None:
    path = saved(tmp_path / "weights.pt", {"module.a": torch.zeros(1), "b": torch.zeros(1)})
    assert list(load_state(path)) == ["module.a", "b"]


# Strict


def test_missing_keys_are_named(tmp_path: Path, embedder_state: dict[str, Tensor]) -> None:
    state = {k: v for k, v in embedder_state.items() if k not in ("conv3.bias", "bn.running_mean")}
    with pytest.raises(ModelError, match=r"missing keys: conv3\.bias, bn\.running_mean") as caught:
        import_checkpoint(saved(tmp_path / "weights.pt", state), tmp_path / "store")
    assert "unknown keys" not in str(caught.value)
    assert not list(tmp_path.glob("store/*"))


def test_unknown_keys_are_named(embedder_state: dict[str, Tensor]) -> None:
    with pytest.raises(ModelError, match=r"unknown keys: surplus\.weight"):
        load_strictly(MobileFaceNetReLU6(), {**embedder_state, "surplus.weight": torch.zeros(3)})


def test_wrong_shapes_are_named(embedder_state: dict[str, Tensor]) -> None:
    state = embedder_state | {"conv3.weight": torch.zeros(64, 512, 1, 1)}
    with pytest.raises(ModelError, match=r"conv3\.weight is \(64, 512, 1, 1\), not \(128, 512, 1, 1\)"):
        load_strictly(MobileFaceNetReLU6(), state)


def test_many_differences_are_counted(embedder_state: dict[str, Tensor]) -> None:
    state = {f"other.{k}": v for k, v in embedder_state.items()}
    with pytest.raises(ModelError, match=r"and \d+ more.*unknown keys: .*and \d+ more") as caught:
        load_strictly(MobileFaceNetReLU6(), state)
    assert len(str(caught.value)) < 1500


def test_a_failed_load_changes_nothing(embedder_state: dict[str, Tensor]) -> None:
    network = MobileFaceNetReLU6()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(ModelError):
        load_strictly(network, {**embedder_state, "surplus": torch.zeros(1)})
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_counters_that_old_checkpoints_lack_may_be_missing(embedder_state: dict[str, Tensor]) -> None:
    network = MobileFaceNetReLU6()
    state = {k: v for k, v in embedder_state.items() if not k.endswith("num_batches_tracked")}
    load_strictly(network, state)
    assert all(torch.equal(network.state_dict()[k], v) for k, v in state.items())


# What is no checkpoint


class Malice:
    """A pickle that makes a file when it is opened carelessly."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["torch", "torch, old format", "plain pickle"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path, form: str) -> None:
    trap = tmp_path / "trap"
    content = {"conv1.0.weight": torch.zeros(1), "evil": Malice(trap)}
    path = tmp_path / "evil.pt"
    if form == "plain pickle":
        path.write_bytes(pickle.dumps({"evil": Malice(trap)}))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "torch")
    with pytest.raises(ModelError, match=r"evil\.pt.*safely"):
        import_checkpoint(path, tmp_path / "store")
    assert not trap.exists()
    pickle.loads(pickle.dumps(Malice(trap)))  # it would have
    assert trap.exists()


def zipped(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in names.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"some text, and some more of it\n" * 30,
        bytes(1000),
        np.random.default_rng(1).bytes(3000),
        zipped({"notes.txt": b"hello"}),
        zipped({"archive/data.pkl": b"garbage", "archive/version": b"3\n"}),
        safetensors.torch.save({"a": torch.zeros(3)}),
        pickle.dumps([1, 2, 3]),
        pickle.dumps({"a": 1}),
        b"\x80\x02" + b"garbage" * 30,
    ],
    ids=[
        "empty",
        "word",
        "text",
        "zeros",
        "random",
        "zip",
        "zip of garbage",
        "safetensors",
        "list",
        "dict",
        "pickle",
    ],
)
def test_what_is_no_checkpoint(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "no.pt"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"no\.pt") as caught:
        import_checkpoint(path, tmp_path / "store")
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"There is no checkpoint .*gone\.pt"):
        load_state(tmp_path / "gone.pt")
    with pytest.raises(ModelError, match="folder"):
        load_state(tmp_path)


def test_a_damaged_checkpoint(tmp_path: Path, embedder_state: dict[str, Tensor]) -> None:
    path = saved(tmp_path / "weights.pt", embedder_state)
    whole = path.read_bytes()
    rng = np.random.default_rng(5)
    for length in [1, 100, len(whole) // 2, len(whole) - 1, *rng.integers(0, len(whole), 10)]:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError):
            load_state(path)
    for _ in range(60):
        damaged = bytearray(whole)
        # The directory of the archive and its pickle: damaged weights cannot be told from other weights.
        place = (
            int(rng.integers(0, 30_000)) if rng.random() < 0.5 else len(whole) - int(rng.integers(1, 20_000))
        )
        damaged[place : place + 8] = rng.bytes(8)
        path.write_bytes(damaged)
        with suppress(ModelError):
            load_state(path)


@pytest.mark.parametrize(
    "content",
    [{}, {"epoch": 3}, [torch.zeros(3)], torch.zeros(3), {"a": torch.zeros(1), "b": 2}, {"state_dict": {}}],
    ids=["empty", "no tensors", "list", "tensor", "mixed", "empty inside"],
)
def test_no_weights_in_it(tmp_path: Path, content: object) -> None:
    with pytest.raises(ModelError, match="no weights to import"):
        load_state(saved(tmp_path / "weights.pt", content))


def test_an_unknown_family_names_those_that_are_known(tmp_path: Path) -> None:
    path = saved(tmp_path / "weights.pt", {"layer1.weight": torch.zeros(3), "layer2.weight": torch.zeros(3)})
    with pytest.raises(ModelError, match=r"retinaface-mobilenet025, mobilefacenet-foamliu.*layer1\.weight"):
        import_checkpoint(path, tmp_path / "store")


def test_both_families_are_recognised(
    embedder_state: dict[str, Tensor], detector_state: dict[str, Tensor]
) -> None:
    assert recognise(embedder_state) == "mobilefacenet-foamliu"
    assert recognise(detector_state) == "retinaface-mobilenet025"


# Parity


class Small(nn.Module):
    def __init__(self, bias: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        with torch.no_grad():
            for i, p in enumerate(self.parameters()):
                p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(i)))
            self.norm.running_mean.fill_(0.3)
            self.conv.weight[0, 0, 0, 0] += bias

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)).flatten(1)


INPUTS = [torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(n)) for n in (1, 3)]


def small_onnx(network: nn.Module) -> bytes:
    return export_onnx(network, torch.zeros(1, 3, 8, 8), dynamic={0: "batch"}, outputs=("out",))


def test_parity_holds_for_an_export() -> None:
    parity = check_parity(Small(), small_onnx(Small()), INPUTS)
    assert parity.relative < 1e-5
    assert parity.inputs == ((1, 3, 8, 8), (3, 3, 8, 8))


def test_parity_measures_the_largest_difference() -> None:
    """Against the same numbers by hand: one weight off by a hundredth."""
    right, wrong = Small().eval(), Small(0.01).eval()
    parity = check_parity(right, small_onnx(wrong), INPUTS, tolerance=1)
    with torch.inference_mode():
        pairs = [(right(x).numpy(), wrong(x).numpy()) for x in INPUTS]
    gaps = [np.abs(a - b).max() for a, b in pairs]
    assert parity.difference == pytest.approx(max(gaps), rel=1e-3)
    relative = max(gap / np.sqrt((a**2).mean()) for gap, (a, _) in zip(gaps, pairs, strict=True))
    assert parity.relative == pytest.approx(relative, rel=1e-3)


def test_probabilities_near_zero_are_compared_as_probabilities() -> None:
    network, onnx = Small(), small_onnx(Small(0.01))
    with pytest.raises(ModelError, match="differs"):
        check_parity(network, onnx, INPUTS, tolerance=1e-3)
    whole = check_parity(network, onnx, INPUTS, tolerance=1)
    parity = check_parity(network, onnx, INPUTS, tolerance=1e-3, scales=[1e4])
    assert parity.relative == pytest.approx(whole.difference / 1e4, rel=1e-6)


def test_a_changed_weight_fails_the_parity_check() -> None:
    with pytest.raises(ModelError, match=r"differs from PyTorch.*not saved"):
        check_parity(Small(), small_onnx(Small(0.5)), INPUTS)


def test_embeddings_are_compared_by_their_directions() -> None:
    """What a processor's rounding comes to passes; a changed weight does not."""
    rounded = check_embeddings(Small(), small_onnx(Small(0.001)), INPUTS)
    assert rounded.relative > 1e-4
    assert rounded.mean is not None
    assert rounded.least is not None
    assert 0.99999 < rounded.least <= rounded.mean < 1 + 1e-9
    with torch.inference_mode():
        right, wrong = (one.eval()(INPUTS[1]).double() for one in (Small(), Small(5.0)))
    expected = nn.functional.cosine_similarity(right, wrong).min().item()
    with pytest.raises(ModelError, match=rf"{expected:.4f} at least.*not saved"):
        check_embeddings(Small(), small_onnx(Small(5.0)), INPUTS[1:])


def test_nan_is_no_parity() -> None:
    broken = Small()
    with torch.no_grad():
        broken.conv.bias[0] = float("nan")
    for check in (check_parity, check_embeddings):
        with pytest.raises(ModelError, match="differ"):
            check(Small(), small_onnx(broken), INPUTS)
        with pytest.raises(ModelError, match="NaN or infinity, in PyTorch as well"):
            check(broken, small_onnx(Small()), INPUTS)


def test_an_export_that_differs_is_not_saved(
    tmp_path: Path, embedder_state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    from facewise.models import importing

    def wrong(network: nn.Module, *args: object, **options: object) -> bytes:
        changed = MobileFaceNetReLU6()
        changed.load_state_dict(network.state_dict())
        with torch.no_grad():
            changed.conv3.weight += 0.05
        return export_onnx(changed, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(importing, "export_onnx", wrong)
    with pytest.raises(ModelError, match="differ from PyTorch"):
        import_checkpoint(saved(tmp_path / "weights.pt", embedder_state), tmp_path / "store")
    assert not list(tmp_path.glob("store/*"))


def test_exported_in_eval_mode() -> None:
    """Batch norms use what they have learnt, whatever mode the network was in."""
    network = Small().train()
    assert check_parity(Small().eval(), small_onnx(network), INPUTS).relative < 1e-5


# The public checkpoints


@pytest.mark.real
def test_the_public_checkpoints(real_models: SimpleNamespace) -> None:
    for imported, path in zip(real_models.imported, real_models.checkpoints, strict=True):
        assert imported.parity.relative <= 1e-4
        assert imported.known
        card = read_model(imported.model.path).card
        assert card.training["checkpoint_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert card.training["checkpoint"] == path.name
        assert card.training["published"]
        assert card.training["data"]
    detector, embedder = (imported.model.card for imported in real_models.imported)
    assert (detector.kind, detector.name, detector.licence) == ("detector", "retinaface-mobilenet025", "MIT")
    assert (embedder.kind, embedder.name, embedder.licence) == (
        "embedder",
        "mobilefacenet-foamliu",
        "Apache-2.0",
    )
    assert {detector.name, embedder.name} <= set(FAMILIES)
