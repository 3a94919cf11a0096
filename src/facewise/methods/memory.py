"""The most memory that a process of its own held at once."""

from __future__ import annotations

from pathlib import Path

_own_process = False


def own_process() -> None:
    """Say that this process does nothing but one task, so that its memory is that task's."""
    global _own_process  # noqa: PLW0603  there is one process, and this is about it
    _own_process = True


def peak_memory() -> int | None:
    """The most memory this process held at once, in bytes: with Python, libraries and files mapped into it.

    None in a process that does other things too. On Linux the high water mark of the process itself: what
    `getrusage` gives there counts the process it was started from as well.
    """
    if not _own_process:
        return None
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource  # noqa: PLC0415  not on Windows
        import sys  # noqa: PLC0415
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit
