"""What a model file remembers of its training photos, and that it keeps it."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewise.errors import ModelError
from facewise.models import read_model, save_calibration, write_model
from facewise.models.calibration import Calibration
from facewise.models.file import TRAINED_ON_KEY, save_trained_on
from facewise.models.onnxmeta import metadata, replace_metadata
from facewise.models.quantize import quantize
from facewise.models.trained_on import LOOK, PREFIX, TrainedOn, name_hash

digests = st.integers(0, 10**6).map(lambda n: hashlib.sha256(str(n).encode()).hexdigest())
looks = st.binary(min_size=LOOK, max_size=LOOK)
records = st.builds(
    lambda names, contents, seen: TrainedOn.of(len(contents), names, contents, seen),
    st.lists(st.text(max_size=8)),
    st.lists(digests),
    st.lists(looks | st.just(b"")),
)


@pytest.fixture
def record() -> TrainedOn:
    contents = [hashlib.sha256(bytes([i])).hexdigest() for i in range(20)]
    return TrainedOn.of(20, ["Ada", "Bo"], contents, [bytes([i] * LOOK) for i in range(20)])


@given(records)
def test_it_is_read_as_it_was_written(record: TrainedOn) -> None:
    assert TrainedOn.from_text(record.to_text()) == record


@given(st.sets(digests), st.sets(digests), st.sets(st.text(max_size=5)), st.sets(st.text(max_size=5)))
def test_just_what_was_trained_on_is_found(
    seen: set[str], asked: set[str], people: set[str], names: set[str]
) -> None:
    record = TrainedOn.of(len(seen), people, seen, [])
    assert record.has_contents([*asked, ""]) == [digest in seen for digest in asked] + [False]
    known = {name_hash(person) for person in people}
    assert record.has_names(names) == [name_hash(name) in known for name in names]
    assert all(record.has_names(people))


@given(records, records)
def test_joined_records_hold_both(one: TrainedOn, other: TrainedOn) -> None:
    both = one.joined(other)
    assert both.photos == one.photos + other.photos
    for name, size in (("contents", PREFIX), ("looks", LOOK), ("names", PREFIX)):
        parts = [
            {getattr(r, name)[i : i + size] for i in range(0, len(getattr(r, name)), size)}
            for r in (one, other)
        ]
        assert getattr(both, name) == b"".join(sorted(parts[0] | parts[1]))


def test_names_are_compared_as_people_write_them() -> None:
    assert name_hash("Abel_Pacheco") == name_hash(" abel  PACHECO ") != name_hash("Abel Pachec")
    assert name_hash("Zoë") == name_hash("Zoe\u0308")


def test_too_many_photos_are_not_listed() -> None:
    contents = [hashlib.sha256(bytes([i])).hexdigest() for i in range(5)]
    record = TrainedOn.of(5, ["Ada"], contents, [b"x" * LOOK], most=4)
    assert (record.photos, record.people, record.listed) == (5, 1, False)
    assert (record.contents, record.looks) == (b"", b"")
    assert record.has_names(["ada"]) == [True]
    assert TrainedOn.of(5, ["Ada"], contents, [], most=5).listed


def test_a_photo_takes_few_bytes(record: TrainedOn) -> None:
    contents = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(1000)]
    seen = [hashlib.md5(str(i).encode(), usedforsecurity=False).digest() for i in range(1000)]
    assert len(TrainedOn.of(1000, [], contents, seen).to_text()) < 31 * 1000


# In a model file


def test_a_model_file_keeps_it(record: TrainedOn, tiny_embedder_file: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(tiny_embedder_file, tmp_path / "model.onnx"))
    before = read_model(path)
    assert before.card.trained_on is None
    after = save_trained_on(before, record)
    assert after.card.trained_on == read_model(path).card.trained_on == record
    assert after.fingerprint == before.fingerprint
    assert after.sha256 != before.sha256
    assert replace(after.card, trained_on=None) == before.card
    assert TRAINED_ON_KEY in metadata(after.network)
    assert "contents" not in after.card.to_json()
    calibration = Calibration("x", "y", "0" * 64, 1, 1, False, "d", "0" * 64, ())
    assert save_calibration(after, calibration).card.trained_on == record
    # A card without one leaves none behind.
    gone = write_model(path, read_model(path).network, before.card)
    assert gone.card.trained_on is None
    assert TRAINED_ON_KEY not in metadata(gone.network)


def test_a_quantised_model_was_trained_on_the_same(
    record: TrainedOn, tiny_embedder_file: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(tiny_embedder_file, tmp_path / "model.onnx"))
    original = save_trained_on(read_model(path), record)
    made = quantize(original, tmp_path / "half.onnx", to="fp16").model
    assert made.card.trained_on == record
    assert made.fingerprint != original.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        lambda _: "no JSON",
        lambda data: json.dumps(data | {"format": 99}),
        lambda data: json.dumps({k: v for k, v in data.items() if k != "looks"}),
        lambda data: json.dumps(data | {"contents": data["contents"][:-4]}),
        lambda data: json.dumps(data | {"names": "%%%"}),
        lambda data: json.dumps(data | {"photos": None}),
        lambda _: "[" * 100_000,
    ],
)
def test_a_damaged_record_is_told(
    change: object, record: TrainedOn, tiny_embedder_file: Path, tmp_path: Path
) -> None:
    network = read_model(tiny_embedder_file).network
    text = change(json.loads(record.to_text()))  # type: ignore[operator]
    path = tmp_path / "model.onnx"
    path.write_bytes(replace_metadata(network, metadata(network) | {TRAINED_ON_KEY: text}))
    with pytest.raises(ModelError, match=r"training photos|newer Facewise"):
        read_model(path)
