"""RecordIO: bytes by hand, both layouts, split records, missing indices, and damage."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import record_writer as writer
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.data.open import open_source
from facewise.data.records import RecordFile
from facewise.data.recordsource import RecordSource
from facewise.errors import DatasetError, ImageError

PEOPLE = [
    [writer.picture(10), writer.picture(11)],
    [writer.picture(12)],
    [writer.picture(i) for i in (13, 14)],
]


def test_bytes_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    path.write_bytes(
        bytes.fromhex(
            "0a23d7ce 1b000000"  # a whole record of 27 bytes
            "00000000 00004040 0700000000000000 0000000000000000 616263 00"  # label 3, id 7, "abc", padding
            "0a23d7ce 20000000"  # 32 bytes
            "02000000 00000000 0800000000000000 0000000000000000 0000803f 00000040"  # labels 1 and 2, id 8
        )
    )
    file = RecordFile(path)
    assert file.numbers.tolist() == [7, 8]
    first, second = file.read(0), file.read(1)
    assert (first.number, first.labels.tolist(), first.content) == (7, [3.0], b"abc")
    assert (second.number, second.labels.tolist(), second.content) == (8, [1.0, 2.0], b"")
    assert (file.label(0), file.label(1)) == (3.0, 1.0)


contents = st.lists(
    st.lists(st.sampled_from([writer.MAGIC, b"\0", b"abcd", b"xyz", writer.MAGIC[:3]]), max_size=6).map(
        b"".join
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=80)
@given(contents, st.booleans())
def test_what_was_written_is_read(tmp_path_factory, found: list[bytes], index: bool) -> None:
    """Also where the magic number is in the content, aligned or not."""
    payloads = {i: writer.payload(i, float(i), content) for i, content in enumerate(found)}
    file = RecordFile(writer.write(tmp_path_factory.mktemp("rec") / "a.rec", payloads, index=index))
    assert [file.read(i).content for i in range(len(file))] == found
    assert [file.label(i) for i in range(len(file))] == list(range(len(found)))


def test_a_magic_number_in_the_header(tmp_path: Path) -> None:
    number = int.from_bytes(writer.MAGIC, "little")
    path = writer.write(tmp_path / "a.rec", {number: writer.payload(number, 5.0, b"abc")}, index=False)
    file = RecordFile(path)
    assert file.numbers.tolist() == [number]
    assert (file.label(0), file.read(0).content) == (5.0, b"abc")


@pytest.mark.parametrize("index", [True, False])
def test_insightface_layout(tmp_path: Path, index: bool) -> None:
    source = RecordSource(writer.write(tmp_path / "train.rec", writer.insightface(PEOPLE), index=index))
    assert source.keys == ("1", "2", "3", "4", "5")
    assert source.labels.tolist() == [0, 0, 1, 2, 2]
    assert source.names == ("0", "1", "2")
    assert [source.read(i)[0, 0].tolist() for i in range(5)] == [[v, 20, 30] for v in range(10, 15)]
    assert source.content(2) == PEOPLE[1][0]


def test_insightface_layout_without_people(tmp_path: Path) -> None:
    payloads = writer.insightface(PEOPLE)
    payloads = {0: writer.payload(0, [6.0, 6.0])} | {i: payloads[i] for i in range(1, 6)}
    source = RecordSource(writer.write(tmp_path / "train.rec", payloads))
    assert source.labels.tolist() == [0, 0, 1, 2, 2]


def test_plain_layout(tmp_path: Path) -> None:
    labels = {4: 12.0, 9: 7.0, 2: 12.0, 0: 0.5}
    payloads = {n: writer.payload(n, label, writer.picture(n)) for n, label in labels.items()}
    path = writer.write(tmp_path / "train.rec", payloads)
    source = RecordSource(path)
    assert source.names == ("0.5", "7", "12")
    assert source.keys == ("4", "9", "2", "0")
    assert source.labels.tolist() == [2, 1, 2, 0]
    path.with_suffix(".lst").write_text(
        "4\t12.0\tAda/a.png\n9\t7\tBob/b.png\n2\t12\tAda/c.png\n0\t0.5\tC/d.png\n"
    )
    assert RecordSource(path).names == ("C", "Bob", "Ada")
    path.with_suffix(".lst").write_text(
        "4\t12.0\tAda/a.png\n9\t7\tBob/b.png\n2\t12\tEve/c.png\n0\t0.5\tC/d.png\n"
    )
    assert RecordSource(path).names == ("0.5", "7", "12")  # the list does not tell people apart


def test_opening(tmp_path: Path) -> None:
    path = writer.write(tmp_path / "train.rec", writer.insightface(PEOPLE))
    for one in (path, path.with_suffix(".idx"), tmp_path):
        assert open_source(one).keys == ("1", "2", "3", "4", "5")
    writer.write(tmp_path / "other.rec", writer.insightface(PEOPLE))
    with pytest.raises(DatasetError, match=r"several datasets, other\.rec, train\.rec"):
        open_source(tmp_path)


def test_threads_and_processes_share_it(tmp_path: Path) -> None:
    people = [[writer.picture(i % 250)] * 3 for i in range(40)]
    source = RecordSource(writer.write(tmp_path / "train.rec", writer.insightface(people)))
    source.read(0)
    copy = pickle.loads(pickle.dumps(source))
    expected = [i // 3 % 250 for i in range(120)] * 4
    with ThreadPoolExecutor(8) as pool:
        for one in (source, copy):
            assert [int(image[0, 0, 0]) for image in pool.map(one.read, [*range(120)] * 4)] == expected


def test_a_photo_that_is_none(tmp_path: Path) -> None:
    source = RecordSource(
        writer.write(tmp_path / "a.rec", writer.insightface([[writer.picture(1), b"no photo"]]))
    )
    with pytest.raises(ImageError, match=r"record 2 of .*a\.rec"):
        source.read(1)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(bytes(data))


def bad_index(text: str) -> Callable[[Path], None]:
    return lambda path: (path.with_suffix(".idx").write_text(text), None)[1]


def shift(path: Path) -> None:
    lines = path.with_suffix(".idx").read_text().splitlines()
    number, offset = lines[1].split()
    lines[1] = f"{number}\t{int(offset) + 3}"
    path.with_suffix(".idx").write_text("\n".join(lines))


def forget(path: Path) -> None:
    lines = path.with_suffix(".idx").read_text().splitlines()
    del lines[3]
    path.with_suffix(".idx").write_text("\n".join(lines))


def endless(path: Path) -> None:
    payloads = writer.insightface(PEOPLE)
    writer.write(path, payloads | {0: writer.payload(0, [6.0, 3e38])})


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])
    path.with_suffix(".idx").unlink()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.unlink(), "There is no file"),
        (lambda path: flip(path, 0), "byte 0: no record begins there"),
        (lambda path: flip(path, 7), "out of place"),
        (lambda path: flip(path, 8), "claims 2.* labels"),
        (cut, "ends in the midst"),
        (bad_index("1\t999999\n"), "points past the end"),
        (shift, "no record begins there"),
        (endless, "no numbers of first and last"),
        (bad_index("0\t0\n0\t0\n"), "names a record twice"),
        (forget, "has no record 3"),
        (bad_index("0\n"), "two numbers a line"),
        (bad_index("a\tb\n"), "two numbers a line"),
        (bad_index("0\t1e400\n"), "two numbers a line"),
        (bad_index(f"0\t{2**70}\n"), "two numbers a line"),
        (bad_index(""), "is empty"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_damage_is_told(tmp_path: Path, damage, told: str) -> None:
    path = writer.write(tmp_path / "train.rec", writer.insightface(PEOPLE))
    damage(path)
    with pytest.raises(DatasetError, match=told):
        RecordSource(path)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.rec").touch()
    with pytest.raises(DatasetError, match="holds no records"):
        RecordSource(tmp_path / "a.rec")


@settings(max_examples=60)
@given(st.data())
def test_damaged_bytes_never_do_worse(tmp_path_factory, data: st.DataObject) -> None:
    # A folder an example is slow; the file is read afresh each time.
    path = writer.write(tmp_path_factory.getbasetemp() / "fuzz.rec", writer.insightface(PEOPLE), index=False)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    try:
        source = RecordSource(path)
        images = [source.read(i) for i in range(len(source.keys))]
    except (DatasetError, ImageError):
        return
    assert all(image.dtype == np.uint8 for image in images)
