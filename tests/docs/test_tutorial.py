"""The tutorial: its commands exist, run as they stand, and print what it says they print."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import typer
from tutorial_blocks import PAGE, Step, first_not_printed, framework, steps
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("FACEWISE_TEST_DATA") or ROOT.parent / "shared")
STEPS = steps()
OURS = [step for step in STEPS if step.command.startswith("facewise ")]
QUICK = [step for step in STEPS if not step.slow and not step.shared]


def environment(folder: Path) -> dict[str, str]:
    return {
        "FACEWISE_HOME": str(folder / ".home"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SHARED": str(SHARED),
        "COLUMNS": "140",
        "NO_COLOR": "1",
        "LC_ALL": "C.UTF-8",
    }


def in_a_shell(command: str, folder: Path) -> tuple[int, str]:
    """A command's exit code and what it printed on both streams, as a reader has it."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=os.environ | environment(folder),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def here(command: str, folder: Path) -> tuple[int, str]:
    """The same of one that needs no shell, without a process of its own."""
    from facewise.cli.app import app

    if not command.startswith("facewise ") or set(command) & set("|<>$*~&;`"):
        return in_a_shell(command, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in environment(folder).items():
            patch.setenv(name, value)
        done = CliRunner().invoke(app, shlex.split(command)[1:])
    return done.exit_code, done.output


def check(step: Step, folder: Path, run: Callable[[str, Path], tuple[int, str]]) -> None:
    code, printed = run(step.command, folder)
    refused = any(line.startswith("facewise: ") for line in step.shown)
    undecided = any("too poor to tell" in line for line in step.shown)
    assert code == (3 if refused else 4 if undecided else 0), f"{step.command}\n{printed}"
    missing = first_not_printed(framework(step.shown) if step.varies else step.shown, printed)
    assert missing is None, f"{step.command}\ndid not print\n{missing}\nbut\n{printed}"


def test_the_page_has_commands_of_every_kind():
    assert len(OURS) > 30
    told = {step.command.split()[1] for step in OURS}
    assert {
        "data",
        "verify",
        "calibrate",
        "enroll",
        "identify",
        "train",
        "classify",
        "compare",
        "models",
    } <= told


@pytest.mark.parametrize("step", OURS, ids=[step.command[:60] for step in OURS])
def test_commands_and_their_options_exist(step):
    from facewise.cli.app import app

    command, words = typer.main.get_command(app), shlex.split(step.command)[1:]
    context = click.Context(command, info_name="facewise")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        command = command.get_command(context, words.pop(0))
        assert command is not None, f"there is no {step.command}"
        command = getattr(command, "loaded", command)
        context = click.Context(command, parent=context, info_name=command.name)
    command.make_parser(context).parse_args(list(words))  # raises where there is no such option


def test_links_into_the_repository_exist():
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", PAGE.read_text(encoding="utf-8"))
    assert len(links) > 5
    assert not [link for link in links if not (PAGE.parent / link).exists()]


def test_nothing_is_shown_that_holds_on_one_machine_only():
    text = PAGE.read_text(encoding="utf-8")
    assert not re.search(r"/(?:home|root|tmp|work|Users)/|pypi\.org|huggingface\.co", text)


def test_what_does_not_exist_yet_is_not_shown_as_a_command():
    assert not [step for step in OURS if step.command.startswith("facewise serve")]


def test_first_steps(tmp_path):
    assert len(QUICK) >= 8
    for step in QUICK:
        check(step, tmp_path, here)


@pytest.mark.slow
def test_the_whole_tutorial(tmp_path):
    for step in STEPS:
        if not step.shared or (SHARED / "models").is_dir():
            check(step, tmp_path, in_a_shell)


@pytest.mark.parametrize(
    ("shown", "printed", "missing"),
    [
        (("3 photos",), "12 photos", None),
        (("│ a │ 0.93 │",), "│ a     │ 0.9254 │", None),
        (("same", "…", "end"), "same\nx\nend", None),
        (("end", "same"), "same\nend", "same"),
        (("Names: Ada, …",), "Names: Ada, Bela", None),
        (("Ada is unknown",), "Ada is known", "Ada is unknown"),
    ],
)
def test_what_is_printed_is_compared_line_by_line_but_for_numbers(shown, printed, missing):
    assert first_not_printed(shown, printed) == missing
