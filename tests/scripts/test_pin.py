"""constraints-hashed.txt: whole, pinned, of constraints.txt, and nothing of where it came from."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

from scripts.pin import EXTRA, NAME, ROOT, canonical, constraints, faults, pins

TEXT = (ROOT / NAME).read_text(encoding="utf-8")
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")


def _closure() -> set[str]:
    """What is installed of all that facewise[serve] needs here, also through others."""
    seen: set[tuple[str, str]] = set()
    waiting = [("facewise", EXTRA)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for line in importlib.metadata.requires(name) or []:
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                waiting += [(canonical(wanted.name), also) for also in ("", *wanted.extras)]
    return {name for name, _ in seen} - {"facewise"}


def test_every_line_is_a_pin_with_hashes_or_says_who_wants_it():
    pin = r"[a-z0-9-]+==[0-9A-Za-z.+!]+( ; [^\\]+)? \\"
    for line in TEXT.splitlines():
        assert re.fullmatch(rf"#.*|{pin}|    --hash=sha256:[0-9a-f]{{64}}( \\)?|    # via .+", line), line
    names = [pin.name for pin in pins(TEXT)]
    assert names == sorted(set(names))
    assert all(pin.hashes for pin in pins(TEXT))


def test_its_versions_are_those_of_constraints():
    versions = constraints(CONSTRAINTS)
    assert {pin.name: pin.version for pin in pins(TEXT)}.items() <= versions.items()


def test_all_that_the_service_needs_is_in_it():
    pinned = {pin.name for pin in pins(TEXT)}
    assert _closure() <= pinned
    assert "colorama" in pinned, "what Windows alone needs is missing"
    assert "torch" not in pinned


def test_it_names_no_index():
    assert "://" not in TEXT
    assert "index" not in TEXT


@pytest.mark.parametrize(
    ("pattern", "new", "told"),
    [
        (r"^numpy==\S+", "numpy==1.0", "numpy is 1.0"),
        (r"^fastapi==(?:.+\n)(?:    .+\n)+", "", "fastapi is not pinned"),
        (r"^(idna==.+\n)(?:    --hash.+\n)+", r"\1", "idna has no hash"),
        (r"^idna==", "strange==", "strange==.* is not in constraints.txt"),
    ],
)
def test_a_stale_one_is_told(pattern, new, told):
    text, changed = re.subn(pattern, new, TEXT, flags=re.MULTILINE)
    assert changed == 1
    assert any(re.match(told, fault) for fault in faults(text, CONSTRAINTS))


def test_check_asks_nobody_and_agrees(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "pin.py"), "--check"]
    done = subprocess.run(
        command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )  # no uv, no pip, no proxy
    assert (done.returncode, done.stderr) == (0, "")
