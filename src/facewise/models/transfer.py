"""Bringing one file to `<file>.part`: attempts, retries, and going on where the last attempt broke."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from facewise.errors import ModelError
from facewise.models.transport import MirrorError, RangeError, RetryError, broken, get, validator

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes there will be (None: the server does not say)."""

_CHUNK = 1 << 16
_MOST_BYTES = 8 << 30  # where neither the entry nor the server says a size
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))  # Windows knows no quota error
_UNREACHABLE_RETRIES = 2  # offline is seldom cured in seconds: do not keep the user waiting


@dataclass(frozen=True, slots=True)
class Job:
    """What is fetched to where.

    Attributes:
        path: Where the file will be.
        sha256: 64 lower-case hex digits.
        size: Bytes, or None if not known.
        progress: Told of the bytes as they come.
        timeout: Seconds without an answer or a byte.
    """

    path: Path
    sha256: str
    size: int | None
    progress: Progress | None
    timeout: float

    @property
    def part(self) -> Path:
        """The file while it is not whole."""
        return self.path.with_name(self.path.name + ".part")

    @property
    def note(self) -> Path:
        """What must be remembered to go on: `{"url", "validator"}`."""
        return self.path.with_name(self.path.name + ".part.json")

    def here(self) -> int:
        """Bytes that have come so far."""
        return self.part.lstat().st_size if self.part.is_file() else 0

    def drop(self) -> None:
        """Forget what has come so far."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def transfer(url: str, job: Job, retries: int, backoff: float) -> None:
    """Leave the whole file, checked, in `job.part`.

    Raises:
        MirrorError: This address does not give it.
        ModelError: The disk does not take it.
    """
    most, failures, may_be_glued = job.here(), 0, True
    resumed = reached = False
    while True:
        try:
            resumed = _attempt(url, job) or resumed
        except RetryError as error:
            # Only new bytes forgive failures: a server that always breaks at the same place must not loop us.
            failures = 1 if job.here() > most else failures + 1
            most = max(most, job.here())
            reached = reached or not error.unreachable
            if failures > (retries if reached else min(retries, _UNREACHABLE_RETRIES)):
                raise _given_up(url, job, error) from error
            pause = backoff * 2.0 ** (failures - 1) * random.SystemRandom().uniform(0.5, 1.5)
            time.sleep(pause if error.wait is None else max(pause, error.wait))
            continue
        got = sha256_of(job.part)
        if got == job.sha256:
            return
        job.drop()
        if not (resumed and may_be_glued):
            raise MirrorError(
                f"The download from {url} was deleted: its sha256 is {got}, expected {job.sha256}; "
                "the file has changed there or was damaged on its way."
            )
        # Bytes of an earlier run may have been of another file: once, and from nothing, it is tried again.
        may_be_glued, most = False, 0


def _attempt(url: str, job: Job) -> bool:
    """One request; True if it went on from bytes that were here before."""
    start, note = job.here(), _read_note(job)
    if start and "url" not in note:
        raise ModelError(f"{job.part} is no download that was begun here: move it away, and run again.")
    if start and job.size == start:
        return True
    if start and (note.get("url") != url or (job.size is not None and start > job.size)):
        job.drop()
        start = 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and note.get("validator"):
        headers["If-Range"] = note["validator"]
    try:
        response = get(url, headers, job.timeout)
    except RangeError as error:
        if error.total == start:
            return True
        job.drop()
        raise RetryError(str(error)) from error
    with response:
        start, total = _position(response, start, note, job)
        _receive(url, response, start, total, job)
    return start > 0


def _position(response: HTTPResponse, start: int, note: dict[str, str], job: Job) -> tuple[int, int | None]:
    """Where the body begins in the file, and the size of the whole file if told."""
    if response.status == 200:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    now = validator(response.headers)
    changed = bool(now and note.get("validator") and now != note["validator"])
    if response.status != 206 or told is None or int(told[1]) != start or changed:
        job.drop()
        raise RetryError(f"the server answered {response.status} with other bytes than were asked for")
    return start, int(told[2]) if told[2].isdecimal() else None


def _receive(url: str, response: HTTPResponse, start: int, total: int | None, job: Job) -> None:
    """Append the body to the part, never more than was promised."""
    limit = job.size or total or _MOST_BYTES
    done, too_much = start, (total or 0) > limit
    with disk(job.path.parent):
        if not start:  # first: a part without a note is another's
            kept = {"url": url, "validator": validator(response.headers)}
            with open(job.note, "w", encoding="utf-8", opener=_not_through_links) as note:
                note.write(json.dumps(kept))
        file = open(job.part, "ab" if start else "wb", opener=_not_through_links)  # noqa: SIM115  just below
    with disk(job.path.parent), file:
        for chunk in () if too_much else _chunks(response):
            done += len(chunk)
            too_much = done > limit
            if too_much:
                break
            file.write(chunk)
            if job.progress is not None:
                job.progress(done, total or job.size)
        file.flush()
        os.fsync(file.fileno())
    if too_much:
        job.drop()
        raise MirrorError(f"{url} sends more than the {limit} bytes expected of {job.path.name}: not taken.")
    if done < (total or job.size or 0):
        raise RetryError(f"the connection ended after {done} of {total or job.size} bytes")


def _not_through_links(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    """The body; errors of the network are told from errors of the disk here."""
    while True:
        try:
            chunk = response.read1(_CHUNK)
        except (OSError, HTTPException) as error:
            raise broken(error) from error
        if not chunk:
            return
        yield chunk


def _given_up(url: str, job: Job, error: RetryError) -> MirrorError:
    host = urlsplit(url).hostname
    by_hand = (
        f"put the file by hand into {job.path.parent} as {job.path.name}, its sha256 must be {job.sha256}"
    )
    if error.unreachable:
        return MirrorError(
            f"Cannot reach {host} ({error}): are you offline? Try again with a network, or {by_hand}."
        )
    return MirrorError(
        f"The download of {job.path.name} from {host} failed again and again ({error}): "
        f"run again to go on where it stopped, or {by_hand}."
    )


def _read_note(job: Job) -> dict[str, str]:
    try:
        note = json.loads(job.note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in note.items()} if isinstance(note, dict) else {}


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """Errors of the disk in one plain sentence; what has come is kept."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise ModelError(
                f"The disk of {folder} is full: make room and run again, "
                "the download goes on where it stopped."
            ) from error
        raise ModelError(f"Cannot write in {folder}: {error.strerror or error}.") from error


def sha256_of(path: Path) -> str:
    """The sha256 of a file, 64 lower-case hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
