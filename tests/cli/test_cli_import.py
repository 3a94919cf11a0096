"""`facewise models import` and `data prepare --for`: what comes of good files, and how bad ones are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from facewise.data.open import open_source
from facewise.geometry import Cut
from facewise.models import read_model, write_model
from facewise.models.families import FAMILIES
from facewise.models.families.base import network_shapes
from facewise.models.foreign_onnx import ONNX_FAMILIES
from facewise.models.landmarker import NAME
from facewise.nn.backbones import BACKBONES


@pytest.fixture
def checkpoint(place: Path) -> Path:
    torch.manual_seed(0)
    torch.save(BACKBONES.build("mobilefacenet-relu6", embedding_size=128).state_dict(), "public.pt")
    return Path("public.pt")


@pytest.fixture
def twins(place: Path) -> Path:
    """A checkpoint of keys that two families have; every tensor is one number, repeated."""
    shapes = network_shapes(FAMILIES["evolve-ir50"])
    torch.save({key: torch.ones(()).expand(shape) for key, shape in shapes.items()}, "twins.pth")
    return Path("twins.pth")


def test_import_writes_the_model_and_its_weights(facewise, checkpoint):
    done = facewise("models", "import", checkpoint, "--to", "models", "--name", "mine")
    assert Path("models/mine.onnx").is_file()
    assert Path("models/mine.safetensors").is_file()
    for told in ("mine (embedder)", "parity with PyTorch", "weights to train from", "Apache-2.0", "unknown"):
        assert told in done.out
    told = facewise("models", "import", checkpoint, "--to", "models", "--json").json["imported"][0]
    assert told["name"] == "mobilefacenet-foamliu"
    assert told["parity"]["of_rms"] < 1e-4
    assert told["weights"].endswith("mobilefacenet-foamliu.safetensors")


def test_good_ones_are_imported_beside_bad_ones(facewise, checkpoint, twins):
    Path("text.pt").write_text("no checkpoint")
    done = facewise("models", "import", twins, "text.pt", checkpoint, "--to", "models", "--json", code=3)
    assert [model["name"] for model in done.json["imported"]] == ["mobilefacenet-foamliu"]
    assert [bad["item"] for bad in done.json["bad"]] == ["twins.pth", "text.pt"]
    assert "--as evolve-ir50` (RGB) or `--as treb1en-ir50` (BGR)" in done.json["bad"][0]["error"]


def test_the_families_are_listed(facewise):
    families = facewise("models", "import", "--list", "--json").json["families"]
    assert [family["name"] for family in families] == [*FAMILIES, *ONNX_FAMILIES, NAME]
    for family in families:
        assert {"preprocess", "licence", "source", "kind", "format"} <= set(family)
    out = facewise("models", "import", "--list").out
    for told in ("facenet-vggface2", "112×96", "treb1en-ir50", "docs/models/importing.md"):
        assert told in out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "Name a checkpoint"),
        (["a.pt", "b.pt", "--name", "x"], 2, "--name goes with a single"),
        (["gone.pt"], 3, "There is no checkpoint gone.pt"),
        (["gone.onnx"], 3, "There is no file gone.onnx"),
        (["public.pt", "--as", "evolve-ir5"], 3, "did you mean evolve-ir50"),
        (["public.pt", "--as", "arcface-mbf"], 3, "missing keys: layers.0"),
    ],
)
def test_what_is_refused(facewise, checkpoint, words, code, told):
    assert told in facewise("models", "import", *words, code=code).err


def test_prepare_for_a_model(facewise, photo, store):
    """Crops are cut as that model wants them, and kept apart from others."""
    photo("people/Ada/1.png", (150, 120, 64))
    old = read_model(store / "models" / "other.onnx")
    preprocess = replace(old.card.preprocess, size=64, alignment="box", margin=0.25)
    write_model("box.onnx", old.network, replace(old.card, preprocess=preprocess))
    done = facewise("data", "prepare", "people", "--out", "crops", "--for", "box.onnx")
    assert "1 crop of 64×64 pixels" in done.out
    source = open_source("crops")
    assert source.cut == Cut(64, "box", 0.25)
    image = np.asarray(PIL.Image.open("people/Ada/1.png"))
    box = facewise("detect", "people/Ada/1.png", "--json").json["photos"][0]["faces"][0]["box"]
    np.testing.assert_array_equal(source.read(0), source.cut.of(image, [box], None)[0])
    again = facewise("data", "prepare", "people", "--out", "crops", "--size", 64, code=3)
    assert "made otherwise" in again.err
    both = facewise("data", "prepare", "people", "--out", "x", "--for", "box.onnx", "--size", 64, code=2)
    assert "leave --size out" in both.err
