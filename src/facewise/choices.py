"""What was measured once on this machine to choose by, kept so that the next run need not measure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from facewise.errors import FacewiseError
from facewise.files import one_at_a_time, write_bytes
from facewise.hardware import facts
from facewise.models.home import cache_folder, make

_FILE = "choices.json"
_MOST = 500
"""Entries kept; the oldest go."""


def recall(kind: str, of: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `remember` was told on this kind of machine.

    Args:
        kind: What was chosen, such as `"training"`.
        of: What the choice depends on besides the processor: versions, network, shapes. Plain JSON values.

    Returns:
        The measurement, or None if there is none.
    """
    found = _load().get(_key(kind, of))
    return found if isinstance(found, dict) else None


def remember(kind: str, of: Mapping[str, Any], measured: Mapping[str, Any]) -> None:
    """Keep a measurement. Where nothing can be written it is measured again next time.

    Args:
        kind: As in `recall`.
        of: As in `recall`.
        measured: Plain JSON values.
    """
    try:
        path = make(cache_folder()) / _FILE
        with one_at_a_time(path.with_suffix(".lock")):
            entries = _load()
            entries.pop(key := _key(kind, of), None)
            entries[key] = dict(measured)
            kept = dict(list(entries.items())[-_MOST:])
            write_bytes(path, json.dumps(kept, indent=1).encode())
    except FacewiseError:
        return


def _key(kind: str, of: Mapping[str, Any]) -> str:
    text = json.dumps({"machine": facts(), **of}, sort_keys=True, default=str)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def _load() -> dict[str, Any]:
    try:
        entries = json.loads((cache_folder() / _FILE).read_text(encoding="utf-8"))
    except (FacewiseError, OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}
