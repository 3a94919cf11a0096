"""The zoo manifest: every entry is complete, and a wrong one is told plainly."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from facewise.errors import ModelError
from facewise.models.zoo import ZooEntry, find, parse, zoo
from facewise.preprocess import Preprocess

TEXT = files("facewise.models").joinpath("zoo.json").read_text(encoding="utf-8")
PAGE = Path(__file__).parents[2] / "docs" / "models" / "zoo.md"


@pytest.mark.parametrize("entry", zoo().values(), ids=list(zoo()))
def test_every_entry_is_complete(entry: ZooEntry) -> None:
    for url in entry.urls:
        assert urlsplit(url).scheme == "https"
        assert urlsplit(url).hostname
    assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
    assert entry.size is None or entry.size > 0
    assert (entry.size is None) == (entry.size_source is None)
    assert entry.licence
    assert entry.licence_note
    assert entry.source.startswith("https://")
    assert "https://" in entry.hash_source
    assert entry.commercial in (True, False, "unclear")
    assert all(0 < number.value <= 100 and "https://" in number.source for number in entry.accuracy)
    assert entry.filename.endswith(".zip" if entry.kind == "pack" else ".onnx")


@pytest.mark.parametrize("entry", zoo().values(), ids=list(zoo()))
def test_every_model_says_how_it_is_used(entry: ZooEntry) -> None:
    for model in entry.members or (entry,):
        facts = model.facewise
        assert facts is not None
        preprocess = Preprocess.from_dict(facts["preprocess"])
        if model.kind == "embedder":
            assert preprocess.size == 112
            assert preprocess.alignment == "5-point"
            assert facts["embedding_size"] in (128, 512)
        else:
            assert preprocess.alignment == "none"
            assert facts["decoder"]["name"] in ("retinaface", "scrfd", "yunet")
            assert model.usable
            assert model.reason is None


def test_the_same_file_has_the_same_facts() -> None:
    models = [model for entry in zoo().values() for model in (entry.members or (entry,))]
    by_hash: dict[str | None, Any] = {}
    for model in models:
        facts = (model.kind, model.size, model.facewise)
        assert by_hash.setdefault(model.sha256, facts) == facts


def test_names_are_found_and_mistyped_ones_get_a_hint() -> None:
    assert find("buffalo_l").kind == "pack"
    with pytest.raises(ModelError, match=r"'bufalo_l': did you mean buffalo_l\?"):
        find("bufalo_l")
    with pytest.raises(ModelError, match="did you mean adaface_ir_101"):
        find("AdaFace-IR101")


def test_the_page_tells_the_same_facts() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for entry in zoo().values():
        assert f"`{entry.name}`" in page
        assert entry.sha256 in page
        assert entry.licence in page
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{entry.name}` |")]
        runs = row.split(" | ")[4]
        if entry.members:
            told = [f"{member.file}: {'yes' if member.usable else 'no'}" for member in entry.members]
            assert runs == "; ".join(told)
        else:
            assert runs == "yes" if entry.usable else f"no: {entry.reason}"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"urls": ["http://models.example/a.onnx"]}, "not https"),
        ({"urls": []}, "no url"),
        ({"sha256": "abc"}, "64 lower-case hex"),
        ({"size": 0}, "positive"),
        ({"size": True}, "positive"),
        ({"licence": ""}, "no licence"),
        ({"source": " "}, "no source"),
        ({"hash_source": ""}, "no hash_source"),
        ({"commercial": "maybe"}, "commercial"),
        ({"kind": "toy"}, "kind"),
        ({"kind": "pack"}, "members"),
        ({"name": "../up"}, "name"),
        ({"usable": False, "reason": None}, "no reason"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_entry_is_told_plainly(change: dict[str, Any], words: str) -> None:
    data = json.loads(TEXT)
    entry = next(fields for fields in data["entries"] if fields["name"] == "yunet_2023mar")
    data["entries"] = [{**entry, **change}]
    with pytest.raises(ModelError, match=words) as caught:
        parse(json.dumps(data))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"file": "../../a.onnx"}, "plain name"),
        ({"path": "../a.onnx"}, "leaves the zip"),
        ({"sha256": "abc"}, "sha256"),
        ({"kind": "pack"}, "kind"),
        ({"size": -1}, "positive"),
    ],
)
def test_a_wrong_member_is_told_plainly(change: dict[str, Any], words: str) -> None:
    data = json.loads(TEXT)
    entry = next(fields for fields in data["entries"] if fields["name"] == "buffalo_l")
    entry["members"][0].update(change)
    data["entries"] = [entry]
    with pytest.raises(ModelError, match=words):
        parse(json.dumps(data))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 99, "entries": []}', '{"format": 1, "entries": [3]}']
)
def test_a_wrong_manifest_is_told_plainly(text: str) -> None:
    with pytest.raises(ModelError, match="zoo manifest"):
        parse(text)


def test_two_entries_of_one_name_are_told() -> None:
    data = json.loads(TEXT)
    data["entries"] = data["entries"][:1] * 2
    with pytest.raises(ModelError, match="twice"):
        parse(json.dumps(data))
