"""Makes an environment with what Facewise needs, and says meanwhile what it is doing.

    python3 scripts/setup.py all .venv      everything
    python3 scripts/setup.py train .venv    what training and the demo need

It runs before anything is installed, so it needs nothing but Python.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

_OLDEST = (3, 11)
_LARGE = 20
"""Megabytes from which a package is named."""

_EVERY = 10.0
"""Seconds between signs of life where the screen cannot be written over."""

_SIZED = re.compile(r"\s*(?:Downloading|Using cached) (?:.*/)?([A-Za-z0-9_.]+)-.*\((\d+(?:\.\d+)?) MB\)")


class Reporter:
    """Prints lines, each with the seconds since the beginning, and shows in between that work goes on."""

    def __init__(self) -> None:
        self._began, self._told = time.monotonic(), time.monotonic()
        self._lock, self._over = threading.Lock(), threading.Event()
        self._in_place = sys.stdout.isatty()

    def __enter__(self) -> Reporter:
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def say(self, text: str) -> None:
        """A line."""
        with self._lock:
            self._told = time.monotonic()
            print(f"{self._seconds()}  {text}", flush=True)

    def _seconds(self) -> str:
        return f"{time.monotonic() - self._began:5.0f} s"

    def _live(self) -> None:
        while not self._over.wait(1.0):
            with self._lock:
                if self._in_place:
                    print(f"{self._seconds()}", end="\r", flush=True)
                elif time.monotonic() - self._told >= _EVERY:
                    self._told = time.monotonic()
                    print(f"{self._seconds()}  …", flush=True)


def narrate(lines: Iterable[str], say: Callable[[str], None]) -> None:
    """Tell in a few lines what pip tells in hundreds.

    Args:
        lines: What pip prints.
        say: Told a line for each large package, and how many packages are installed.
    """
    for line in lines:
        sized = _SIZED.match(line)
        if sized and float(sized[2]) >= _LARGE:
            say(f"       {sized[1].replace('_', '-')}, {float(sized[2]):.0f} MB")
        elif line.startswith("Installing collected packages: "):
            packages = line.partition(": ")[2].split(", ")
            say(f"3 of 3: installing {len(packages)} package{'s' * (len(packages) != 1)}")


def install(extra: str, folder: Path) -> int:
    """Make the environment; what is there already stays.

    Args:
        extra: Of `pyproject.toml`: what to install besides the base.
        folder: Of the environment.

    Returns:
        An exit code.
    """
    began = time.monotonic()
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    with Reporter() as reporter:
        code = _make(folder, python, reporter) or _fill(extra, python, reporter)
    if not code:
        print(f"Set up in {time.monotonic() - began:.0f} s; the command is {python.with_name('facewise')}.")
    return code


def _make(folder: Path, python: Path, reporter: Reporter) -> int:
    if _has_pip(python):
        reporter.say(f"1 of 3: {folder} is there")
        return 0
    reporter.say(f"1 of 3: making {folder}")
    return subprocess.run([sys.executable, "-m", "venv", str(folder)], check=False).returncode


def _has_pip(python: Path) -> bool:
    """Whether there is an environment; one whose making was stopped is made again."""
    asked = [str(python), "-m", "pip", "--version"]
    return python.exists() and not subprocess.run(asked, check=False, stdout=subprocess.DEVNULL).returncode


def _fill(extra: str, python: Path, reporter: Reporter) -> int:
    reporter.say("2 of 3: fetching packages, PyTorch, of some 200 MB, the largest; pip keeps them")
    command = [str(python), "-m", "pip", "install", "--progress-bar", "off", "--disable-pip-version-check"]
    command += ["-c", "constraints.txt", "-e", f".[{extra}]"]
    last: deque[str] = deque(maxlen=40)

    def remembered(stream: Iterable[str]) -> Iterable[str]:
        for line in stream:
            last.append(line)
            yield line

    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as pip:
        narrate(remembered(pip.stdout or ()), reporter.say)
    if pip.returncode:
        print("".join(last), file=sys.stderr, end="")
    return pip.returncode


if __name__ == "__main__":
    if sys.version_info < _OLDEST:
        sys.exit("Facewise needs Python 3.11 or newer; set PYTHON=...")
    sys.exit(install(sys.argv[1], Path(sys.argv[2])))
