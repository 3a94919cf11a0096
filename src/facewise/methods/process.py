"""Running tasks: each in a process of its own, so that its memory is known and its end ends nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from facewise.errors import FacewiseError
from facewise.methods.worker import STOPPED
from facewise.training.interrupt import Interrupt

Tell = Callable[[Mapping[str, Any]], None]

_POLL_S = 0.2
"""How soon Ctrl-C is noticed."""


class Runs(Protocol):
    """What can be run: see `facewise.methods.tasks`."""

    def run(self, tell: Tell) -> None:
        """Do it, and tell what is done."""
        ...


class CutShortError(FacewiseError):
    """A process ended before its task was done."""


def run_here(task: Runs, tell: Tell) -> None:
    """Run a task in this process: its memory is not measured.

    Raises:
        FacewiseError: The whole task failed.
        KeyboardInterrupt: Somebody stopped it.
    """
    task.run(tell)


def run_apart(task: Runs, tell: Tell) -> None:
    """Run a task in a process of its own.

    Raises:
        CutShortError: The process crashed or was killed, as by a system short of memory.
        FacewiseError: The whole task failed.
        KeyboardInterrupt: Somebody stopped it; what was done is kept.
    """
    with tempfile.TemporaryFile() as complaints, Interrupt() as interrupt:
        process = subprocess.Popen(
            [sys.executable, "-m", "facewise.methods.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            start_new_session=True,  # Ctrl-C comes here first, and is passed on once
        )
        assert process.stdin is not None  # noqa: S101  asked for above
        assert process.stdout is not None  # noqa: S101
        try:
            with contextlib.suppress(BrokenPipeError):  # it died at once; its code says so
                process.stdin.write(pickle.dumps(task))
                process.stdin.flush()
            failure = _listen(process, interrupt, tell)
        except BaseException:
            process.kill()
            raise
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()
            process.stdout.close()
        if process.returncode == STOPPED or interrupt.asked:
            raise KeyboardInterrupt
        if failure is not None:
            raise FacewiseError(failure)
        if process.returncode:
            complaints.seek(0)
            raise CutShortError(_ended(process.returncode, complaints.read().decode("utf-8", "replace")))


def _listen(process: subprocess.Popen[bytes], interrupt: Interrupt, tell: Tell) -> str | None:
    """Pass on what the process tells, until it ends; returns why its whole task failed, if it did."""
    failure, asked = None, False
    for fact in _facts(process):
        if interrupt.asked and not asked:
            asked = True
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()  # type: ignore[union-attr]  # which it takes for Ctrl-C
        if fact is None:
            continue
        if set(fact) == {"error"}:  # of nothing in particular, so of all
            failure = str(fact["error"])
        else:
            tell(fact)
    return failure


def _facts(process: subprocess.Popen[bytes]) -> Iterator[Mapping[str, Any] | None]:
    """What the process tells, and None every moment in between."""
    lines: queue.Queue[bytes] = queue.Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(b"")

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=_POLL_S)
        except queue.Empty:
            yield None
            continue
        if not line:
            return
        yield json.loads(line)


def _ended(code: int, complaints: str) -> str:
    last = next((line.strip() for line in reversed(complaints.splitlines()) if line.strip()), "")
    if code < 0:
        name = signal.Signals(-code).name if os.name == "posix" else str(-code)
        how = f"was ended by {name}" + (", perhaps for want of memory" if -code == signal.SIGKILL else "")
    else:
        how = f"ended with code {code}"
    return f"Its process {how}{': ' + last if last else '.'}"
