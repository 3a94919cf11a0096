"""Run every benchmark and write RESULTS.md: `make bench`, or one of them: `benchmarks/run.py pipeline`.

Each kind of CPU and number of cores has a section of its own, which another machine's run leaves as it is.

Needs the real photos and checkpoints of FACEWISE_TEST_DATA (default ../shared). What is compared is compared
in one run, in turn, so that a machine whose speed drifts is fair to both; ratios are what to read.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from facewise.hardware import HIDDEN, cpu

HERE = Path(__file__).parent
NAMES = (
    "pipeline",
    "embedder",
    "startup",
    "clustering",
    "training",
    "data",
    "partial_fc",
    "quantize",
    "own_models",
    "variants",
    "ijb",
    "index",
    "service",
    "video",
    "quality",
    "liveness",
    "attributes",
)


def main() -> None:
    names = sys.argv[1:] or NAMES
    results = HERE / "RESULTS.md"
    text = results.read_text(encoding="utf-8") if results.exists() else "# Benchmark results\n"
    with tempfile.TemporaryDirectory() as folder:
        home = os.environ.get("FACEWISE_HOME", folder)
        for name in names:
            command = [sys.executable, str(HERE / f"{name}.py")]
            run = subprocess.run(
                command,
                env=os.environ | {"FACEWISE_HOME": home},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            print(run.stdout)
            text = put(text, heading(name), f"{stamp(name)}\n\n{run.stdout.strip()}")
            results.write_text(text, encoding="utf-8")


def heading(name: str) -> str:
    """Of this benchmark's section for this kind of CPU, such as `training, AVX2, 2 cores`."""
    return f"{name}, {cpu().kind}, {cpu().threads} core{'s' * (cpu().threads != 1)}"


def stamp(name: str) -> str:
    """When, where and of which commit a section was measured."""
    now = datetime.now(UTC).strftime("%Y-%m-%d")
    hidden = f", others hidden by {HIDDEN}" if HIDDEN in os.environ else ""
    return f"`python benchmarks/{name}.py`, {now}, {cpu()}{hidden}, git {git_hash()}"


def git_hash() -> str:
    """The commit, marked where files differ from it."""
    head = _git("rev-parse", "--short", "HEAD") or "unknown"
    return head + (" with changes" if _git("status", "--porcelain", "--", "src") else "")


def _git(*words: str) -> str:
    run = subprocess.run(["git", *words], cwd=HERE.parent, capture_output=True, text=True, check=False)
    return run.stdout.strip()


def put(text: str, title: str, body: str) -> str:
    """The section with this title replaced, or added at the end."""
    section = f"## {title}\n\n{body}\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if pattern.search(text):
        return pattern.sub(lambda _: section + "\n", text).rstrip() + "\n"
    return text.rstrip() + "\n\n" + section


if __name__ == "__main__":
    main()
