"""Changes a gallery again and again, and is killed: reads `SEED EVENT MICROSECONDS` a line, answers `killed`.

An event is what Python or SQLite is about to do: open, rename, delete a file, write to it, run a statement.
A child is killed so many microseconds after it came to the event of that number, anywhere within its work.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import sys
import time
from pathlib import Path

import numpy as np
from gallery_fakes import FINGERPRINT, face_of

from facewise.gallery import Gallery, Sample, Space, live
from facewise.gallery.rekey import rekey

SPACE = Space(FINGERPRINT, "fake", 32, False)
JPEG = b"\xff\xd8\xff" + bytes(range(256)) * 12
AUDITED = ("open", "os.rename", "os.remove", "os.truncate", "os.listdir", "sqlite3.connect")


def batch(names):
    return [(name, [Sample(face_of(name), f"{name}.jpg", photo=JPEG)]) for name in names]


def opens_with(path, keys):
    """The key that opens the gallery; fails where none does."""
    for key in keys:
        try:
            Gallery.open(path, key_file=key, create=False).close()
        except Exception as error:  # noqa: BLE001  the next one may
            last = error
        else:
            return key
    raise last


def work(path: Path, keys: list[Path | None], log: int, seed: int) -> None:
    """Told in the log before and after each change."""
    rng = random.Random(seed)
    key = opens_with(path, keys)
    for turn in range(4):
        a, b, c = (f"{seed} {turn} {name}" for name in "abc")
        with Gallery.open(path, key_file=key, create=False) as gallery:
            os.write(log, f"+ {a}|{b}|{c}\n".encode())
            gallery._store.add(batch([a, b, c]), SPACE)
            os.write(log, f"+. {a}|{b}|{c}\n".encode())
            if rng.random() < 0.7:  # an index is kept from here on
                gallery.identify_embeddings(np.stack([face_of(a)]), fingerprint=FINGERPRINT)
            os.write(log, f"- {a}\n".encode())
            gallery.remove(a)
            os.write(log, f"-. {a}\n".encode())
            os.write(log, f"> {b}\n".encode())
            gallery.merge("all", b)
            os.write(log, f">. {b}\n".encode())
            gallery.export(path.with_name("export.npz"))
        then = rng.choice([k for k in keys if k != key or k is not None])
        rekey(path, key, then)
        key = then


def count(path: Path, keys: list[Path | None], log: int, seed: int) -> None:
    """Prints how many events there are."""
    seen = watch(lambda _: None)
    work(path, keys, log, seed)
    sys.stdout.write(f"{seen[0]}\n")
    sys.stdout.flush()


def watch(at) -> list[int]:
    """Calls it with the number of each event that is about to happen."""
    seen = [0]

    def event(*_: object) -> None:
        seen[0] += 1
        at(seen[0])

    def wrapped(of):
        def call(*given: object) -> object:
            event()
            return of(*given)

        return call

    connect = sqlite3.connect

    def connected(*given: object, **more: object) -> sqlite3.Connection:
        db = connect(*given, **more)
        db.set_trace_callback(event)
        return db

    sqlite3.connect = connected
    os.pwrite, os.fsync, os.replace = wrapped(os.pwrite), wrapped(os.fsync), wrapped(os.replace)
    sys.addaudithook(lambda name, _: event() if name in AUDITED else None)
    return seen


def main() -> None:
    path, log = Path(sys.argv[1]), os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    keys = [None, *map(Path, sys.argv[3:])]
    live.SMALL = 10
    for line in sys.stdin:
        seed, number, microseconds = map(int, line.split())
        read, write = os.pipe()
        child = os.fork()
        if not child:
            if number < 0:
                count(path, keys, log, seed)
            else:
                watch(lambda n, at=number, to=write: os.write(to, b".") if n == at else None)
                work(path, keys, log, seed)
            os._exit(0)
        os.close(write)
        os.read(read, 1)  # or it came to its end
        os.close(read)
        if number >= 0:
            time.sleep(microseconds / 1e6)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            raise SystemExit(1)  # an error of its own, told on stderr
        if number >= 0:
            sys.stdout.write("killed\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
