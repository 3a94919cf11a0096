"""`facewise models quantize`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from facewise.models import ModelCard, read_model, write_model
from facewise.models.export import export_onnx
from facewise.preprocess import Preprocess


class WideEmbedder(nn.Module):
    """(N, 3, 112, 112) → (N, 32): the tiny embedder, but wide enough for int8."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.tiles = nn.Conv2d(3, 64, 16, stride=16)
        self.mix = nn.Conv2d(64, 64, 1)
        self.whole = nn.Linear(64 * 7 * 7, 32, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.whole(self.mix(self.tiles(x).relu()).relu().flatten(1))


@pytest.fixture(scope="module")
def wide_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    onnx = export_onnx(
        WideEmbedder(), torch.zeros(2, 3, 112, 112), dynamic={0: "batch"}, outputs=("embedding",)
    )
    preprocess = Preprocess(112, (127.5, 127.5, 127.5), (64.0, 64.0, 64.0), "RGB", "5-point")
    card = ModelCard("embedder", "wide", "1", "MIT", "drawn in tests", preprocess, embedding_size=32)
    return write_model(tmp_path_factory.mktemp("wide") / "wide.onnx", onnx, card).path


@pytest.fixture
def models(store, wide_file, tmp_path, monkeypatch) -> Path:
    """A store of its own with the wide embedder in it."""
    home = tmp_path / "own"
    shutil.copytree(store, home)
    shutil.copy(wide_file, home / "models")
    monkeypatch.setenv("FACEWISE_HOME", str(home))
    return home / "models"


@pytest.fixture
def people(photo) -> Path:
    """24 photos of eight people, and one without a face."""
    for person in range(8):
        for i in range(3):
            photo(f"people/P{person}/{i}.png", (120 + 20 * i, 100 + 5 * person, 90, person))
    photo("people/P0/empty.png")
    return Path("people")


def test_an_embedder(facewise, models, people):
    done = facewise("models", "quantize", "wide", "--photos", people, "--json")
    told = done.json
    assert told["model"]["name"] == "wide-int8"
    assert told["model"]["path"] == str(models / "wide-int8.onnx")
    assert told["model"]["calibration"] is None
    assert told["model"]["training"]["quantized_from"] == "wide"
    assert told["model"]["training"]["quantization_photos"] == told["photos"]["calibrated_on"] == 18
    assert told["photos"]["without_face"] == ["P0/empty.png"]
    assert "Left out: no face was found in P0/empty.png." in done.err
    assert told["agreement"]["crops"] == 6, "a quarter is kept for checking"
    assert told["agreement"]["mean"] > 0.99
    assert told["speed"][0]["threads"] == 1
    assert all(entry["ratio"] > 0 for entry in told["speed"])
    original, made = read_model(models / "wide.onnx"), read_model(models / "wide-int8.onnx")
    assert told["bytes"] == {"original": len(original.network), "quantized": len(made.network)}
    assert made.fingerprint != original.fingerprint
    assert len(facewise("models", "verify", "wide-int8", "--json").json["good"]) == 1


def test_a_gallery_does_not_mix_it_with_the_original(facewise, models, people, photo):
    facewise("models", "quantize", "wide", "--photos", people, "--to", "fp16", "--json")
    ada = photo("ada.png", (160, 120, 90, 3))
    facewise("enroll", "Ada", ada, "--model", "wide")
    refused = facewise("identify", ada, "--model", "wide-fp16", "--threshold", "0.5", code=3)
    assert len(refused.complaints) == 1
    assert "wide" in refused.complaints[0]


def test_the_table_for_people(facewise, models, people):
    done = facewise("models", "quantize", "wide", "--photos", people, "--out", "small.onnx", "--to", "fp16")
    for told in ("size", "crops/s, 1 thread", "Agreement: cosine", "facewise eval lfw"):
        assert told in done.out
    card = read_model("small.onnx").card
    assert (card.name, card.training["quantization"]) == ("small", "fp16: weights kept in 16 bits")


def test_photos_used_and_people_left_out(facewise, models, people):
    Path("without.txt").write_text("P0\nP1\nSomebody else\n")
    done = facewise(
        "models", "quantize", "wide", "--photos", people, "--photos-used", 10, "--without-people",
        "without.txt", "--json",
    )  # fmt: skip
    assert "2 people of people left out" in done.err
    assert done.json["photos"] == {"calibrated_on": 10, "without_face": [], "unreadable": []}
    assert done.json["agreement"]["crops"] == 8


def test_a_detector(facewise, models, people):
    name = "retinaface-mobilenet025"
    told = facewise("models", "quantize", name, "--photos", people, "--to", "fp16", "--json").json
    assert told["agreement"]["found"] == 1.0
    assert told["agreement"]["landmarks"] < 0.01
    assert told["model"]["decoder"] == facewise("models", "show", name, "--json").json["decoder"]
    # Exact sums of pixels are what 8 bits cannot hold: the drawn detector is broken by them, and refused.
    refused = facewise("models", "quantize", name, "--photos", people, code=3)
    assert len(refused.complaints) == 1
    assert not (models / f"{name}-int8.onnx").exists()


def test_without_faces_there_is_nothing_to_compare(facewise, models, photo):
    for i in range(20):
        photo(f"none/{i}.png")
    for model, told in (("retinaface-mobilenet025", "finds no face"), ("wide", "0 photos with a face")):
        done = facewise("models", "quantize", model, "--photos", "none", "--to", "fp16", code=3)
        assert told in done.complaints[-1]
    assert not list(models.glob("*-fp16.onnx"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nobody"], "No model named 'nobody'"),
        (["wide", "--to", "int4"], "no format 'int4'"),
        (["wide", "--photos", "nowhere"], "no file or folder nowhere"),
        (["wide", "--out", "people"], "is a folder: name a file"),
        (["wide", "--out", "people/P0/0.png/x.onnx"], "is a file, not a folder"),
        (["wide", "--out", "WIDE"], "is the model itself"),
        (["calibrated"], "no layer that int8 would make faster"),
        (["wide", "--photos", "people/P3"], "at least 16"),
        (["wide", "--without-people", "none.txt"], "There is no file of people none.txt"),
    ],
)
def test_one_sentence_for_what_is_wrong(facewise, models, people, words, told):
    words = [str(models / "wide.onnx") if word == "WIDE" else word for word in words]
    given = [] if "--photos" in words else ["--photos", people]
    before = sorted(models.iterdir())
    done = facewise("models", "quantize", *words, *given, code=3)
    assert len(done.complaints) == 1
    assert told in done.complaints[0]
    assert sorted(models.iterdir()) == before


def test_a_quantised_model_is_not_quantised_again(facewise, models, people):
    facewise("models", "quantize", "wide", "--photos", people, "--to", "fp16", "--json")
    done = facewise("models", "quantize", "wide-fp16", "--photos", people, code=3)
    assert "quantised already: quantise wide" in done.complaints[0]


def test_a_broken_result_is_refused(facewise, models, people, monkeypatch):
    """As with a network that 8 bits do not suit."""
    from facewise.evaluation import agreement

    monkeypatch.setattr(agreement, "LEAST_COSINE", 1.1)
    done = facewise("models", "quantize", "wide", "--photos", people, code=3)
    assert "does not give the original's answers" in done.complaints[0]
    assert not (models / "wide-int8.onnx").exists()
