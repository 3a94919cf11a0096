"""`facewise data synth`."""

from __future__ import annotations

import json
from pathlib import Path


def test_synth_draws_people_and_says_so(facewise):
    told = facewise("data", "synth", "--out", "drawn", "--people", 2, "--photos", 3, "--size", 32).out
    assert "6 photos of 2 people in drawn" in told
    rows = [json.loads(line) for line in Path("drawn/truth.jsonl").read_text().splitlines()]
    assert len(rows) == 6
    assert all((Path("drawn") / row["path"]).is_file() for row in rows)


def test_synth_tells_machines_and_keeps_what_is_there(facewise):
    words = ("data", "synth", "--out", "drawn", "--people", 1, "--photos", 2, "--size", 32, "--json")
    first, second = facewise(*words).json, facewise(*words).json
    assert (first["people"], first["photos"], first["kept"], first["seed"]) == (1, 2, 0, 0)
    assert second["kept"] == 2


def test_synth_refuses_what_cannot_be(facewise):
    assert "number of people" in facewise("data", "synth", "--out", "new", "--people", 0, code=3).err
    assert not Path("new").exists()
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine")
    done = facewise("data", "synth", "--out", "mine", "--json", code=3)
    assert "already holds something else" in done.json["error"]
    facewise("data", "synth", code=2)
