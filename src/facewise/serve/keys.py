"""API keys: who may ask the service for what, until when, and how fast.

The file holds no key, only its SHA-256 (`keytext` says why that is enough). A check looks at the file's
version counter each time, so a key made or revoked by another process counts from the next request on.
"""

from __future__ import annotations

import hmac
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from facewise.errors import FacewiseError, SettingError
from facewise.serve import keytext
from facewise.serve.keyfile import KeyStoreError, connect, prepare, told
from facewise.serve.keyinfo import (
    BadKeyError,
    ExpiredKeyError,
    KeyInfo,
    KeyRefusedError,
    NoKeyError,
    RevokedKeyError,
    ScopeError,
)
from facewise.serve.ratelimit import Rate
from facewise.serve.scopes import ADMIN, checked_scopes

__all__ = [
    "BadKeyError", "ExpiredKeyError", "KeyInfo", "KeyRefusedError", "KeyStore", "KeyStoreError", "NoKeyError",
    "RevokedKeyError", "ScopeError",
]  # fmt: skip

_USE_SECONDS = 60.0
"""How often the times of last use are written: to the minute is enough, and a write a request is too much."""

_LOG = logging.getLogger(__name__)


class KeyStore:
    """The keys of one service, in an SQLite file of their own; any thread may ask.

    Args:
        path: The file, made for its owner alone where it is missing.
        create: Whether a missing file is made.
        clock: Seconds since 1970.

    Raises:
        KeyStoreError: The file is missing, no keys file, or others may write to it.
    """

    def __init__(
        self, path: Path | str, *, create: bool = True, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = Path(path)
        self._clock = clock
        self._lock = threading.Lock()
        self._used: dict[int, float] = {}
        self._used_written = clock()
        self._writing = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._known: dict[bytes, tuple[bytes, KeyInfo]] = {}
        self._seen: tuple[int, int, int] | None = None  # file, its version, and whether it is that version
        prepare(self.path, create=create)

    def create(
        self, name: str, scopes: Iterable[str], *, expires: datetime | None = None, rate: Rate | None = None
    ) -> tuple[str, KeyInfo]:
        """Makes a key.

        Args:
            name: What to call it; need not be its own, so that a key can be replaced by one of the same name.
            scopes: What it may do.
            expires: From when on it is refused (with a time zone); None never.
            rate: How fast its owner may ask; None leaves that to the service.

        Returns:
            The key, which is nowhere else and cannot be shown again, and what is kept of it.

        Raises:
            SettingError: A name, scope or time that makes no sense.
            StorageFullError: There is no room for it.
        """
        wanted = _Wanted(_checked_name(name), checked_scopes(scopes), self._checked_expiry(expires), rate)
        with self._change() as db:
            return self._insert(db, wanted)

    def create_first(self, name: str = "first") -> tuple[str, KeyInfo] | None:
        """Makes an admin key where there has never been a key, else nothing.

        Where all keys were revoked or have expired, somebody meant that: no key is made.
        """
        with self._change() as db:
            if db.execute("SELECT 1 FROM keys LIMIT 1").fetchone():
                return None
            return self._insert(db, _Wanted(name, (ADMIN,), None, None))

    def check(self, text: str | None) -> KeyInfo:
        """The key that this is the text of.

        The comparison takes no longer for a key that is nearly right: it is found by its SHA-256, of which a
        guesser can choose no part, and that is compared in constant time.

        Raises:
            NoKeyError: There is no text.
            BadKeyError: It is not a key, or nobody's.
            ExpiredKeyError: The key's time is over.
            RevokedKeyError: The key was revoked.
            KeyStoreError: The file is gone or damaged: nobody gets in.
        """
        if not text:
            raise NoKeyError(
                "This needs an API key: send it as `Authorization: Bearer fw_…` or `X-API-Key: fw_…`."
            )
        if not keytext.is_well_formed(text):
            raise BadKeyError(
                f"This is not an API key: one begins with {keytext.PREFIX} and has {keytext.LENGTH} "
                "characters, none of them missing or changed."
            )
        digest = keytext.digest(text)
        with self._lock:
            stored, info = self._current().get(digest, (bytes(32), None))
        if not hmac.compare_digest(stored, digest) or info is None:
            raise BadKeyError("This API key is not known here.")
        now = self._clock()
        match info.state(_time(now)):
            case "revoked":
                raise RevokedKeyError(f"The API key {info.name!r} was revoked: ask for a new one.", info.id)
            case "expired":
                raise ExpiredKeyError(f"The API key {info.name!r} has expired: ask for a new one.", info.id)
        self._note_use(info.id, now)
        return info

    def list(self) -> tuple[KeyInfo, ...]:
        """All keys, also those that are refused by now, oldest first."""
        with self._lock:
            return tuple(sorted((info for _, info in self._current().values()), key=lambda info: info.id))

    def find(self, what: str) -> KeyInfo:
        """The key of this number, this name, this beginning or this whole text.

        Raises:
            KeyStoreError: There is none, or several that are still good.
        """
        keys = self.list()
        if keytext.is_well_formed(what):
            keys = tuple(info for info in keys if info.hint == keytext.hint(what) and self._is(info, what))
            what = f"{keytext.hint(what)}…"  # an error message is no place for a key, or the most of one
        else:
            keys = tuple(info for info in keys if what in {str(info.id), info.name, info.hint})
            if what.startswith(keytext.PREFIX):
                what = f"{keytext.hint(what)}…"
        good = [info for info in keys if info.state(_time(self._clock())) == "live"]
        if len(good) > 1:
            numbers = ", ".join(str(info.id) for info in good)
            raise KeyStoreError(f"There are {len(good)} keys {what!r}: say which of {numbers}.")
        if not keys:
            raise KeyStoreError(f"There is no key {what!r} in {self.path}; `facewise keys list` shows them.")
        return good[0] if good else keys[-1]

    def revoke(self, key: int) -> KeyInfo:
        """Refuses a key from now on, for good. One that is revoked already stays as it was.

        Raises:
            KeyStoreError: There is no such key.
        """
        with self._change() as db:
            db.execute("UPDATE keys SET revoked = ? WHERE id = ? AND revoked IS NULL", (self._clock(), key))
            row = db.execute(f"{_SELECT} WHERE id = ?", (key,)).fetchone()
            if row is None:
                raise KeyStoreError(f"There is no key {key} in {self.path}; `facewise keys list` shows them.")
        return _info(row)

    def flush(self) -> None:
        """Writes when keys were last used."""
        with self._writing:
            with self._lock:
                used, self._used = self._used, {}
                self._used_written = self._clock()
            if not used:
                return
            with self._change() as db:
                db.executemany(
                    "UPDATE keys SET last_used = max(?, coalesce(last_used, 0)) WHERE id = ?",
                    [(when, key) for key, when in used.items()],
                )

    def close(self) -> None:
        """Ends the use of the file."""
        self._flush_quietly()
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _is(self, info: KeyInfo, text: str) -> bool:
        with self._lock:
            found = self._current().get(keytext.digest(text))
        return found is not None and found[1].id == info.id

    def _current(self) -> dict[bytes, tuple[bytes, KeyInfo]]:
        """What the file says now, by digest; read again only where it changed. The caller holds the lock."""
        with told(self.path):
            try:
                file = os.stat(self.path)  # noqa: PTH116  a Path would be made for every request
            except FileNotFoundError:
                raise KeyStoreError(f"The keys file {self.path} is gone: put it back.") from None
            if self._db is None or self._seen is None or self._seen[:2] != (file.st_dev, file.st_ino):
                if self._db is not None:
                    self._db.close()
                self._db, self._seen = connect(self.path), None
            try:
                version = self._db.execute("PRAGMA data_version").fetchone()[0]
                if self._seen != (file.st_dev, file.st_ino, version):
                    rows = self._db.execute(_SELECT).fetchall()
                    self._known = {row[1]: (row[1], _info(row)) for row in rows}
                    self._seen = (file.st_dev, file.st_ino, version)
            except sqlite3.Error:
                self._seen = None  # the next check opens the file anew
                raise
        return self._known

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """A transaction on a connection of its own, so that no check waits for the disk."""
        db = connect(self.path)
        try:
            with told(self.path):
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
        finally:
            db.close()  # rolls back what was not committed

    def _insert(self, db: sqlite3.Connection, wanted: _Wanted) -> tuple[str, KeyInfo]:
        text = keytext.new_text()
        rate = wanted.rate
        values = (
            wanted.name, keytext.digest(text), keytext.hint(text), " ".join(wanted.scopes),
            rate and rate.number, rate and rate.seconds, self._clock(), wanted.expires,
        )  # fmt: skip
        row = db.execute(_INSERT, values).fetchone()
        return text, _info(row)

    def _checked_expiry(self, expires: datetime | None) -> float | None:
        if expires is None:
            return None
        if expires.tzinfo is None:
            raise SettingError("A key's expiry needs a time zone.")
        if expires.timestamp() <= self._clock():
            raise SettingError(f"A key cannot expire in the past ({expires:%Y-%m-%d %H:%M %Z}).")
        return expires.timestamp()

    def _note_use(self, key: int, now: float) -> None:
        with self._lock:
            self._used[key] = now
            due = now - self._used_written > _USE_SECONDS
            if due:
                self._used_written = now
        if due:
            threading.Thread(target=self._flush_quietly, name="facewise-key-use", daemon=True).start()

    def _flush_quietly(self) -> None:
        try:
            self.flush()
        except FacewiseError as error:  # the time of last use is no reason to refuse a good key
            _LOG.warning("When keys were last used was not written: %s", error)


@dataclass(frozen=True, slots=True)
class _Wanted:
    name: str
    scopes: tuple[str, ...]
    expires: float | None
    rate: Rate | None


_COLUMNS = "id, digest, name, scopes, created, expires, revoked, last_used, rate_number, rate_seconds, hint"
_SELECT = f"SELECT {_COLUMNS} FROM keys"  # noqa: S608  constants
_NEW = "name, digest, hint, scopes, rate_number, rate_seconds, created, expires"
_INSERT = f"INSERT INTO keys ({_NEW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING {_COLUMNS}"  # noqa: S608


def _info(row: tuple[Any, ...]) -> KeyInfo:
    key, _, name, scopes, created, *times, number, seconds, hint = row
    expires, revoked, last_used = (None if t is None else _time(t) for t in times)
    rate = None if number is None else Rate(number, seconds)
    return KeyInfo(key, name, tuple(scopes.split()), _time(created), expires, revoked, last_used, rate, hint)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise SettingError("A key's name has 1 to 100 printable characters.")
    return name
