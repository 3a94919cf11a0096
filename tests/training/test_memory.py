"""Memory kept between steps."""

import platform

import pytest
import torch

from facewise.training import memory
from facewise.training.memory import kept_memory

USUAL = {-1: 64 * 2**20, -3: 32 * 2**20, -4: 65536}
"""What glibc grows to by itself."""


class Recorder:
    """Stands for the C library."""

    def __init__(self) -> None:
        self.options: dict[int, int] = {}
        self.trimmed = 0

    def mallopt(self, option: int, value: int) -> int:
        self.options[option] = value
        return 1

    def malloc_trim(self, _: int) -> int:
        self.trimmed += 1
        return 1


@pytest.fixture
def libc(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(memory, "_glibc", lambda: recorder)
    return recorder


def test_memory_is_kept_within_and_given_back_after(libc: Recorder) -> None:
    with kept_memory():
        assert libc.options == {-1: 2**31 - 1, -4: 0}
        assert not libc.trimmed
    assert libc.options == USUAL
    assert libc.trimmed == 1


def test_it_is_given_back_after_an_error_too(libc: Recorder) -> None:
    with pytest.raises(KeyError), kept_memory():
        raise KeyError("x")
    assert libc.options == USUAL
    assert libc.trimmed == 1


def test_the_real_library_takes_the_settings() -> None:
    real = memory._glibc()
    if real is None:
        pytest.skip("this C library is not glibc: it has no such settings")
    for options in (memory._KEEP, memory._USUAL):
        for option, value in options.items():
            assert real.mallopt(option, value) == 1
    with kept_memory():
        assert float(torch.ones(4 * 1024 * 1024).sum()) == 4 * 1024 * 1024


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda *_: ("", ""))
    monkeypatch.setattr(memory.ctypes, "CDLL", None)  # would raise
    with kept_memory():
        pass
