"""Who did what: one JSON line for each search, enrolment and deletion, on disk before the answer goes out.

A line holds numbers and fixed words only: the key's number, the action, how it ended, which people by their
numbers, how many photos and faces, and the client's address where that is asked for. There is no way to hand
it a photo, an embedding or a name: whoever reads the log learns who asked, and of people only what the
gallery still says of their numbers.

There are three files, each bounded by itself, so that nobody can push one kind out by another: who looked at
what (`audit.log`), what was changed (`audit.log.changes`), and what was refused or failed
(`audit.log.refused`). Entries are chained (`facewise.serve.auditfile`): one that is changed or missing shows.

What changed the gallery is noted by the change itself (`facewise.gallery.notes`) and written here from there,
so that the two are never without each other.

When the disk is full (or the log cannot be written for another reason), no line is written by half: what did
not fit is cut off again. The caller gets the error, and refuses what nobody could be held to account for. The
entries that were lost are counted, and the first thing written when there is room again is how many, from
when to when (`"action": "audit.lost"`).
"""

from __future__ import annotations

import errno
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from heapq import merge
from pathlib import Path
from typing import Any, Literal

from facewise.errors import FacewiseError, SettingError, StorageFullError
from facewise.serve import auditfile
from facewise.serve.auditfile import Found, LineFile

Outcome = Literal["ok", "refused", "failed"]

_WORD = re.compile(r"[a-z][a-z0-9_.]{0,39}")
_ADDRESS = re.compile(r"[0-9a-fA-F.:/]{1,64}")
_FOUND_BY = "change"
"""What an entry of a change is known by, in a note and in the log: a random word."""

_WORDS = re.compile(rb'"change":"([0-9a-f]{16})"')
_PLACE = {"n", "after", "chain", _FOUND_BY}
"""What an entry has beside what it tells."""

_RESERVE = 1 << 20
"""Bytes that must be free for a change to begin: room for the entries of all that may be under way."""

_MOST_PEOPLE = 1000
"""People named in one line; how many there were is told beside them."""

CHANGES = frozenset(
    {"person.enrol", "samples.add", "person.change", "person.delete", "sample.delete", "person.merge"}
)
"""Actions that change the gallery."""

_ENDINGS = {"looks": "", "changes": ".changes", "refused": ".refused"}


class AuditError(FacewiseError):
    """The audit log cannot be written or read."""


@dataclass(slots=True)
class Line:
    """An entry as it is written, which file's it is, and what became of it; made by `AuditLog.line`."""

    data: bytes
    when: str
    kind: str
    done: bool = False
    error: OSError | None = None
    counts: bool = True


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
    """A log in three files, each with a few older ones (`audit.log.1`, …); any thread may record.

    Lines of threads that wait at the same time are written and synced together.

    Args:
        path: Of who looked at what; the others' names end in `.changes` and `.refused`. Made for their owner
            alone; their folder is made if missing.
        max_bytes: From this size on a file becomes `.1`, `.1` becomes `.2` …
        keep: How many older files of each are kept; the oldest is deleted. So none of the three ever holds
            more than `(keep + 1) × max_bytes`.
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
        self._lock = threading.Lock()  # of `_waiting` and `_own`
        self._writer = threading.Lock()  # of the files and `_lost`
        self._adopting = threading.Lock()  # of `_adopted`
        self._waiting: list[Line] = []
        self._lost = {kind: _Lost() for kind in _ENDINGS}
        self._adopted: set[str] = set()  # words of notes that are written, and not known to be forgotten
        self._own: set[str] = set()  # words of changes of this process
        try:
            self._files = {
                kind: LineFile(self.path.with_name(self.path.name + ending), max_bytes, keep)
                for kind, ending in _ENDINGS.items()
            }
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
        unrecorded: int | None = None,
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
            unrecorded: How many like it came before it so fast that they have no entry.

        Raises:
            ValueError: A text that is no plain word: a bug of the caller, which must not put names here.
        """
        entry = self._entry(
            key, action, outcome=outcome, code=code, people=people, photos=photos, faces=faces,
            samples=samples, address=address, unrecorded=unrecorded,
        )  # fmt: skip
        kind = "refused" if outcome != "ok" else "changes" if action in CHANGES else "looks"
        return self._line(entry, kind)

    def note(self, key: int | None, action: str, **facts: Any) -> str:
        """What a change is to keep of itself, for `adopt`; arguments and errors as of `line`."""
        word = secrets.token_hex(8)
        with self._lock:
            self._own.add(word)
        return json.dumps({"time": self._now(), _FOUND_BY: word, **self._entry(key, action, **facts)})

    def adopt(self, notes: Sequence[str]) -> None:
        """Writes what changes have kept of themselves, each once, however often it is handed in.

        What another process noted (this one before it was killed, too) is looked for in the log first.

        Raises:
            StorageFullError: The disk is full.
            AuditError: The log cannot be written.
        """
        with self._adopting:
            entries = [entry for text in notes if (entry := _parsed(text.encode())) is not None]
            words = [str(entry.get(_FOUND_BY)) for entry in entries]
            foreign = {word for word in words if word not in self._own and word not in self._adopted}
            known = self._adopted | (self._written(foreign) if foreign else set())
            new = [entry for entry, word in zip(entries, words, strict=True) if word not in known]
            lines = [
                Line(json.dumps(entry, separators=(",", ":")).encode(), str(entry.get("time")), "changes")
                for entry in new
            ]
            self.write(lines, keep=False)
            self._adopted |= set(words)

    def forget(self) -> None:
        """The notes that were adopted are kept no more."""
        with self._adopting:
            self._own -= self._adopted
            self._adopted.clear()

    def _written(self, words: set[str]) -> set[str]:
        """Which of these words of changes are in the log."""
        found: set[str] = set()
        with self._writer:
            for line in self._files["changes"].backwards():
                known = _WORDS.search(line)
                if known is not None and (word := known[1].decode()) in words:
                    found.add(word)
                    if len(found) == len(words):
                        break
        return found

    def _entry(
        self,
        key: int | None,
        action: str,
        *,
        outcome: Outcome = "ok",
        code: str | None = None,
        people: Iterable[int] = (),
        address: str | None = None,
        **counts: int | None,
    ) -> dict[str, Any]:
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
        entry |= {name: value for name, value in {"code": code, **counts}.items() if value is not None}
        if ids:
            entry["people"] = ids[:_MOST_PEOPLE]
        if len(ids) > _MOST_PEOPLE:
            entry["people_count"] = len(ids)
        if self._addresses and address is not None and _ADDRESS.fullmatch(address):
            entry["address"] = address
        return entry

    def write(self, lines: Sequence[Line], *, keep: bool = True) -> None:
        """Writes entries, with those of threads that came while the disk was busy, and syncs them.

        Args:
            lines: The entries.
            keep: Whether those that could not be written are lost, and so to be counted.

        Raises:
            StorageFullError: The disk is full.
            AuditError: The log cannot be written.
        """
        for line in lines:
            line.counts = keep
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
                room = self._files["looks"].room()
                for kind, lost in self._lost.items():
                    if lost.count and room >= _RESERVE:
                        self._append(kind, [])
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
            with self._writer:
                kinds = [map(_parsed, file.backwards()) for file in self._files.values()]
                entries = [(entry for entry in kind if entry is not None) for kind in kinds]
                for entry in merge(*entries, key=lambda entry: str(entry.get("time", "")), reverse=True):
                    if len(found) >= limit:
                        break
                    found.append({name: value for name, value in entry.items() if name not in _PLACE})
        except OSError as error:
            raise _unread(self.path, error) from error
        return found

    def close(self) -> None:
        """Ends the use of the file."""
        with self._writer:
            for file in self._files.values():
                file.close()

    def _now(self) -> str:
        now = datetime.fromtimestamp(self._clock(), UTC)
        return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"

    def _line(self, entry: dict[str, Any], kind: str) -> Line:
        when = self._now()
        return Line(json.dumps({"time": when, **entry}, separators=(",", ":")).encode(), when, kind)

    def _write_waiting(self) -> None:
        with self._lock:
            lines, self._waiting = self._waiting, []
        own_of = {kind: [line for line in lines if line.kind == kind] for kind in _ENDINGS}
        error: OSError | None = None
        for kind, own in sorted(own_of.items(), key=lambda item: not item[1]):
            if not own and (error is not None or not self._lost[kind].count):
                continue  # where there is room again, others make up for what they lost, too
            error = None
            try:
                self._append(kind, [line.data for line in own])
            except OSError as caught:
                error = caught
            for line in own:
                line.done, line.error = True, error
                if error is not None and line.counts:
                    self._lost[kind].add(line)

    def _append(self, kind: str, entries: Sequence[bytes]) -> None:
        """Writes whole or not at all; before it, how much was lost. The caller holds the writer's lock."""
        lost = self._lost[kind]
        if lost.count:
            told = {
                "key": None, "action": "audit.lost", "outcome": "failed",
                "entries": lost.count, "from": lost.first, "to": lost.last,
            }  # fmt: skip
            entries = [self._line(told, kind).data, *entries]
        self._files[kind].append(entries)
        self._lost[kind] = _Lost()

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


def look_through(path: Path) -> dict[Path, Found]:
    """What the chain says of each file of a log; nothing is written.

    Args:
        path: As of `AuditLog`.

    Raises:
        AuditError: There is no such log, or it cannot be read.
    """
    files = [path.with_name(path.name + ending) for ending in _ENDINGS.values()]
    if not any(file.exists() for file in files):
        raise AuditError(f"There is no audit log {path}: `facewise serve` makes one, or check the path.")
    try:
        return {file: auditfile.look_through(file) for file in files}
    except OSError as error:
        raise _unread(path, error) from error


def _unread(path: Path, error: OSError) -> AuditError:
    return AuditError(f"The audit log {path} cannot be read: {error.strerror or error}.")


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
