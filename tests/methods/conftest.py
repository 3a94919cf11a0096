"""Comparisons on drawn people, each in a folder and a home of its own."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    # A run's own picture, tested elsewhere, takes longer than training it here.
    monkeypatch.setattr("facewise.training.run.draw_curves", lambda *_: None)
