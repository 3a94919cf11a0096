"""What the tests of the command line share: a store with tiny models, drawn photos, a way to run commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import typer
from typer.testing import CliRunner

from facewise.models import Calibration, read_model, write_model
from facewise.models.bundled import BUNDLED_MODELS
from facewise.models.calibration import Threshold
from facewise.models.store import PUBLIC_MODELS

FACEWISE = str(Path(sys.executable).with_name("facewise"))
POINTS = ((0.1, 0.6), (0.01, 0.7), (0.001, 0.8))
"""False match rate and threshold of the calibrated tiny embedder, made up."""


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def complaints(self) -> list[str]:
        """Lines of stderr that say what is wrong."""
        return [line for line in self.err.splitlines() if line.startswith("facewise: ")]


@pytest.fixture(scope="session")
def store(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_detector_file: Path,
    tiny_embedder_file: Path,
    other_embedder_file: Path,
    plain_attributes_file: Path,
) -> Path:
    """A home whose default models are the tiny ones, beside a `calibrated` and an `other` embedder."""
    home = tmp_path_factory.mktemp("cli-home")
    models = home / "models"
    models.mkdir()
    # A name is looked up in the store first, so these are the default whether or not the package has models.
    for names in (BUNDLED_MODELS, PUBLIC_MODELS):
        shutil.copy(tiny_detector_file, models / f"{names['detector']}.onnx")
        shutil.copy(tiny_embedder_file, models / f"{names['embedder']}.onnx")
    shutil.copy(plain_attributes_file, models / f"{BUNDLED_MODELS['attributes']}.onnx")
    shutil.copy(other_embedder_file, models / "other.onnx")
    detector, embedder = read_model(tiny_detector_file), read_model(tiny_embedder_file)
    calibration = Calibration(
        "drawings", "by hand", "0" * 64, 100, 1000, False, detector.card.name, detector.fingerprint,
        tuple(Threshold(fmr, threshold, fmr, 0.0, (0.0, 0.1)) for fmr, threshold in POINTS),
    )  # fmt: skip
    card = replace(embedder.card, name="calibrated", calibration=calibration)
    write_model(models / "calibrated.onnx", embedder.network, card)
    return home


@pytest.fixture(autouse=True)
def place(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test works in an empty folder of its own, on the tiny models."""
    monkeypatch.setenv("FACEWISE_HOME", str(store))
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("FACEWISE_TEST_DATA", raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture(scope="session")
def all_commands() -> object:
    """All commands, put together once: Typer would do it again for each call, which is half its time."""
    from facewise.cli.app import app

    return typer.main.get_command(app)


@pytest.fixture
def facewise(all_commands: object, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """`facewise("detect", path, …, code=0)`: runs a command here and checks its exit code."""
    from facewise.cli.app import app

    monkeypatch.setattr("typer.testing._get_command", lambda _: all_commands)

    def run(*words: object, code: int = 0) -> Done:
        result = CliRunner().invoke(app, [str(word) for word in words])
        if not isinstance(result.exception, SystemExit | None):
            raise result.exception
        assert result.exit_code == code, (result.stdout, result.stderr)
        return Done(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def process(store: Path) -> Callable[..., Done]:
    """`process("detect", path, …)`: runs the command as users do, in a process of its own."""

    def run(*words: object, **environment: str) -> Done:
        done = subprocess.run(
            [FACEWISE, *map(str, words)], env=os.environ | environment, capture_output=True, check=False
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def photo(drawn_photo: Callable[..., np.ndarray]) -> Callable[..., Path]:
    """`photo("a.png", (x, y, diameter, person), …)`: a file with these faces drawn in it."""

    def make(name: str, *faces: tuple[float, ...]) -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(drawn_photo(faces)).save(path)
        return path

    return make
