"""Inner layers of a model made visible, for networks that learn from them. Needs the `train` extra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import onnx

from facewise.errors import SettingError, nearest_known
from facewise.models.file import ModelFile


def with_outputs(model: ModelFile, names: Sequence[str]) -> ModelFile:
    """The model, in memory, with outputs more: tensors inside its graph.

    Args:
        model: Any; its file stays as it is.
        names: Of tensors; none gives the model back.

    Raises:
        SettingError: There is no such tensor; the nearest name is told.
    """
    if not names:
        return model
    network = onnx.load_from_string(model.network)
    known = [output for node in network.graph.node for output in node.output]
    for name in names:
        if name not in known:
            hint = nearest_known(name, known)
            raise SettingError(f"The model {model.card.name} has no inner tensor {name!r}{hint}")
        network.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    return replace(model, network=network.SerializeToString())
