"""benchmarks/gpu.py, as far as it can be tried without a GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


def run(*words):
    return subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, check=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_it_says_so_in_one_sentence():
    done = run()
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "PyTorch sees no CUDA GPU here; `--device cpu` tries the script without one.\n"


@pytest.mark.slow
def test_it_trains_and_embeds_on_a_cpu():
    words = ("--device", "cpu", "--seconds", 0.2, "--batch", 4, "--recipe", "arcface-mobilefacenet")
    done = run(*map(str, words))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    (trained,) = [line for line in lines if line.startswith("| arcface-mobilefacenet | 4 |")]
    assert trained.endswith("| no GPU |")
    assert float(trained.split("|")[3].replace(",", "")) >= 0
    assert "batch 4: Trains in " in done.stdout
    (inferred,) = [line for line in lines if line.startswith("| cpu |")]
    assert inferred.count("|") == 7
