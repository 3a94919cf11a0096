"""From a downloaded ONNX file to a model file in the store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facewise.errors import ModelError
from facewise.models.download import Progress, download
from facewise.models.file import ModelCard, ModelFile, write_model
from facewise.models.home import home, make, models_folder
from facewise.models.zoo import ZooEntry
from facewise.preprocess import Preprocess


def install(entry: ZooEntry, *, progress: Progress | None = None) -> tuple[list[ModelFile], list[str]]:
    """Download a model of the zoo and put what this Facewise can run into the store.

    Args:
        entry: From `facewise.models.zoo.find`.
        progress: Told of the bytes as they come.

    Returns:
        The model files now in the store, and a sentence for each downloaded model that cannot be run yet.

    Raises:
        ModelError: It cannot be had, or nothing of it can be run.
    """
    if not entry.usable and not entry.members:
        raise ModelError(f"{entry.name} is of no use yet, so it was not downloaded: {entry.reason}")
    path = download(entry, make(home() / "downloads"), progress=progress)
    if not entry.members:
        return [_store(path, entry, entry.name, entry.kind, entry.facewise)], []
    models, left = [], []
    for member in entry.members:
        if member.usable:
            name = f"{entry.name}-{Path(member.file).stem}"
            models.append(_store(path / member.file, entry, name, member.kind, member.facewise))
        else:
            left.append(f"{member.file} was downloaded, but cannot be run yet: {member.reason}")
    return models, left


def _store(path: Path, entry: ZooEntry, name: str, kind: str, facts: Mapping[str, Any] | None) -> ModelFile:
    if facts is None:
        raise ModelError(f"The zoo does not say how to run {name}.")
    network = path.read_bytes()
    card = ModelCard(
        kind=kind,
        name=name,
        version="1",
        licence=entry.licence,
        source=entry.source,
        preprocess=Preprocess.from_dict(facts["preprocess"]),
        embedding_size=facts.get("embedding_size"),
        decoder=facts.get("decoder"),
        training={
            "download_sha256": hashlib.sha256(network).hexdigest(),
            "published": "; ".join(f"{a.metric} {a.value:g}%" for a in entry.accuracy),
        },
    )
    return write_model(make(models_folder()) / f"{name}.onnx", network, card)
