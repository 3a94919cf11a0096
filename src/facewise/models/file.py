"""The model file: one `.onnx` whose metadata says all that is needed to use it, and where it comes from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from facewise.errors import ModelError
from facewise.files import write_bytes
from facewise.models.attributes import AttributeRule
from facewise.models.calibration import Calibration
from facewise.models.liveness import LivenessCalibration
from facewise.models.onnxmeta import metadata, network_hash, replace_metadata
from facewise.models.trained_on import TrainedOn
from facewise.preprocess import Preprocess

METADATA_KEY = "facewise"
TRAINED_ON_KEY = "facewise.trained_on"
"""Apart from the rest, which people read: a list of hashes may be megabytes."""
FORMAT = 1
KINDS = ("embedder", "detector", "attributes", "liveness", "landmarker")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What the metadata of a model file says.

    Attributes:
        kind: One of `KINDS`.
        name: Its name in the model store: lower-case letters, digits, `.`, `_` and `-`.
        version: Of the weights.
        licence: SPDX name or words.
        source: Where the weights come from.
        preprocess: Pixels to network input.
        embedding_size: D of an embedder, None for others.
        decoder: For a detector, `{"name": …}` and the options its decoder needs. For a liveness network
            `{"name": "classes", "live": i}`, which of the probabilities it gives is that of a live face, and
            `"with": [name, …]` where its answer is averaged with those of other models. For a landmarker
            `{"name": "mediapipe-face", …}` and what its numbers are. None for an embedder.
        training: What is known of the training (recipe, git hash, data hash), free-form.
        calibration: Measured thresholds, or None.
        trained_on: The photos and people it was trained on, as hashes; None where that is not recorded.
        attributes: For a model of kind `"attributes"`, what its outputs say; else None.
        liveness: The measured threshold of a liveness network, or None.
    """

    kind: str
    name: str
    version: str
    licence: str
    source: str
    preprocess: Preprocess
    embedding_size: int | None = None
    decoder: Mapping[str, Any] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None
    trained_on: TrainedOn | None = None
    attributes: AttributeRule | None = None
    liveness: LivenessCalibration | None = None

    def to_json(self) -> str:
        """The JSON written under the `facewise` key, keys sorted; `trained_on` has a key of its own."""
        return json.dumps(
            {
                "format": FORMAT,
                "kind": self.kind,
                "name": self.name,
                "version": self.version,
                "licence": self.licence,
                "source": self.source,
                "preprocess": self.preprocess.to_dict(),
                "embedding_size": self.embedding_size,
                "decoder": None if self.decoder is None else dict(self.decoder),
                "training": dict(self.training),
                "calibration": None if self.calibration is None else self.calibration.to_dict(),
                **({} if self.attributes is None else {"attributes": self.attributes.to_dict()}),
                **({} if self.liveness is None else {"liveness": self.liveness.to_dict()}),
            },
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read the JSON of a model file.

        Raises:
            ModelError: It is not JSON, of a newer format, or a field is missing or malformed.
        """
        try:
            data = json.loads(text)
            if int(data["format"]) > FORMAT:
                raise ModelError("This model file was written by a newer Facewise; please upgrade Facewise.")
            calibration, decoder = data.get("calibration"), data.get("decoder")
            attributes = data.get("attributes")
            liveness = data.get("liveness")
            card = cls(
                kind=str(data["kind"]),
                name=str(data["name"]),
                version=str(data["version"]),
                licence=str(data["licence"]),
                source=str(data["source"]),
                preprocess=Preprocess.from_dict(data["preprocess"]),
                embedding_size=None if data.get("embedding_size") is None else int(data["embedding_size"]),
                decoder=None if decoder is None else dict(decoder),
                training=dict(data.get("training") or {}),
                calibration=None if calibration is None else Calibration.from_dict(calibration),
                attributes=None if attributes is None else AttributeRule.from_dict(attributes),
                liveness=None if liveness is None else LivenessCalibration.from_dict(liveness),
            )
        # Overflow: a number such as Infinity where an integer belongs. Recursion: brackets within brackets.
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ModelError(f"The model file's metadata is incomplete or malformed ({error}).") from error
        if card.kind not in KINDS:
            raise ModelError(f"The model file is of an unknown kind, {card.kind!r}.")
        if card.kind == "detector" and (card.decoder is None or "name" not in card.decoder):
            raise ModelError("The model file is a detector, but does not say how to decode its outputs.")
        if card.kind == "landmarker" and (card.decoder or {}).get("name") != "mediapipe-face":
            raise ModelError("The model file is a landmarker, but does not say which points it gives.")
        if card.kind == "attributes" and card.attributes is None:
            raise ModelError("The model file is one of attributes, but does not say what its outputs are.")
        if card.kind == "liveness" and not _tells_live(card):
            raise ModelError("The model file is of liveness, but does not say which output means live.")
        return card


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file on disk.

    Attributes:
        path: Where it is.
        card: Its metadata.
        sha256: Of the whole file (hex): is this the file that was published?
        fingerprint: sha256 (hex) over the network and what shapes its input and output (kind, preprocess,
            decoder, embedding size): do two embeddings come from the same model? Writing a calibration or a
            licence into the file changes `sha256`, but no embedding, so not the fingerprint.
        network: The ONNX bytes, ready for ONNX Runtime.
    """

    path: Path
    card: ModelCard
    sha256: str
    fingerprint: str
    network: bytes = field(repr=False)


def read_model(path: str | os.PathLike[str], *, kind: str | None = None) -> ModelFile:
    """Read a model file.

    Args:
        path: The `.onnx`.
        kind: Refuse a model that is not of this kind.

    Raises:
        ModelError: Missing, unreadable, no ONNX file, no Facewise metadata, or of another kind.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"There is no model file {path}.") from error
    except OSError as error:
        raise ModelError(f"Cannot read the model file {path}: {error.strerror}.") from error
    try:
        pairs = metadata(data)
        card = ModelCard.from_json(_require(pairs))
        if TRAINED_ON_KEY in pairs:
            card = replace(card, trained_on=TrainedOn.from_text(pairs[TRAINED_ON_KEY]))
    except ModelError as error:
        raise ModelError(f"{path} is not a Facewise model file: {error}") from error
    if kind is not None and card.kind != kind:
        raise ModelError(f"{path} is a model of kind {card.kind!r}, but a {kind!r} is needed here.")
    return ModelFile(path, card, hashlib.sha256(data).hexdigest(), _fingerprint(data, card), data)


def write_model(path: str | os.PathLike[str], network: bytes, card: ModelCard) -> ModelFile:
    """Write an ONNX network with its metadata as a model file, atomically.

    Args:
        path: Where to.
        network: Bytes of an ONNX file; metadata it has under other keys is kept.
        card: What to say of it.

    Raises:
        ModelError: The bytes are no ONNX file.
        FacewiseError: The file cannot be written.
    """
    pairs = metadata(network) | {METADATA_KEY: card.to_json()}
    pairs.pop(TRAINED_ON_KEY, None)
    if card.trained_on is not None:
        pairs[TRAINED_ON_KEY] = card.trained_on.to_text()
    write_bytes(path, replace_metadata(network, pairs))
    return read_model(path)


def save_calibration(model: ModelFile, calibration: Calibration) -> ModelFile:
    """Write a calibration into a model file, in place and atomically; the fingerprint stays.

    Raises:
        FacewiseError: The file cannot be written.
    """
    return write_model(model.path, model.network, replace(model.card, calibration=calibration))


def save_trained_on(model: ModelFile, trained_on: TrainedOn | None) -> ModelFile:
    """Write into a model file what it was trained on, in place and atomically; the fingerprint stays.

    Raises:
        FacewiseError: The file cannot be written.
    """
    return write_model(model.path, model.network, replace(model.card, trained_on=trained_on))


def _tells_live(card: ModelCard) -> bool:
    told = card.decoder or {}
    live, others = told.get("live"), told.get("with", [])
    named = isinstance(others, list) and all(isinstance(name, str) for name in others)
    return told.get("name") == "classes" and type(live) is int and live >= 0 and named


def _require(pairs: Mapping[str, str]) -> str:
    if METADATA_KEY not in pairs:
        raise ModelError("it has no Facewise metadata; bring it in with `facewise models import`.")
    return pairs[METADATA_KEY]


def _fingerprint(data: bytes, card: ModelCard) -> str:
    shaping = {
        "kind": card.kind,
        "preprocess": card.preprocess.to_dict(),
        "decoder": None if card.decoder is None else dict(card.decoder),
        "embedding_size": card.embedding_size,
    }
    text = network_hash(data) + json.dumps(shaping, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
