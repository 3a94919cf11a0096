"""Pins what `facewise[serve]` needs, for deployments: constraints-hashed.txt, with the sha256 of every file.

python scripts/pin.py             writes it; asks pip's index, through uv
python scripts/pin.py --check     whether it is that of constraints.txt and pyproject.toml; asks nobody
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "constraints-hashed.txt"
EXTRA = "serve"

_HEAD = f"""\
# What facewise[{EXTRA}] needs, on every system and Python: `pip install --require-hashes -r {NAME}`.
# Written by `python scripts/pin.py`; the versions are those of constraints.txt.
"""
_OWN = "facewise (pyproject.toml)"
_PIN = re.compile(r"([A-Za-z0-9._-]+)==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(slots=True)
class Pin:
    """One package of the file.

    Attributes:
        name: As package indexes write it.
        version: The only one that is installed.
        hashes: sha256 of its files, in hex.
        wanted_by: Names of the packages that need it; empty where Facewise alone does.
    """

    name: str
    version: str
    hashes: list[str] = field(default_factory=list)
    wanted_by: list[str] = field(default_factory=list)


def canonical(name: str) -> str:
    """A package's name as indexes write it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def constraints(text: str) -> dict[str, str]:
    """Name → version of the lines of a constraints.txt."""
    return {canonical(name): version for name, version in _PIN.findall(_without_comments(text))}


def pins(text: str) -> list[Pin]:
    """The packages of a constraints-hashed.txt, in its order."""
    found: list[Pin] = []
    for line in text.splitlines():
        if match := _PIN.match(line):
            found.append(Pin(canonical(match[1]), match[2]))
        elif match := _HASH.search(line):
            found[-1].hashes.append(match[1])
        elif line.startswith("    # via "):
            wanted_by = line.removeprefix("    # via ").split(", ")
            found[-1].wanted_by = [by for by in wanted_by if by != _OWN and not by.startswith("-c ")]
    return found


def needed(extra: str | None) -> set[str]:
    """Names of what pyproject.toml asks for, with the extra's where one is given."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"] + (project["optional-dependencies"][extra] if extra else [])
    return {canonical(re.match(r"[A-Za-z0-9._-]+", line)[0]) for line in lines}


def faults(text: str, constrained: str) -> list[str]:
    """Why the text of a constraints-hashed.txt is not that of a constraints.txt; empty where it is."""
    versions, found = constraints(constrained), pins(text)
    told = [f"{pin.name} has no hash" for pin in found if not pin.hashes]
    for pin in found:
        if pin.name not in versions:
            told.append(f"{pin.name}=={pin.version} is not in constraints.txt")
        elif versions[pin.name] != pin.version:
            told.append(f"{pin.name} is {pin.version}, in constraints.txt {versions[pin.name]}")
    missing = needed(EXTRA) - {pin.name for pin in found}
    return told + [f"{name} is not pinned" for name in sorted(missing)]


def write(path: Path) -> None:
    """Ask the index that pip is set to, and write the file.

    Raises:
        SystemExit: There is no uv, or it found no answer.
    """
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit("pin: uv is not installed; `pip install uv` gets it.")
    command = [
        uv, "pip", "compile", "pyproject.toml", "--extra", EXTRA, "-c", "constraints.txt", "--universal",
        "--python-version", "3.11", "--generate-hashes", "--annotation-style", "line", "--no-header",
        "--no-config", "--quiet",
    ]  # fmt: skip
    if index := _index():
        command += ["--default-index", index]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"pin: uv found no answer:\n{done.stderr}")
    path.write_text(_HEAD + done.stdout, encoding="utf-8", newline="\n")


def _index() -> str:
    """Address of the index that pip is set to, by its environment or files; empty where it is pip's own."""
    if named := os.environ.get("PIP_INDEX_URL"):
        return named
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _without_comments(text: str) -> str:
    return re.sub(r"#.*", "", text)


def main() -> int:
    """Write or check; returns the exit code."""
    parser = argparse.ArgumentParser(prog="pin", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, ask nobody")
    given = parser.parse_args()
    path = ROOT / NAME
    if not given.check:
        write(path)
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    told = faults(text, (ROOT / "constraints.txt").read_text(encoding="utf-8"))
    for fault in told:
        print(f"{NAME}: {fault}.", file=sys.stderr)
    return 1 if told else 0


if __name__ == "__main__":
    raise SystemExit(main())
