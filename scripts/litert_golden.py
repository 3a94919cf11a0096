"""What LiteRT gives of random input to the networks of a `.task` file: the golden file of a test.

Needs an environment of its own (`pip install ai-edge-litert numpy`), which Facewise does not:

    python scripts/litert_golden.py face_landmarker_v2_with_blendshapes.task \
        tests/models/tflite/litert_golden.npz
"""

from __future__ import annotations

import sys
import zipfile

import numpy as np


def main(task: str, out: str) -> None:
    from ai_edge_litert.interpreter import Interpreter

    found = {}
    with zipfile.ZipFile(task) as opened:
        for file in sorted(name for name in opened.namelist() if name.endswith(".tflite")):
            interpreter = Interpreter(model_content=opened.read(file), num_threads=1)
            interpreter.allocate_tensors()
            (source,) = interpreter.get_input_details()
            x = np.random.default_rng(0).random(source["shape"], dtype=np.float32)
            interpreter.set_tensor(source["index"], x)
            interpreter.invoke()
            for i, output in enumerate(interpreter.get_output_details()):
                value = interpreter.get_tensor(output["index"])
                found[f"{file.removesuffix('.tflite')}.{i}"] = value
                print(file, output["name"], value.shape)
    np.savez_compressed(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
