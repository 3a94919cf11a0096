"""ONNX files of others to model files: recognised by their sha256, or by their inputs and outputs.

An ONNX file holds no preprocessing, so one that nobody knows by its sha256 says what it is but not what
pixels it wants: the user then names the family.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from facewise.errors import ModelError, SettingError, nearest_known
from facewise.models.families.insightface import LICENCE, PREPROCESS
from facewise.models.file import ModelCard, ModelFile, write_model
from facewise.models.zoo import ZooEntry, ZooMember, zoo
from facewise.preprocess import Preprocess

_SCRFD = ModelCard(
    kind="detector",
    name="scrfd",
    version="1",
    licence=LICENCE,
    source="deepinsight/insightface, model packs",
    preprocess=Preprocess(None, (127.5,) * 3, (128.0,) * 3, "RGB", "none"),
    decoder={"name": "scrfd", "strides": [8, 16, 32], "anchors": 2},
)
_YUNET = ModelCard(
    kind="detector",
    name="yunet",
    version="1",
    licence="MIT",
    source="opencv/opencv_zoo, face_detection_yunet",
    preprocess=Preprocess(None, (0.0,) * 3, (1.0,) * 3, "BGR", "none"),
    decoder={"name": "yunet", "strides": [8, 16, 32]},
)
_ARCFACE = ModelCard(
    kind="embedder",
    name="arcface-onnx",
    version="1",
    licence=LICENCE,
    source="deepinsight/insightface, model packs",
    preprocess=PREPROCESS,
    embedding_size=512,
)
_ADAFACE = replace(
    _ARCFACE,
    name="adaface-onnx",
    licence="MIT (the data's terms are for research only)",
    source="mk-minchul/AdaFace, exported by others",
    preprocess=replace(PREPROCESS, color="BGR"),
)

ONNX_FAMILIES: dict[str, ModelCard] = {card.name: card for card in (_ARCFACE, _ADAFACE, _SCRFD, _YUNET)}
"""ONNX files that can be imported without a known sha256, by the name of `--as`."""

_YUNET_OUTPUTS = {f"{what}_{stride}" for what in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)}


@dataclass(frozen=True, slots=True)
class _Signature:
    """What an ONNX file takes and gives; None is any length."""

    inputs: tuple[tuple[int | None, ...], ...]
    outputs: Mapping[str, tuple[int | None, ...]]


def import_onnx(
    path: Path, folder: str | os.PathLike[str], *, name: str | None = None, family: str | None = None
) -> tuple[ModelFile, bool]:
    """Turn an ONNX file into a model file; it is run once.

    Args:
        path: The file.
        folder: Where the model file goes, as NAME.onnx.
        name: Name of the model; None is that of the file.
        family: Of `ONNX_FAMILIES`, for a file that the zoo does not know by its sha256.

    Returns:
        The model file, and whether the zoo knows it.

    Raises:
        ModelError: Unreadable, not whole in itself, of no known kind, or it does not run.
        SettingError: No family is called so.
    """
    data = _read(path)
    digest = hashlib.sha256(data).hexdigest()
    signature = _signature(path, data)
    known = _known(digest)
    card = known or _named(path, signature, family)
    card = _checked(path, signature, card)
    card = replace(
        card,
        name=name or path.stem.lower(),
        training={**card.training, "file": path.name, "file_sha256": digest},
    )
    _run_once(path, data, card)
    return write_model(Path(folder) / f"{card.name}.onnx", data, card), known is not None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"There is no file {path}.") from error
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror}.") from error


def _signature(path: Path, data: bytes) -> _Signature:
    try:
        model = onnx.load_model_from_string(data)
    # protobuf raises DecodeError, which onnx does not name.
    except Exception as error:
        raise ModelError(f"{path} is no ONNX file, or a damaged one.") from error
    if any(_elsewhere(tensor) for tensor in _tensors(model.graph)):
        raise ModelError(f"{path} keeps weights in other files; import one that is whole in itself.")
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if not inputs or not model.graph.output:
        raise ModelError(f"{path} has no input or no output, so it is no network.")
    return _Signature(
        tuple(_dims(value) for value in inputs), {value.name: _dims(value) for value in model.graph.output}
    )


def _tensors(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    """All constants of a graph, those in nodes and in graphs within them too."""
    found = [*graph.initializer]
    for sparse in graph.sparse_initializer:
        found += [sparse.values, sparse.indices]
    for node in graph.node:
        for attribute in node.attribute:
            found += [attribute.t, *attribute.tensors]
            for inner in (attribute.g, *attribute.graphs):
                if inner.ByteSize():
                    found += _tensors(inner)
    return found


def _elsewhere(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL or len(tensor.external_data))


def _dims(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    shape = value.type.tensor_type.shape
    return tuple(d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in shape.dim)


def _known(digest: str) -> ModelCard | None:
    """What the zoo says of a file with this sha256."""
    for entry in zoo().values():
        parts: tuple[ZooEntry | ZooMember, ...] = (entry, *entry.members)
        for part in parts:
            if part.sha256 == digest and part.facewise is not None:
                return ModelCard(
                    kind=part.kind,
                    name=entry.name,
                    version="1",
                    licence=entry.licence,
                    source=entry.source,
                    preprocess=Preprocess.from_dict(part.facewise["preprocess"]),
                    embedding_size=part.facewise.get("embedding_size"),
                    decoder=part.facewise.get("decoder"),
                    training={"published": "; ".join(f"{a.metric} {a.value:g}%" for a in entry.accuracy)},
                )
    return None


def _named(path: Path, signature: _Signature, family: str | None) -> ModelCard:
    """By its outputs, or as the user says."""
    if family is not None:
        if family not in ONNX_FAMILIES:
            raise SettingError(
                f"There is no family {family!r} of ONNX files{nearest_known(family, ONNX_FAMILIES)}"
            )
        return ONNX_FAMILIES[family]
    if len(signature.outputs) == 9:
        return _SCRFD
    if set(signature.outputs) == _YUNET_OUTPUTS:
        return _YUNET
    if len(signature.outputs) == 1 and _is_embedder(signature):
        raise ModelError(
            f"{path} is an embedder, but none Facewise knows by its sha256, and does not tell which pixels "
            "it wants: say `--as arcface-onnx` (InsightFace's, RGB) or `--as adaface-onnx` (BGR)."
        )
    raise ModelError(
        f"{path} is no ONNX file this Facewise can import: it has {len(signature.outputs)} outputs "
        f"({', '.join(list(signature.outputs)[:4])}), and neither nine as SCRFD, nor YuNet's twelve, nor one "
        "embedding of a 112×112 crop."
    )


def _is_embedder(signature: _Signature) -> bool:
    (shape,) = signature.outputs.values()
    size = signature.inputs[0][-2:] if len(signature.inputs) == 1 else ()
    return len(shape) == 2 and size in ((112, 112), (None, None))


def _checked(path: Path, signature: _Signature, card: ModelCard) -> ModelCard:
    """See that the file gives what its family does; an embedder's size is that of its output."""
    if len(signature.inputs) != 1 or len(signature.inputs[0]) != 4:
        raise ModelError(f"{path} takes no single batch of images, so it is no {card.name}.")
    counts = {"scrfd": 9, "yunet": 12}
    if card.kind == "detector":
        wanted = counts.get(str((card.decoder or {}).get("name")), len(signature.outputs))
        if len(signature.outputs) != wanted:
            raise ModelError(
                f"{path} has {len(signature.outputs)} outputs, where a detector {card.name} has {wanted}."
            )
        return card
    if len(signature.outputs) != 1 or not _is_embedder(signature):
        raise ModelError(f"{path} gives no single embedding of a 112×112 crop, so it is no {card.name}.")
    if (batch := signature.inputs[0][0]) is not None:
        raise ModelError(
            f"{path} takes {batch} crops at a time and no other number: export it with a free batch axis."
        )
    (shape,) = signature.outputs.values()
    return card if shape[1] is None else replace(card, embedding_size=shape[1])


def _run_once(path: Path, data: bytes, card: ModelCard) -> None:
    """Run it on noise, as it will be used."""
    import onnxruntime as ort  # noqa: PLC0415  slow to load

    size = card.preprocess.size
    side = (size, size) if size is not None else (64, 96)
    count = 2 if card.kind == "embedder" else 1
    images = np.random.default_rng(0).integers(0, 256, (count, *side, 3), dtype=np.uint8)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        source = session.get_inputs()[0]
        height, width = (n if isinstance(n, int) else s for n, s in zip(source.shape[2:], side, strict=True))
        batch = card.preprocess(images)[:, :, :height, :width]
        batch = np.pad(batch, ((0, 0), (0, 0), (0, height - batch.shape[2]), (0, width - batch.shape[3])))
        outputs: list[Any] = session.run(None, {source.name: batch})
    # ONNX Runtime has a class of its own for each way to fail, all children of Exception.
    except Exception as error:
        raise ModelError(f"{path} does not run: {str(error).splitlines()[0]}") from error
    if not all(np.isfinite(output).all() for output in outputs):
        raise ModelError(f"{path} gives numbers that are not finite; the file is broken.")
    if card.kind == "embedder" and outputs[0].shape != (2, card.embedding_size):
        raise ModelError(f"{path} gives {outputs[0].shape} for two crops, not (2, {card.embedding_size}).")
