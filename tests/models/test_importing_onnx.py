"""ONNX files of others: recognised by sha256 or by what they give, run once, refused with a reason."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from facewise.embedding import Embedder
from facewise.errors import ModelError, SettingError
from facewise.models import foreign_onnx
from facewise.models.export import export_onnx
from facewise.models.importing import import_checkpoint
from facewise.models.zoo import zoo


class Small(nn.Module):
    """(N, 3, 112, 112) → (N, D)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(3, 4, 16, 16)
        self.linear = nn.Linear(4 * 7 * 7, size)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.conv(x).flatten(1))


def embedder(size: int = 512) -> bytes:
    return export_onnx(Small(size), torch.zeros(1, 3, 112, 112), dynamic={0: "batch"}, outputs=("out",))


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("family", "color"), [("arcface-onnx", "RGB"), ("adaface-onnx", "BGR")])
def test_an_embedder_of_a_family_that_is_named(tmp_path: Path, family: str, color: str) -> None:
    path = written(tmp_path / "My_R50.onnx", embedder(256))
    imported = import_checkpoint(path, tmp_path / "store", family=family)
    card = imported.model.card
    assert imported.model.path == tmp_path / "store" / "my_r50.onnx"
    assert (card.kind, card.embedding_size, card.preprocess.color) == ("embedder", 256, color)
    assert (card.preprocess.mean, card.preprocess.std) == ((127.5,) * 3, (127.5,) * 3)
    assert card.training["file_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not imported.known
    assert (imported.parity, imported.weights) == (None, None)
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    pixels = crops if color == "RGB" else crops[..., ::-1]
    given = torch.from_numpy((pixels.transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 127.5)
    with torch.inference_mode():
        expected = nn.functional.normalize(Small(256)(given), dim=1).numpy()
    np.testing.assert_allclose(Embedder(imported.model).embed(crops), expected, atol=1e-5)


def test_an_embedder_nobody_knows_is_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "w.onnx", embedder())
    with pytest.raises(ModelError, match=r"--as arcface-onnx.*RGB.*--as adaface-onnx.*BGR"):
        import_checkpoint(path, tmp_path / "store")
    with pytest.raises(SettingError, match="did you mean arcface-onnx"):
        import_checkpoint(path, tmp_path / "store", family="arcface-onx")
    with pytest.raises(ModelError, match="1 outputs, where a detector scrfd has 9"):
        import_checkpoint(path, tmp_path / "store", family="scrfd")
    assert not (tmp_path / "store").exists()


def test_a_published_file_is_known_by_its_sha256(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the zoo says of it goes into the model file; its bytes are not ours to have, so a hash is."""
    entry = zoo()["buffalo_l"]
    member = next(m for m in entry.members if m.file == "w600k_r50.onnx")

    class Digest:
        def hexdigest(self) -> str:
            return str(member.sha256)

    class Hashes:
        sha256 = staticmethod(lambda _: Digest())

    path = written(tmp_path / "w600k_r50.onnx", embedder())
    monkeypatch.setattr(foreign_onnx, "hashlib", Hashes)
    imported = import_checkpoint(path, tmp_path / "store")
    card = imported.model.card
    assert imported.known
    assert card.name == "w600k_r50"
    assert (card.licence, card.source) == (entry.licence, entry.source)
    assert card.preprocess.color == "RGB"
    assert "LFW" in card.training["published"]


def test_not_onnx_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no file"):
        import_checkpoint(tmp_path / "gone.onnx", tmp_path)
    whole = embedder()
    for i, data in enumerate((b"", b"hello", whole[: len(whole) // 2], bytes(500))):
        with pytest.raises(ModelError, match=rf"{i}\.onnx"):
            import_checkpoint(written(tmp_path / f"{i}.onnx", data), tmp_path, family="arcface-onnx")


@pytest.mark.parametrize("inside", [False, True])
def test_weights_in_other_files_are_refused(tmp_path: Path, inside: bool) -> None:
    """Such a file would read whatever it names; constants in nodes can do so as well."""
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(4 * 512 * 3 * 112 * 112))
    model = onnx.load_from_string(embedder())
    tensor = TensorProto()
    tensor.CopyFrom(numpy_helper.from_array(np.zeros(4, np.float32), "stolen"))
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", str(secret)
    if inside:
        model.graph.node.append(helper.make_node("Constant", [], ["stolen"], value=tensor))
    else:
        model.graph.initializer.append(tensor)
    path = written(tmp_path / "w.onnx", model.SerializeToString())
    with pytest.raises(ModelError, match="keeps weights in other files"):
        import_checkpoint(path, tmp_path / "store", family="arcface-onnx")


def network(outputs: int, shape: tuple[int, ...] = (1, 3, 64, 64)) -> bytes:
    """So many times its input."""
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    nodes = [helper.make_node("Identity", ["x"], [f"y{i}"]) for i in range(outputs)]
    made = [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, shape) for i in range(outputs)]
    graph = helper.make_graph(nodes, "network", [given], made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


@pytest.mark.parametrize("outputs", [1, 3, 6, 12])
def test_other_networks(tmp_path: Path, outputs: int) -> None:
    path = written(tmp_path / "w.onnx", network(outputs))
    with pytest.raises(ModelError, match=f"it has {outputs} outputs"):
        import_checkpoint(path, tmp_path / "store")


def test_what_is_no_embedding(tmp_path: Path) -> None:
    for data in (network(1), network(2), network(1, (1, 3))):
        with pytest.raises(ModelError, match="no arcface-onnx"):
            import_checkpoint(written(tmp_path / "w.onnx", data), tmp_path, family="arcface-onnx")


def test_an_embedder_of_one_crop_at_a_time(tmp_path: Path) -> None:
    data = export_onnx(Small(512), torch.zeros(1, 3, 112, 112), dynamic={}, outputs=("out",))
    path = written(tmp_path / "w.onnx", data)
    with pytest.raises(ModelError, match=r"takes 1 crops at a time.*export it with"):
        import_checkpoint(path, tmp_path / "store", family="arcface-onnx")


def test_what_does_not_run(tmp_path: Path) -> None:
    model = onnx.load_from_string(embedder())
    model.graph.node[0].op_type = "Convolute"
    path = written(tmp_path / "w.onnx", model.SerializeToString())
    with pytest.raises(ModelError, match="does not run"):
        import_checkpoint(path, tmp_path / "store", family="arcface-onnx")
    broken = Small(512)
    with torch.no_grad():
        broken.linear.bias.fill_(float("nan"))
    data = export_onnx(broken, torch.zeros(1, 3, 112, 112), dynamic={0: "batch"}, outputs=("y",))
    with pytest.raises(ModelError, match="not finite"):
        import_checkpoint(written(path, data), tmp_path / "store", family="arcface-onnx")
