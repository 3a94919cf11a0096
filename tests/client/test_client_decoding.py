"""Answers become typed results; what is not as promised is told, never guessed at."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewise.client import AnswerError, results
from facewise.client.decoding import decoded

FACE: dict[str, Any] = {
    "box": [1, 2.5, 3, 4],
    "landmarks": [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]],
    "score": 0.9,
    "quality": {
        "score": 0.9,
        "size": 40,
        "sharpness": 12.5,
        "yaw": 0.1,
        "pitch": 0,
        "roll": -0.1,
        "value": 0.5,
        "reasons": ["blurred"],
        "remarks": ["mouth open"],
    },
}
IDENTIFICATION: dict[str, Any] = {
    "width": 640,
    "height": 480,
    "decision": {"threshold": 0.4, "fmr": 0.001, "fpir": None, "source": "LFW"},
    "note": "",
    "gallery": {"people": 2, "samples": 3},
    "faces": [
        FACE
        | {
            "person": 1,
            "name": "Ada",
            "similarity": 0.7,
            "decided": True,
            "candidates": [{"person": 1, "name": "Ada", "similarity": 0.7}],
            "twice": False,
            "threshold": 0.4,
            "note": "",
        }
    ],
}


def test_a_face_is_the_librarys_own() -> None:
    face = decoded(results.Detection, {"width": 4, "height": 4, "faces": [FACE]}).faces[0]
    assert isinstance(face, results.Face)
    assert face.box.dtype == np.float32
    np.testing.assert_array_equal(face.box, np.float32([1, 2.5, 3, 4]))
    assert face.landmarks.shape == (5, 2)
    assert face.quality is not None
    assert face.quality.size == 40.0
    assert (face.quality.value, face.quality.reasons) == (0.5, ("blurred",))
    assert face.quality.remarks == ("mouth open",)
    assert face.embedding is None
    assert face.width == 2.0


def test_an_embedding_arrives_to_the_last_bit() -> None:
    row = np.random.default_rng(0).normal(size=128).astype(np.float32)
    answer = {"model": "m", "fingerprint": "f", "flip": False, "faces": [FACE | {"embedding": row.tolist()}]}
    face = decoded(results.Embedding, answer).faces[0]
    assert face.embedding is not None
    assert face.embedding.tobytes() == row.tobytes()


def test_newer_fields_are_left_out_and_missing_ones_told() -> None:
    assert decoded(results.Person, _person() | {"colour": "blue"}).name == "Ada"
    for name in _person():
        short = _person()
        del short[name]
        with pytest.raises(AnswerError, match=f"has no {name}"):
            decoded(results.Person, short)


def _person() -> dict[str, Any]:
    return {"id": 1, "name": "Ada", "samples": 2, "created": "2030", "groups": ["a", "b"]}


@pytest.mark.parametrize(
    "change",
    [{"id": "1"}, {"id": True}, {"id": 1.0}, {"id": None}, {"groups": "a"}, {"groups": [1]}, {"name": 5}],
)
def test_fields_of_another_kind_are_told(change: dict[str, Any]) -> None:
    with pytest.raises(AnswerError, match="not as expected"):
        decoded(results.Person, _person() | change)


@pytest.mark.parametrize(
    "change",
    [
        {"box": [1, 2, 3]},
        {"box": None},
        {"box": ["a", 1, 2, 3]},
        {"box": [[1], 2, 3, 4]},
        {"landmarks": [[1, 2]]},
        {"embedding": [[1, 2]]},
        {"embedding": []},
        {"score": None},
        {"quality": {"score": 1}},
    ],
)
def test_faces_of_another_shape_are_told(change: dict[str, Any]) -> None:
    with pytest.raises(AnswerError, match="not as expected"):
        decoded(results.Detection, {"width": 4, "height": 4, "faces": [FACE | change]})


def test_times() -> None:
    answer = {"name": "a", "scopes": ["admin"], "expires": "2030-01-01T00:00:00Z"}
    assert decoded(results.KeyHolder, answer).expires == datetime(2030, 1, 1, tzinfo=UTC)
    assert decoded(results.KeyHolder, answer | {"expires": None}).expires is None
    with pytest.raises(AnswerError, match="no time"):
        decoded(results.KeyHolder, answer | {"expires": "soon"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.data())
def test_whatever_stands_in_an_answer_it_is_a_result_or_told(junk: Any, data: st.DataObject) -> None:
    """Any part of a good answer exchanged for anything: never another kind of error."""
    answer: Any = copy.deepcopy(IDENTIFICATION)
    at = answer
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else list(range(len(at)))))
        if isinstance(at[key], dict | list) and at[key] and data.draw(st.booleans()):
            at = at[key]
        else:
            at[key] = junk
            break
    try:
        result = decoded(results.Identification, answer)
    except AnswerError as error:
        assert str(error).startswith("The service's answer is not as expected")  # noqa: PT017  or no error
    else:
        assert isinstance(result.faces, tuple)
