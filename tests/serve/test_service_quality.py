"""What the service answers about photos that are too poor."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from facewise.gallery import Gallery
from facewise.models import Calibration, Threshold
from facewise.serve import schemas
from facewise.serve.app import create_app
from facewise.serve.settings import ServiceSettings
from facewise.types import Pose
from planted_quality import all_of_quality
from tiny_models import turned_head, write_landmarker

PLAIN = 0.8


@pytest.fixture
def poor(client, tiny_pipeline, monkeypatch):
    """The service's client; to the model every face is blurred."""
    rule = all_of_quality(32, PLAIN, 0.1)
    calibration = Calibration(
        "drawings", "by hand", "0" * 64, 100, 1000, False, "tiny", "0" * 64,
        (Threshold(1e-3, PLAIN, 1e-3, 0.0, (0.0, 0.1)),), quality=rule,
    )  # fmt: skip
    monkeypatch.setattr(type(tiny_pipeline.embedder), "calibration", calibration)
    monkeypatch.setattr("facewise.quality._LEAST_DETAIL", -np.inf)  # drawings have next to none
    return client


def test_a_poor_photo_decides_nothing_and_is_not_enrolled(poor, photo_bytes):
    photo = ("a.png", photo_bytes(0))
    told = poor.post("/v1/verify", files={"a": photo, "b": photo}).json()
    assert schemas.VerifyOut.model_validate(told)
    assert (told["same"], told["note"]) == (None, "no decision: both faces are blurred")
    assert told["faces"][0]["quality"]["value"] == pytest.approx(0.1, abs=1e-3)
    assert told["faces"][0]["quality"]["reasons"] == ["blurred"]
    refused = poor.post("/v1/people", data={"name": "Ada"}, files=[("photos", photo)])
    assert (refused.status_code, refused.json()["code"]) == (422, "poor_photo")
    assert "its face is blurred: take a sharper one" in refused.json()["detail"]
    asked = {"name": "Ada", "quality": "off"}
    done = poor.post("/v1/people", data=asked, files=[("photos", photo)]).json()
    assert done["added"] == 1
    assert "enrolled all the same" in done["warnings"][0]
    other = ("b.png", photo_bytes(0, shift=5))
    more = f"/v1/people/{done['person']['id']}/samples"
    assert poor.post(more, files=[("photos", other)]).status_code == 422
    assert poor.post(more, files=[("photos", other)], data={"quality": "off"}).json()["added"] == 1
    assert poor.post(more, files=[("photos", other)], data={"quality": "best"}).status_code == 422
    who = poor.post("/v1/identify", files={"photo": photo}).json()
    assert schemas.IdentifyOut.model_validate(who)
    (face,) = who["faces"]
    assert (face["name"], face["decided"], face["threshold"]) == (None, False, None)
    assert face["note"] == "no decision: the face is blurred"
    who = poor.post("/v1/identify", files={"photo": photo}, data={"threshold": "0.5"}).json()
    assert (who["faces"][0]["name"], who["faces"][0]["note"]) == ("Ada", "")


def test_poor_faces_are_not_grouped(poor, photo_bytes):
    files = [("photos", (f"{i}.png", photo_bytes(0, shift=i))) for i in range(3)]
    told = poor.post("/v1/cluster", files=files).json()
    assert schemas.ClusterOut.model_validate(told)
    assert [len(group) for group in told["groups"]] == [1, 1, 1]
    assert told["too_poor"] == [{"photo": i, "face": 0, "reason": "blurred"} for i in range(3)]


def test_what_was_measured_reaches_the_search_of_workers_too(poor, photo_bytes, tiny_pipeline, monkeypatch):
    """A reason that only the crop shows, of an embedding that looks good."""
    calibration = tiny_pipeline.embedder.calibration
    good = replace(calibration, quality=all_of_quality(32, PLAIN, 1.0))
    monkeypatch.setattr(type(tiny_pipeline.embedder), "calibration", good)
    photo = ("a.png", photo_bytes(0))
    assert poor.post("/v1/people", data={"name": "Ada"}, files=[("photos", photo)]).status_code == 201
    monkeypatch.setattr("facewise.quality._LEAST_DETAIL", np.inf)
    (face,) = poor.post("/v1/identify", files={"photo": photo}).json()["faces"]
    assert (face["name"], face["note"]) == (None, "no decision: the face is blurred")


def test_enrolment_remarks_what_a_mesh_tells(tmp_path, tiny_pipeline, photo_bytes):
    from starlette.testclient import TestClient

    model = write_landmarker(tmp_path / "turned.onnx", *turned_head(Pose(math.radians(40), 0.0, 0.0)))
    settings = ServiceSettings(gallery=str(tmp_path / "people.db"), auth=False, workers=2)
    with Gallery.open(tmp_path / "people.db", pipeline=tiny_pipeline.with_mesh(model.path)) as gallery:
        app = create_app(settings, gallery=gallery)
        with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as http:
            files = [("photos", ("a.png", photo_bytes(0)))]
            refused = http.post("/v1/people", data={"name": "Ada", "quality": "strict"}, files=files)
            assert (refused.status_code, refused.json()["code"]) == (422, "poor_photo")
            done = http.post("/v1/people", data={"name": "Ada"}, files=files).json()
        app.state.service.close()
    better = "a.png: its face could be shown better (turned by 40°): take one from the front."
    assert (done["added"], done["warnings"]) == (1, [better])
