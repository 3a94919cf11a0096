"""What a key may do: four scopes, of which `admin` holds the other three."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from facewise.errors import SettingError, nearest_known

IDENTIFY = "identify"
"""Look at photos: detect, embed, verify, identify, cluster; read the models and their report."""

ENROL = "enrol"
"""See who is in the gallery, add people and photos, rename. It cannot search with a photo."""

ANALYZE = "analyze"
"""Say what faces look like (age, gender, emotion, race), where the service was started to: nothing else."""

ADMIN = "admin"
"""Everything of the others; delete, merge, read the audit log and the metrics."""

SCOPES = (IDENTIFY, ENROL, ANALYZE, ADMIN)


def allows(scopes: Collection[str], wanted: str) -> bool:
    """Whether a key of these scopes may do what `wanted` is needed for."""
    return wanted in scopes or ADMIN in scopes


def checked_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes, each once, in the order of `SCOPES`.

    Raises:
        SettingError: There is none, or one that does not exist.
    """
    given = {scopes} if isinstance(scopes, str) else set(scopes)
    for scope in sorted(given - set(SCOPES)):
        raise SettingError(f"There is no scope {scope!r}{nearest_known(scope, SCOPES)}")
    if not given:
        raise SettingError(f"A key needs at least one scope of {', '.join(SCOPES)}.")
    return tuple(scope for scope in SCOPES if scope in given)
