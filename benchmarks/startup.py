"""Cold starts: `facewise verify` of two photos as its own process, and the least such a process can take.

The floor is a bare interpreter that imports NumPy, OpenCV and ONNX Runtime, opens the two default networks
and runs each on two inputs of the size that `verify` gives them. All are run in turn, so that what slows
the machine down slows all of them.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from facewise.detection import load_detector
from facewise.image import read_image
from facewise.models import default_path, find_model
from real import LFW

ROUNDS = 5
"""The best of as many is what is promised."""

FLOOR = """
import sys
import cv2, numpy as np, onnxruntime as ort
for path, height, width in zip(sys.argv[1::3], sys.argv[2::3], sys.argv[3::3]):
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    pixels = np.zeros((1, 3, int(height), int(width)), np.float32)
    for photo in range(2):
        session.run(None, {session.get_inputs()[0].name: pixels})
"""
PACKAGE = """
import sys, time
def since(began):
    print(time.perf_counter() - began)
began = time.perf_counter(); import facewise as fw; since(began)
for call in range(2):
    began = time.perf_counter(); fw.verify(*sys.argv[1:]); since(began)
"""


def main() -> None:
    folder = LFW / "images" / "Alejandro_Toledo"
    photos = [str(folder / f"Alejandro_Toledo_000{i}.jpg") for i in (1, 2)]
    floor = [
        str(default_path("detector")), *map(str, _detectors_input(photos[0])),
        str(default_path("embedder")), "112", "112",
    ]  # fmt: skip
    took = defaultdict[str, list[float]](list)
    for _ in range(ROUNDS):
        took["the floor"].append(_seconds([sys.executable, "-c", FLOOR, *floor]))
        command = [str(Path(sys.executable).with_name("facewise")), "verify", *photos]
        took["`facewise verify a.jpg b.jpg`"].append(_seconds(command))
        told = subprocess.check_output([sys.executable, "-c", PACKAGE, *photos]).split()
        for name, seconds in zip(
            ("`import facewise`", "first `fw.verify`", "second `fw.verify`"), told, strict=True
        ):
            took[name].append(float(seconds))
    print(f"Best of {ROUNDS}, in turn.\n")
    print("| what | best s | median | worst | best over the floor's |\n|---|---|---|---|---|")
    for name, times in took.items():
        ratio = min(times) / min(took["the floor"])
        print(f"| {name} | {min(times):.3f} | {np.median(times):.3f} | {max(times):.3f} | {ratio:.2f} |")


def _detectors_input(photo: str) -> tuple[int, int]:
    """(height, width) at which the detector's network looks at a photo."""
    detector = load_detector(find_model(None, kind="detector"))
    height, width = detector.network_input(read_image(photo)).shape[:2]
    return height, width


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
