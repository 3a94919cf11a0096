"""`POST /v1/analyze`: where the service was started for it, with a key for it; race only by name."""

from __future__ import annotations

import base64
import json

import pytest
from guarded import png
from test_service import problem

from facewise.serve.schemas import AnalyzeOut
from facewise.serve.settings import ServiceSettings
from plain_attributes import age, emotion, gender, race, somebody, write_plain_attributes

HAPPY, SAD = somebody(emotion="happy", gender="female"), somebody(emotion="sad", gender="male")


@pytest.fixture
def photo(drawn_photo) -> bytes:
    """Two people side by side."""
    return png(drawn_photo([(80, 110, 90, HAPPY), (220, 110, 90, SAD)]))


@pytest.fixture
def analyst(make_client, plain_attributes_file):
    return make_client(attributes=str(plain_attributes_file))


def left_first(faces: list[dict]) -> list[dict]:
    return sorted(faces, key=lambda face: face["box"][0])


def test_what_faces_look_like(analyst, photo):
    body = analyst.post("/v1/analyze", files={"photo": ("a.png", photo)}).json()
    AnalyzeOut.model_validate(body)
    assert (body["model"], body["attributes"]) == ("plain-attributes", ["age", "gender", "emotion"])
    for face, who in zip(left_first(body["faces"]), (HAPPY, SAD), strict=True):
        told = face["attributes"]
        assert (told["gender"]["answer"], told["emotion"]["answer"]) == (gender(who), emotion(who))
        assert told["age"]["mean"] == pytest.approx(age(who), abs=0.6)
        assert (told["race"], told["note"]) == (None, "")
        assert "embedding" not in face


def test_race_only_where_it_is_named(analyst, photo):
    form = {"attributes": ["race", "emotion"]}
    body = analyst.post("/v1/analyze", files={"photo": ("a.png", photo)}, data=form).json()
    told = [face["attributes"] for face in left_first(body["faces"])]
    assert [one["race"]["answer"] for one in told] == [race(HAPPY), race(SAD)]
    assert [one["age"] for one in told] == [None, None]
    text = base64.b64encode(photo).decode()
    assert analyst.post("/v1/analyze", json={"photo": text, **form}).json() == body
    one = analyst.post("/v1/analyze", files={"photo": ("a.png", photo)}, data={"attributes": "race"}).json()
    assert one["attributes"] == ["race"]


def test_a_face_nothing_can_be_said_of_and_no_face(analyst, drawn_photo):
    small = png(drawn_photo([(160, 120, 15, HAPPY)]))
    (face,) = analyst.post("/v1/analyze", files={"photo": ("a.png", small)}).json()["faces"]
    assert face["attributes"]["note"].startswith("too small")
    assert face["attributes"]["age"] is None
    assert analyst.post("/v1/analyze", files={"photo": ("a.png", png(drawn_photo()))}).json()["faces"] == []


@pytest.mark.parametrize("asked", [["mood"], [], "age,race", 5])
def test_what_cannot_be_asked_is_refused(analyst, photo, asked):
    text = base64.b64encode(photo).decode()
    problem(analyst.post("/v1/analyze", json={"photo": text, "attributes": asked}), 422, "bad_field")


def test_what_the_model_does_not_tell_is_refused(make_client, photo, tmp_path):
    some = write_plain_attributes(tmp_path / "some.onnx", only=("age", "emotion"))
    client = make_client(attributes=str(some.path))
    files = {"photo": ("a.png", photo)}
    assert client.post("/v1/analyze", files=files).json()["attributes"] == ["age", "emotion"]
    answer = client.post("/v1/analyze", files=files, data={"attributes": "gender"})
    assert "tells age, emotion, not gender" in problem(answer, 422, "bad_setting")


def test_where_it_was_not_allowed_it_is_refused_and_recorded(client, photo):
    assert ServiceSettings(auth=False).attributes is False
    answer = client.post("/v1/analyze", files={"photo": ("a.png", photo)})
    assert "--allow-attributes" in problem(answer, 403, "switched_off")
    assert 'name="facewise-attributes" content="no"' in client.get("/").text
    (entry, *_) = client.get("/v1/audit").json()["entries"]
    assert (entry["action"], entry["outcome"], entry["code"]) == ("analyze", "failed", "switched_off")


def test_who_asked_is_on_record_and_the_answer_is_not(analyst, photo):
    analyst.post("/v1/analyze", files={"photo": ("a.png", photo)})
    (entry, *_) = analyst.get("/v1/audit").json()["entries"]
    assert (entry["action"], entry["outcome"], entry["photos"], entry["faces"]) == ("analyze", "ok", 1, 2)
    assert not any(word in json.dumps(entry) for word in ("happy", "female", "sad"))
    assert "facewise_faces_total 2.0" in analyst.get("/v1/metrics").text
    assert 'name="facewise-attributes" content="yes"' in analyst.get("/").text


def test_processes_say_the_same(start_server, plain_attributes_file, photo, analyst):
    import httpx

    server = start_server("--allow-attributes", "--attributes-model", str(plain_attributes_file))
    files, data = {"photo": ("a.png", photo)}, {"attributes": ["age", "race"]}
    there = httpx.post(f"{server.url}/v1/analyze", files=files, data=data, timeout=60).json()
    assert there == analyst.post("/v1/analyze", files=files, data=data).json()
    assert "attributes by plain-attributes" in server.log.read_text()
