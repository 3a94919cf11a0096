"""PyTorch networks to ONNX, and the proof that both give the same numbers. Needs the `train` extra."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from facewise.errors import ModelError

_OPSET = 17


@dataclass(frozen=True, slots=True)
class Parity:
    """How far ONNX Runtime is from PyTorch on the same inputs.

    Attributes:
        difference: Largest absolute difference of any output number.
        relative: That, over the root mean square of the PyTorch output it belongs to.
        inputs: Shapes compared on.
    """

    difference: float
    relative: float
    inputs: tuple[tuple[int, ...], ...]


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
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The TorchScript exporter: for plain convolutional networks its graph is as fast as that of the
        # torch.export one, and it takes half a second where that takes ten (measured on both networks here).
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
    return buffer.getvalue()


def check_parity(
    network: nn.Module,
    onnx: bytes,
    inputs: Sequence[Tensor],
    *,
    tolerance: float = 1e-4,
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
        ModelError: They differ by more than the tolerance.
    """
    import onnxruntime as ort  # noqa: PLC0415

    session = ort.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    difference = relative = 0.0
    for batch in inputs:
        with torch.inference_mode():
            expected = network.eval()(batch)
        expected = (expected,) if isinstance(expected, Tensor) else expected
        got = session.run(None, {session.get_inputs()[0].name: batch.numpy()})
        for ours, theirs, scale in zip(got, expected, scales or [0.0] * len(got), strict=True):
            reference = theirs.numpy().astype(np.float64)
            gap = float(np.abs(ours - reference).max())
            gap = np.inf if np.isnan(gap) else gap  # `max` would pass over NaN
            difference = max(difference, gap)
            relative = max(relative, gap / max(float(np.sqrt(np.mean(reference**2))), scale, 1e-12))
    if not relative <= tolerance:
        raise ModelError(
            f"The exported network differs from PyTorch by {relative:.2g} of the output's RMS "
            f"(allowed {tolerance:.0e}); it was not saved."
        )
    return Parity(difference, relative, tuple(tuple(batch.shape) for batch in inputs))
