"""Decoding in a process of its own, for decoders that a damaged file can crash or make write to stderr.

These are libheif (its Python package crashes on some files), libjxl, and LibRaw, which knows the files of
hundreds of cameras. A process is started when first needed and takes one photo after the other; it ends with
its photo where that crashes it or takes too long, and otherwise when this process does.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import struct
import subprocess
import sys
import threading
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import numpy as np

from facewise.errors import PhotoTooLargeError
from facewise.formats.kinds import EXTRAS
from facewise.formats.raw import UNREAD
from facewise.formats.refused import DAMAGED, Refused, check_pixels
from facewise.types import Image

SECONDS = 60
"""After which a photo is given up; a RAW of 24 megapixels takes about two."""

CPU_SECONDS = 20
"""Of the CPU's time, after which it is given up as well."""

ASKED, ANSWERED = struct.Struct("<4sQQ"), struct.Struct("<BII")
"""A request: kind, most pixels, length of the file that follows. An answer: one of the numbers below, width,
height, and after `DECODED` RGB pixels."""

DECODED, TOO_LARGE, REFUSED = range(3)

_NEEDS = {
    "HEIF": ("pi_heif", "it is a HEIC photo, and pi-heif is not installed", "`pip install pi-heif`"),
    "JXL": (EXTRAS["jxl"][0], "it is a JPEG XL photo", "`pip install facewise[jxl]` to read it"),
    "RAW": (
        EXTRAS["raw"][0],
        "it is a camera RAW file",
        "`pip install facewise[raw]` to read it, or export it as JPEG",
    ),
}
"""Kind → the module that its decoder is in, and what to say and to do where that is missing."""

KINDS = frozenset(_NEEDS)

_OVER_TIME = getattr(signal, "SIGXCPU", 0)
_ENDING = 0.2
"""Seconds a process that broke off has to say how it ended."""

_ROOT = str(Path(__file__).parents[2])
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from facewise.formats.worker import main; main()"
"""So that it finds this package however this process found it."""


def decode_apart(data: bytes, kind: str, limit: int) -> Image:
    """Decode one of `KINDS`.

    Raises:
        Refused: It is damaged, of more pixels than `limit`, takes too long, or its decoder is not installed.
    """
    module, wrong, remedy = _NEEDS[kind]
    if not _installed(module):
        raise Refused(wrong, remedy)
    answer = None
    # A process that had others before may not be to blame for them; a new one is asked once more.
    while answer is None:
        process = _taken()
        used = process.used
        answer = process.ask(data, kind, limit)
        if answer is None and not used:
            break
    if answer is None:
        raise Refused(*(UNREAD if kind == "RAW" else DAMAGED))
    _IDLE.append(process)
    status, width, height, pixels = answer
    if status == TOO_LARGE:
        check_pixels(width, height, limit)
    if status != DECODED or width * height > limit:
        raise Refused(*(UNREAD if kind == "RAW" else DAMAGED))
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


def prepare() -> None:
    """Opens what a process is started with, before this one may open nothing more to write."""
    _nowhere()


@cache
def _nowhere() -> int:
    """Where what decoders print goes."""
    return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:  # a module without a spec
        return False


class _Process:
    """A process that decodes; of this one only."""

    def __init__(self) -> None:
        self.owner, self.used = os.getpid(), False
        self._process = subprocess.Popen(  # noqa: S603  this Python and a module of ours
            [sys.executable, "-c", _PROGRAM, _ROOT],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=_nowhere(),
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def ask(self, data: bytes, kind: str, limit: int) -> tuple[int, int, int, bytearray] | None:
        """Its answer; None if it died of the photo, or was ended as it took too long.

        Raises:
            Refused: It took too long.
        """
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()

        alarm = threading.Timer(SECONDS, give_up)
        alarm.start()
        try:
            self.used = True
            return self._asked(data, kind, limit)
        except (OSError, EOFError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_ENDING)
            self.end()
            if late.is_set() or self._process.returncode == -_OVER_TIME:
                wrong = f"decoding it took longer than {SECONDS if late.is_set() else CPU_SECONDS} s"
                raise Refused(wrong, "make it smaller first", PhotoTooLargeError) from None
            return None
        except BaseException:
            self.end()
            raise
        finally:
            alarm.cancel()

    def _asked(self, data: bytes, kind: str, limit: int) -> tuple[int, int, int, bytearray]:
        to, back = self._process.stdin, self._process.stdout
        assert to is not None and back is not None  # noqa: S101, PT018  asked for above
        to.write(ASKED.pack(kind.encode(), limit, len(data)))
        to.write(data)
        to.flush()
        status, width, height = ANSWERED.unpack(_exactly(back, ANSWERED.size))
        return status, width, height, _exactly(back, 3 * width * height if status == DECODED else 0)

    def end(self) -> None:
        """End it."""
        self._process.kill()
        with contextlib.suppress(OSError):
            self._process.communicate()


def _exactly(stream: IO[bytes], length: int) -> bytearray:
    held = bytearray(length)
    view, have = memoryview(held), 0
    while have < length:
        count = stream.readinto(view[have:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        have += count
    return held


_IDLE: list[_Process] = []
"""Processes at no work; a list's append and pop are safe between threads."""


@atexit.register
def _end_all() -> None:
    while _IDLE:
        process = _IDLE.pop()
        if process.owner == os.getpid():
            process.end()


def _taken() -> _Process:
    while _IDLE:
        process = _IDLE.pop()
        if process.owner == os.getpid():  # a fork has the list, but not the process
            return process
    return _Process()
