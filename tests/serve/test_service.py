"""The service through its routes: what each answers, what each refuses, and that both are as declared."""

from __future__ import annotations

import base64
import gzip
import json

import numpy as np
import PIL.Image
import pytest

from mutations import encode
from photo_formats import heic

THRESHOLD = {"threshold": "0.5"}


def problem(response, status: int, code: str) -> str:
    """Checks that an answer is a problem as declared; returns its sentence."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert set(body) == {"type", "title", "status", "detail", "code"}
    assert body["status"] == status
    assert body["code"] == code
    assert body["detail"].endswith(".")
    assert "Traceback" not in body["detail"]
    return body["detail"]


def enrol(client, name: str, *photos: bytes, **fields) -> dict:
    files = [("photos", (f"{i}.png", photo, "image/png")) for i, photo in enumerate(photos)]
    response = client.post("/v1/people", files=files, data={"name": name, **fields})
    assert response.status_code == 201, response.text
    return response.json()


def test_detect_finds_the_drawn_faces(client, photo_bytes):
    body = client.post("/v1/detect", files={"photo": ("a.png", photo_bytes(0, 1))}).json()
    assert (body["width"], body["height"]) == (320, 240)
    assert len(body["faces"]) == 2
    left = min(body["faces"], key=lambda face: face["box"][0])
    assert left["box"] == pytest.approx([35, 65, 125, 155], abs=3)
    assert left["quality"]["size"] > 20


def test_photos_of_phones_are_read_whatever_they_are_called(client, drawn_photo):
    scene = PIL.Image.fromarray(drawn_photo([(80, 110, 90)]))
    for data in (heic(scene, quality=95), encode(scene, "AVIF", quality=95)):
        body = client.post("/v1/detect", files={"photo": ("a.jpg", data)}).json()
        assert (body["width"], body["height"], len(body["faces"])) == (320, 240, 1)
    broken = encode(scene, "JPEG", quality=98)
    middle = len(broken) // 2
    broken = broken[:middle] + bytes(200) + broken[middle + 200 :]
    problem(client.post("/v1/detect", files={"photo": ("a.jpg", broken)}), 422, "bad_photo")


def test_json_and_form_answer_alike(client, photo_bytes):
    photo = photo_bytes(2)
    form = client.post("/v1/detect", files={"photo": ("a.png", photo)}).json()
    plain = client.post("/v1/detect", json={"photo": base64.b64encode(photo).decode()}).json()
    assert form == plain


def test_embeddings_are_those_of_the_pipeline(client, photo_bytes, tiny_pipeline):
    photo = photo_bytes(0, 1)
    found = tiny_pipeline.read(photo)
    body = client.post("/v1/embed", files={"photo": ("a.png", photo)}).json()
    for face, own in zip(body["faces"], found.faces, strict=True):
        assert np.array_equal(np.array(face["embedding"], dtype=np.float32), own.embedding)
    main = client.post("/v1/embed", files={"photo": ("a.png", photo)}, data={"main_only": "true"}).json()
    assert main["faces"] == body["faces"][:1]


def test_verify_agrees_with_the_library(client, photo_bytes, tiny_pipeline):
    from facewise.recognizer import Recognizer

    a, b, c = photo_bytes(0), photo_bytes(0, shift=4), photo_bytes(1)
    own = Recognizer(pipeline=tiny_pipeline)
    for other, same in ((b, True), (c, False)):
        files = {"a": ("a.png", a), "b": ("b.png", other)}
        body = client.post("/v1/verify", files=files, data=THRESHOLD).json()
        assert body["same"] is same
        assert body["similarity"] == pytest.approx(own.verify(a, other).similarity, abs=1e-6)


def test_verify_tells_of_several_faces(client, photo_bytes):
    files = {"a": ("a.png", photo_bytes(0, 1)), "b": ("b.png", photo_bytes(0))}
    main = client.post("/v1/verify", files=files, data=THRESHOLD).json()
    best = client.post("/v1/verify", files=files, data=THRESHOLD | {"face": "best"}).json()
    assert (main["same"], main["found"], main["comparisons"]) == (False, [2, 1], 1)
    assert (best["same"], best["found"], best["comparisons"]) == (True, [2, 1], 2)
    assert "most alike of 2 pairs" in best["note"]
    problem(client.post("/v1/verify", files=files, data=THRESHOLD | {"face": "any"}), 422, "bad_field")


def test_identify_marks_a_name_given_twice(client, photo_bytes):
    enrol(client, "Ada", photo_bytes(0))
    for second, twice in ((0, True), (1, False)):
        files = {"photo": ("a.png", photo_bytes(0, second))}
        faces = client.post("/v1/identify", files=files, data=THRESHOLD).json()["faces"]
        assert [face["twice"] for face in faces] == [twice, twice]


def test_verify_without_a_face_says_in_which_photo(client, photo_bytes):
    files = {"a": ("a.png", photo_bytes(0)), "b": ("b.png", photo_bytes())}
    assert "photo b" in problem(client.post("/v1/verify", files=files, data=THRESHOLD), 422, "no_face")


def test_enrol_identify_rename_merge_delete(client, photo_bytes):
    ada = enrol(client, "Ada", photo_bytes(0), photo_bytes(0, shift=5), photo_bytes(), groups="staff")
    assert (ada["added"], ada["person"]["samples"], ada["person"]["groups"]) == (2, 2, ["staff"])
    assert ada["rejected"] == [{"source": "2.png", "reason": "no face was found in it"}]
    bob = enrol(client, "Bob", photo_bytes(1))
    a, b = ada["person"]["id"], bob["person"]["id"]

    def who(photo: bytes, **asked) -> list:
        files = {"photo": ("x.png", photo)}
        body = client.post("/v1/identify", files=files, data={**THRESHOLD, **asked}).json()
        assert body["gallery"]["samples"] >= 1
        return sorted((face["person"], face["name"]) for face in body["faces"])

    assert who(photo_bytes(0, 1)) == [(a, "Ada"), (b, "Bob")]
    assert who(photo_bytes(1), groups="staff") == [(None, None)]
    assert who(photo_bytes(5)) == [(None, None)]
    renamed = client.patch(f"/v1/people/{b}", json={"name": "Babbage"}).json()
    assert renamed["name"] == "Babbage"
    assert who(photo_bytes(1)) == [(b, "Babbage")]
    merged = client.post(f"/v1/people/{a}/merge", json={"from": b}).json()
    assert (merged["moved"], merged["person"]["samples"]) == (1, 3)
    assert who(photo_bytes(1)) == [(a, "Ada")]
    problem(client.get(f"/v1/people/{b}"), 404, "not_found")
    assert client.delete(f"/v1/people/{a}").status_code == 204
    assert who_is_there(client) == []
    problem(client.delete(f"/v1/people/{a}"), 404, "not_found")


def who_is_there(client, **query) -> list[str]:
    return [person["name"] for person in client.get("/v1/people", params=query).json()["people"]]


def test_people_are_paged_and_searched(client, photo_bytes):
    for i, name in enumerate(["Ada", "Bob", "Cy"]):
        enrol(client, name, photo_bytes(i), **({"groups": ["x"]} if i else {}))
    assert who_is_there(client, limit=2) == ["Ada", "Bob"]
    assert who_is_there(client, offset=2) == ["Cy"]
    assert who_is_there(client, search="b") == ["Bob"]
    assert who_is_there(client, group="x") == ["Bob", "Cy"]
    assert client.get("/v1/people", params={"limit": 1, "group": "x"}).json()["total"] == 2


def test_samples_are_added_shown_and_deleted(client, photo_bytes):
    person = enrol(client, "Ada", photo_bytes(0))["person"]["id"]
    files = [("photos", ("b.png", photo_bytes(0, shift=3)))]
    assert client.post(f"/v1/people/{person}/samples", files=files).status_code == 201
    again = client.post(f"/v1/people/{person}/samples", files=files).json()
    assert (again["added"], again["duplicates"]) == (0, ["b.png"])
    samples = client.get(f"/v1/people/{person}").json()["samples"]
    assert [sample["source"] for sample in samples] == ["0.png", "b.png"]
    assert client.delete(f"/v1/people/{person}/samples/{samples[0]['id']}").status_code == 204
    problem(client.delete(f"/v1/people/{person}/samples/{samples[1]['id']}"), 422, "refused")
    problem(client.post("/v1/people/999/samples", files=files), 404, "not_found")


def test_a_sample_of_somebody_else_is_not_deleted(client, photo_bytes):
    ada, bob = (enrol(client, name, photo_bytes(i), photo_bytes(i, shift=3))["person"]["id"]
                for i, name in enumerate(["Ada", "Bob"]))  # fmt: skip
    sample = client.get(f"/v1/people/{bob}").json()["samples"][0]["id"]
    problem(client.delete(f"/v1/people/{ada}/samples/{sample}"), 404, "not_found")
    assert len(client.get(f"/v1/people/{bob}").json()["samples"]) == 2


def test_photos_are_kept_only_where_asked(make_client, photo_bytes):
    for keep, there in (("none", False), ("face", True)):
        client = make_client(keep=keep)
        person = enrol(client, "Ada", photo_bytes(0))["person"]["id"]
        sample = client.get(f"/v1/people/{person}").json()["samples"][0]
        assert sample["has_photo"] is there
        photo = client.get(f"/v1/people/{person}/samples/{sample['id']}/photo")
        if there:
            assert photo.headers["content-type"] == "image/jpeg"
            assert photo.content.startswith(b"\xff\xd8")
        else:
            problem(photo, 404, "not_found")


def test_a_taken_name_is_a_conflict(client, photo_bytes):
    enrol(client, "Ada", photo_bytes(0))
    bob = enrol(client, "Bob", photo_bytes(1))["person"]["id"]
    files = [("photos", ("c.png", photo_bytes(2)))]
    problem(client.post("/v1/people", files=files, data={"name": " Ada "}), 409, "name_taken")
    problem(client.patch(f"/v1/people/{bob}", json={"name": "Ada"}), 409, "name_taken")
    problem(client.patch(f"/v1/people/{bob}", json={}), 422, "bad_field")
    problem(client.post(f"/v1/people/{bob}/merge", json={"from": bob}), 422, "bad_field")


def test_cluster_groups_people(client, photo_bytes):
    files = [("photos", (f"{i}.png", photo)) for i, photo in enumerate(
        [photo_bytes(0, 1), photo_bytes(1, shift=4), b"no photo", photo_bytes(0, shift=5)]
    )]  # fmt: skip
    body = client.post("/v1/cluster", files=files, data=THRESHOLD).json()
    together = [sorted(face["photo"] for face in group) for group in body["groups"]]
    assert sorted(together) == [[0, 1], [0, 3]]
    assert body["photos"][2]["error"]
    problem(client.post("/v1/cluster", files=files), 422, "bad_setting")


@pytest.mark.parametrize(
    "written",
    [
        lambda data: base64.encodebytes(data).decode(),  # as MIME has it, and `base64` of Linux
        lambda data: base64.b64encode(data).decode().rstrip("="),
        lambda data: base64.urlsafe_b64encode(data).decode(),
        lambda data: base64.urlsafe_b64encode(data).decode().rstrip("=") + "\r\n",
        lambda data: " " + "\t".join(base64.b64encode(data).decode()),
    ],
    ids=["lines", "no padding", "for URLs", "for URLs without padding", "blanks"],
)
def test_base64_of_other_programs(client, photo_bytes, written):
    for shift in range(3):  # one of them has padding, one an odd letter at its end
        photo = photo_bytes(2, shift=shift)
        plain = client.post("/v1/detect", files={"photo": ("a.png", photo)}).json()["faces"]
        got = client.post("/v1/detect", json={"photo": written(photo)})
        assert got.status_code == 200
        assert got.json()["faces"] == plain


def test_a_packed_body_is_unpacked(client, photo_bytes):
    body = json.dumps({"photo": base64.b64encode(photo_bytes(2)).decode()}).encode()
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    got = client.post("/v1/detect", content=gzip.compress(body), headers=headers)
    assert len(got.json()["faces"]) == 1
    problem(
        client.post("/v1/detect", content=body, headers=headers | {"Content-Encoding": "br"}),
        415,
        "unsupported_encoding",
    )


def test_urls_are_told_what_to_send(client):
    got = client.post("/v1/detect", json={"photo": "data:image/png;base64,AAAA"})
    assert problem(got, 422, "not_a_photo").endswith("send only what follows its comma.")
    got = client.post("/v1/detect", json={"photo": "https://a.b/c.jpg"})
    assert "is a URL, which is never opened" in problem(got, 422, "not_a_photo")


@pytest.mark.parametrize("route", ["detect", "embed", "identify"])
@pytest.mark.parametrize(
    "text",
    ["/etc/passwd", "http://127.0.0.1/x.jpg", "file:///x", "data:image/png;base64,AAAA", "", "A", "QUJ=D"],
)
def test_texts_are_no_photos(client, route, text):
    problem(client.post(f"/v1/{route}", json={"photo": text}), 422, "not_a_photo")
    form = {"photo": (None, text)}
    problem(client.post(f"/v1/{route}", files=form), 422, "not_a_photo")


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        (b"{", "bad_json", 400),
        (b"[]", "bad_json", 400),
        (b'{"a": NaN}', "bad_json", 400),
        (b'{"photo": "QUJD", "photo": "QUJD"}', "bad_json", 400),
        (b"[" * 100_000, "bad_json", 400),
        (b"\xff\xfe", "bad_json", 400),
        (b'\xef\xbb\xbf{"photo": "QUJD"}', "bad_photo", 422),
        (b"{}", "bad_field", 422),
        (b'{"photo": 5}', "not_a_photo", 422),
        (b'{"photo": "QUJD"}', "bad_photo", 422),
        (b'{"photo": "QUJD", "more": 1}', "bad_field", 422),
        (b'{"photo": "QUJD", "top": "5"}', "bad_field", 422),
        (b'{"photo": "QUJD", "top": 1e400}', "bad_field", 422),
        (b'{"photo": "QUJD", "threshold": 1.5}', "bad_field", 422),
        (b'{"photo": "QUJD", "threshold": 0.5, "fmr": 0.1}', "bad_setting", 422),
    ],
)
def test_malformed_json_is_refused(client, body, code, status):
    headers = {"content-type": "application/json"}
    response = client.post("/v1/identify", content=body, headers=headers)
    if code == "bad_setting":
        assert response.json()["code"] in {"bad_setting", "bad_photo"}
        return
    problem(response, status, code)


def test_malformed_forms_are_refused(client, photo_bytes):
    photo = photo_bytes(0)
    kind = {"content-type": "multipart/form-data; boundary=b"}
    part = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n' + photo
    problem(client.post("/v1/detect", content=part, headers=kind), 400, "bad_form")
    none = {"content-type": "multipart/form-data"}
    problem(client.post("/v1/detect", content=part, headers=none), 400, "bad_form")
    problem(
        client.post("/v1/detect", content=photo, headers={"content-type": "image/png"}),
        415,
        "unsupported_type",
    )
    files = [("photo", ("a.png", photo)), ("photo", ("b.png", photo))]
    problem(client.post("/v1/detect", files=files), 422, "bad_field")
    problem(client.post("/v1/detect", files={"other": ("a.png", photo)}), 422, "bad_field")
    for value in ("nan", "inf", "1e999", "x"):
        response = client.post("/v1/identify", files={"photo": ("a", photo)}, data={"threshold": value})
        problem(response, 422, "bad_field")


def test_limits_are_kept(make_client, photo_bytes, drawn_photo):
    from facewise.serve.settings import Limits

    client = make_client(limits=Limits(max_bytes=50_000, max_pixels=100_000, max_photos=2, max_body=120_000))
    big = bytes(60_000)
    problem(client.post("/v1/detect", files={"photo": ("a", big)}), 413, "photo_too_large")
    problem(client.post("/v1/detect", files={"photo": ("a", bytes(130_000))}), 413, "too_long")
    packed = gzip.compress(np.random.default_rng(0).bytes(3000) * 45, 9)  # of what it would be unpacked
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    problem(client.post("/v1/detect", content=packed, headers=headers), 413, "too_long")
    wide = photo_bytes(0, size=(400, 600))
    if len(wide) < 50_000:
        problem(client.post("/v1/detect", files={"photo": ("a.png", wide)}), 413, "photo_too_large")
    many = [("photos", ("a.png", b"x"))] * 3
    problem(client.post("/v1/cluster", files=many, data=THRESHOLD), 413, "too_many_photos")


def test_unknown_queries_and_addresses_are_refused(client):
    problem(client.get("/v1/people?no=1"), 422, "bad_field")
    problem(client.get("/v1/people?limit=0"), 422, "bad_field")
    problem(client.get("/v1/people?limit=1&limit=2"), 422, "bad_field")
    problem(client.get("/v1/none"), 404, "not_found")
    problem(client.put("/v1/people"), 405, "wrong_method")
    for number in ("0", "-1", "x", "9" * 30, "٣"):
        problem(client.get(f"/v1/people/{number}"), 404, "not_found")


def test_a_strange_host_is_refused(client):
    for host in ("evil.example", "localhost.evil.example", "", "127.0.0.1.nip.io"):
        problem(client.get("/v1/health", headers={"host": host}), 400, "wrong_host")
    for host in ("localhost:8000", "[::1]:8000", "192.168.1.5"):
        assert client.get("/v1/health", headers={"host": host}).status_code == 200


def test_every_answer_has_its_headers(client):
    for path in ("/v1/health", "/v1/none", "/v1/people"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "set-cookie" not in headers


def test_errors_do_not_say_where_the_gallery_lies(client, tmp_path):
    for path in ("/v1/people/77",):
        assert str(tmp_path) not in client.get(path).text


def test_the_audit_log_tells_what_was_done_and_holds_no_names(client, photo_bytes):
    person = enrol(client, "Ada Lovelace", photo_bytes(0))["person"]["id"]
    client.post("/v1/identify", files={"photo": ("secret.png", photo_bytes(0))}, data=THRESHOLD)
    client.delete(f"/v1/people/{person}")
    response = client.get("/v1/audit")
    actions = [entry["action"] for entry in response.json()["entries"]]
    assert actions == ["person.delete", "identify", "person.enrol"]
    assert "Ada" not in response.text
    assert "secret" not in response.text


def test_metrics_count_requests_by_route(client, photo_bytes):
    client.post("/v1/detect", files={"photo": ("a.png", photo_bytes(0))})
    client.get("/v1/people/55")
    text = client.get("/v1/metrics").text
    assert 'facewise_requests_total{method="POST",route="/v1/detect",status="200"} 1.0' in text
    assert 'route="/v1/people/{person}",status="404"' in text
    assert "facewise_gallery_people 0.0" in text


def test_answers_are_as_openapi_declares(client, photo_bytes):
    from facewise.serve import schemas

    photo = {"photo": ("a.png", photo_bytes(0))}
    assert schemas.DetectOut.model_validate(client.post("/v1/detect", files=photo).json())
    assert schemas.EmbedOut.model_validate(client.post("/v1/embed", files=photo).json())
    assert schemas.EnrolOut.model_validate(enrol(client, "Ada", photo_bytes(0)))
    assert schemas.IdentifyOut.model_validate(client.post("/v1/identify", files=photo).json())
    files = {"a": photo["photo"], "b": photo["photo"]}
    assert schemas.VerifyOut.model_validate(client.post("/v1/verify", files=files).json())
    assert schemas.PeopleOut.model_validate(client.get("/v1/people").json())
    assert schemas.PersonDetailOut.model_validate(client.get("/v1/people/1").json())
    assert schemas.ModelsOut.model_validate(client.get("/v1/models").json())
    assert schemas.MeOut.model_validate(client.get("/v1/me").json())
    files = [("photos", photo["photo"])]
    assert schemas.ClusterOut.model_validate(client.post("/v1/cluster", files=files, data=THRESHOLD).json())


def test_openapi_has_examples_errors_and_security_for_every_route(make_client):
    document = make_client(auth=True).get("/v1/openapi.json").json()
    json.dumps(document)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], path
            open_ = path in {"/v1/health", "/v1/ready"}
            assert operation["security"] == ([] if open_ else [{"bearer": []}, {"key": []}])
            if not open_:
                assert {"401", "403", "429", "503"} <= set(operation["responses"]), (path, method)
            for content in operation.get("requestBody", {}).get("content", {}).items():
                assert content[0] == "multipart/form-data" or "example" in content[1]


def test_report_has_a_policy_of_its_own(make_client, tmp_path):
    report = tmp_path / "report.html"
    report.write_text("<p>fine</p>")
    response = make_client(report=report).get("/v1/report")
    assert response.text == "<p>fine</p>"
    assert "sandbox" in response.headers["content-security-policy"]


def test_a_gallery_that_cannot_be_written_is_searched_and_not_changed(client, photo_bytes, monkeypatch):
    from facewise.errors import ReadOnlyError
    from facewise.gallery.sqlite import SqliteStore

    enrolled = client.post("/v1/people", data={"name": "Ada"}, files={"photos": photo_bytes(1)})
    assert enrolled.status_code == 201

    def refuse(*_):
        raise ReadOnlyError("The gallery cannot be written, it is read-only here.")

    for method in ("add", "remove"):
        monkeypatch.setattr(SqliteStore, method, refuse)
    again = client.post("/v1/people", data={"name": "Bob"}, files={"photos": photo_bytes(2)})
    gone = client.delete("/v1/people/1")
    for answer in (again, gone):
        assert (answer.status_code, answer.json()["code"]) == (403, "read_only")
    assert client.get("/v1/people").json()["total"] == 1
