"""Downloading models: resumed where it broke, checked by sha256, there whole or not at all.

A download goes to `<file>.part`, with a note `<file>.part.json` of the server's ETag beside it, under the
lock `<file>.lock`; only bytes with the right sha256 are renamed to `<file>`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from facewise.errors import ModelError
from facewise.files import lock_file
from facewise.models.transfer import Job, Progress, disk, sha256_of, transfer
from facewise.models.transport import MirrorError
from facewise.models.unpack import unpack, unpacked
from facewise.models.zoo import ZooEntry

__all__ = ["Progress", "download", "fetch"]


def download(
    entry: ZooEntry,
    folder: Path,
    *,
    progress: Progress | None = None,
    retries: int = 5,
    backoff: float = 0.5,
    timeout: float = 30.0,
) -> Path:
    """Have a model of the zoo in `folder`, downloading what is not there yet.

    Args:
        entry: From `facewise.models.zoo.find`.
        folder: Where models are kept; made if missing.
        progress: Told of the bytes as they come.
        retries: How many failures in a row, without one new byte, are borne.
        backoff: Seconds before the first retry; doubled, and jittered, for each further one.
        timeout: Seconds without an answer or a byte after which a connection is given up.

    Returns:
        The `.onnx` file, or for a pack the folder its members are in.

    Raises:
        ModelError: It cannot be had; the sentence says why and what to do.
    """
    if not entry.members:
        return fetch(
            entry.urls,
            entry.sha256,
            folder / entry.filename,
            size=entry.size,
            progress=progress,
            retries=retries,
            backoff=backoff,
            timeout=timeout,
        )
    target = folder / entry.name
    if unpacked(entry.members, target):
        return target
    archive = folder / entry.filename
    with _locked(target):
        if not unpacked(entry.members, target):
            job = Job(archive, entry.sha256, entry.size, progress, timeout)
            _have(job, entry.urls, retries, backoff)
            unpack(archive, entry.members, target)
            archive.unlink(missing_ok=True)
    return target


def fetch(
    urls: Sequence[str],
    sha256: str,
    path: Path,
    *,
    size: int | None = None,
    progress: Progress | None = None,
    retries: int = 5,
    backoff: float = 0.5,
    timeout: float = 30.0,
) -> Path:
    """Have at `path` the file whose sha256 is known; see `download` for the arguments.

    Args:
        urls: Addresses of the same bytes, tried in this order.
        sha256: 64 lower-case hex digits.
        path: Where the file will be.
        size: Bytes, or None if not known; never more than this is taken.
        progress: As in `download`.
        retries: As in `download`.
        backoff: As in `download`.
        timeout: As in `download`.

    Returns:
        `path`.

    Raises:
        ModelError: It cannot be had.
    """
    job = Job(path, sha256, size, progress, timeout)
    if not _same(path, sha256):
        with _locked(path):
            _have(job, urls, retries, backoff)
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time: the others wait here, then find the file."""
    with disk(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        release = lock_file(path.with_name(path.name + ".lock"))
    try:
        yield
    finally:
        release()


def _have(job: Job, urls: Sequence[str], retries: int, backoff: float) -> None:
    """Under the lock: the file is there, or comes from the first address that gives it."""
    if _same(job.path, job.sha256):
        return
    failures: list[MirrorError] = []
    for url in urls:
        try:
            transfer(url, job, retries, backoff)
            break
        except MirrorError as error:
            failures.append(error)
    else:
        raise ModelError(str(failures[0])) from failures[0]
    with disk(job.path.parent):
        job.part.replace(job.path)
        job.note.unlink(missing_ok=True)
        if os.name == "posix":  # elsewhere a folder cannot be opened, nor needs to be
            handle = os.open(job.path.parent, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _same(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path) == sha256
