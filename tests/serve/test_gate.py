"""Who is let in: key, pace and scope in one place, and what of it is recorded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from facewise.serve import keytext
from facewise.serve.audit import AuditLog
from facewise.serve.gate import ANYBODY, Gate, TooFastError, bearer
from facewise.serve.keys import BadKeyError, KeyStore, KeyStoreError, NoKeyError, RevokedKeyError, ScopeError
from facewise.serve.ratelimit import Rate, RateLimiter

HERE, THERE = "192.0.2.1", "192.0.2.2"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys")


@pytest.fixture
def audit(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "audit.log")


@pytest.fixture
def gate(keys: KeyStore, audit: AuditLog, clock: Clock) -> Gate:
    return Gate(
        keys,
        audit,
        rates=RateLimiter(Rate(3, 1), clock=clock),
        failures=RateLimiter(Rate(2, 60), clock=clock),
    )


def test_a_good_key_goes_through_unrecorded(gate: Gate, keys: KeyStore, audit: AuditLog) -> None:
    text, info = keys.create("front", ["identify"])
    assert gate.admit(text, "identify", HERE, "identify") == info
    assert gate.admit(text, None, HERE) == info
    assert audit.newest() == []


def test_without_keys_anybody_may_do_anything() -> None:
    assert Gate(None).admit(None, "admin", HERE) is ANYBODY
    assert ANYBODY.allows("admin")


def test_each_refusal_is_recorded_with_its_reason(gate: Gate, keys: KeyStore, audit: AuditLog) -> None:
    text, info = keys.create("front", ["identify"])
    with pytest.raises(ScopeError):
        gate.admit(text, "admin", HERE, "person.delete")
    keys.revoke(info.id)
    with pytest.raises(RevokedKeyError):
        gate.admit(text, "identify", HERE, "identify")
    with pytest.raises(NoKeyError):
        gate.admit(None, "identify", HERE, "identify")
    recorded = [(e["key"], e["action"], e["outcome"], e["code"]) for e in reversed(audit.newest())]
    assert recorded == [
        (info.id, "person.delete", "refused", "wrong_scope"),
        (info.id, "identify", "refused", "revoked_key"),
        (None, "identify", "refused", "no_key"),
    ]


def test_a_key_is_held_to_its_pace_and_told_to_wait(gate: Gate, keys: KeyStore, clock: Clock) -> None:
    text, _ = keys.create("front", ["identify"])
    slow, _ = keys.create("slow", ["identify"], rate=Rate(1, 60))
    for _ in range(3):
        gate.admit(text, "identify", HERE)
    with pytest.raises(TooFastError, match="'front' asks faster") as error:
        gate.admit(text, "identify", HERE)
    assert error.value.seconds == 1
    clock.now += error.value.seconds
    gate.admit(text, "identify", HERE)
    gate.admit(slow, "identify", HERE)
    with pytest.raises(TooFastError) as error:
        gate.admit(slow, "identify", HERE)
    assert error.value.seconds == 60


def test_wrong_keys_are_counted_by_address_and_then_neither_looked_at_nor_recorded(
    gate: Gate, keys: KeyStore, audit: AuditLog, clock: Clock
) -> None:
    text, _ = keys.create("front", ["identify"])
    for _ in range(2):
        with pytest.raises(BadKeyError):
            gate.admit(keytext.new_text(), "identify", HERE)
    for _ in range(50):
        with pytest.raises(TooFastError, match="from this address"):
            gate.admit(keytext.new_text(), "identify", HERE)
    assert len(audit.newest()) == 2
    gate.admit(text, "identify", HERE)  # a good key is not locked out by its neighbours
    with pytest.raises(BadKeyError):
        gate.admit("wrong", "identify", THERE)
    clock.now += 30
    with pytest.raises(NoKeyError):
        gate.admit(None, "identify", HERE)


def test_a_refusal_is_a_refusal_though_it_cannot_be_recorded(
    keys: KeyStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    gate = Gate(keys, AuditLog(folder / "audit.log"))
    shutil.rmtree(folder)
    folder.touch()
    with pytest.raises(NoKeyError):
        gate.admit(None, "identify", HERE)
    assert "cannot be written" in caplog.text


def test_a_lost_keys_file_lets_nobody_in(gate: Gate, keys: KeyStore) -> None:
    text, _ = keys.create("front", ["identify"])
    keys.path.unlink()
    with pytest.raises(KeyStoreError, match="is gone"):
        gate.admit(text, "identify", HERE)


@pytest.mark.parametrize(
    ("authorization", "api_key", "found"),
    [
        ("Bearer fw_x", None, "fw_x"),
        ("bearer  fw_x ", None, "fw_x"),
        (None, " fw_x ", "fw_x"),
        ("Bearer fw_x", "fw_y", "fw_x"),
        ("Basic dXNlcjpmd194", "fw_y", ""),  # two answers to who asks: none
        ("fw_x", None, ""),
        ("Bearer", None, ""),
        (None, None, None),
    ],
)
def test_where_a_key_is_read_from(authorization: str | None, api_key: str | None, found: str | None) -> None:
    assert bearer(authorization, api_key) == found
