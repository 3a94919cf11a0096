"""Half precision: weights kept in 16 bits, or networks that compute in 16 bits. Needs the `train` extra.

A CPU without half-precision arithmetic, which is nearly every one, gains nothing by computing in it: ONNX
Runtime turns numbers to and fro, and MobileFaceNet ran at 0.8, RetinaFace at 0.65 of float32's speed. Weights
that are only *kept* in 16 bits halve the file all the same and are turned to float32 once, while the model is
opened; after that it runs as fast as before. Computing in 16 bits is for GPUs.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from facewise.errors import ModelError
from facewise.models.fuse import fuse, shorten

_LEAST = 64
"""Weights with fewer numbers are kept as they are: turning them would take more room than it saves."""

_LARGEST = float(np.finfo(np.float16).max)


def half_weights(network: bytes) -> bytes:
    """Keep the weights in 16 bits; everything is computed in float32 as before.

    Weights with numbers beyond what 16 bits can hold stay as they are.

    Args:
        network: Bytes of an ONNX file.

    Raises:
        ModelError: It cannot be optimised, or has no weights that could be kept so.
    """
    model = fuse(network)
    if not _keep_in_half(model, _LEAST):
        raise ModelError("The network has no float32 weights that could be kept in 16 bits.")
    return _bytes(model)


def kept_in_half(network: bytes, least: int) -> bytes:
    """The same network, smaller: large float weights kept in 16 bits, such as int8 leaves, and short names.

    Args:
        network: Bytes of an ONNX file.
        least: Weights with fewer numbers stay as they are, as scales must.
    """
    model = onnx.load_model_from_string(network)
    _keep_in_half(model, least)
    shorten(model)
    return _bytes(model)


def _keep_in_half(model: Any, least: int) -> bool:
    """Turn the weights of a model, in place; whether there were any."""
    graph, casts = model.graph, []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < least:
            continue
        values, name = numpy_helper.to_array(tensor), tensor.name
        if not np.abs(values).max() <= _LARGEST:
            continue
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(
            onnx.helper.make_node("Cast", [f"{name}.half"], [name], f"{name}.cast", to=onnx.TensorProto.FLOAT)
        )
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return bool(casts)


def to_half(network: bytes) -> bytes:
    """Compute in 16 bits; input and outputs stay float32.

    Args:
        network: Bytes of an ONNX file.

    Raises:
        ModelError: It cannot be converted.
    """
    model = fuse(network)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numbers too small for 16 bits become the least there are
            return _bytes(convert_float_to_float16(model, keep_io_types=True))
    except Exception as error:  # the converter raises whatever it trips over
        raise ModelError(f"The network cannot be turned to fp16: {error}") from error


def _bytes(model: Any) -> bytes:
    del model.metadata_props[:]
    data: bytes = model.SerializeToString(deterministic=True)
    return data
