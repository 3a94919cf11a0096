"""Who did what: one JSON line for each search, enrolment and deletion, on disk before the answer goes out.

A line holds numbers and fixed words only: the key's number, the action, how it ended, which people by their
numbers, how many photos and faces, and the client's address where that is asked for. There is no way to hand
it a photo, an embedding or a name: whoever reads the log learns who asked, and of people only what the
gallery still says of their numbers.

When the disk is full (or the log cannot be written for another reason), no line is written by half: what did
not fit is cut off again. The caller gets the error, and refuses what nobody could be held to account for. The
entries that were lost are counted, and the first thing written when there is room again is how many, from
when to when (`"action": "audit.lost"`).
"""

from __future__ import annotations

import errno
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from facewise.errors import FacewiseError, SettingError, StorageFullError
from facewise.serve.auditfile import LineFile

Outcome = Literal["ok", "refused", "failed"]

_WORD = re.compile(r"[a-z][a-z0-9_.]{0,39}")
_ADDRESS = re.compile(r"[0-9a-fA-F.:/]{1,64}")
_RESERVE = 1 << 20
"""Bytes that must be free for a change to begin: room for the entries of all that may be under way."""

_MOST_PEOPLE = 1000
"""People named in one line; how many there were is told beside them."""


class AuditError(FacewiseError):
    """The audit log cannot be written or read."""


@dataclass(slots=True)
class Line:
    """An entry as it is written, and what became of it; made by `AuditLog.line`."""

    data: bytes
    when: str
    done: bool = False
    error: OSError | None = None


@dataclass(slots=True)
class _Lost:
    count: int = 0
    first: str = ""
    last: str = field(default="")

    def add(self, line: Line) -> None:
        self.first = self.first or line.when
        self.last = line.when
        self.count += 1


class AuditLog:
    """A log in one file and a few older ones (`audit.log`, `audit.log.1`, …); any thread may record.

    Lines of threads that wait at the same time are written and synced together.

    Args:
        path: The newest file, made for its owner alone; its folder is made if missing.
        max_bytes: From this size on the file becomes `.1`, `.1` becomes `.2` …
        keep: How many older files are kept; the oldest is deleted. So the log never holds more than
            `(keep + 1) × max_bytes`.
        addresses: Whether clients' network addresses are recorded; they are personal data in many countries.
        clock: Seconds since 1970.

    Raises:
        AuditError: The file cannot be opened for writing.
        SettingError: A bound that makes no sense.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        max_bytes: int = 16 << 20,
        keep: int = 9,
        addresses: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if max_bytes < 1024 or keep < 0:
            raise SettingError("An audit log needs at least 1024 bytes, and no less than 0 older files.")
        self.path = Path(path)
        self._addresses, self._clock = addresses, clock
        self._lock = threading.Lock()  # of `_waiting`
        self._writer = threading.Lock()  # of the file and `_lost`
        self._waiting: list[Line] = []
        self._lost = _Lost()
        try:
            self._file = LineFile(self.path, max_bytes, keep)
        except OSError as error:
            raise self._told(error) from error

    def record(self, key: int | None, action: str, **facts: Any) -> None:
        """Writes one entry; when this returns it is on disk.

        Args:
            key: The number of the API key, or None where there was none.
            action: What was asked for, a word such as `identify` or `person.delete`.
            facts: As of `line`.

        Raises:
            StorageFullError: The disk is full.
            AuditError: The log cannot be written.
            ValueError: As of `line`.
        """
        self.write([self.line(key, action, **facts)])

    def line(
        self,
        key: int | None,
        action: str,
        *,
        outcome: Outcome = "ok",
        code: str | None = None,
        people: Iterable[int] = (),
        photos: int | None = None,
        faces: int | None = None,
        samples: int | None = None,
        address: str | None = None,
    ) -> Line:
        """An entry of this moment, to be written.

        Args:
            key: The number of the API key, or None where there was none.
            action: What was asked for, a word such as `identify` or `person.delete`.
            outcome: Whether it was done, refused, or failed.
            code: Why not, a word such as `wrong_scope`.
            people: Numbers of the people it concerns: enrolled, changed, deleted, or named by a search.
            photos: How many photos were looked at.
            faces: How many faces were found in them.
            samples: How many samples were stored, moved or deleted.
            address: The client's, recorded only where the log was made with `addresses`.

        Raises:
            ValueError: A text that is no plain word: a bug of the caller, which must not put names here.
        """
        for word in (action, code):
            if word is not None and not _WORD.fullmatch(word):
                raise ValueError(f"{word!r} is no word for the audit log.")
        if outcome not in {"ok", "refused", "failed"}:
            raise ValueError(f"{outcome!r} is no outcome.")
        ids = [int(person) for person in people]
        entry: dict[str, Any] = {
            "key": None if key is None else int(key),
            "action": action,
            "outcome": outcome,
        }
        optional = {"code": code, "photos": photos, "faces": faces, "samples": samples}
        entry |= {name: value for name, value in optional.items() if value is not None}
        if ids:
            entry["people"] = ids[:_MOST_PEOPLE]
        if len(ids) > _MOST_PEOPLE:
            entry["people_count"] = len(ids)
        if self._addresses and address is not None and _ADDRESS.fullmatch(address):
            entry["address"] = address
        return self._line(entry)

    def write(self, lines: Sequence[Line]) -> None:
        """Writes entries, with those of threads that came while the disk was busy, and syncs them.

        Raises:
            StorageFullError: The disk is full.
            AuditError: The log cannot be written.
        """
        with self._lock:
            self._waiting.extend(lines)
        with self._writer:
            if not all(line.done for line in lines):
                self._write_waiting()
        for line in lines:
            if line.error is not None:
                raise self._told(line.error) from line.error

    def ensure(self) -> None:
        """Passes where an entry could be written; to be asked before a change that cannot be taken back.

        Takes microseconds while all is well: it asks the file system how much room there is, and only after a
        failure tries the disk itself, by writing how many entries were lost.

        Raises:
            StorageFullError: The disk is full, or has less than a mebibyte left.
            AuditError: The log cannot be written.
        """
        with self._writer:
            try:
                room = self._file.room()
                if self._lost.count and room >= _RESERVE:
                    self._append(b"")
            except OSError as error:
                raise self._told(error) from error
        if room < _RESERVE:
            raise self._told(OSError(errno.ENOSPC, ""))

    def newest(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest entries, newest first; a line that a power cut left by half is left out.

        Raises:
            AuditError: A file cannot be read.
        """
        found: list[dict[str, Any]] = []
        try:
            for line in self._file.backwards():
                if len(found) >= limit:
                    break
                entry = _parsed(line)
                if entry is not None:
                    found.append(entry)
        except OSError as error:
            raise AuditError(
                f"The audit log {self.path} cannot be read: {error.strerror or error}."
            ) from error
        return found

    def close(self) -> None:
        """Ends the use of the file."""
        with self._writer:
            self._file.close()

    def _line(self, entry: dict[str, Any]) -> Line:
        now = datetime.fromtimestamp(self._clock(), UTC)
        when = now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"
        return Line(json.dumps({"time": when, **entry}, separators=(",", ":")).encode() + b"\n", when)

    def _write_waiting(self) -> None:
        with self._lock:
            lines, self._waiting = self._waiting, []
        error: OSError | None = None
        try:
            self._append(b"".join(line.data for line in lines))
        except OSError as caught:
            error = caught
        for line in lines:
            line.done, line.error = True, error
            if error is not None:
                self._lost.add(line)

    def _append(self, data: bytes) -> None:
        """Writes whole or not at all; before it, how much was lost. The caller holds the writer's lock."""
        if self._lost.count:
            lost = {
                "key": None, "action": "audit.lost", "outcome": "failed",
                "entries": self._lost.count, "from": self._lost.first, "to": self._lost.last,
            }  # fmt: skip
            data = self._line(lost).data + data
        self._file.append(data)
        self._lost = _Lost()

    def _told(self, error: OSError) -> FacewiseError:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return StorageFullError(
                f"The disk is full, so the audit log {self.path} cannot record this: free space and try "
                "again."
            )
        return AuditError(
            f"The audit log {self.path} cannot be written: {error.strerror or error}; check its permissions "
            "and its folder, or name another file with --audit."
        )


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
