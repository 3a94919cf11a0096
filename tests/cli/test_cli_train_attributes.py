"""`facewise train DATA.csv --recipe attributes`: labelled photos to a model that can be measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from facewise.models.bundled import FOLDER

START = ("--from", FOLDER / "facewise-embed-s.safetensors")
"""The tests' store has another embedder of that name."""

SMALL = (*START, "epochs=0.5", "batch_size=16", "branches=[{attributes: [gender, emotion]}]")


@pytest.fixture
def listing(photo) -> Path:
    lines = ["path,gender,part"]
    for i in range(48):
        photo(f"{i}.png", (90, 80, 60, i))
        lines.append(f"{i}.png,{'male' if i % 2 else 'female'},{'val' if i % 12 > 6 else 'train'}")
    Path("faces.csv").write_text("\n".join([*lines, "x.png,man,train", "gone.png,male,train"]))
    return Path("faces.csv")


def test_a_csv_becomes_a_model(facewise, listing):
    done = facewise("train", listing, "--recipe", "attributes", "--out", "run", "--json", *SMALL).json
    assert done["held_out"].keys() == {"gender"}
    found = facewise(
        "eval", "attributes", listing, "--model", done["model"], "--part", "val", "--json", code=3
    ).json
    assert found["gender"]["faces"] == 20
    assert found["gender"]["accuracy"]["estimate"] == pytest.approx(done["held_out"]["gender"])
    again = facewise("train", "--resume", "run")
    assert "unknown gender 'man'" in again.err
    assert "gone.png" in again.err
    assert "28 faces to learn from, 20 to validate" in again.err
    taken = facewise("train", listing, "--recipe", "attributes", "--out", "run", code=3)
    assert "is there already" in taken.err


def test_what_cannot_be_trained(facewise, listing):
    assert "no labels" in facewise("train", _people(), "--recipe", "attributes", code=3).err
    wrong = facewise("train", listing, "--recipe", "attributes", "epoch=3", code=3).err
    assert "no setting epoch" in wrong
    ages = ("--out", "few", *START, "branches=[{attributes: [age]}]")
    few = facewise("train", listing, "--recipe", "attributes", *ages, code=3)
    assert "labelled with" in few.err


def _people() -> Path:
    Path("people.csv").write_text("path,person\n0.png,ann\n")
    return Path("people.csv")
