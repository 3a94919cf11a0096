"""The scribe: every entry is on disk before its caller goes on, errors reach them, and the end loses none."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path

import pytest

from facewise.errors import StorageFullError
from facewise.serve.audit import AuditLog
from facewise.serve.scribe import Scribe


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "audit.log")


@pytest.fixture
def scribe(log: AuditLog):
    scribe = Scribe(log)
    yield scribe
    scribe.close()


def keys(log: AuditLog) -> list[int]:
    return [json.loads(line)["key"] for line in log.path.read_text().splitlines()]


def test_an_entry_is_on_disk_when_record_returns(log: AuditLog, scribe: Scribe, monkeypatch) -> None:
    synced: list[int] = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.fstat(file).st_size), sync(file))[1])

    async def work() -> None:
        for key in range(5):
            await scribe.record(log.line(key, "identify"))
            assert keys(log) == list(range(key + 1))
            assert synced[-1] == log.path.stat().st_size

    asyncio.run(work())


class HeldDisk:
    """An `AuditLog.write` that waits for `go`, and counts."""

    def __init__(self, log: AuditLog, monkeypatch) -> None:
        self.go, self.sizes, self._write = threading.Event(), [], log.write
        self.begun = threading.Event()
        monkeypatch.setattr(log, "write", self)

    def __call__(self, lines) -> None:
        self.begun.set()
        self.go.wait(120)
        self.sizes.append(len(lines))
        self._write(lines)


def test_entries_that_come_while_the_disk_is_busy_are_written_as_one_in_order(log, scribe, monkeypatch):
    disk = HeldDisk(log, monkeypatch)

    async def work() -> None:
        first = asyncio.ensure_future(scribe.record(log.line(0, "identify")))
        await asyncio.to_thread(disk.begun.wait, 10)
        rest = [asyncio.ensure_future(scribe.record(log.line(key, "identify"))) for key in range(1, 30)]
        await asyncio.sleep(0.05)
        assert not any(one.done() for one in (first, *rest))
        disk.go.set()
        await asyncio.gather(first, *rest)

    asyncio.run(work())
    assert disk.sizes == [1, 29]
    assert keys(log) == list(range(30))


def test_an_error_reaches_everybody_who_waits_and_the_next_entry_is_written(log, scribe, monkeypatch):
    write = log._files["looks"].append

    def full(_) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log._files["looks"], "append", full)

    async def ask(key: int) -> None:
        await scribe.record(log.line(key, "identify"))

    async def work() -> list[object]:
        return await asyncio.gather(*(ask(key) for key in range(3)), return_exceptions=True)

    assert [type(error) for error in asyncio.run(work())] == [StorageFullError] * 3
    monkeypatch.setattr(log._files["looks"], "append", write)
    asyncio.run(ask(7))
    assert [entry["action"] for entry in log.newest()] == ["identify", "audit.lost"]
    assert log.newest()[1]["entries"] == 3


def test_a_bug_of_one_caller_silences_nobody(log, scribe):
    def broken(_: Exception | None) -> None:
        raise RuntimeError("a bug")

    scribe.write(log.line(1, "identify"), broken)
    asyncio.run(scribe.record(log.line(2, "identify")))
    assert keys(log) == [1, 2]


def test_closing_writes_what_was_asked_for(log, monkeypatch):
    disk, scribe, told = HeldDisk(log, monkeypatch), Scribe(log), []
    for key in range(10):
        scribe.write(log.line(key, "identify"), told.append)
    threading.Timer(0.1, disk.go.set).start()
    scribe.close()
    assert told == [None] * 10
    assert keys(log) == list(range(10))


def test_a_caller_that_went_away_hurts_nobody(log, scribe, monkeypatch):
    disk = HeldDisk(log, monkeypatch)

    async def work() -> None:
        gone = asyncio.ensure_future(scribe.record(log.line(1, "identify")))
        stays = asyncio.ensure_future(scribe.record(log.line(2, "identify")))
        await asyncio.to_thread(disk.begun.wait, 10)
        gone.cancel()
        disk.go.set()
        await stays

    asyncio.run(work())
    assert keys(log) == [1, 2]
