"""facewise.cdx.json: a sound CycloneDX document of this source tree, and in the wheel."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib

from facewise import __version__
from facewise.models import read_model
from facewise.models.bundled import FOLDER, provenance
from scripts import sbom
from scripts.pin import NAME, ROOT, pins

BILL = json.loads(sbom.FILE.read_text(encoding="utf-8"))
LIBRARIES = [part for part in BILL["components"] if part["type"] == "library"]
MODELS = {part["name"]: part for part in BILL["components"] if part["type"] == "machine-learning-model"}


def test_it_is_that_of_this_tree():
    assert sbom.FILE.read_text(encoding="utf-8") == sbom.text(), "run `python -m scripts.sbom`"


def test_it_is_cyclonedx():
    assert (BILL["bomFormat"], BILL["specVersion"], BILL["version"]) == ("CycloneDX", "1.6", 1)
    own = BILL["metadata"]["component"]
    assert (own["name"], own["version"]) == ("facewise", __version__)
    refs = [own["bom-ref"], *(part["bom-ref"] for part in BILL["components"])]
    assert len(refs) == len(set(refs))
    assert {part["scope"] for part in BILL["components"]} == {"required", "optional"}
    edges = {edge["ref"]: edge["dependsOn"] for edge in BILL["dependencies"]}
    assert set(edges) | {ref for on in edges.values() for ref in on} == set(refs)


def test_every_part_is_reached_from_facewise():
    edges = {edge["ref"]: edge["dependsOn"] for edge in BILL["dependencies"]}
    seen, waiting = set(), [BILL["metadata"]["component"]["bom-ref"]]
    while waiting:
        ref = waiting.pop()
        if ref not in seen:
            seen.add(ref)
            waiting += edges.get(ref, [])
    assert seen >= {part["bom-ref"] for part in BILL["components"]}


def test_packages_are_those_that_are_pinned():
    pinned = {(pin.name, pin.version) for pin in pins((ROOT / NAME).read_text(encoding="utf-8"))}
    assert {(part["name"], part["version"]) for part in LIBRARIES} == pinned
    assert all(part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}" for part in LIBRARIES)
    scopes = {part["name"]: part["scope"] for part in LIBRARIES}
    assert (scopes["numpy"], scopes["protobuf"], scopes["fastapi"], scopes["starlette"]) == (
        "required", "required", "optional", "optional",
    )  # fmt: skip


def test_models_are_the_files_of_the_package():
    files = [path for path in FOLDER.iterdir() if path.suffix in (".onnx", ".safetensors")]
    assert set(MODELS) == {path.name for path in files}
    for path in files:
        part = MODELS[path.name]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert part["hashes"] == [{"alg": "SHA-256", "content": digest}]
        card = read_model(path.with_suffix(".onnx")).card
        assert part["licenses"] == [{"license": {"name": card.licence}}]
        names = [data["name"] for data in part["modelCard"]["modelParameters"]["datasets"]]
        assert names == [data["name"] for data in provenance(digest)["learned_from"]]
        assert any(told["name"] == "facewise:taught-by" for told in part["properties"])


def test_provenance_is_what_the_cards_say():
    for path in FOLDER.glob("*.onnx"):
        page = (ROOT / "docs" / "models" / f"{path.stem}.md").read_text(encoding="utf-8")
        terms = re.search(r"## Learned from, and the terms\n(.*?)\n## ", page, re.DOTALL)[1]
        said = " ".join(terms.replace("*", "").split())
        origin = provenance(read_model(path).sha256)
        for data in origin["learned_from"]:
            assert data["name"] in said
            assert "photos" not in data or f"{data['photos']:,} |" in said
        for teacher in origin["taught_by"]:
            assert all(teacher[key] in said for key in ("name", "source", "licence", "trained_on"))


def test_it_goes_into_the_wheel():
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"][
        "targets"
    ]
    assert targets["wheel"]["sbom-files"] == [sbom.FILE.name]
    assert {sbom.FILE.name, NAME} <= set(targets["sdist"]["include"])
