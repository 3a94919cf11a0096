"""Smaller and faster models from a float one: `facewise models quantize`. Needs the `train` extra.

A quantised model is another model. It has a name and a fingerprint of its own, so that no gallery mixes its
embeddings with the original's; its card says what it was made from and how; and the original's thresholds are
not its own, so that it has none until they are measured.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facewise.errors import ModelError, SettingError, nearest_known
from facewise.files import atomic_write
from facewise.models.file import ModelCard, ModelFile, read_model, write_model
from facewise.models.half import half_weights, kept_in_half, to_half
from facewise.models.int8 import is_reduced, to_int8
from facewise.preprocess import Preprocess
from facewise.types import FloatArray, Image

FORMATS = {
    "int8": "8-bit integers, for CPUs: fastest",
    "fp16": "16-bit weights, computed in float32: half the size, as fast as before",
    "fp16-gpu": "computed in 16 bits, for GPUs: half the size, slower on CPUs",
}
"""Formats a model can be turned to, and what they are for."""


_LARGE = 2048
"""Numbers of a layer left in float, from which on a model of attributes keeps them in 16 bits."""


@dataclass(frozen=True, slots=True)
class Quantized:
    """A model in another format.

    Attributes:
        model: Its file.
        original: What it was made from.
        format: A key of `FORMATS`.
    """

    model: ModelFile
    original: ModelFile
    format: str


def quantize(
    original: ModelFile,
    path: str | os.PathLike[str],
    *,
    to: str = "int8",
    photos: Sequence[Image] = (),
    check: Callable[[ModelFile], None] = lambda _: None,
) -> Quantized:
    """Turn a model to a smaller format.

    Args:
        original: A float32 model.
        path: Where the new model goes; its name is the file's, without `.onnx`.
        to: A key of `FORMATS`.
        photos: What int8 is calibrated on, (H, W, 3) RGB uint8: aligned crops for an embedder, whole photos
            for a detector, of a size it takes (`ModelDetector.network_input`). A hundred of many people and
            all sorts of light are plenty.
        check: Called with the new model before it takes its place; what it raises, keeps it from there.

    Raises:
        SettingError: An unknown format, no photos for int8, or `path` is the original's.
        ModelError: The original is quantised already, or cannot be quantised.
        FacewiseError: The file cannot be written.
    """
    path = Path(path)
    refuse(original, path, to)
    if to == "int8" and not photos:
        raise SettingError("int8 is calibrated on photos, and there are none.")
    network, how = _converted(original, to, photos)
    card = _card(original, path.stem, how)
    with atomic_write(path) as temporary:
        check(write_model(temporary, network, card))
    return Quantized(read_model(path), original, to)


def refuse(original: ModelFile, path: Path, to: str) -> None:
    """Complain of what cannot come to anything, before any work is done for it.

    Raises:
        SettingError: An unknown format, or `path` is the original's.
        ModelError: The original is quantised already.
    """
    if to not in FORMATS:
        raise SettingError(f"There is no format {to!r}{nearest_known(to, FORMATS)}")
    card = original.card
    if card.kind not in ("detector", "embedder", "attributes"):
        raise ModelError(
            f"{card.name} is a model of kind {card.kind!r}; detectors, embedders and models of attributes "
            "can be quantised."
        )
    if "quantized_from" in card.training:
        raise ModelError(
            f"{card.name} is quantised already: quantise {card.training['quantized_from']}, "
            "which it was made from."
        )
    if is_reduced(original.network):
        raise ModelError(f"{card.name} is quantised already: quantise the float32 model it was made from.")
    if (card.decoder or {}).get("name") == "yunet" and to != "fp16":
        raise ModelError(
            f"{card.name} runs in OpenCV, which cannot run a YuNet in {to}: fp16 is what it can be "
            "quantised to."
        )
    if path.resolve() == original.path.resolve():
        raise SettingError(f"{path} is the model itself: name another file for the quantised one.")


def data_hash(photos: Sequence[Image]) -> str:
    """sha256 (hex) over the photos' sizes and pixels, in their order."""
    digest = hashlib.sha256()
    for photo in photos:
        digest.update(repr(photo.shape).encode() + photo.tobytes())
    return digest.hexdigest()


def _converted(original: ModelFile, to: str, photos: Sequence[Image]) -> tuple[bytes, dict[str, Any]]:
    """The new network, and what its card says of the way to it."""
    if to == "fp16":
        return half_weights(original.network), {"quantization": "fp16: weights kept in 16 bits"}
    if to == "fp16-gpu":
        return to_half(original.network), {"quantization": "fp16: computed in 16 bits"}
    inputs = _Inputs(original.card.preprocess, photos)
    attributes = original.card.kind == "attributes"
    # What an embedding loses by its last convolution in int8, a few words and an age do not.
    made = to_int8(original.network, inputs, 0.0) if attributes else to_int8(original.network, inputs)
    network = kept_in_half(made.network, _LARGE) if attributes else made.network
    how = (
        "int8: static, weights per channel (signed, symmetric), activations unsigned by min-max; "
        f"{made.layers} layers in int8, {made.in_float} in float"
    )
    facts = {"quantization_photos": len(photos), "quantization_data_hash": data_hash(photos)}
    return network, {"quantization": how, **facts}


def _card(original: ModelFile, name: str, how: dict[str, Any]) -> ModelCard:
    origin = {"quantized_from": original.card.name, "quantized_from_fingerprint": original.fingerprint}
    training = {**original.card.training, **origin, **how}
    return replace(original.card, name=name, training=training, calibration=None)


class _Inputs(Sequence[FloatArray]):
    """The network's inputs for photos, one at a time: all at once take four times the photos' memory."""

    def __init__(self, preprocess: Preprocess, photos: Sequence[Image]) -> None:
        self._preprocess, self._photos = preprocess, photos

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: Any) -> Any:
        return self._preprocess(self._photos[index][None])
