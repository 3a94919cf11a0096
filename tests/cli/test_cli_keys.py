"""`facewise keys new`, `list`, `revoke` and `audit`."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from facewise.cli.keys import expiry
from facewise.errors import SettingError
from facewise.serve import keytext
from facewise.serve.audit import AuditLog
from facewise.serve.keys import KeyStore, RevokedKeyError
from facewise.serve.ratelimit import Rate


def test_a_key_is_printed_once_alone_on_stdout(facewise):
    done = facewise("keys", "new", "front", "--scope", "identify", "--scope", "enrol", "--rate", "10/s")
    text = done.out.strip()
    assert keytext.is_well_formed(text)  # so `KEY=$(facewise keys new …)` has it and nothing else
    info = KeyStore(Path("facewise.db.keys"), create=False).check(text)
    assert (info.name, info.scopes, info.rate) == ("front", ("identify", "enrol"), Rate(10))
    assert "the only time" in done.err
    assert "never expires" in done.err
    for other in (facewise("keys", "list"), facewise("keys", "list", "--json")):
        assert text not in other.out + other.err
        assert text[:7] in other.out


def test_json_for_machines(facewise):
    made = facewise("keys", "new", "front", "--scope", "admin", "--expires", "90d", "--json").json
    assert keytext.is_well_formed(made["key"])
    days = datetime.fromisoformat(made["expires"]) - datetime.fromisoformat(made["created"])
    assert days == timedelta(days=90)
    listed = facewise("keys", "list", "--json").json
    assert listed["keys_file"] == "facewise.db.keys"
    assert listed["keys"] == [
        {name: value for name, value in made.items() if name not in {"key", "keys_file"}}
    ]
    assert listed["keys"][0] | {"created": "", "expires": "", "begins": ""} == {
        "id": 1, "name": "front", "begins": "", "scopes": ["admin"], "rate": None, "created": "",
        "expires": "", "revoked": None, "last_used": None, "state": "live",
    }  # fmt: skip
    revoked = facewise("keys", "revoke", "front", "--json").json
    assert revoked["state"] == "revoked"
    assert revoked["revoked"] is not None


def test_a_revoked_key_is_refused_by_a_store_that_is_open(facewise):
    text = facewise("keys", "new", "front", "--scope", "identify").out.strip()
    store = KeyStore(Path("facewise.db.keys"))
    store.check(text)
    assert facewise("keys", "revoke", text).out == "Key 1 (front) is revoked.\n"
    with pytest.raises(RevokedKeyError):
        store.check(text)
    assert "was revoked already" in facewise("keys", "revoke", "1").out
    assert "1 key, 0 live." in facewise("keys", "list").out


def test_where_the_keys_are(facewise):
    facewise("keys", "new", "a", "--scope", "admin", "--gallery", "people.db")
    assert Path("people.db.keys").is_file()
    facewise("keys", "new", "a", "--scope", "admin", "--keys", "elsewhere", "--gallery", "milvus://h/g")
    assert Path("elsewhere").is_file()
    done = facewise("keys", "list", "--gallery", "milvus://h/g", code=3)
    told = "The gallery milvus://h:19530/g is not a file: say with --keys FILE where its keys are kept."
    assert done.complaints == [f"facewise: {told}"]
    assert "There is no keys file" in facewise("keys", "list", code=3).err
    assert not Path("facewise.db.keys").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--scope", "enroll"], "did you mean enrol"),
        (["--scope", "admin", "--expires", "soon"], "no time to expire"),
        (["--scope", "admin", "--expires", "2001-01-01"], "in the past"),
        (["--scope", "admin", "--expires", "999999y"], "no time to expire"),
        (["--scope", "admin", "--rate", "fast"], "is not a rate"),
    ],
)
def test_what_is_refused_is_told_and_leaves_nothing(facewise, options, told):
    done = facewise("keys", "new", "a", *options, code=3)
    assert told in done.complaints[0]
    path = Path("facewise.db.keys")
    assert not path.exists() or KeyStore(path).list() == ()


def test_wrong_usage(facewise):
    assert "--scope" in facewise("keys", "new", "a", code=2).err
    facewise("keys", "revoke", code=2)
    facewise("keys", "new", "a", "--scope", "admin", "--keys", "", code=2)
    facewise("keys", "new", "ok", "--scope", "admin")
    assert "no key 'nobody'" in facewise("keys", "revoke", "nobody", code=3).err


def test_until_when() -> None:
    now = datetime(2030, 1, 31, 12, tzinfo=UTC)
    assert expiry("12h", now) == datetime(2030, 2, 1, tzinfo=UTC)
    assert expiry("2W", now) == datetime(2030, 2, 14, 12, tzinfo=UTC)
    assert expiry("1y", now) == datetime(2031, 1, 31, 12, tzinfo=UTC)
    assert expiry("2030-12-31", now) == datetime(2030, 12, 31, tzinfo=UTC)
    assert expiry("2030-12-31T10:00:00+02:00", now) == datetime(2030, 12, 31, 8, tzinfo=UTC)
    for text in ("", "d", "-1d", "1.5d", "90", "90 days", "2030-13-01", "٣d"):
        with pytest.raises(SettingError):
            expiry(text, now)


def test_keys_are_made_without_the_service_installed() -> None:
    """Making keys needs nothing of the serve extra."""
    code = (
        "import sys\n"
        "for name in ('fastapi', 'uvicorn', 'cryptography', 'prometheus_client', 'httpx'):\n"
        "    sys.modules[name] = None\n"
        "from facewise.cli import main\n"
        "sys.argv = ['facewise', 'keys', 'new', 'a', '--scope', 'admin', '--json']\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["scopes"] == ["admin"]


def written(path: Path) -> AuditLog:
    log = AuditLog(path)
    for i in range(3):
        log.record(i, "identify", people=[i])
    return log


def test_audit_tells_whether_the_log_is_as_it_was_written(tmp_path, facewise):
    path = tmp_path / "people.db.audit"
    log = written(path)
    sound = facewise("keys", "audit", "--audit", path)
    assert "as it was written" in sound.out
    told = json.loads(facewise("keys", "audit", "--audit", path, "--json").out)
    (looks, *_) = told["files"]
    assert (looks["entries"], looks["first"], looks["last"], told["problems"]) == (3, 1, 3, [])
    log.record(1, "identify")
    facewise("keys", "audit", "--audit", path, "--since", looks["chain"])
    # Whoever can write all files can write them anew, and then what was told before is not there.
    for file in path.parent.glob("people.db.audit*"):
        file.unlink()
    written(path)
    again = facewise("keys", "audit", "--audit", path, "--since", looks["chain"], code=3)
    assert looks["chain"] in again.err
    path.write_bytes(b"")
    broken = facewise("keys", "audit", "--audit", path, code=3)
    assert "entries 1 to 3 are missing at the end." in broken.err
    facewise("keys", "audit", "--audit", tmp_path / "none", code=3)
    assert not (tmp_path / "none").exists()
