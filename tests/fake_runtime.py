"""Stands for an ONNX Runtime with graphics cards."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import onnxruntime
import pytest

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class Runtime:
    """An ONNX Runtime built with more providers than work here.

    Of `broken` each falls back to the CPU with no more than a log line, as one without its libraries does, or
    raises, as one without its device does. Whatever does work is the CPU by another name.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        built_with: Sequence[str],
        broken: dict[str, list[str] | Exception],
    ) -> None:
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self.counting = threading.Lock()
        session_class, outer = onnxruntime.InferenceSession, self

        class Session:
            def __init__(self, network: bytes, options: object, providers: list[str], **rest: object) -> None:
                outer.asked += providers
                active = broken.get(providers[0], [*providers, "CPUExecutionProvider"])
                if isinstance(active, Exception):
                    raise active
                self.active = active
                self.session = session_class(network, options, providers=["CPUExecutionProvider"], **rest)

            def __getattr__(self, name: str) -> object:
                return getattr(self.session, name)

            def get_providers(self) -> list[str]:
                return self.active

            def run(self, *given: object) -> object:
                with outer.counting:
                    outer.at_once += 1
                    outer.most_at_once = max(outer.most_at_once, outer.at_once)
                time.sleep(0.002)
                with outer.counting:
                    outer.at_once -= 1
                return self.session.run(*given)

        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(built_with))
        monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
