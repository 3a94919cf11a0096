"""Runs on drawn people, each in a folder and a home of its own."""

from __future__ import annotations

import pytest
from drawn_people import DrawnPeople

from facewise.training.curves import draw_curves


@pytest.fixture
def drawn():
    return DrawnPeople


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    # A third of the time of a run this small; `curves` is for the tests that look at them.
    monkeypatch.setattr("facewise.training.run.draw_curves", lambda *_: None)


@pytest.fixture
def curves(_home, monkeypatch):
    """Learning curves are drawn."""
    monkeypatch.setattr("facewise.training.run.draw_curves", draw_curves)
