"""The command line: `facewise …`. One file a command group; each imports what it runs when it runs it."""

from __future__ import annotations

import io
import sys

STOPPED = 130
"""Exit code after Ctrl-C, as shells have it."""


def main() -> None:
    """Entry point of the `facewise` command."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a letter of a name shows its code.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        # Only here, so that Ctrl-C while modules still load ends as plainly as later.
        from facewise.cli.app import app

        app()
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != STOPPED:
            raise
        sys.stderr.write("facewise: stopped; no file is left half-written.\n")
        sys.exit(STOPPED)
