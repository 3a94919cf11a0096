"""The command line: `facewise …`. One file a command group; each imports what it runs when it runs it."""

from __future__ import annotations

from facewise.cli.app import app


def main() -> None:
    """Entry point of the `facewise` command."""
    app()
