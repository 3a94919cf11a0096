"""What a worker process may be given in tests; imports next to nothing, so that it starts at once."""

from __future__ import annotations

import os
import signal

from facewise.errors import SettingError


class Task:
    """Tells that it has begun, and then does as it is bidden."""

    def __init__(self, what):
        self.what = what

    def run(self, tell):
        tell({"done": "first"})
        if self.what == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "crashes":
            raise ZeroDivisionError("nothing to divide")
        if self.what == "fails":
            raise SettingError("It cannot be so.")
        if self.what == "has too few":
            tell({"too few": "second", "error": "Two are needed."})
            tell({"failed": "third", "error": "It broke."})
        if self.what == "prints":
            print("this is no fact")  # noqa: T201
        if self.what == "waits":
            tell({"done": "waiting"})
            signal.pause()
