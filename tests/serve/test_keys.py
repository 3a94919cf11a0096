"""API keys: what is kept of them, who is refused and why, and that other processes' changes count at once."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewise.errors import GalleryError, SettingError, StorageFullError
from facewise.serve import keytext
from facewise.serve.keyfile import keys_file
from facewise.serve.keys import (
    BadKeyError,
    ExpiredKeyError,
    KeyRefusedError,
    KeyStore,
    KeyStoreError,
    NoKeyError,
    RevokedKeyError,
    ScopeError,
)
from facewise.serve.ratelimit import Rate

START = datetime(2030, 1, 1, tzinfo=UTC)


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now = START.timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> KeyStore:
    return KeyStore(tmp_path / "people.db.keys", clock=clock)


def in_another_process(code: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_key_is_256_random_bits_with_a_prefix_and_a_checksum() -> None:
    texts = {keytext.new_text() for _ in range(2000)}
    assert len(texts) == 2000
    assert all(text.startswith("fw_") and len(text) == 52 and text[3:].isalnum() for text in texts)
    numbers = [_base62(text[3:46]) for text in texts]
    assert max(numbers) < 2**256
    for bit in range(256):  # each bit is set in about half: 2000 tosses of a coin stay within 6 deviations
        assert abs(sum(number >> bit & 1 for number in numbers) - 1000) < 135
    text = next(iter(texts))
    assert _base62(text[46:]) == zlib.crc32(text[:46].encode())


def _base62(text: str) -> int:
    number = 0
    for letter in text:
        number = 62 * number + "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".index(letter)
    return number


def test_every_mistyped_letter_is_noticed_without_the_database() -> None:
    text = keytext.new_text()
    assert keytext.is_well_formed(text)
    for i in range(len(text)):
        for other in {"a", "Z", "0", " ", "é", "_"} - {text[i]}:
            assert not keytext.is_well_formed(text[:i] + other + text[i + 1 :])
    for wrong in (text[:-1], text + "a", text + "\n", "\n" + text, text[3:], text.upper(), "", "fw_"):
        assert not keytext.is_well_formed(wrong)


@given(st.text(max_size=80))
def test_no_other_text_is_a_key(text: str) -> None:
    assert not keytext.is_well_formed(text)


def test_a_new_key_is_good_and_says_what_it_may(store: KeyStore) -> None:
    text, info = store.create(" front door ", ["enrol", "identify", "enrol"], rate=Rate(10, 1))
    assert (info.name, info.scopes, info.rate) == ("front door", ("identify", "enrol"), Rate(10, 1))
    assert info.created == START
    assert store.check(text) == info
    assert text.startswith(info.hint)
    assert info.allows("identify")
    assert info.allows("enrol")
    assert not info.allows("admin")


def test_admin_is_everything_and_the_others_are_only_themselves(store: KeyStore) -> None:
    for scope, may in {
        "analyze": {"analyze"},
        "admin": {"identify", "enrol", "analyze", "admin"},
        "enrol": {"enrol"},
        "identify": {"identify"},
    }.items():
        _, info = store.create(scope, [scope])
        assert {wanted for wanted in ("identify", "enrol", "analyze", "admin") if info.allows(wanted)} == may
    with pytest.raises(ScopeError, match="needs a key with the scope admin"):
        info.require("admin")


def test_the_file_holds_the_hash_and_not_the_key(store: KeyStore) -> None:
    text, info = store.create("front", ["identify"])
    kept = b"".join(path.read_bytes() for path in store.path.parent.iterdir())
    assert hashlib.sha256(b"facewise api key\0" + text.encode()).digest() in kept
    assert text.encode() not in kept
    for i in range(len(text) - 7):  # nor any eight letters of it
        assert text[i : i + 8].encode() not in kept
    assert len(info.hint) == 7


def test_all_its_files_are_their_owners_alone(store: KeyStore) -> None:
    old = os.umask(0)
    try:
        store.create("front", ["identify"])
        with sqlite3.connect(store.path) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("UPDATE keys SET name = 'x'")
            files = list(store.path.parent.iterdir())
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files}
    finally:
        os.umask(old)
    assert set(modes.values()) == {0o600}, modes


@pytest.mark.parametrize("text", [None, ""])
def test_no_key(store: KeyStore, text: str | None) -> None:
    with pytest.raises(NoKeyError, match="needs an API key"):
        store.check(text)


@pytest.mark.parametrize(
    "text", ["x", "fw_", "fw_" + "a" * 49, "ключ", "a" * 10**6, "fw_" + "\0" * 49, "' OR 1=1"]
)
def test_what_is_not_a_key(store: KeyStore, text: str) -> None:
    store.create("front", ["admin"])
    with pytest.raises(BadKeyError, match="not an API key"):
        store.check(text)


def test_a_well_formed_key_that_nobody_has(store: KeyStore) -> None:
    store.create("front", ["admin"])
    with pytest.raises(BadKeyError, match="not known here") as refused:
        store.check(keytext.new_text())
    assert refused.value.code == "bad_key"


def test_a_key_of_another_service_is_nobodys_here(tmp_path: Path, store: KeyStore) -> None:
    text, _ = KeyStore(tmp_path / "other.keys").create("front", ["admin"])
    with pytest.raises(BadKeyError):
        store.check(text)


def test_a_key_expires_to_the_second(store: KeyStore, clock: Clock) -> None:
    text, _ = store.create("front", ["identify"], expires=START + timedelta(hours=1))
    clock.now += 3599.9
    store.check(text)
    clock.now += 0.1
    with pytest.raises(ExpiredKeyError, match="has expired"):
        store.check(text)
    assert store.list()[0].state(START + timedelta(hours=2)) == "expired"


def test_a_revoked_key_stays_revoked(store: KeyStore, clock: Clock) -> None:
    text, info = store.create("front", ["admin"])
    clock.now += 60
    revoked = store.revoke(info.id)
    assert revoked.revoked == START + timedelta(seconds=60)
    with pytest.raises(RevokedKeyError, match="was revoked"):
        store.check(text)
    clock.now += 60
    assert store.revoke(info.id).revoked == revoked.revoked  # not moved
    reopened = KeyStore(store.path, clock=clock)
    with pytest.raises(RevokedKeyError):
        reopened.check(text)


def test_every_refusal_is_of_one_kind_with_a_code() -> None:
    codes = {kind.code for kind in (NoKeyError, BadKeyError, ExpiredKeyError, RevokedKeyError, ScopeError)}
    assert codes == {"no_key", "bad_key", "expired_key", "revoked_key", "wrong_scope"}
    assert issubclass(RevokedKeyError, KeyRefusedError)


def test_another_processs_keys_count_from_the_next_request(store: KeyStore) -> None:
    text, info = store.create("front", ["identify"])
    store.check(text)
    code = "import sys; from facewise.serve.keys import KeyStore; s = KeyStore(sys.argv[1]);"
    made = in_another_process(code + "print(s.create('new', ['enrol'])[0])", store.path).strip()
    assert store.check(made).name == "new"
    in_another_process(code + "s.revoke(int(sys.argv[2]))", store.path, info.id)
    with pytest.raises(RevokedKeyError):
        store.check(text)


def test_processes_that_begin_at_once_share_one_new_file(tmp_path: Path) -> None:
    code = (
        "import sys, time; from facewise.serve.keys import KeyStore\n"
        "print(flush=True); sys.stdin.readline()\n"
        "print(KeyStore(sys.argv[1]).create('x', ['admin'])[0])"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "keys")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(5)
    ]  # fmt: skip
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()  # all are loaded
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    texts = [process.communicate()[0].strip() for process in running]
    store = KeyStore(tmp_path / "keys")
    assert {store.check(text).name for text in texts} == {"x"}
    assert len(store.list()) == 5


def test_a_file_that_is_being_made_is_not_taken_for_another_kind(tmp_path: Path, monkeypatch) -> None:
    path, other = tmp_path / "keys", []

    class Slow(sqlite3.Connection):
        def execute(self, statement, *values):
            answer = super().execute(statement, *values)
            if statement == "PRAGMA application_id" and not other:  # which is 0 yet
                other.append(threading.Thread(target=KeyStore, args=[path]))
                other[0].start()
                other[0].join(0.5)
            return answer

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **how: connect(*args, factory=Slow, **how))
    text, _ = KeyStore(path).create("x", ["admin"])
    other[0].join()
    assert KeyStore(path).check(text).name == "x"


def test_ids_are_never_used_again(store: KeyStore) -> None:
    ids = [store.create("x", ["admin"])[1].id for _ in range(3)]
    with sqlite3.connect(store.path) as db:
        db.execute("DELETE FROM keys")
    assert store.create("x", ["admin"])[1].id > max(ids)


def test_many_threads_check_while_keys_come_and_go(store: KeyStore) -> None:
    text, _ = store.create("stays", ["identify"])
    errors: list[BaseException] = []
    stop = threading.Event()

    def check() -> None:
        try:
            while not stop.is_set():
                assert store.check(text).name == "stays"
        except BaseException as error:  # noqa: BLE001  whatever it is, the test fails with it
            errors.append(error)

    threads = [threading.Thread(target=check) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(20):
        store.revoke(store.create(f"goes {i}", ["admin"])[1].id)
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(store.list()) == 21


def test_last_use_is_written_once_a_minute_and_at_the_end(store: KeyStore, clock: Clock) -> None:
    text, _ = store.create("front", ["identify"])
    store.check(text)
    assert KeyStore(store.path).list()[0].last_used is None  # no write for each request
    clock.now += 5
    store.check(text)
    store.close()
    assert KeyStore(store.path).list()[0].last_used == START + timedelta(seconds=5)
    clock.now += 61
    reopened = KeyStore(store.path, clock=clock)
    clock.now += 61
    reopened.check(text)
    for thread in threading.enumerate():
        if thread.name == "facewise-key-use":
            thread.join()
    assert reopened.list()[0].last_used == START + timedelta(seconds=127)


def test_a_good_key_is_good_though_its_use_cannot_be_written(
    store: KeyStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    text, _ = store.create("front", ["identify"])
    store.check(text)
    with sqlite3.connect(store.path) as db:
        db.execute("CREATE TRIGGER no BEFORE UPDATE ON keys BEGIN SELECT RAISE(ABORT, 'no'); END")
    store.close()
    assert "last used was not written" in caplog.text
    assert store.check(text).name == "front"


def test_the_first_key_is_made_once(tmp_path: Path) -> None:
    store, other = KeyStore(tmp_path / "keys"), KeyStore(tmp_path / "keys")
    made = store.create_first()
    assert made is not None
    assert store.check(made[0]).scopes == ("admin",)
    assert other.create_first() is None
    store.revoke(made[1].id)
    assert other.create_first() is None  # somebody meant that


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "\x1b[31mred", "\0"])
def test_names_that_are_refused(store: KeyStore, name: str) -> None:
    with pytest.raises(SettingError, match="1 to 100 printable"):
        store.create(name, ["admin"])


def test_scopes_and_times_that_are_refused(store: KeyStore) -> None:
    with pytest.raises(SettingError, match="did you mean enrol"):
        store.create("x", ["enroll"])
    with pytest.raises(SettingError, match="at least one scope"):
        store.create("x", [])
    with pytest.raises(SettingError, match="in the past"):
        store.create("x", ["admin"], expires=START)
    with pytest.raises(SettingError, match="time zone"):
        store.create("x", ["admin"], expires=datetime(2040, 1, 1))
    assert store.list() == ()


def test_a_key_is_found_by_number_name_beginning_or_itself(store: KeyStore) -> None:
    text, info = store.create("front", ["admin"])
    store.create("back", ["admin"])
    for what in ("1", "front", info.hint, text):
        assert store.find(what).id == info.id
    second, again = store.create("front", ["identify"])
    with pytest.raises(KeyStoreError, match="say which of 1, 3"):
        store.find("front")
    store.revoke(1)
    assert store.find("front").id == again.id  # the good one is meant
    assert store.find(second).id == again.id
    for what in ("nobody", "99", keytext.new_text()):
        with pytest.raises(KeyStoreError, match="no key") as error:
            store.find(what)
        assert what not in str(error.value) or len(what) < 10
    with pytest.raises(KeyStoreError, match="no key 99"):
        store.revoke(99)


def test_a_store_that_is_opened_again_and_closed_spoils_no_other(store: KeyStore) -> None:
    """Locks belong to a process, not to a connection: one that is dropped by mistake shows as stale keys."""
    for i in range(20):
        text, info = store.create(f"key {i}", ["admin"])
        assert store.check(text) == info
        other = KeyStore(store.path)
        assert other.check(text) == info
        other.revoke(info.id)
        other.close()
        with pytest.raises(RevokedKeyError):
            store.check(text)


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"y" * 511,
        b"z" * 512,
        b"q" * 4095,
        b"not a database",
        b"SQLite format 3\0 but not really",
        b"\0" * 5000,
    ],
)
def test_a_file_that_holds_something_else_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyStoreError, match=r"not a Facewise keys file|damaged"):
        KeyStore(path)
    assert path.read_bytes() == content


def test_other_files_are_refused_plainly(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError, match="is a folder"):
        KeyStore(tmp_path)
    with pytest.raises(KeyStoreError, match="There is no keys file"):
        KeyStore(tmp_path / "missing", create=False)
    with pytest.raises(KeyStoreError, match="cannot be opened"):
        KeyStore(tmp_path / "no folder" / "keys")
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE t (x)")
    other.chmod(0o600)
    with pytest.raises(KeyStoreError, match="is not a Facewise keys file"):
        KeyStore(other)
    newer = KeyStore(tmp_path / "newer").path
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(KeyStoreError, match="newer Facewise"):
        KeyStore(newer)


@pytest.mark.skipif(os.name != "posix", reason="file modes are of POSIX")
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_to_lets_nobody_in(store: KeyStore, mode: int) -> None:
    store.path.chmod(mode)
    with pytest.raises(KeyStoreError, match="Others may write"):
        KeyStore(store.path)


@pytest.mark.skipif(os.name != "posix", reason="file modes are of POSIX")
def test_others_can_neither_read_it_nor_take_its_place(store: KeyStore, tmp_path: Path) -> None:
    store.path.chmod(0o604)
    with pytest.raises(KeyStoreError, match="Others may read"):
        KeyStore(store.path)
    store.path.chmod(0o600)
    tmp_path.chmod(0o777)
    with pytest.raises(KeyStoreError, match="Everybody may write to the folder"):
        KeyStore(store.path)
    tmp_path.chmod(0o1777)  # as /tmp
    KeyStore(store.path)
    if os.geteuid() == 0:
        for ending in ("-journal", "-wal", ""):
            planted = tmp_path / f"{store.path.name}{ending}"
            planted.touch()
            os.chown(planted, 12345, 12345)
            with pytest.raises(KeyStoreError, match="another user"):
                KeyStore(store.path)
            os.chown(planted, 0, 0)


def test_a_file_that_goes_away_lets_nobody_in_and_comes_back(store: KeyStore, tmp_path: Path) -> None:
    text, _ = store.create("front", ["admin"])
    store.check(text)
    aside = tmp_path / "aside"
    store.path.rename(aside)
    with pytest.raises(KeyStoreError, match="is gone"):
        store.check(text)
    aside.rename(store.path)
    assert store.check(text).name == "front"


def test_a_file_put_in_its_place_counts(store: KeyStore, tmp_path: Path) -> None:
    text, _ = store.create("front", ["admin"])
    store.check(text)
    store.close()
    replacement = KeyStore(tmp_path / "fresh")
    other, _ = replacement.create("other", ["admin"])
    replacement.close()
    replacement.path.replace(store.path)
    assert store.check(other).name == "other"
    with pytest.raises(BadKeyError):
        store.check(text)


def test_a_full_disk_makes_no_key_and_says_so(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from facewise.serve import keys

    kept, _ = store.create("kept", ["admin"])
    connect = keys.connect

    def tight(path: Path) -> sqlite3.Connection:
        db = connect(path)
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
        return db

    monkeypatch.setattr(keys, "connect", tight)
    with pytest.raises(StorageFullError, match="The disk is full"):
        _ = [store.create("x" * 100, ["admin"]) for _ in range(200)]
    monkeypatch.undo()
    assert store.check(kept).name == "kept"
    assert store.create("more", ["admin"])[1].name == "more"


def test_where_keys_are_kept() -> None:
    assert keys_file("people.db") == Path("people.db.keys")
    assert keys_file("sqlite:///people.db") == Path("people.db.keys")
    assert keys_file("sqlite:////data/people.db") == Path("/data/people.db.keys")
    assert keys_file("milvus-lite:////data/people.db") == Path("/data/people.db.keys")
    with pytest.raises(SettingError, match="--keys FILE") as error:
        keys_file("milvus://user:secret@host:19530/people")
    assert "secret" not in str(error.value)
    with pytest.raises(GalleryError):
        keys_file("http://host/people")


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
def test_what_lies_where_sqlite_writes_is_left_alone(tmp_path, ending):
    path = tmp_path / "people.db.keys"
    KeyStore(path).close()
    theirs = path.with_name(path.name + ending)
    theirs.write_bytes(b"facewise-key-1:precious")
    with pytest.raises(KeyStoreError, match="is in the way"):
        KeyStore(path)
    assert theirs.read_bytes() == b"facewise-key-1:precious"
