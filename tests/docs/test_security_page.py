"""docs/security.md: the defaults it names are the program's, its commands exist, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from facewise.cli.app import app
from facewise.serve.audit import AuditLog
from facewise.serve.gate import FAILURES
from facewise.serve.keytext import LENGTH
from facewise.serve.scopes import SCOPES

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
TEXT = PAGE.read_text(encoding="utf-8")
FLAT = " ".join(TEXT.split())


def test_limits_are_those_of_the_service() -> None:
    pytest.importorskip("fastapi")
    from facewise.serve.settings import Limits, ServiceSettings

    limits, settings = Limits(), ServiceSettings()
    for said in (
        f"{limits.max_bytes // 2**20} MiB; {limits.max_pixels // 10**6} megapixels",
        f"| photos a request | {limits.max_photos} (then 413)",
        f"| requests waiting | {limits.queue} (then 429), {limits.request_seconds:g} s each",
        f"should be above the service's own ({limits.max_body // 2**20} MiB)",
        f"(`{settings.host}`)",
        f"{FAILURES.number:g} a minute",
        f"{LENGTH} characters",
    ):
        assert said in FLAT, said
    assert (settings.keep, settings.auth, settings.audit_addresses) == ("none", True, False)


def test_the_audit_logs_bounds(tmp_path: Path) -> None:
    defaults = AuditLog.__init__.__kwdefaults__
    assert (defaults["max_bytes"], defaults["keep"]) == (16 << 20, 9)
    assert "ten files of 16 MiB" in FLAT


def test_every_scope_is_explained() -> None:
    for scope in SCOPES:
        assert f"| `{scope}` |" in TEXT


def test_commands_and_options_exist() -> None:
    commands = typer.main.get_command(app)
    lines = re.findall(r"^    facewise (.+)$", TEXT, re.MULTILINE)
    lines += re.findall(r"`facewise ([^`…]+?)(?: …)?`", TEXT)
    assert len(lines) > 8
    for line in lines:
        command, words = commands, line.split()
        while hasattr(command, "commands") and words:
            command = command.commands[words.pop(0)]  # a command that is none fails here
            command = getattr(command, "loaded", command)
        known = {name for parameter in command.params for name in parameter.opts}
        for word in words:
            assert not word.startswith("--") or word in known, f"facewise {line}"


def test_links_lead_somewhere() -> None:
    anchors = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in TEXT.splitlines()
        if line.startswith("#")
    }
    for link in re.findall(r"\]\(([^)]+)\)", TEXT):
        if link.startswith("#"):
            assert link[1:] in anchors, link
        else:
            assert (PAGE.parent / link.partition("#")[0]).exists(), link
