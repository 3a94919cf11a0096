"""Which share of the work is this process's, as whoever launched it says."""

from __future__ import annotations

import os
from collections.abc import Mapping

from facewise.errors import SettingError
from facewise.hardware import available_threads


def launched_as(environment: Mapping[str, str] | None = None) -> tuple[int, int] | None:
    """This process's number and how many there are, by torchrun's `RANK` and `WORLD_SIZE`; None without them.

    Raises:
        SettingError: They are no such numbers.
    """
    given = os.environ if environment is None else environment
    if "RANK" not in given or "WORLD_SIZE" not in given:
        return None
    try:
        shard, shards = int(given["RANK"]), int(given["WORLD_SIZE"])
    except ValueError:
        raise SettingError(
            f"RANK and WORLD_SIZE must be whole numbers, not {given['RANK']!r} and {given['WORLD_SIZE']!r}."
        ) from None
    check_shard(shard, shards)
    return shard, shards


def check_shard(shard: int, shards: int) -> None:
    """Refuses a share that cannot be.

    Raises:
        SettingError: It cannot.
    """
    if shards < 1 or not 0 <= shard < shards:
        raise SettingError(f"Of {shards} shards there is no shard {shard}: they are numbered from 0.")


def threads_here(environment: Mapping[str, str] | None = None) -> int:
    """CPU threads for one process, where a launcher started several on this machine (`LOCAL_WORLD_SIZE`)."""
    given = os.environ if environment is None else environment
    beside = given.get("LOCAL_WORLD_SIZE", "1")
    return max(1, available_threads() // max(1, int(beside) if beside.isdecimal() else 1))
