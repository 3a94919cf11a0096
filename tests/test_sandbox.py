"""A process that decodes has nothing else: no network, no file to write, none of people's files to read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from facewise.sandbox import program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="seccomp and Landlock are Linux's")

ATTEMPTS = {
    "a network": "socket.socket()",
    "a socket of the machine": "socket.socket(socket.AF_UNIX)",
    "a new file": "open(folder + '/new', 'w')",
    "a file to append to": "open(folder + '/people.db', 'a')",
    "a file to change": "os.open(folder + '/people.db', os.O_RDWR)",
    "to empty a file": "os.truncate(folder + '/people.db', 0)",
    "to remove a file": "os.unlink(folder + '/people.db')",
    "to rename a file": "os.rename(folder + '/people.db', folder + '/b')",
    "to make a folder": "os.mkdir(folder + '/b')",
    "a link": "os.symlink(folder + '/people.db', folder + '/b')",
    "to open a file to others": "os.chmod(folder + '/people.db', 0o777)",
    "more memory": "bytearray(2 << 30)",
}
READING = {
    "people's files": "open(folder + '/people.db').read()",
    "the system's accounts": "open('/etc/passwd').read()",
    "what the service was started with": "open(f'/proc/{os.getppid()}/environ').read()",
    "to end the service": "os.kill(os.getppid(), 0)",
}
NEEDED = {
    "a package": "__import__('email.mime.text')",
    "memory": "bytearray(64 << 20)",
    "a pipe": "os.write(os.pipe()[1], b'x')",
    "threads": "threading.Thread(target=print).start()",
}


def tried(folder: Path, before: str = "") -> tuple[list[str], dict[str, str | None]]:
    """What is in force in a process, and how each attempt ended there: None where it worked."""
    script = f"""
        import json, os, socket, sys, threading
        from facewise import sandbox
        {before}
        on = sandbox.confine(memory=1 << 30)
        folder, ended = sys.argv[1], {{}}
        for name, attempt in json.loads(sys.argv[2]).items():
            try:
                eval(attempt)
            except BaseException as error:
                ended[name] = type(error).__name__
            else:
                ended[name] = None
        sys.stdout.write(json.dumps([on, ended]))
    """
    done = subprocess.run(
        [
            sys.executable, "-c", textwrap.dedent(script), str(folder),
            json.dumps(ATTEMPTS | READING | NEEDED),
        ],
        capture_output=True, text=True, check=True, cwd=folder, timeout=120,
    )  # fmt: skip
    return tuple(json.loads(done.stdout.strip()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "people.db").write_text("faces")
    return tmp_path


def test_what_a_decoder_does_not_need_is_refused(folder):
    on, ended = tried(folder)
    assert "limits" in on
    if "seccomp" not in on:
        pytest.skip("this system has no seccomp filters")
    assert {ended[name] for name in ATTEMPTS} <= {"PermissionError", "MemoryError"}, ended
    assert {ended[name] for name in NEEDED} == {None}, ended
    if "Landlock" in on:
        assert {ended[name] for name in READING} == {"PermissionError"}, ended
    assert [path.name for path in folder.iterdir()] == ["people.db"]
    assert (folder / "people.db").read_text() == "faces"


@pytest.mark.parametrize(
    "before",
    [
        "sandbox._MACHINES = {}; sandbox._CREATE_RULESET = 9999",
        "sandbox._NO_NEW_PRIVS = 9999",
        "sandbox.ctypes.CDLL = lambda *_, **__: type('C', (), {'prctl': lambda *_: -1})()",
    ],
)
def test_where_there_is_no_such_thing_limits_are_what_there_is(folder, before):
    on, ended = tried(folder, before)
    assert on == ["limits"]
    assert ended["more memory"] == "MemoryError"
    assert {ended[name] for name in NEEDED} == {None}


def test_where_people_keep_their_files_is_not_the_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), *sys.path])
    assert not any(tmp_path == path or path in tmp_path.parents for path in program())
    assert any(Path(os.__file__).is_relative_to(path) for path in program())
