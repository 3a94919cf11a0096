"""The audit log vouches for itself: an entry that was changed, taken out or put in shows, wherever it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from facewise.serve.audit import AuditError, AuditLog, look_through
from facewise.serve.auditfile import Found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.db.audit"


def written(path: Path, number: int = 20, **bounds: int) -> AuditLog:
    log = AuditLog(path, **bounds)
    for i in range(number):
        log.record(i, "identify", people=[i])
    return log


def found(path: Path) -> Found:
    return look_through(path)[path]


def test_what_was_written_is_whole_also_where_files_were_put_aside(path):
    log = written(path, 200, max_bytes=2048, keep=3)
    one = found(path)
    assert one.wrong == []
    assert (one.last.number, one.entries) == (200, 200 - one.first + 1)
    assert one.first > 1
    log.close()
    written(path, 5, max_bytes=2048, keep=3)  # another process goes on
    assert found(path).wrong == []
    assert found(path).last.number == 205


@pytest.mark.parametrize("older", [False, True], ids=["newest", "older"])
@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("change", "was changed"), ("drop", "missing"), ("swap", "missing"), ("double", "comes after"),
        ("insert", "without a place"), ("first", "changed|missing"),
    ],
)  # fmt: skip
def test_what_was_done_to_it_shows(path, what, told, older):
    written(path, 60, max_bytes=2048, keep=9).close()
    file = path.with_name(f"{path.name}.2") if older else path
    lines = file.read_bytes().splitlines(keepends=True)
    match what:
        case "change":
            lines[1] = lines[1].replace(b'"people":[', b'"people":[9')
        case "drop":
            del lines[1]
        case "swap":
            lines[0], lines[1] = lines[1], lines[0]
        case "double":
            lines.insert(1, lines[1])
        case "insert":
            lines.insert(1, b'{"time":"2030","key":1,"action":"identify","outcome":"ok"}\n')
        case _:
            lines[0] = lines[0].replace(b'"people":[', b'"people":[9')
    file.write_bytes(b"".join(lines))
    wrong = found(path).wrong
    assert wrong
    assert any(part in sentence for sentence in wrong for part in told.split("|")), wrong


def test_entries_missing_at_the_end_show_also_after_more_were_written(path):
    log = written(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-3]))
    assert found(path).wrong == ["entries 18 to 20 are missing at the end"]
    log.record(1, "identify")
    assert found(path).wrong == ["entries 18 to 20 are missing, in people.db.audit"]


def test_a_whole_file_that_is_gone_shows_and_what_rolled_off_does_not(path):
    written(path, 200, max_bytes=2048, keep=4).close()
    assert found(path).wrong == []
    path.with_name(f"{path.name}.2").unlink()
    assert len(found(path).wrong) == 1
    for file in path.parent.glob(f"{path.name}.[0-9]"):
        file.unlink()
    assert found(path).wrong == []  # as if moved elsewhere; the first number says what is not here
    assert found(path).first > 1


def test_a_file_of_another_log_or_an_older_copy_shows(path, tmp_path):
    log = written(path)
    before = path.read_bytes()
    log.record(1, "identify")
    path.write_bytes(before)
    assert found(path).wrong == ["entry 21 are missing at the end".replace("entry", "entries")]
    other = tmp_path / "other"
    written(other, 30)
    path.write_bytes(other.read_bytes())
    assert found(path).wrong == ["entry 21 is not the one that was written"]
    path.with_name(f"{path.name}.lock").write_bytes(b"")
    assert "lock" in found(path).wrong[0]


def test_entries_of_before_and_half_a_line_are_no_fault(path):
    path.write_text('{"time":"2029","key":1,"action":"identify","outcome":"ok"}\n' * 3)
    log = written(path, 2)
    with path.open("a") as file:
        file.write('{"time":"20')  # the power went
    log.close()
    written(path, 1)
    one = found(path)
    assert (one.wrong, one.old, one.entries) == ([], 3, 3)


def test_each_file_has_its_own_chain(path):
    log = written(path, 3)
    log.record(1, "person.delete", people=[4])
    log.record(1, "person.delete", outcome="refused", code="wrong_scope")
    assert [(one.entries, one.wrong) for one in look_through(path).values()] == [(3, []), (1, []), (1, [])]
    with pytest.raises(AuditError, match="no audit log"):
        look_through(path.with_name("nothing"))
