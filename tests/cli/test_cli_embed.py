"""`facewise embed` into a folder: its options together, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

A, B = (80, 100, 90, 0), (80, 100, 90, 1)


def test_shards_check_merge_and_gallery(facewise, photo):
    photo("in/ada/1.png", A)
    photo("in/ada/2.png", (90, 100, 90, 0))
    photo("in/bob/1.png", B)
    first = facewise(
        "embed", "in", "--out", "run", "--shards", 2, "--shard", 0, "--part-size", 1, "--json"
    ).json
    assert (first["parts_done"], first["manifest"]) == (2, None)
    assert "2 missing" not in facewise("embed", "--out", "run", "--check", code=3).out
    second = facewise("embed", "--out", "run", "--shards", 2, "--shard", 1, "--json").json
    assert second["manifest"]["faces"] == 3
    assert facewise("embed", "--out", "run", "--check", "--json").json["manifest"]["photos"] == 3
    facewise("embed", "--out", "run", "--merge", "all.npz")
    with np.load("all.npz") as rows:
        assert rows["photo"].tolist() == [
            str(Path(f"in/{n}").absolute()) for n in ("ada/1.png", "ada/2.png", "bob/1.png")
        ]
    done = facewise("embed", "--out", "run", "--into", "people.db", "--json").json
    assert (done["people"], done["added"]) == (2, 3)
    people = facewise("gallery", "list", "--gallery", "people.db", "--json").json
    assert "ada" in json.dumps(people)


def test_torchrun_environment(facewise, photo, monkeypatch):
    photo("in/1.png", A)
    photo("in/2.png", B)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = facewise("embed", "in", "--out", "run", "--part-size", 1, "--json").json
    assert (done["shard"], done["shards"], done["parts_done"], done["manifest"]) == (1, 2, 1, None)
    facewise("embed", "in", "--out", "rows.npz")  # one file has no shards, whoever launched it


def test_bad_photos_fail_a_run_alone_but_no_rank(facewise, photo):
    photo("in/1.png", A)
    Path("in/bad.png").write_text("no photo")
    assert "bad.png" in facewise("embed", "in", "--out", "run", code=3).err
    facewise("embed", "in", "--out", "run", "--shards", 2, "--shard", 0)
    assert "bad.png" in facewise("embed", "--out", "run", "--check", code=3).err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.png", "--out", "run", "--shard", 1], "both --shard and --shards"),
        (["a.png", "--out", "x.npz", "--shards", 2, "--shard", 0], "takes photos and no shards"),
        (["--out", "x.npz"], "takes photos"),
        (["a.png", "--out", "run", "--check"], "take no photos"),
        (["--out", "run", "--check", "--merge", "x.npz"], "one at a time"),
        (["--out", "run", "--merge", "x.zip"], "must name a .npz"),
        (["a.png", "--list", "l.txt", "--out", "run"], "not both"),
    ],
)
def test_wrong_usage(facewise, photo, words, said):
    photo("a.png", A)
    assert said in facewise("embed", *words, code=2).err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "run"], "name the photos"),
        (["--out", "run", "--check"], "not the folder of a sharded"),
        (["--out", "run", "--into", "g.db"], "not the folder of a sharded"),
        (["a.png", "--out", "run", "--shards", 2, "--shard", 2], "no shard 2"),
        (["--list", "none.txt", "--out", "run"], "Cannot read the list"),
    ],
)
def test_refusals(facewise, photo, words, said):
    photo("a.png", A)
    [complaint] = facewise("embed", *words, code=3).complaints
    assert said in complaint
