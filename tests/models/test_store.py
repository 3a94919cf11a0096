"""Models by name, by path, or the default ones: from the store, and those bundled with the package."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from facewise.errors import ModelError
from facewise.models import (
    Calibration,
    bundled,
    default_name,
    find_model,
    installed_models,
    read_model,
    save_calibration,
)
from facewise.models.bundled import BUNDLED_MODELS
from facewise.models.calibration import Threshold
from facewise.models.home import make, models_folder
from facewise.models.store import PUBLIC_MODELS

KINDS = ("detector", "embedder")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store, and a package without bundled models."""
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(bundled, "FOLDER", tmp_path / "package")
    return make(models_folder())


@pytest.fixture
def filled(store: Path, tiny_embedder_file: Path, tiny_detector_file: Path) -> Path:
    """A store with the default models, another one, and a damaged one."""
    shutil.copy(tiny_embedder_file, store / f"{PUBLIC_MODELS['embedder']}.onnx")
    shutil.copy(tiny_detector_file, store / f"{PUBLIC_MODELS['detector']}.onnx")
    shutil.copy(tiny_embedder_file, store / "another-one.onnx")
    (store / "damaged.onnx").write_bytes(b"not a model")
    (store / "notes.txt").write_bytes(b"not a model either")
    return store


@pytest.fixture
def package(store: Path, tmp_path: Path, other_embedder_file: Path, tiny_detector_file: Path) -> Path:
    """Bundled models: the two defaults and another embedder."""
    folder = tmp_path / "package"
    folder.mkdir()
    shutil.copy(other_embedder_file, folder / f"{BUNDLED_MODELS['embedder']}.onnx")
    shutil.copy(tiny_detector_file, folder / f"{BUNDLED_MODELS['detector']}.onnx")
    shutil.copy(other_embedder_file, folder / "bundled-other.onnx")
    return folder


def test_the_store_is_in_the_home_of_facewise(store: Path, tmp_path: Path) -> None:
    assert store.is_relative_to(tmp_path / "home")


def test_by_name_by_path_and_by_default(filled: Path, tiny_embedder_file: Path) -> None:
    assert find_model("another-one", kind="embedder").path == filled / "another-one.onnx"
    assert find_model(None, kind="embedder").path == filled / f"{PUBLIC_MODELS['embedder']}.onnx"
    assert find_model(None, kind="detector").path == filled / f"{PUBLIC_MODELS['detector']}.onnx"
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


def test_a_name_that_is_not_there(filled: Path, package: Path) -> None:
    with pytest.raises(ModelError, match="did you mean 'another-one'"):
        find_model("another-on", kind="embedder")
    with pytest.raises(ModelError, match="did you mean 'bundled-other'"):
        find_model("bundled-othr", kind="embedder")
    with pytest.raises(ModelError, match="another-one, bundled-other, damaged, facewise-detect-s"):
        find_model("xyzzy", kind="embedder")


def test_an_empty_store_says_what_to_do(store: Path) -> None:
    for kind in KINDS:
        with pytest.raises(ModelError, match=f"No {kind} is installed.*{PUBLIC_MODELS[kind]}.*models import"):
            find_model(None, kind=kind)
    with pytest.raises(ModelError, match="none yet"):
        find_model("xyzzy", kind="embedder")
    assert installed_models() == []


def test_a_path_that_is_not_there(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no model file"):
        find_model(tmp_path / "gone.onnx", kind="embedder")
    with pytest.raises(ModelError, match="There is no model file"):
        find_model(f"some{os.sep}folder", kind="embedder")


def test_all_that_is_installed_the_good_and_the_bad(filled: Path) -> None:
    listed = installed_models()
    assert [found.path.name for found in listed] == sorted(path.name for path in filled.glob("*.onnx"))
    assert {found.place for found in listed} == {"store"}
    for found in listed:
        if found.path.stem == "damaged":
            with pytest.raises(ModelError, match="damaged"):
                found.read()
        else:
            assert found.read().path == found.path


# Bundled models


def test_bundled_models_are_the_default_in_an_empty_store(package: Path) -> None:
    for kind in KINDS:
        assert default_name(kind) == BUNDLED_MODELS[kind]
        assert find_model(None, kind=kind).path == package / f"{BUNDLED_MODELS[kind]}.onnx"
    assert find_model("bundled-other", kind="embedder").path == package / "bundled-other.onnx"


def test_bundled_models_are_the_default_beside_public_ones(filled: Path, package: Path) -> None:
    for kind in KINDS:
        assert find_model(None, kind=kind).path == package / f"{BUNDLED_MODELS[kind]}.onnx"
        assert find_model(PUBLIC_MODELS[kind], kind=kind).path == filled / f"{PUBLIC_MODELS[kind]}.onnx"


def test_one_kind_alone_may_be_bundled(filled: Path, package: Path) -> None:
    (package / f"{BUNDLED_MODELS['detector']}.onnx").unlink()
    assert find_model(None, kind="detector").path == filled / f"{PUBLIC_MODELS['detector']}.onnx"
    assert find_model(None, kind="embedder").path.parent == package


def test_the_users_own_model_of_a_bundled_name_is_the_one_used(
    filled: Path, package: Path, tiny_embedder_file: Path
) -> None:
    name = BUNDLED_MODELS["embedder"]
    shutil.copy(tiny_embedder_file, filled / f"{name}.onnx")
    for asked in (None, name):
        assert find_model(asked, kind="embedder").path == filled / f"{name}.onnx"
    places = {(found.path.stem, found.place) for found in installed_models()}
    assert {(name, "store"), (name, "replaced"), (BUNDLED_MODELS["detector"], "bundled")} <= places
    assert ("bundled-other", "bundled") in places


def test_a_calibration_of_a_bundled_model_goes_into_the_store(filled: Path, package: Path) -> None:
    model = find_model(None, kind="embedder")
    before = model.path.read_bytes()
    points = (Threshold(0.01, 0.5, 0.01, 0.2, (0.1, 0.3)),)
    calibration = Calibration("drawings", "by hand", "0" * 64, 9, 9, False, "d", "0" * 64, points)
    saved = save_calibration(model, calibration)
    assert model.path.read_bytes() == before
    assert saved.path == filled / model.path.name
    assert saved.fingerprint == model.fingerprint
    assert find_model(None, kind="embedder").card.calibration == calibration
    other = read_model(filled / "another-one.onnx")
    assert save_calibration(other, calibration).path == other.path


def test_the_recognizer_runs_on_bundled_models_alone(package: Path, drawn_photo) -> None:
    from facewise.recognizer import Recognizer

    recognizer = Recognizer()
    photo = drawn_photo([(150, 120, 64)])
    assert len(recognizer.detect(photo)) == 1
    assert recognizer.verify(photo, photo, threshold=0.9).same
    assert Recognizer(model="bundled-other").embed(photo).shape == (32,)
