"""`facewise keys …`: who may ask the service for what."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.options import DEFAULT_GALLERY, AuditFile, GalleryPath, Json, given_path
from facewise.cli.output import count, print_json, say, table, tell

if TYPE_CHECKING:
    from facewise.serve.keys import KeyInfo, KeyStore

app = typer.Typer(help="Make, list and revoke the service's API keys.", no_args_is_help=True)

KeysFile = Annotated[
    Path | None,
    typer.Option(
        "--keys", help="The keys file. (default: the gallery's with .keys added)", parser=given_path
    ),
]

_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Who or what the key is for, such as front-door.")],
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope", help="What it may do: identify, enrol, analyze or admin (all). Several times."
        ),
    ],
    expires: Annotated[
        str | None,
        typer.Option("--expires", help="For how long it is good, such as 90d, or until when, 2030-12-31."),
    ] = None,
    rate: Annotated[
        str | None, typer.Option("--rate", help="How fast it may ask, such as 10/s. (default: the service's)")
    ] = None,
    gallery: GalleryPath = DEFAULT_GALLERY,
    keys: KeysFile = None,
    json: Json = False,
) -> None:
    """Make a key. It is printed this once and kept nowhere; a running service knows it at once."""
    from facewise.serve.ratelimit import Rate
    from facewise.serve.scopes import checked_scopes

    scopes = checked_scopes(scope)
    until = None if expires is None else expiry(expires, datetime.now(UTC))
    store = _open(gallery, keys, create=True)
    text, info = store.create(name, scopes, expires=until, rate=None if rate is None else Rate.parse(rate))
    if json:
        print_json({"keys_file": str(store.path), "key": text, **_as_data(info)})
        return
    say(text)
    until_when = "never expires" if info.expires is None else f"expires {_shown(info.expires)}"
    tell(
        f"This is the only time the key is shown: keep it where only {info.name} can read it. "
        f"Key {info.id} in {store.path}, for {', '.join(info.scopes)}; it {until_when}."
    )


@app.command("list")
def list_keys(gallery: GalleryPath = DEFAULT_GALLERY, keys: KeysFile = None, json: Json = False) -> None:
    """All keys: what they may do, when they were last used, which are refused by now."""
    store = _open(gallery, keys)
    known = store.list()
    if json:
        print_json({"keys_file": str(store.path), "keys": [_as_data(info) for info in known]})
        return
    now = datetime.now(UTC)
    rows = (
        (
            info.id, info.name, f"{info.hint}…", " ".join(info.scopes), info.rate or "", _shown(info.created),
            _shown(info.expires, "never"), _shown(info.last_used, "never"), info.state(now),
        )
        for info in known
    )  # fmt: skip
    columns = ("id", "name", "key", "may", "rate", "made", "expires", "last used", "state")
    table("", columns, rows, right=(0,))
    live = sum(info.state(now) == "live" for info in known)
    say(f"{count(len(known), 'key')}, {live} live.")


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="Its id, name, first 7 characters, or the key itself.")],
    gallery: GalleryPath = DEFAULT_GALLERY,
    keys: KeysFile = None,
    json: Json = False,
) -> None:
    """Refuse a key from now on, for good; a running service does so from its next request."""
    store = _open(gallery, keys)
    found = store.find(key)
    info = store.revoke(found.id)
    if json:
        print_json({"keys_file": str(store.path), **_as_data(info)})
    elif found.revoked is not None:
        say(f"Key {info.id} ({info.name}) was revoked already, {_shown(found.revoked)}.")
    else:
        say(f"Key {info.id} ({info.name}) is revoked.")


@app.command()
def audit(
    audit: AuditFile = None,
    since: Annotated[
        list[str] | None,
        typer.Option(
            "--since", help="What this command told before, which must still be there. Several times."
        ),
    ] = None,
    gallery: GalleryPath = DEFAULT_GALLERY,
    keys: KeysFile = None,
    json: Json = False,
) -> None:
    """See whether the audit log is as it was written: no entry changed, missing or put in."""
    from facewise.serve.audit import look_through
    from facewise.serve.settings import ServiceSettings

    path = ServiceSettings(gallery=gallery, keys=keys, audit=audit).audit_path
    found = look_through(path)
    wrong = [f"{file.name}: {sentence}" for file, one in found.items() for sentence in one.wrong]
    links = set().union(*(one.links for one in found.values()))
    wrong += [f"{link} is in none of its files" for link in since or () if link not in links]
    if json:
        print_json({
            "audit": str(path), "problems": wrong,
            "files": [
                {
                    "file": str(file), "entries": one.entries, "first": one.first, "last": one.last.number,
                    "chain": one.last.link, "old": one.old,
                }
                for file, one in found.items()
            ],
        })  # fmt: skip
    else:
        rows = [
            (file.name, one.entries, one.first or "", one.last.number or "", one.last.link, one.old or "")
            for file, one in found.items()
        ]
        table("", ("file", "entries", "first", "newest", "chain", "without one"), rows, right=(1, 2, 3, 5))
    if wrong:
        for sentence in wrong:
            tell(f"facewise: {sentence}.")
        raise typer.Exit(3)
    if not json:
        say("The audit log is as it was written.")


def expiry(text: str, now: datetime) -> datetime:
    """When something ends that is good for `90d`, or until `2030-12-31` (its first moment, UTC).

    Raises:
        SettingError: The text says neither.
    """
    from facewise.errors import SettingError

    wrong = SettingError(f"{text!r} is no time to expire: write 12h, 90d, 8w or 1y, or a date as 2030-12-31.")
    found = re.fullmatch(r"([0-9]{1,6})([mhdwy])", text.strip().lower())
    try:
        if found is not None:
            return now + timedelta(seconds=int(found[1]) * _UNITS[found[2]])
        date = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise wrong from None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def _open(gallery: Any, keys: Path | None, *, create: bool = False) -> KeyStore:
    from facewise.serve.keyfile import keys_file
    from facewise.serve.keys import KeyStore

    return KeyStore(keys_file(gallery) if keys is None else keys, create=create)


def _as_data(info: KeyInfo) -> dict[str, Any]:
    times = {
        name: None if time is None else time.strftime("%Y-%m-%dT%H:%M:%SZ")
        for name, time in (
            ("created", info.created),
            ("expires", info.expires),
            ("revoked", info.revoked),
            ("last_used", info.last_used),
        )
    }
    return {
        "id": info.id,
        "name": info.name,
        "begins": info.hint,
        "scopes": list(info.scopes),
        "rate": None if info.rate is None else str(info.rate),
        **times,
        "state": info.state(datetime.now(UTC)),
    }


def _shown(time: datetime | None, otherwise: str = "") -> str:
    return otherwise if time is None else time.strftime("%Y-%m-%d %H:%M")
