"""Models by name, by path, or the default ones."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from facewise.errors import ModelError
from facewise.models import ModelFile, find_model, stored_models
from facewise.models.home import models_folder
from facewise.models.store import DEFAULT_MODELS


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store."""
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "home"))
    return models_folder()


@pytest.fixture
def filled(store: Path, tiny_embedder_file: Path, tiny_detector_file: Path) -> Path:
    """A store with the default models, another one, and a damaged one."""
    shutil.copy(tiny_embedder_file, store / f"{DEFAULT_MODELS['embedder']}.onnx")
    shutil.copy(tiny_detector_file, store / f"{DEFAULT_MODELS['detector']}.onnx")
    shutil.copy(tiny_embedder_file, store / "another-one.onnx")
    (store / "damaged.onnx").write_bytes(b"not a model")
    (store / "notes.txt").write_bytes(b"not a model either")
    return store


def test_the_store_is_in_the_home_of_facewise(store: Path, tmp_path: Path) -> None:
    assert store.is_relative_to(tmp_path / "home")


def test_by_name_by_path_and_by_default(filled: Path, tiny_embedder_file: Path) -> None:
    assert find_model("another-one", kind="embedder").path == filled / "another-one.onnx"
    assert find_model(None, kind="embedder").path == filled / f"{DEFAULT_MODELS['embedder']}.onnx"
    assert find_model(None, kind="detector").path == filled / f"{DEFAULT_MODELS['detector']}.onnx"
    assert find_model(tiny_embedder_file, kind="embedder").path == tiny_embedder_file
    assert find_model(str(tiny_embedder_file), kind="embedder").path == tiny_embedder_file


def test_a_path_relative_to_where_one_is(
    filled: Path, tiny_embedder_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny_embedder_file, "here.onnx")
    assert find_model("here.onnx", kind="embedder").card.kind == "embedder"


def test_the_wrong_kind(filled: Path, tiny_detector_file: Path) -> None:
    for name in ("another-one", str(filled / "another-one.onnx")):
        with pytest.raises(ModelError, match=r"'embedder'.*'detector'"):
            find_model(name, kind="detector")
    with pytest.raises(ModelError, match=r"'detector'.*'embedder'"):
        find_model(tiny_detector_file, kind="embedder")


def test_a_name_that_is_not_there(filled: Path) -> None:
    with pytest.raises(ModelError, match="did you mean 'another-one'"):
        find_model("another-on", kind="embedder")
    with pytest.raises(ModelError, match="another-one, damaged"):
        find_model("xyzzy", kind="embedder")


def test_an_empty_store_says_what_to_do(store: Path) -> None:
    for kind in DEFAULT_MODELS:
        with pytest.raises(
            ModelError, match=f"No {kind} is installed.*{DEFAULT_MODELS[kind]}.*models import"
        ):
            find_model(None, kind=kind)
    with pytest.raises(ModelError, match="none yet"):
        find_model("xyzzy", kind="embedder")
    assert list(stored_models()) == []


def test_a_path_that_is_not_there(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no model file"):
        find_model(tmp_path / "gone.onnx", kind="embedder")
    with pytest.raises(ModelError, match="There is no model file"):
        find_model(f"some{os.sep}folder", kind="embedder")


def test_stored_models_lists_the_good_and_the_bad(filled: Path) -> None:
    listed = dict(stored_models())
    assert [path.name for path in listed] == sorted(path.name for path in filled.glob("*.onnx"))
    broken = listed.pop(filled / "damaged.onnx")
    assert isinstance(broken, ModelError)
    assert all(isinstance(model, ModelFile) for model in listed.values())
