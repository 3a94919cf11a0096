"""Runs on drawn people, each in a folder and a home of its own."""

from __future__ import annotations

import pytest
from drawn_people import DrawnPeople


@pytest.fixture
def drawn():
    return DrawnPeople


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
