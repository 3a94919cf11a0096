"""The audit log: on disk before the answer, private, bounded, whole lines, and no word too much."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from facewise.errors import SettingError, StorageFullError
from facewise.serve.audit import AuditError, AuditLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def entries(path: Path) -> list[dict[str, object]]:
    """What a file tells, without the place of each entry in the chain."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in one.items() if k not in {"n", "after", "chain"}} for one in found]


def beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def test_an_entry_says_who_did_what_when_and_to_whom(path: Path) -> None:
    log = AuditLog(path, clock=lambda: 1893456000.25)
    log.record(3, "identify", people=[7, 9], photos=1, faces=2, address="192.0.2.7")
    log.record(None, "person.delete", outcome="refused", code="no_key")
    assert entries(path) == [
        {
            "time": "2030-01-01T00:00:00.250Z", "key": 3, "action": "identify", "outcome": "ok",
            "photos": 1, "faces": 2, "people": [7, 9],
        },
    ]  # fmt: skip
    assert entries(beside(path, ".refused")) == [
        {
            "time": "2030-01-01T00:00:00.250Z", "key": None, "action": "person.delete", "outcome": "refused",
            "code": "no_key",
        },
    ]  # fmt: skip


def test_addresses_only_where_asked_for(path: Path) -> None:
    AuditLog(path, addresses=True).record(1, "identify", address="2001:db8::1")
    assert entries(path)[0]["address"] == "2001:db8::1"
    AuditLog(path, addresses=True).record(1, "identify", address='evil"\nline')
    assert "address" not in entries(path)[1]


@pytest.mark.parametrize("word", ["Ada Lovelace", "ada\nlovelace", "", "x" * 41, "../etc", "{}"])
def test_names_and_other_texts_cannot_get_in(path: Path, word: str) -> None:
    log = AuditLog(path)
    for arguments in ({"action": word}, {"action": "identify", "code": word}):
        with pytest.raises(ValueError, match="no word"):
            log.record(1, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        log.record(1, "identify", people=[word])  # type: ignore[list-item]
    assert path.read_bytes() == b""


def test_a_long_list_of_people_is_cut_and_counted(path: Path) -> None:
    AuditLog(path).record(1, "enrol", people=range(5000))
    entry = entries(path)[0]
    assert entry["people"] == list(range(1000))
    assert entry["people_count"] == 5000


def test_an_entry_is_synced_before_record_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(path)
    sizes: list[int] = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (sizes.append(os.fstat(file).st_size), sync(file))[1])
    log.record(1, "identify")
    assert sizes == [path.stat().st_size]


def test_its_files_are_their_owners_alone(path: Path) -> None:
    old = os.umask(0)
    try:
        log = AuditLog(path, max_bytes=1024)
        for _ in range(30):
            log.record(1, "identify", photos=1)
    finally:
        os.umask(old)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert {"audit.log", "audit.log.1"} <= set(modes)
    assert set(modes.values()) == {0o600}, modes


def test_rotation_keeps_the_newest_and_is_bounded(path: Path) -> None:
    log = AuditLog(path, max_bytes=2048, keep=3)
    for i in range(500):
        log.record(i, "identify")
    others = ("lock", "changes", "refused")
    logs = sorted(f.name for f in path.parent.iterdir() if not any(word in f.name for word in others))
    assert logs == ["audit.log", "audit.log.1", "audit.log.2", "audit.log.3"]
    assert sum((path.parent / name).stat().st_size for name in logs) <= 4 * 2048
    kept = [entry["key"] for entry in log.newest(10_000)]
    assert kept == list(range(499, 499 - len(kept), -1))
    assert len(kept) > 40
    assert [entry["key"] for entry in log.newest(3)] == [499, 498, 497]


def test_no_kind_pushes_another_out(path: Path) -> None:
    log = AuditLog(path, max_bytes=1024, keep=1)
    log.record(1, "person.delete", people=[7])
    log.record(2, "identify", people=[7])
    log.record(3, "identify", outcome="refused", code="wrong_scope")
    for _ in range(100):
        log.record(4, "person.merge", outcome="refused", code="wrong_scope")
    assert [(e["key"], e["action"]) for e in log.newest(200)][-2:] == [(2, "identify"), (1, "person.delete")]
    for _ in range(100):
        log.record(4, "people.list")
    assert [(e["key"], e["action"]) for e in log.newest(200)][-1] == (1, "person.delete")
    assert sum(file.stat().st_size for file in path.parent.iterdir()) <= 3 * (2 * 1024 + 64)


def test_without_older_files(path: Path) -> None:
    log = AuditLog(path, max_bytes=1024, keep=0)
    for i in range(100):
        log.record(i, "identify")
    assert path.stat().st_size <= 1024
    assert log.newest(1)[0]["key"] == 99


def test_newest_reads_long_files_backwards(path: Path) -> None:
    log = AuditLog(path)
    with path.open("a") as file:  # longer than the blocks it is read in, lines of all lengths
        for i in range(20_000):
            file.write(json.dumps({"key": i, "people": list(range(i % 50))}) + "\n")
    assert [entry["key"] for entry in log.newest(20_000)] == list(range(19_999, -1, -1))


def test_half_a_line_of_a_power_cut_spoils_no_other(path: Path) -> None:
    AuditLog(path).record(1, "identify")
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:30])
    log = AuditLog(path)
    log.record(2, "identify")
    assert [entry["key"] for entry in log.newest()] == [2, 1]
    assert path.read_bytes().startswith(whole + whole[:30] + b"\n{")


def test_a_file_moved_away_is_made_again(path: Path) -> None:
    log = AuditLog(path)
    log.record(1, "identify")
    path.rename(path.with_name("taken"))
    log.record(2, "identify")
    assert [entry["key"] for entry in entries(path)] == [2]
    path.unlink()
    log.record(3, "identify")
    assert [entry["key"] for entry in entries(path)] == [3]


class FullDisk:
    """`os.write` that writes a part and then finds no room, while `full`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full, self._write = False, os.write
        monkeypatch.setattr(os, "write", self)

    def __call__(self, file: int, data: bytes) -> int:
        if not self.full:
            return self._write(file, data)
        if len(data) > 20:
            return self._write(file, bytes(data)[:20])
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_told_loses_no_other_entry_and_is_made_up_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(monkeypatch)
    seconds = [1893456000]
    log = AuditLog(path, clock=lambda: seconds[0])
    log.record(1, "identify")
    log.ensure()
    before = path.read_bytes()
    disk.full = True
    for _ in range(3):
        seconds[0] += 1
        with pytest.raises(StorageFullError, match="The disk is full, so the audit log"):
            log.record(2, "identify")
        assert path.read_bytes() == before  # not by half
    with pytest.raises(StorageFullError):
        log.ensure()
    disk.full = False
    log.record(3, "identify")
    log.record(4, "identify")
    lost = entries(path)[1]
    assert (lost["action"], lost["entries"]) == ("audit.lost", 3)
    assert (lost["from"], lost["to"]) == ("2030-01-01T00:00:01.000Z", "2030-01-01T00:00:03.000Z")
    assert [entry["key"] for entry in entries(path)] == [1, None, 3, 4]


def test_ensure_makes_up_by_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(monkeypatch)
    log = AuditLog(path)
    disk.full = True
    with pytest.raises(StorageFullError):
        log.record(1, "enrol")
    disk.full = False
    log.ensure()
    log.ensure()
    assert [entry["action"] for entry in entries(path)] == ["audit.lost"]


def test_ensure_wants_some_room_before_it_is_gone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(path)
    log.ensure()
    real = os.statvfs(path.parent)
    left = [real.f_bsize, real.f_frsize, real.f_blocks, real.f_bfree, 0, *real[5:]]
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(left))
    with pytest.raises(StorageFullError, match="The disk is full"):
        log.ensure()
    monkeypatch.undo()
    log.ensure()
    assert path.read_bytes() == b""  # nothing was lost


def test_a_really_full_device() -> None:
    device = Path("/dev/full")
    if not device.exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(OSError) as error, device.open("wb", buffering=0) as file:
        file.write(b"x")
    assert error.value.errno == errno.ENOSPC  # what the fake above stands for


def test_threads_write_whole_lines_and_none_is_lost(path: Path) -> None:
    log = AuditLog(path, max_bytes=20_000, keep=50)

    def work(key: int) -> None:
        for i in range(100):
            log.record(key, "identify", photos=i)

    threads = [threading.Thread(target=work, args=(key,)) for key in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = log.newest(10_000)
    assert len(found) == 800
    for key in range(8):
        assert [entry["photos"] for entry in reversed(found) if entry["key"] == key] == list(range(100))


def test_processes_share_a_log(path: Path) -> None:
    code = (
        "import sys; from facewise.serve.audit import AuditLog\n"
        "log = AuditLog(sys.argv[1], max_bytes=4096, keep=90)\n"
        "for i in range(100): log.record(int(sys.argv[2]), 'identify', photos=i)"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(path), str(key)]) for key in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    found = AuditLog(path, max_bytes=4096, keep=90).newest(10_000)
    assert len(found) == 300
    for key in range(3):
        assert [entry["photos"] for entry in reversed(found) if entry["key"] == key] == list(range(100))


def test_what_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AuditError, match="cannot be written"):
        AuditLog(tmp_path / "file" / "audit.log")
    with pytest.raises(AuditError, match="cannot be written"):
        AuditLog(tmp_path)
    with pytest.raises(SettingError):
        AuditLog(tmp_path / "a", max_bytes=10)
    with pytest.raises(SettingError):
        AuditLog(tmp_path / "a", keep=-1)


@pytest.mark.parametrize("link", [False, True])
def test_others_files_among_the_older_ones_are_left_alone(path: Path, tmp_path: Path, link: bool) -> None:
    theirs = [beside(path, ".2"), beside(path, ".3"), beside(path, ".refused.1")]
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    for file in theirs:
        file.symlink_to(target) if link else file.write_bytes(b"precious")
    log = AuditLog(path, max_bytes=1024, keep=2)
    for i in range(200):
        log.record(i, "identify")
        log.record(i, "identify", outcome="refused", code="wrong_scope")
    assert [file.read_bytes() for file in theirs] == [b"precious"] * 3
    assert all(file.is_symlink() == link for file in theirs)
    assert beside(path, ".1").exists()
    assert beside(path, ".4").exists()
    kept = [entry["key"] for entry in log.newest(10_000) if entry["outcome"] == "ok"]
    assert kept == list(range(199, 199 - len(kept), -1))
    assert len(kept) > 10


@pytest.mark.parametrize("name", ["", ".lock", ".changes", ".refused"])
@pytest.mark.parametrize("link", [False, True])
def test_nothing_is_written_to_what_is_in_a_logs_place(
    path: Path, tmp_path: Path, name: str, link: bool
) -> None:
    file = beside(path, name)
    target = tmp_path / "target" if link else file
    target.write_bytes(b"facewise-key-1:precious")
    if link:
        file.symlink_to(target)
    with pytest.raises(AuditError, match="cannot be written"):
        AuditLog(path)
    assert target.read_bytes() == b"facewise-key-1:precious"
