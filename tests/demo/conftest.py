"""A home and a package without models, an empty folder to work in, and photos the tiny models know."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import PIL.Image
import pytest

from facewise.demo import run as module
from facewise.models import bundled
from facewise.models.home import make, models_folder
from facewise.models.store import PUBLIC_MODELS


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    """A home and a package without models, and an empty folder to work in."""
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(bundled, "FOLDER", tmp_path / "package")
    monkeypatch.delenv("FACEWISE_TEST_DATA", raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def no_pictures(monkeypatch):
    """A run's own pictures take longer than training it here."""
    monkeypatch.setattr("facewise.training.run.draw_curves", lambda *_: None)


@pytest.fixture
def base_install(monkeypatch):
    """Without the train extra."""
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "torch" else find_spec(name))


@pytest.fixture
def photos(drawn_photo):
    """`photos(people, of_each)`: a folder of people in colours, as the tiny models know them."""

    def make(people, of_each, folder="photos"):
        for person in range(people):
            for k in range(of_each):
                path = Path(folder, f"P_{person:02d}", f"{k}.png")
                path.parent.mkdir(parents=True, exist_ok=True)
                face = (150 + 3 * k, 110 - 2 * k, 70 + 2 * k, person)
                PIL.Image.fromarray(drawn_photo([face])).save(path)
        return Path(folder)

    return make


@pytest.fixture
def tiny_models(tiny_detector_file, tiny_embedder_file):
    """The tiny models as the default ones."""
    shutil.copy(tiny_detector_file, make(models_folder()) / f"{PUBLIC_MODELS['detector']}.onnx")
    shutil.copy(tiny_embedder_file, make(models_folder()) / f"{PUBLIC_MODELS['embedder']}.onnx")
