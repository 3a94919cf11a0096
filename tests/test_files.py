"""A file is there whole or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from facewise.errors import FacewiseError, FileNameError
from facewise.files import atomic_write, one_at_a_time, remove_leftovers, text_path, write_bytes


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "model.onnx"
    write_bytes(path, b"one")
    assert path.read_bytes() == b"one"
    write_bytes(str(path), b"three")
    assert path.read_bytes() == b"three"
    assert names(path.parent) == ["model.onnx"]


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"half")
        assert path.read_bytes() == b"old"
        assert temporary.parent == tmp_path  # a rename across file systems is no rename
        temporary.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"


def _write_half(path: Path, error: BaseException) -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"half")
        raise error


@pytest.mark.parametrize("error", [ValueError("in the middle"), KeyboardInterrupt(), SystemExit(2)], ids=repr)
@pytest.mark.parametrize("old", [b"old", None], ids=["old file", "no file"])
def test_an_exception_in_the_middle_leaves_things_as_they_were(
    tmp_path: Path, error: BaseException, old: bytes | None
) -> None:
    path = tmp_path / "file.bin"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(type(error)):
        _write_half(path, error)
    assert names(tmp_path) == ([] if old is None else ["file.bin"])
    assert old is None or path.read_bytes() == old


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(FacewiseError, match=r"^Cannot write .*file\.bin: No space left on device\.$"):
        with atomic_write(path):
            raise OSError(28, "No space left on device")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "file.bin", b"x")
        assert os.umask(umask) == umask  # and it is left as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file.bin").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
def test_what_is_private_is_so_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "file.npz", private=True) as temporary:
            assert stat.S_IMODE(temporary.stat().st_mode) == 0o600  # from the first moment
            temporary.write_bytes(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file.npz").stat().st_mode) == 0o600


def test_threads_leave_the_umask_as_it_is(tmp_path: Path) -> None:
    """It is the process's: to look at it by setting it would mix theirs up."""
    before = os.umask(0o027)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda i: write_bytes(tmp_path / str(i), b"x"), range(200)))
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}


@pytest.mark.parametrize(
    "name", ["李" * 85, "a" * 251 + ".png", "x." + "y" * 253, os.fsdecode(b"\xff" * 255)]
)
def test_a_name_that_fills_all_the_room(tmp_path: Path, name: str) -> None:
    write_bytes(tmp_path / name, b"x")
    assert names(tmp_path) == [name]


def test_a_name_that_is_too_long_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNameError, match="File name too long"):
        write_bytes(tmp_path / ("a" * 256), b"x")
    assert names(tmp_path) == []


def test_leftovers_of_one_file_are_removed(tmp_path: Path) -> None:
    killed = atomic_write(tmp_path / "one.npz"), atomic_write(tmp_path / "other.npz")  # never left
    one, other = (manager.__enter__() for manager in killed)
    remove_leftovers(tmp_path / "one.npz")
    assert (one.exists(), other.exists()) == (False, True)


def no_temporary_folder(*_: object, **__: object) -> str:
    raise FileNotFoundError(2, "No usable temporary directory found")


def test_a_path_that_is_no_text_has_another_that_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some libraries end the process over any other."""
    path = tmp_path / os.fsdecode(b"\xff.mp4")
    path.write_bytes(b"one")
    with text_path(path) as text:
        assert text.isascii()
        assert text.endswith(".mp4")
        assert Path(text).read_bytes() == b"one"
        Path(text).write_bytes(b"two")
    assert path.read_bytes() == b"two"
    assert not Path(text).exists()
    monkeypatch.setattr("tempfile.mkdtemp", no_temporary_folder)
    with pytest.raises(FileNameError, match="no UTF-8, and no link"), text_path(path):
        pass
    with text_path(tmp_path / "plain.mp4") as text:
        assert text == str(tmp_path / "plain.mp4")


def test_the_suffix_is_kept_for_writers_that_go_by_it(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "crop.png") as temporary:
        assert temporary.suffix == ".png"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"not a folder")
    with pytest.raises(FacewiseError, match="Cannot write"):
        write_bytes(tmp_path / "file" / "model.onnx", b"x")
    (tmp_path / "taken").mkdir()
    with pytest.raises(FacewiseError, match="Cannot write"):
        write_bytes(tmp_path / "taken", b"x")
    assert names(tmp_path) == ["file", "taken"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(FacewiseError, match="Permission denied"):
        write_bytes(tmp_path / "locked" / "model.onnx", b"x")


def test_synced_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut after the rename must not leave an empty file: the content goes to the disk first."""
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (events.append("sync"), fsync(handle))[1])
    monkeypatch.setattr(Path, "replace", lambda self, to: (events.append("rename"), replace(self, to))[1])
    write_bytes(tmp_path / "file.bin", b"x")
    assert events == ["sync", "rename", "sync"]


def test_one_at_a_time_waits_or_refuses(tmp_path: Path) -> None:
    path, busy = tmp_path / "new" / ".lock", FacewiseError("busy")
    with one_at_a_time(path, busy), pytest.raises(FacewiseError, match="busy"), one_at_a_time(path, busy):
        pass
    order = []

    def second() -> None:
        with one_at_a_time(path):
            order.append("second")

    with one_at_a_time(path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    code = (
        "import sys, time; from facewise.files import one_at_a_time\n"
        "with one_at_a_time(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(FacewiseError, match="busy"), one_at_a_time(path, FacewiseError("busy")):
            pass
        other.kill()
        other.wait()
    with one_at_a_time(path, FacewiseError("busy")):
        pass


def test_a_lock_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FacewiseError, match="Cannot write to"), one_at_a_time(tmp_path / "file" / ".lock"):
        pass
