"""The command as a process: start, exit codes, pipes, signals, terminals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from facewise.cli.app import app

FACEWISE = str(Path(sys.executable).with_name("facewise"))


def test_version_and_help(process):
    assert process("--version").out.startswith("facewise ")
    commands = process("--help").out
    for name in typer.main.get_command(app).commands:
        assert f" {name} " in commands


def test_whatever_takes_a_detector_takes_the_size_it_looks_at():
    def commands(group):
        for command in group.commands.values():
            found = getattr(command, "loaded", command)
            yield from commands(found) if hasattr(found, "commands") else [found]

    found = [(c.name, {o for p in c.params for o in p.opts}) for c in commands(typer.main.get_command(app))]
    detecting = {name for name, options in found if "--detector" in options}
    assert {"verify", "enroll", "identify", "embed", "cluster", "serve", "pairs", "lfw"} <= detecting
    assert [name for name, options in found if "--detector" in options and "--max-size" not in options] == []


def test_commands_are_listed_by_the_help_they_have():
    for command in typer.main.get_command(app).commands.values():
        assert command.loaded.name == command.name
        assert command.loaded.help.partition("\n\n")[0] == command.help


@pytest.mark.parametrize("words", [[], ["gallery"], ["models"], ["eval"], ["bogus"], ["gallery", "bogus"]])
def test_no_command_or_an_unknown_one_is_wrong_usage(facewise, words):
    done = facewise(*words, code=2)
    assert "Usage" in done.out + done.err


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(process, shell):
    script = process(_FACEWISE_COMPLETE=f"source_{shell}").out
    assert "_FACEWISE_COMPLETE" in script
    assert "facewise" in script


def test_show_completion(process):
    shown = process("--show-completion", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert "Traceback" not in shown.err


def test_verify_loads_no_more_than_it_needs(process, photo):
    a, b = photo("a.png", (90, 80, 60, 1)), photo("b.png", (200, 140, 80, 1))
    done = process("verify", a, b, "--threshold", "0.8", PYTHONPROFILEIMPORTTIME="1")
    assert done.out.startswith("the same person")
    modules = [
        line.rpartition("|")[2].strip() for line in done.err.splitlines() if line.startswith("import time:")
    ]
    # What it takes is loading: `benchmarks/startup.py` measures it.
    assert "onnxruntime" in modules
    assert not {"torch", "onnx", "scipy", "sklearn", "matplotlib", "fastapi", "pandas", "httpx"} & set(
        modules
    )
    assert len(modules) < 700


def test_errors_leave_by_code_3_with_one_line(process):
    done = process("detect", "missing.jpg")
    assert (done.code, done.out) == (3, "")
    assert done.err == "facewise: Cannot read missing.jpg: there is no such file or folder; check the path.\n"


def test_a_reader_that_has_seen_enough(process, photo):
    photo("a.png", *[(30 + 40 * i, 40 + 40 * j, 30, i) for i in range(7) for j in range(5)])
    for words in (["detect", "a.png", "--json"], ["models", "list", "--available"]):
        writer = subprocess.Popen([FACEWISE, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        writer.stdout.close()
        assert writer.stderr.read() == b""
        assert writer.wait() == 0
        writer.stderr.close()


def interrupted(words: list[str], after: float) -> tuple[int, str, str]:
    """Ctrl-C as a terminal sends it: to the whole process group."""
    running = subprocess.Popen(
        [FACEWISE, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    time.sleep(after)
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=120)
    return running.returncode, out, err


@pytest.mark.parametrize(("after", "threads"), [(0.5, "1"), (2.0, "1"), (1.2, "2"), (2.0, "2")])
def test_ctrl_c_leaves_nothing_half_written(process, photo, after, threads):
    photo("photos/0.png", (90, 80, 60, 1), (200, 140, 80, 2))
    for i in range(1, 3000):
        os.link("photos/0.png", f"photos/{i}.png")
    words = ["embed", "photos", "--out", "out.npz", "--threads", threads]
    code, out, err = interrupted(words, after)
    assert (code, out) == (130, "")
    assert err == "facewise: stopped; no file is left half-written.\n"
    assert [path.name for path in Path().iterdir()] == ["photos"]


def test_ctrl_c_keeps_who_was_enrolled(process, photo):
    data = photo("face.png", (90, 80, 60, 1)).read_bytes()
    for i in range(3000):
        Path(f"team/P{i:04d}").mkdir(parents=True)
        Path(f"team/P{i:04d}/1.png").write_bytes(data + bytes([i % 256, i // 256]))  # each a file of its own
    code, out, err = interrupted(["enroll", "--folder", "team", "--threads", "1"], 2.0)
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "facewise: stopped; no file is left half-written."
    if Path("facewise.db").exists():
        assert "is sound" in process("gallery", "check").out


def test_a_narrow_terminal_loses_nothing(process, photo):
    photo("a_long_name_of_a_photo_that_does_not_fit.png", (90, 80, 60, 1))
    out = process("detect", "a_long_name_of_a_photo_that_does_not_fit.png", COLUMNS="40").out
    rows = out.splitlines()
    assert max(map(len, rows[:-1])) <= 40
    cells = "".join(row.split("│")[1].strip() for row in rows if row.startswith("│"))
    assert cells == "a_long_name_of_a_photo_that_does_not_fit.png"


def test_no_colour_codes_in_a_pipe(process):
    assert "\x1b" not in process("models", "list").out


def test_a_terminal_that_is_not_utf8(process, photo):
    photo("ёж.png", (90, 80, 60, 1))
    table = process("detect", "ёж.png", PYTHONIOENCODING="ascii")
    assert table.code == 0
    assert "\\u0451" in table.out
    document = process("detect", "ёж.png", "--json", PYTHONIOENCODING="ascii")
    assert document.json["photos"][0]["photo"] == "ёж.png"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_at_the_other_end(photo):
    photo("a.png", (90, 80, 60, 1))
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [FACEWISE, "detect", "a.png", "--json"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 3
    assert done.stderr.startswith(b"facewise: ")
    assert b"Traceback" not in done.stderr
