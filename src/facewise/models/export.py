"""PyTorch networks to ONNX, and the proof that both give the same numbers. Needs the `train` extra."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facewise.errors import ModelError

_OPSET = 17


ROUNDING = 1e-2
"""Largest difference of an output number from PyTorch's, relative to the output's root mean square, that is
taken for rounding: processors add up in different orders, and 1.2e-4 was seen on one with AVX2 alone."""

LEAST_MEAN, LEAST = 0.999, 0.99
"""Cosine that embeddings of an export must have to PyTorch's, on average and each: embeddings are compared by
their directions, so this is what a difference of their numbers comes to."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How far ONNX Runtime is from PyTorch on the same inputs.

    Attributes:
        difference: Largest absolute difference of any output number.
        relative: That, over the root mean square of the PyTorch output it belongs to.
        inputs: Shapes compared on.
        mean: Mean cosine of the outputs' rows, if these are embeddings.
        least: Least of them.
    """

    difference: float
    relative: float
    inputs: tuple[tuple[int, ...], ...]
    mean: float | None = None
    least: float | None = None


def export_onnx(
    network: nn.Module, example: Tensor, *, dynamic: Mapping[int, str], outputs: Sequence[str]
) -> bytes:
    """Export a network in eval mode, batch norms folded into convolutions.

    Args:
        network: Taking one tensor.
        example: An input of a typical shape, values of any kind.
        dynamic: Axes of the input that may vary, with their names.
        outputs: Names of the outputs.

    Returns:
        The ONNX file's bytes.

    Raises:
        ModelError: PyTorch cannot export it.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The TorchScript exporter: for plain convolutional networks its graph is as fast as that of the
        # torch.export one, and it takes half a second where that takes ten (measured on both networks here).
        try:
            torch.onnx.export(
                network.eval(),
                (example,),
                buffer,  # type: ignore[arg-type]  # the TorchScript exporter writes to memory as well
                dynamo=False,
                opset_version=_OPSET,
                input_names=["images"],
                output_names=list(outputs),
                dynamic_axes={"images": dict(dynamic), **{name: {0: "batch"} for name in outputs}},
            )
        except (RuntimeError, ValueError, TypeError) as error:  # the exporter's own are RuntimeErrors
            raise ModelError(f"PyTorch cannot export the network: {' '.join(str(error).split())}") from error
    return buffer.getvalue()


def check_parity(
    network: nn.Module,
    onnx: bytes,
    inputs: Sequence[Tensor],
    *,
    tolerance: float = ROUNDING,
    scales: Sequence[float] | None = None,
) -> Parity:
    """Run both on the same inputs and compare every output number.

    Args:
        network: The PyTorch network.
        onnx: Its export.
        inputs: Batches, of several shapes where the network takes several.
        tolerance: Largest difference allowed, relative to the output's root mean square.
        scales: For each output, what a difference is relative to at least: 1 for probabilities, which are all
            near 0 where nothing is seen. None is 0 for all.

    Raises:
        ModelError: They differ by more than the tolerance, or PyTorch's are no numbers.
    """
    difference = relative = 0.0
    for got, expected in _outputs(network, onnx, inputs):
        for ours, reference, scale in zip(got, expected, scales or [0.0] * len(got), strict=True):
            gap = _gap(ours, reference)
            difference = max(difference, gap)
            relative = max(relative, gap / max(_rms(reference), scale, 1e-12))
    if not relative <= tolerance:
        raise ModelError(
            f"The exported network differs from PyTorch by {relative:.2g} of the output's RMS "
            f"(allowed {tolerance:.0e}); it was not saved."
        )
    return Parity(difference, relative, tuple(tuple(batch.shape) for batch in inputs))


def check_embeddings(network: nn.Module, onnx: bytes, inputs: Sequence[Tensor]) -> Parity:
    """Run both on the same inputs and compare the embeddings by what they are used for, their directions.

    Args:
        network: The PyTorch network, whose output is (N, D).
        onnx: Its export.
        inputs: Batches.

    Raises:
        ModelError: Cosines below `LEAST_MEAN` on average, or one below `LEAST`; or PyTorch's are no numbers.
    """
    difference = relative = 0.0
    cosines: list[float] = []
    for (ours,), (reference,) in _outputs(network, onnx, inputs):
        gap = _gap(ours, reference)
        difference, relative = max(difference, gap), max(relative, gap / max(_rms(reference), 1e-12))
        lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(reference, axis=1)
        cosines += (np.sum(ours * reference, axis=1) / np.maximum(lengths, 1e-12)).tolist()
    mean, least = float(np.mean(cosines)), float(np.min(cosines))
    if not (mean >= LEAST_MEAN and least >= LEAST):
        raise ModelError(
            f"The exported network's embeddings differ from PyTorch's: cosine {mean:.4f} on average and "
            f"{least:.4f} at least, where {LEAST_MEAN} and {LEAST} are allowed; it was not saved."
        )
    return Parity(difference, relative, tuple(tuple(batch.shape) for batch in inputs), mean, least)


_Arrays = list[NDArray[np.float64]]


def _outputs(network: nn.Module, onnx: bytes, inputs: Sequence[Tensor]) -> Iterator[tuple[_Arrays, _Arrays]]:
    """What ONNX Runtime and PyTorch give for each batch."""
    import onnxruntime as ort  # noqa: PLC0415

    session = ort.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    for batch in inputs:
        with torch.inference_mode():
            expected = network.eval()(batch)
        theirs = [one.double().numpy() for one in ((expected,) if isinstance(expected, Tensor) else expected)]
        if not all(np.isfinite(one).all() for one in theirs):
            raise ModelError("The network gives NaN or infinity, in PyTorch as well; it was not saved.")
        got = session.run(None, {session.get_inputs()[0].name: batch.numpy()})
        yield [np.asarray(one, np.float64) for one in got], theirs


def _gap(ours: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    gap = float(np.abs(ours - reference).max())
    return np.inf if np.isnan(gap) else gap  # `max` would pass over NaN


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))
