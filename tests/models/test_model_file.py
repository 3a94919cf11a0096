"""The model file, read back with the onnx library, and everything a damaged one may hold."""

from __future__ import annotations

import hashlib
import json
import math
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.errors import FacewiseError, ModelError, SettingError
from facewise.models import (
    Calibration,
    ModelCard,
    ModelFile,
    Threshold,
    choose_decision,
    read_model,
    save_calibration,
    write_model,
)
from facewise.models.onnxmeta import metadata, network_hash, replace_metadata
from facewise.preprocess import Preprocess

PREPROCESS = Preprocess(4, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "BGR")
EMBEDDER = ModelCard(
    kind="embedder",
    name="sums",
    version="3",
    licence="MIT",
    source="tests, Größe ☃",
    preprocess=PREPROCESS,
    embedding_size=3,
    training={"recipe": "none", "epochs": 2},
)
DETECTOR = replace(
    EMBEDDER,
    kind="detector",
    embedding_size=None,
    decoder={"name": "retinaface", "strides": [8], "variances": [1, 2]},
)
CALIBRATION = Calibration(
    dataset="LFW",
    protocol="View 2",
    data_hash="ab" * 32,
    genuine=3000,
    impostors=2999,
    flip=True,
    detector="some-detector",
    detector_fingerprint="cd" * 32,
    thresholds=(
        Threshold(1e-3, 0.43, 0.0007, 0.012, (0.008, 0.016)),
        Threshold(1e-1, 0.21, 0.0993, 0.001, (0.0, 0.002)),
    ),
)


def network(weight: float = 1.0, properties: dict[str, str] | None = None) -> bytes:
    """An ONNX file made by the onnx library: a weighted sum over the pixels of each channel."""
    weights = np.full((3,), weight, dtype=np.float32)
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("ReduceSum", ["images", "axes"], ["sums"], keepdims=0),
            onnx.helper.make_node("Mul", ["sums", "weights"], ["embedding"]),
        ],
        "sums",
        [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["batch", 3, 4, 4])],
        [onnx.helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, ["batch", 3])],
        [
            onnx.numpy_helper.from_array(np.array([2, 3], dtype=np.int64), "axes"),
            onnx.numpy_helper.from_array(weights, "weights"),
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.helper.set_model_props(model, properties or {})
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture
def model(tmp_path: Path) -> ModelFile:
    return write_model(tmp_path / "sums.onnx", network(), EMBEDDER)


def properties(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def without_properties(data: bytes) -> bytes:
    parsed = onnx.load_from_string(data)
    parsed.ClearField("metadata_props")
    return parsed.SerializeToString(deterministic=True)


@pytest.mark.parametrize("card", [EMBEDDER, DETECTOR, replace(EMBEDDER, calibration=CALIBRATION)], ids=str)
def test_reads_back_what_it_wrote(tmp_path: Path, card: ModelCard) -> None:
    path = tmp_path / "model.onnx"
    written = write_model(path, network(), card)
    assert written.card == card
    assert read_model(path) == written
    assert read_model(str(path), kind=card.kind).card == card
    # What the onnx library says of the file.
    onnx.checker.check_model(onnx.load(path))
    said = json.loads(properties(path)["facewise"])
    assert said["kind"] == card.kind
    assert said["source"] == "tests, Größe ☃"
    assert said["preprocess"] == {
        "size": 4,
        "mean": [1.0, 2.0, 3.0],
        "std": [4.0, 5.0, 6.0],
        "color": "BGR",
        "alignment": "5-point",
    }
    assert without_properties(path.read_bytes()) == without_properties(network())


def test_other_metadata_and_all_other_bytes_are_kept(tmp_path: Path) -> None:
    plain = network(
        properties={"author": "Ada Lovelace", "facewise": "an old one", "": "no key", "empty": ""}
    )
    path = tmp_path / "model.onnx"
    write_model(path, plain, EMBEDDER)
    kept = properties(path)
    assert kept.pop("facewise") == EMBEDDER.to_json()
    assert kept == {"author": "Ada Lovelace", "": "no key", "empty": ""}
    assert without_properties(path.read_bytes()) == without_properties(plain)


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=20), st.text(max_size=400), max_size=5))
def test_metadata_as_the_onnx_library_sees_it(pairs: dict[str, str]) -> None:
    data = replace_metadata(network(properties={"old": "gone"}), pairs)
    assert metadata(data) == pairs
    assert {entry.key: entry.value for entry in onnx.load_from_string(data).metadata_props} == pairs
    assert network_hash(data) == network_hash(network())
    assert replace_metadata(data, {}) == replace_metadata(network(), {})
    theirs = network(properties=pairs)
    assert metadata(theirs) == pairs


def test_sha256_is_that_of_the_file(model: ModelFile) -> None:
    assert model.sha256 == hashlib.sha256(model.path.read_bytes()).hexdigest()
    assert model.network == model.path.read_bytes()


def test_words_do_not_change_the_fingerprint(model: ModelFile, tmp_path: Path) -> None:
    assert len(model.fingerprint) == 64
    for i, card in enumerate(
        (
            replace(EMBEDDER, licence="other"),
            replace(EMBEDDER, name="other", version="9", source="", training={}),
            replace(EMBEDDER, calibration=CALIBRATION),
        )
    ):
        other = write_model(tmp_path / f"{i}.onnx", network(), card)
        assert other.fingerprint == model.fingerprint
        assert other.sha256 != model.sha256
    noted = write_model(tmp_path / "noted.onnx", network(properties={"author": "Ada"}), EMBEDDER)
    assert noted.fingerprint == model.fingerprint
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(model.network)
    assert read_model(copy).fingerprint == model.fingerprint


def test_whatever_changes_an_embedding_changes_the_fingerprint(model: ModelFile, tmp_path: Path) -> None:
    different = [
        (network(1.0000001), EMBEDDER),
        (network(), replace(EMBEDDER, embedding_size=4)),
        (network(), replace(EMBEDDER, kind="detector", decoder={"name": "retinaface"})),
        *(
            (network(), replace(EMBEDDER, preprocess=preprocess))
            for preprocess in (
                replace(PREPROCESS, size=5),
                replace(PREPROCESS, mean=(1.0, 2.0, 3.5)),
                replace(PREPROCESS, std=(4.0, 5.0, 6.5)),
                replace(PREPROCESS, color="RGB"),
                replace(PREPROCESS, alignment="none"),
            )
        ),
        (network(), DETECTOR),
        (network(), replace(DETECTOR, decoder={"name": "retinaface", "strides": [16], "variances": [1, 2]})),
    ]
    prints = {write_model(tmp_path / f"{i}.onnx", *one).fingerprint for i, one in enumerate(different)}
    assert len(prints | {model.fingerprint}) == len(different) + 1


def test_every_byte_of_the_network_is_in_its_hash() -> None:
    data = network(properties={"a": "b"})
    start, end = data.index(b"weights"), len(data)
    tail = data.index(b"a", data.rindex(b"embedding")) - 4
    for place in range(start, min(end, tail), 3):
        changed = bytearray(data)
        changed[place] ^= 1
        try:
            assert network_hash(bytes(changed)) != network_hash(data)
        except ModelError:
            continue


def test_save_calibration(model: ModelFile) -> None:
    saved = save_calibration(model, CALIBRATION)
    assert saved.path == model.path
    assert saved.card == replace(EMBEDDER, calibration=CALIBRATION)
    assert saved.fingerprint == model.fingerprint
    assert saved.sha256 != model.sha256
    assert without_properties(model.path.read_bytes()) == without_properties(network())
    again = save_calibration(saved, replace(CALIBRATION, dataset="IJB-C"))
    assert read_model(model.path).card.calibration == replace(CALIBRATION, dataset="IJB-C")
    assert len(again.network) < len(saved.network) + 100  # replaced, not piled up


def test_save_calibration_is_all_or_nothing(model: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FacewiseError, match="No space left"):
        save_calibration(model, CALIBRATION)
    assert list(model.path.parent.iterdir()) == [model.path]
    assert read_model(model.path) == model


# What is not a model file


def one_sentence(error: BaseException) -> str:
    text = str(error)
    assert text.endswith(".")
    assert "\n" not in text
    assert "Traceback" not in text
    return text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello, I am a text file about models\n" * 20,
        b"\x89PNG\r\n\x1a\n" + bytes(200),
        bytes(500),
        b"\xff" * 500,
        np.random.default_rng(0).bytes(5000),
        network(),
        network(properties={"facewise": ""}),
        network(properties={"facewise": "{}"}),
        network(properties={"facewise": "[]"}),
        network(properties={"facewise": "null"}),
        network(properties={"facewise": '"format"'}),
        network(properties={"facewise": "{" * 100_000}),
        network(properties={"facewise": "[" * 100_000}),
    ],
    ids=["empty", "text", "png", "zeros", "ones", "random", "plain onnx", *(f"json{i}" for i in range(7))],
)
def test_what_is_no_model_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "no.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError) as caught:
        read_model(path)
    assert str(path) in one_sentence(caught.value)


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"There is no model file .*gone\.onnx"):
        read_model(tmp_path / "gone.onnx")
    with pytest.raises(ModelError) as caught:
        read_model(tmp_path)
    one_sentence(caught.value)


def test_a_plain_onnx_file_is_told_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "plain.onnx"
    path.write_bytes(network())
    with pytest.raises(ModelError, match="facewise models import"):
        read_model(path)


def test_only_onnx_is_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        write_model(tmp_path / "no.onnx", b"this is no protobuf message", EMBEDDER)
    assert not list(tmp_path.iterdir())


def test_a_model_of_another_kind(model: ModelFile) -> None:
    with pytest.raises(ModelError, match=r"'embedder'.*'detector'"):
        read_model(model.path, kind="detector")


def changed_card(tmp_path: Path, **changes: object) -> Path:
    said = json.loads(EMBEDDER.to_json())
    for key, value in changes.items():
        if value is ...:
            del said[key]
        else:
            said[key] = value
    path = tmp_path / "changed.onnx"
    path.write_bytes(network(properties={"facewise": json.dumps(said)}))
    return path


def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"newer.*upgrade"):
        read_model(changed_card(tmp_path, format=2))
    # Whatever else a newer format holds.
    with pytest.raises(ModelError, match=r"newer.*upgrade"):
        read_model(changed_card(tmp_path, format=7, kind="dream", preprocess=None))


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "landmarker"},
        {"kind": "detector"},
        {"kind": "detector", "decoder": {}},
        {"decoder": 5},
        {"decoder": "retinaface"},
        {"embedding_size": "many"},
        {"training": 7},
        {"training": [1]},
        {"format": "x"},
        {"format": None},
        {"format": math.inf},
        {"embedding_size": math.inf},
        {"preprocess": PREPROCESS.to_dict() | {"mean": [1, 2, 10**400]}},
        {"calibration": CALIBRATION.to_dict() | {"genuine": math.inf}},
        {"calibration": CALIBRATION.to_dict() | {"thresholds": [1]}},
        {"preprocess": None},
        {"preprocess": []},
        {"calibration": 3},
        {"calibration": {}},
        *({key: ...} for key in ("format", "kind", "name", "version", "licence", "source", "preprocess")),
    ],
    ids=str,
)
def test_a_card_that_makes_no_sense(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(ModelError) as caught:
        read_model(changed_card(tmp_path, **changes))
    one_sentence(caught.value)


WHOLE = replace_metadata(network(), {"facewise": replace(EMBEDDER, calibration=CALIBRATION).to_json()})


def reads_or_says_so(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        read = read_model(path)
    except ModelError:
        return
    assert isinstance(read.card, ModelCard)
    assert read.sha256 == hashlib.sha256(data).hexdigest()


def test_cut_short_anywhere(tmp_path: Path) -> None:
    whole = WHOLE + b"\x0a\x05hello"  # so that the metadata is not last
    path = tmp_path / "cut.onnx"
    for length in range(0, len(whole), 3):
        reads_or_says_so(path, whole[:length])
    path.write_bytes(WHOLE[:-1])
    with pytest.raises(ModelError, match="truncated"):
        read_model(path)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_overwritten_anywhere(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(WHOLE)
    for place, value in changes:
        data[place] = value
    reads_or_says_so(tmp_path_factory.getbasetemp() / "overwritten.onnx", bytes(data))


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    reads_or_says_so(tmp_path_factory.getbasetemp() / "any.onnx", data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(list(json.loads(EMBEDDER.to_json()))), json_values, min_size=1))
def test_any_json(changes: dict[str, object]) -> None:
    with suppress(ModelError):
        ModelCard.from_json(json.dumps(json.loads(EMBEDDER.to_json()) | changes))


CALIBRATION_KEYS = list(CALIBRATION.to_dict())


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from([*CALIBRATION_KEYS, "thresholds"]), json_values, min_size=1))
def test_any_calibration(changes: dict[str, object]) -> None:
    with suppress(ModelError):
        Calibration.from_dict(CALIBRATION.to_dict() | changes)


# Calibration and the decision


def test_calibration_reads_back_what_it_wrote() -> None:
    assert Calibration.from_dict(json.loads(json.dumps(CALIBRATION.to_dict()))) == CALIBRATION
    assert CALIBRATION.rates() == [1e-1, 1e-3]


@pytest.mark.parametrize("key", sorted(set(CALIBRATION_KEYS) - {"score_map", "people", "pairs_of_people"}))
def test_a_missing_part_of_a_calibration_is_named(key: str) -> None:
    with pytest.raises(ModelError, match=key):
        Calibration.from_dict({k: v for k, v in CALIBRATION.to_dict().items() if k != key})


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": math.nan},
        {"threshold": math.inf},
        {"fmr": 0},
        {"fmr": 1.5},
        {"fmr": -1},
        {"fnmr_interval": [1]},
    ],
    ids=str,
)
def test_a_threshold_that_makes_no_sense(change: dict[str, object]) -> None:
    said = CALIBRATION.to_dict()
    said["thresholds"] = [said["thresholds"][0] | change]
    with pytest.raises(ModelError):
        Calibration.from_dict(said)


def test_a_given_threshold_decides() -> None:
    for calibration in (None, CALIBRATION):
        for threshold in (-1.0, 0.0, 0.37, 1.0):
            decision = choose_decision(calibration, threshold=threshold)
            assert decision is not None
            assert (decision.threshold, decision.fmr) == (threshold, None)
            assert "user" in decision.source


@pytest.mark.parametrize("threshold", [-1.01, 1.01, math.nan, math.inf])
def test_a_threshold_out_of_range(threshold: float) -> None:
    with pytest.raises(SettingError, match="between -1 and 1"):
        choose_decision(CALIBRATION, threshold=threshold)


@pytest.mark.parametrize("fmr", [0.0, -0.1, 1.1, math.nan])
@pytest.mark.parametrize("calibration", [None, CALIBRATION], ids=["none", "calibrated"])
def test_a_rate_out_of_range(calibration: Calibration | None, fmr: float) -> None:
    with pytest.raises(SettingError, match="false match rate"):
        choose_decision(calibration, fmr=fmr)


def test_a_threshold_and_a_rate_are_one_too_many() -> None:
    with pytest.raises(SettingError, match="not both"):
        choose_decision(CALIBRATION, fmr=1e-3, threshold=0.3)


def test_a_calibrated_rate_decides_and_says_where_it_comes_from() -> None:
    default, loose = choose_decision(CALIBRATION), choose_decision(CALIBRATION, fmr=0.1)
    assert default is not None
    assert loose is not None
    assert (default.threshold, default.fmr) == (0.43, 1e-3)
    assert (loose.threshold, loose.fmr) == (0.21, 0.1)
    for word in ("LFW", "View 2", "2999"):
        assert word in default.source


def test_a_rate_that_was_not_measured_is_an_error_that_names_those_that_were() -> None:
    with pytest.raises(SettingError, match=r"0\.01, only at 0\.1, 0\.001"):
        choose_decision(CALIBRATION, fmr=0.01)


def test_nothing_to_decide_by() -> None:
    assert choose_decision(None) is None
    assert choose_decision(None, fmr=1e-3) is None
    coarse = replace(CALIBRATION, thresholds=CALIBRATION.thresholds[1:])
    assert choose_decision(coarse) is None
