"""What a wheel of Facewise is made of, as CycloneDX 1.6: facewise.cdx.json, which it carries (PEP 770).

    python -m scripts.sbom             writes it
    python -m scripts.sbom --check     whether it is that of this source tree

Of the packages it has those that constraints-hashed.txt pins, of the models what their files and cards say.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from facewise import __version__
from facewise.models.bundled import FOLDER, provenance
from facewise.models.file import ModelCard, read_model
from scripts.pin import EXTRA, NAME, ROOT, Pin, needed, pins

FILE = ROOT / "facewise.cdx.json"

_OWN = f"pkg:pypi/facewise@{__version__}"


def bill() -> dict[str, Any]:
    """The whole document; the same for the same source tree, so without a date."""
    packages = pins((ROOT / NAME).read_text(encoding="utf-8"))
    models = [_model(path) for path in sorted(FOLDER.iterdir()) if path.suffix in (".onnx", ".safetensors")]
    own = {
        "type": "application",
        "bom-ref": _OWN,
        "name": "facewise",
        "version": __version__,
        "purl": _OWN,
        "licenses": [{"license": {"id": "MIT"}}],
    }
    wanted = {package.name for package in packages} & needed(EXTRA)
    edges = {_OWN: [_purl(p) for p in packages if p.name in wanted] + [model["bom-ref"] for model in models]}
    for package in packages:
        edges[_purl(package)] = [_purl(other) for other in packages if package.name in other.wanted_by]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": own},
        "components": _packages(packages) + models,
        "dependencies": [{"ref": ref, "dependsOn": sorted(on)} for ref, on in sorted(edges.items())],
    }


def _packages(packages: list[Pin]) -> list[dict[str, Any]]:
    """Those of the base install are required, those that only the service needs optional."""
    required = needed(None)
    while more := {p.name for p in packages if required & set(p.wanted_by)} - required:
        required |= more
    return [
        {
            "type": "library",
            "bom-ref": _purl(package),
            "name": package.name,
            "version": package.version,
            "scope": "required" if package.name in required else "optional",
            "purl": _purl(package),
        }
        for package in packages
    ]


def _model(path: Path) -> dict[str, Any]:
    """A file in the package's models; weights to go on from are those of the model file of the same name."""
    card = read_model(path.with_suffix(".onnx")).card
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    origin = provenance(digest)
    if origin is None:
        raise SystemExit(f"sbom: provenance.json does not know {path.name}, sha256 {digest}: write it in.")
    told = {
        "facewise:made": f"{card.source}, commit {card.training['git']}",
        "facewise:training-data-sha256": card.training["data_hash"],
    }
    properties = [{"name": name, "value": value} for name, value in told.items()]
    properties += [
        {"name": "facewise:taught-by", "value": _teacher(teacher)} for teacher in origin["taught_by"]
    ]
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{path.name}",
        "name": path.name,
        "version": card.version,
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "licenses": [{"license": {"name": card.licence}}],
        "modelCard": _card(card, origin),
        "properties": properties,
    }


def _card(card: ModelCard, origin: dict[str, Any]) -> dict[str, Any]:
    datasets = [
        {
            "type": "dataset",
            "name": entry["name"],
            "description": f"{entry['photos']} photos; {entry['terms']}"
            if "photos" in entry
            else entry["terms"],
        }
        for entry in origin["learned_from"]
    ]
    return {"modelParameters": {"task": f"face {card.kind}", "datasets": datasets}}


def _teacher(entry: dict[str, Any]) -> str:
    return f"{entry['name']} ({entry['source']}, {entry['licence']}), trained on {entry['trained_on']}"


def _purl(package: Pin) -> str:
    return f"pkg:pypi/{package.name}@{package.version}"


def text() -> str:
    """The file, as it is to be."""
    return json.dumps(bill(), indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write or check; returns the exit code."""
    parser = argparse.ArgumentParser(prog="sbom", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if not parser.parse_args().check:
        FILE.write_text(text(), encoding="utf-8", newline="\n")
    elif not FILE.is_file() or FILE.read_text(encoding="utf-8") != text():
        print(f"{FILE.name} is stale; `python -m scripts.sbom` writes it anew.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
