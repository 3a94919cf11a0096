"""The command line: `facewise …`. One file a command group; each imports what it runs when it runs it."""

from __future__ import annotations

import _thread
import atexit
import gc
import io
import signal
import sys
import threading
import warnings
from types import FrameType
from typing import Any

STOPPED = 130
"""Exit code after Ctrl-C, as shells have it."""

NO_DECISION = 4
"""Exit code of `facewise verify` where the photos are too poor to tell."""


def main() -> None:
    """Entry point of the `facewise` command."""
    pressed = _notice_ctrl_c()
    # A process that ends gives all memory back: looking for garbage first took a sixth of `facewise verify`.
    atexit.register(gc.freeze)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a letter of a name shows its code.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        # Only here, so that Ctrl-C while modules still load ends as plainly as later.
        from facewise.hardware import keep_libraries_to_quota

        keep_libraries_to_quota()  # before any of them is loaded
        from facewise.cli.app import app

        _tell_warnings_plainly()
        app()
    except BaseException as end:
        # Compiled modules that are just loading turn Ctrl-C into errors of their own.
        unfinished = not isinstance(end, SystemExit) and bool(pressed)
        stopped = isinstance(end, KeyboardInterrupt) or (isinstance(end, SystemExit) and end.code == STOPPED)
        if not (stopped or unfinished):
            raise
        sys.stderr.write("facewise: stopped; no file is left half-written.\n")
        sys.exit(STOPPED)


def _tell_warnings_plainly() -> None:
    """Facewise's own warnings are a sentence, not a place in the code."""
    from facewise.errors import FacewiseWarning

    usual = warnings.showwarning

    def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, FacewiseWarning):
            sys.stderr.write(f"note: {message}\n")
        else:
            usual(message, category, *rest, **more)

    warnings.showwarning = show


def _notice_ctrl_c() -> list[int]:
    """Returns a list that is no longer empty once Ctrl-C was pressed; it interrupts as ever.

    Where Python must swallow an exception (callbacks of its import, compiled code that calls back), it would
    swallow Ctrl-C too and go on: then it is asked for again a moment later.
    """
    pressed: list[int] = []
    swallowed = sys.unraisablehook

    def interrupt(number: int, _: FrameType | None) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    def ask_again(lost: sys.UnraisableHookArgs) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            threading.Timer(0.01, _thread.interrupt_main).start()
        else:
            swallowed(lost)

    main_thread = threading.current_thread() is threading.main_thread()
    if main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
        sys.unraisablehook = ask_again
    return pressed
