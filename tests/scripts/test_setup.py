"""Setting up: what is told meanwhile, and what is done again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.setup import narrate

ROOT = Path(__file__).parents[2]


def test_of_what_pip_says_the_large_packages_and_their_number_are_told():
    said = []
    lines = [
        "Looking in links: /wheels\n",
        "Collecting torch>=2.6 (from facewise==0.1.0)\n",
        "  Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl.metadata (31 kB)\n",
        "Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (190.1 MB)\n",
        "Using cached opencv_python_headless-5.0.0.93-cp37-abi3-manylinux_2_28_x86_64.whl (60.4 MB)\n",
        "Using cached rich-15.0.0-py3-none-any.whl (310 kB)\n",
        "Downloading tiny_package-1.0-py3-none-any.whl (1.2 MB)\n",
        "Installing collected packages: torch, opencv-python-headless, rich\n",
        "Successfully installed torch-2.13.0\n",
    ]
    narrate(lines, said.append)
    assert [line.strip() for line in said] == [
        "torch, 190 MB", "opencv-python-headless, 60 MB", "3 of 3: installing 3 packages",
    ]  # fmt: skip


@pytest.fixture
def planned(tmp_path):
    """`planned(target)`: the commands `make` would run in a copy with a fresh environment folder."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
        os.utime(tmp_path / name, (1_000_000, 1_000_000))
    (tmp_path / ".venv").mkdir()

    def plan(target):
        command = ["make", "--dry-run", "--no-print-directory", target]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    return plan


def test_the_demo_installs_what_it_needs_and_the_tests_the_rest(planned, tmp_path):
    assert "scripts/setup.py train .venv" in planned("demo")
    assert "scripts/setup.py all .venv" in planned("test")
    (tmp_path / ".venv" / ".facewise-setup-demo").touch()
    assert "setup.py" not in planned("demo")
    assert "scripts/setup.py all .venv" in planned("test")


def test_after_the_whole_set_up_nothing_is_installed_for_the_demo(planned, tmp_path):
    for line in planned("setup").splitlines():
        if line.startswith("touch "):
            for stamp in line.split()[1:]:
                (tmp_path / stamp).touch()
    assert "setup.py" not in planned("demo")
    assert "setup.py" not in planned("test")


def test_what_fails_is_shown_and_there_is_no_stamp(tmp_path):
    # No constraints.txt here: pip ends at once, before it asks anybody for a package.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "setup.py"), "train", str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "1 of 3" in done.stdout
    assert "constraints.txt" in done.stderr
    assert "Set up in" not in done.stdout
