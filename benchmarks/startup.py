"""Cold starts: `import facewise`, and `facewise verify` of two photos as a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from real import LFW, have_models

IMPORT = "import time; t = time.perf_counter(); import facewise; print(time.perf_counter() - t)"


def main() -> None:
    have_models()
    imports = [float(subprocess.check_output([sys.executable, "-c", IMPORT])) for _ in range(15)]
    folder = LFW / "images" / "Alejandro_Toledo"
    command = [
        str(Path(sys.executable).with_name("facewise")), "verify",
        str(folder / "Alejandro_Toledo_0001.jpg"), str(folder / "Alejandro_Toledo_0002.jpg"),
    ]  # fmt: skip
    cold = []
    for _ in range(15):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        cold.append(time.perf_counter() - started)
    print("| what | median s | best | worst |\n|---|---|---|---|")
    for name, times in (("`import facewise`", imports), ("`facewise verify a.jpg b.jpg`", cold)):
        print(f"| {name} | {np.median(times):.3f} | {min(times):.3f} | {max(times):.3f} |")


if __name__ == "__main__":
    main()
