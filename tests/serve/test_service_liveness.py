"""The service with `--liveness`: nothing is decided by faces that do not look live, and all is told."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from guarded import png

from facewise.models import write_model
from facewise.models.liveness import ErrorRate, LivenessCalibration
from facewise.serve import schemas
from facewise.serve.app import create_app
from facewise.serve.settings import ServiceSettings
from tiny_models import GREY, draw, write_liveness


@pytest.fixture(params=[False, True], ids=["threads", "processes"])
def client(request, tmp_path, tiny_detector_file, tiny_embedder_file):
    from starlette.testclient import TestClient

    model = write_liveness(tmp_path / "alive.onnx")
    rate = ErrorRate(0.0, (0.0, 0.5), 0, 10, 5)
    known = LivenessCalibration(
        "drawings", "0" * 64, (model.fingerprint,), "tiny", "0" * 64, 0.05, 0.5, {"print": rate}, rate, 5
    )
    write_model(model.path, model.network, replace(model.card, liveness=known))
    settings = ServiceSettings(
        gallery=str(tmp_path / "people.db"), auth=False, workers=1, processes=request.param,
        detector=str(tiny_detector_file), model=str(tiny_embedder_file), liveness=str(model.path),
    )  # fmt: skip
    app = create_app(settings)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as http:
        end = time.monotonic() + 60
        while http.get("/v1/ready").status_code != 200 and time.monotonic() < end:
            time.sleep(0.02)
        yield http


def photo(*, spoof: bool = False, shift: int = 0) -> tuple[str, bytes]:
    image = draw((240, 320), [(150 + shift, 120, 62, 1)])
    if spoof:
        image[(image == GREY).all(axis=-1)] = 160
    return "a.png", png(image)


def test_what_does_not_look_live_decides_nothing(client) -> None:
    refused = client.post("/v1/people", data={"name": "Ada"}, files=[("photos", photo(spoof=True))])
    assert (refused.status_code, refused.json()["code"]) == (422, "not_live")
    assert "does not look live" in refused.json()["detail"]
    assert client.post("/v1/people", data={"name": "Ada"}, files=[("photos", photo())]).status_code == 201
    rule = {"threshold": "0.8"}
    both = {"a": photo(), "b": photo(spoof=True, shift=5)}
    told = client.post("/v1/verify", files=both, data=rule).json()
    assert schemas.VerifyOut.model_validate(told)
    assert (told["same"], [face["liveness"]["live"] for face in told["faces"]]) == (None, [True, False])
    assert "the second face does not look live" in told["note"]
    assert client.post("/v1/verify", files=both | {"b": photo(shift=5)}, data=rule).json()["same"] is True
    for spoof, name in ((False, "Ada"), (True, None)):
        found = client.post("/v1/identify", files={"photo": photo(spoof=spoof)}, data=rule).json()
        assert schemas.IdentifyOut.model_validate(found)
        (face,) = found["faces"]
        assert (face["name"], face["decided"], face["liveness"]["live"]) == (
            name,
            name is not None,
            not spoof,
        )
    told = client.get("/v1/models").json()
    assert schemas.ModelsOut.model_validate(told)
    assert told["liveness"]["names"] == ["alive"]
    assert told["liveness"]["calibration"]["threshold"] == 0.5
    assert told["liveness"]["calibration"]["apcer"] == 0.0
