"""What was measured once is not measured again, on this machine and for the same thing."""

import json

import pytest

from facewise import choices
from facewise.models.home import cache_folder, make


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "home"))


def test_what_was_kept_is_found_for_the_same_thing_only():
    choices.remember("training", {"network": "mbf", "batch": 64}, {"precision": "fp32"})
    assert choices.recall("training", {"batch": 64, "network": "mbf"}) == {"precision": "fp32"}
    assert choices.recall("training", {"network": "mbf", "batch": 32}) is None
    assert choices.recall("inference", {"network": "mbf", "batch": 64}) is None


def test_another_processor_is_another_machine(monkeypatch):
    choices.remember("training", {}, {"precision": "bf16"})
    monkeypatch.setattr(choices, "facts", lambda: {"processor": "another"})
    assert choices.recall("training", {}) is None


def test_the_last_word_counts_and_the_oldest_goes(monkeypatch):
    monkeypatch.setattr(choices, "_MOST", 3)
    for i in range(4):
        choices.remember("kind", {"i": i}, {"value": i})
    choices.remember("kind", {"i": 1}, {"value": "again"})
    found = [choices.recall("kind", {"i": i}) for i in range(4)]
    assert found == [None, {"value": "again"}, {"value": 2}, {"value": 3}]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kind": 1}'])
def test_a_damaged_file_is_measured_anew(content):
    (make(cache_folder()) / "choices.json").write_text(content)
    assert choices.recall("kind", {}) is None
    choices.remember("kind", {}, {"value": 1})
    assert choices.recall("kind", {}) == {"value": 1}
    assert len(json.loads((cache_folder() / "choices.json").read_text())) >= 1


def test_a_home_that_cannot_be_made_stops_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "file" / "home"))
    choices.remember("kind", {}, {"value": 1})
    assert choices.recall("kind", {}) is None
