"""The classifier file: an ONNX network on embeddings whose metadata says who its people are.

It may come from anybody: see `facewise.classify.graph` for what is refused, and why reading one cannot run
code, open another file or take more memory than the file's own size and a bounded block.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from facewise.classify.algebra import Algebra
from facewise.classify.graph import read_graph
from facewise.errors import FacewiseError, ModelError
from facewise.files import atomic_write
from facewise.models.file import METADATA_KEY, TRAINED_ON_KEY
from facewise.models.onnxmeta import replace_metadata
from facewise.models.trained_on import TrainedOn
from facewise.types import FloatArray

KIND = "classifier"
FORMAT = 1
METHODS = ("svc", "knn", "lda", "logistic", "head")
"""How it was made; `head` is the last layer of a fine-tuned network."""

MOST_BYTES = 256 << 20
"""Of a classifier file; that of 300 people with 30 photos each has 15 MB."""

INPUT, PROBABILITIES, SIMILARITIES = "embeddings", "probabilities", "similarities"
"""Names in the network: what it takes, what it gives, and what it may give besides."""

_SUM = 1e-3
"""How far the probabilities of a face may be from summing to 1 in float32."""


@dataclass(frozen=True, slots=True)
class UnknownRule:
    """When somebody is none of the people.

    Attributes:
        by: `"similarity"`: the network's `similarities` of the person it finds likeliest, a cosine; or
            `"probability"`: that person's probability.
        threshold: Below it a face is unknown.
        source: Where the threshold comes from, for people.
        numbers: What was measured with it: rates, counts.
    """

    by: str
    threshold: float
    source: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClassifierCard:
    """What the metadata of a classifier file says.

    Attributes:
        method: One of `METHODS`.
        people: (C,) names, in the order of the network's columns; each once.
        model: Name of the embedder.
        model_fingerprint: Which embedder's embeddings it takes, see `ModelFile.fingerprint`.
        embedding_size: D.
        features: `"unit"`: embeddings as `Embedder.embed` gives them; `"raw"`: as `Embedder.features`.
        unknown: When somebody is none of the people; None names everybody.
        settings: What was chosen, free-form.
        training: What it was fitted on and how, free-form.
        results: What was measured on held-out photos, free-form.
        flip: Whether embeddings were averaged with those of the mirrored crop.
        trained_on: Its photos and people, as hashes.
    """

    method: str
    people: tuple[str, ...]
    model: str
    model_fingerprint: str
    embedding_size: int
    features: str = "unit"
    unknown: UnknownRule | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    flip: bool = False
    trained_on: TrainedOn | None = None

    def to_json(self) -> str:
        """The JSON written under the `facewise` key; `trained_on` has a key of its own."""
        data = asdict(replace(self, trained_on=None)) | {"format": FORMAT, "kind": KIND}
        del data["trained_on"]
        return json.dumps(data, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> ClassifierCard:
        """Read the JSON of a classifier file.

        Raises:
            ModelError: It is not JSON, of a newer format or another kind, or a field is missing or malformed.
        """
        try:
            data = json.loads(text)
            if data.get("kind") != KIND:
                raise ModelError(f"it is of the kind {str(data.get('kind'))[:40]!r}, not a classifier.")
            if int(data["format"]) > FORMAT:
                raise ModelError("it was written by a newer Facewise; please upgrade Facewise.")
            unknown = data.get("unknown")
            card = cls(
                method=str(data["method"]),
                people=tuple(str(name) for name in data["people"]),
                model=str(data["model"]),
                model_fingerprint=str(data["model_fingerprint"]),
                embedding_size=int(data["embedding_size"]),
                features=str(data["features"]),
                unknown=None if unknown is None else _unknown(unknown),
                settings=dict(data.get("settings") or {}),
                training=dict(data.get("training") or {}),
                results=dict(data.get("results") or {}),
                flip=bool(data.get("flip", False)),
            )
        # Overflow: a number such as Infinity where an integer belongs. Recursion: brackets within brackets.
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ModelError(f"its metadata is incomplete or malformed ({error}).") from error
        _check(card)
        return card


@dataclass(frozen=True, slots=True, eq=False)
class ClassifierFile:
    """A classifier file on disk, checked.

    Attributes:
        path: Where it is.
        card: Its metadata.
        sha256: Of the whole file (hex).
        algebra: What it computes.
    """

    path: Path
    card: ClassifierCard
    sha256: str
    algebra: Algebra = field(repr=False)


def read_classifier(path: str | os.PathLike[str]) -> ClassifierFile:
    """Read a classifier file, from wherever it comes.

    Raises:
        ModelError: It is missing, unreadable, too large, no classifier file, damaged, or holds anything
            that a classifier does not need, such as weights in other files or custom operators.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ModelError(f"{path} is larger than any classifier file ({MOST_BYTES >> 20} MB).")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"There is no classifier file {path}.") from error
    except OSError as error:
        raise ModelError(f"Cannot read the classifier file {path}: {error.strerror}.") from error
    try:
        card, algebra = _parse(data)
    except ModelError as error:
        raise ModelError(f"{path} is not a classifier file that can be used: {error}") from error
    return ClassifierFile(path, card, hashlib.sha256(data).hexdigest(), algebra)


def write_classifier(path: str | os.PathLike[str], network: bytes, card: ClassifierCard) -> ClassifierFile:
    """Write a network with its metadata as a classifier file, atomically, for the owner alone.

    It holds templates of people, or what comes close to them, so others on the machine may not read it.

    Args:
        path: Where to; ends in `.onnx`.
        network: Bytes of an ONNX file that takes `embeddings` float32 (N, D) and gives `probabilities`
            float32 (N, C), and may give `similarities` float32 (N, C); see `facewise.classify.build`.
        card: What to say of it.

    Raises:
        ModelError: It would be refused when it is read.
        FacewiseError: The file cannot be written.
    """
    check_name(path)
    _check(card)
    try:
        pairs = {METADATA_KEY: card.to_json()}
    except (TypeError, ValueError) as error:
        raise ModelError(f"What is to be said of the classifier is no JSON ({error}).") from error
    if card.trained_on is not None:
        pairs[TRAINED_ON_KEY] = card.trained_on.to_text()
    data = replace_metadata(network, pairs)
    try:
        _parse(data)
    except ModelError as error:
        raise ModelError(f"The classifier was not written: {error}") from error
    with atomic_write(path, private=True) as temporary:
        temporary.write_bytes(data)
    return read_classifier(path)


def check_name(path: str | os.PathLike[str]) -> None:
    """Refuse, before any work is done for it, a name that a classifier file cannot have.

    Raises:
        FacewiseError: It does not end in `.onnx`.
    """
    if Path(path).suffix != ".onnx":
        raise FacewiseError(f"A classifier file is an ONNX file: name it {Path(path).stem}.onnx, not {path}.")


def _parse(data: bytes) -> tuple[ClassifierCard, Algebra]:
    graph = read_graph(data)
    pairs = graph.metadata
    if METADATA_KEY not in pairs:
        raise ModelError("it has no Facewise metadata; make one with `facewise classify fit`.")
    card = ClassifierCard.from_json(pairs[METADATA_KEY])
    if TRAINED_ON_KEY in pairs:
        card = replace(card, trained_on=TrainedOn.from_text(pairs[TRAINED_ON_KEY]))
    algebra = Algebra(graph, card.embedding_size)
    _check_signature(card, algebra)
    return card, algebra


def _check_signature(card: ClassifierCard, algebra: Algebra) -> None:
    """One column a person, and numbers that are probabilities on vectors as faces have them."""
    wide = {name: shape.dims for name, shape in algebra.shapes.items()}
    if set(wide) - {SIMILARITIES} != {PROBABILITIES}:
        raise ModelError(f"its network gives {', '.join(wide)[:80]!r}, not {PROBABILITIES}.")
    if any(dims != (len(card.people),) for dims in wide.values()):
        raise ModelError(f"its network does not give one number for each of its {len(card.people)} people.")
    if card.unknown is not None and card.unknown.by == SIMILARITY and SIMILARITIES not in wide:
        raise ModelError("it tells strangers by similarities, but its network gives none.")
    noise = np.random.default_rng(0).standard_normal((4, card.embedding_size)).astype(np.float32)
    check_outputs(algebra.run(noise / np.linalg.norm(noise, axis=1, keepdims=True)))


SIMILARITY, PROBABILITY = "similarity", "probability"


def check_outputs(outputs: Mapping[str, FloatArray]) -> None:
    """That they are what they are called.

    Raises:
        ModelError: A number is not finite, or the probabilities of a face do not sum to 1.
    """
    found = outputs[PROBABILITIES]
    good = all(np.isfinite(values).all() for values in outputs.values())
    if (
        not good
        or found.min(initial=0) < 0
        or np.abs(found.sum(axis=1, dtype=np.float64) - 1).max(initial=0) > _SUM
    ):
        raise ModelError("its network gives numbers that are no probabilities.")


def _unknown(data: Mapping[str, Any]) -> UnknownRule:
    return UnknownRule(
        str(data["by"]), float(data["threshold"]), str(data["source"]), dict(data.get("numbers") or {})
    )


def _check(card: ClassifierCard) -> None:
    """What every card holds to."""
    if card.method not in METHODS:
        raise ModelError(f"its method {card.method[:40]!r} is unknown; there are {', '.join(METHODS)}.")
    if len(card.people) < 2 or len(set(card.people)) < len(card.people) or not all(card.people):
        raise ModelError("it must name two people or more, each once.")
    if card.features not in ("unit", "raw") or not 1 <= card.embedding_size <= 65536:
        raise ModelError("what embeddings it takes makes no sense.")
    texts = (card.model, "" if card.unknown is None else card.unknown.source)
    if any(unicodedata.category(c) == "Cc" for text in texts for c in text):
        raise ModelError("a text in it holds control characters.")
    rule = card.unknown
    if rule is not None and (rule.by not in (SIMILARITY, PROBABILITY) or not math.isfinite(rule.threshold)):
        raise ModelError("its rule for strangers makes no sense.")
