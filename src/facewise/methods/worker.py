"""One task in a process of its own: `python -m facewise.methods.worker`, started by `process` alone.

A pickled task comes in on standard input from the process that started this one, which then keeps the pipe
open for as long as the work is wanted: when it is closed, or its owner killed, the work stops as by Ctrl-C.
What is done is told on standard output, a line of JSON each.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from typing import Any

STOPPED = 130


def main() -> int:
    """Do the task; returns the exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs have it ignored
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what libraries print is no word of ours

    def tell(fact: Mapping[str, Any]) -> None:
        out.write(json.dumps(fact) + "\n")

    from facewise.errors import FacewiseError  # noqa: PLC0415  signals first
    from facewise.methods.memory import own_process  # noqa: PLC0415

    own_process()
    try:
        task = pickle.load(sys.stdin.buffer)  # noqa: S301  from the process that started this one
        threading.Thread(target=_stop_with_owner, daemon=True).start()
        task.run(tell)
    except KeyboardInterrupt:
        return STOPPED
    except FacewiseError as error:
        tell({"error": " ".join(str(error).split())})
        return 3
    finally:
        # All is told: what is told ends with this function, and its owner then lets go of the other pipe.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return 0


def _stop_with_owner() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    try:
        code = main()
    except BaseException:  # noqa: BLE001  it ends here, and its last words are passed on
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    # The thread that reads holds the lock of standard input, over which Python would fall at its end.
    os._exit(code)
