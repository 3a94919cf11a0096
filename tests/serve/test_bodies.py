"""Bodies cost by their length: what a parser would have to do is counted before it begins."""

from __future__ import annotations

import base64
import tracemalloc

import pytest

pytest.importorskip("fastapi")

from facewise.serve.errors import ProblemError
from facewise.serve.settings import Limits
from facewise.serve.uploads import Sent, copies, most_bytes, parse

PHOTOS, NONE = {"photos": True}, dict[str, bool]()
LIMITS = Limits(max_photos=50, max_bytes=10_000)
FORM = "multipart/form-data; boundary=b"
JSON = "application/json"


def part(name: str, data: bytes, file: str | None = None, head: bytes = b"") -> bytes:
    named = b"" if file is None else f'; filename="{file}"'.encode()
    return b'--b\r\nContent-Disposition: form-data; name="%s"%s%s\r\n\r\n%s\r\n' % (
        name.encode(), named, head, data,
    )  # fmt: skip


def cost(body: bytes, content_type: str, fields: dict[str, bool]) -> tuple[str, int]:
    """The code it is refused by, and the most bytes that were held for it beside itself."""
    tracemalloc.start()
    try:
        with pytest.raises(ProblemError) as refused:
            parse(body, content_type, fields, LIMITS)
        return refused.value.code, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


MANY, QUOTED = 60_000, '","'


@pytest.mark.parametrize(
    ("body", "content_type", "fields", "code"),
    [
        (b'{"photos":[' + b'"AA==",' * MANY + b'"AA=="]}', JSON, PHOTOS, "too_many_photos"),
        (b'{"photos":[' + b'"AA==",' * 60 + b'"AA=="]}', JSON, PHOTOS, "too_many_photos"),
        (b'{"name":[' + b"[]," * MANY + b"[]]}", JSON, NONE, "bad_json"),
        (b'{"name":' + b"[" * MANY, JSON, NONE, "bad_json"),
        (b'{"name":{' + b'"":{' * MANY, JSON, NONE, "bad_json"),
        (b'{"name":' + b"[" * 20_000 + b"]" * 20_000 + b"}", JSON, NONE, "bad_json"),
        (b'{"name":[' + b"1," * MANY + b"1]}", JSON, NONE, "too_long"),
        (b'{"name":' + b"1" * 10 * MANY + b"}", JSON, NONE, "bad_json"),
        (part("photos", b"x", "a") * MANY + b"--b--", FORM, PHOTOS, "too_many_photos"),
        (part("photos", b"x", "a") * 60 + b"--b--", FORM, PHOTOS, "too_many_photos"),
        (part("name", b"x") * MANY + b"--b--", FORM, NONE, "too_long"),
        (part("name", b"x", head=b"; a=b" * MANY) + b"--b--", FORM, NONE, "bad_form"),
        (part("name", b"x", head=b"\r\nX: y" * MANY) + b"--b--", FORM, NONE, "bad_form"),
        (b"", FORM + ";a=b" * MANY, NONE, "unsupported_type"),
    ],
    ids=[
        "photos of a byte", "photos over the limit", "lists", "open lists", "open objects", "nested lists",
        "numbers", "a long number", "parts with a file", "files over the limit", "parts with a text",
        "parameters of a header", "headers", "parameters of the type",
    ],
)  # fmt: skip
def test_what_is_too_much_is_refused_before_it_is_made(body, content_type, fields, code):
    told, held = cost(body, content_type, fields)
    assert told == code
    # The text of a JSON is allowed for; a small object for each of so many values is not.
    assert held < 2 * len(body) + 300_000


def test_base64_is_counted_before_it_is_decoded():
    body = b'{"photos":["%s"]}' % base64.b64encode(bytes(100_000))
    told, held = cost(body, JSON, PHOTOS)
    assert told == "photo_too_large"
    assert held < 2.5 * len(body) + 50_000  # the body's text and the value's


def test_the_longest_that_may_come_is_taken():
    photos = [base64.b64encode(bytes([i]) * 10_000).decode() for i in range(50)]
    lines = ["\\r\\n".join(photo[i : i + 76] for i in range(0, len(photo), 76)) for photo in photos]
    groups = ",".join(['"' + "\\u00fc" * 200 + '"'] * 100)
    body = f'{{"photos":["{QUOTED.join(lines)}"],"groups":[{groups}]}}'.encode()
    assert len(body) <= most_bytes(PHOTOS, LIMITS)
    sent = parse(body, JSON, PHOTOS, LIMITS)
    assert [len(photo) for photo in sent.photos["photos"]] == [10_000] * 50
    form = b"".join(part("photos", bytes(10_000), f"{i}.jpg") for i in range(50))
    form += b"".join(part("groups", b"g") for _ in range(200)) + b"--b--"
    sent = parse(form, FORM, PHOTOS, LIMITS)
    assert (len(sent.photos["photos"]), len(sent.fields["groups"])) == (50, 200)


def test_a_request_without_photos_may_not_be_as_long_as_one_with(client):
    text = b'{"name":"' + b"a" * 600_000 + b'"}'
    answer = client.patch("/v1/people/1", content=text, headers={"Content-Type": JSON})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_long")
    assert most_bytes({"photo": False}, Limits()) < most_bytes(PHOTOS, Limits()) == Limits().max_body


@pytest.mark.parametrize("letter", ["a", "é", "€", "🙂"])
def test_what_a_json_takes_while_it_is_read_is_allowed_for(letter):
    photos = [base64.b64encode(bytes(9_000)).decode() for _ in range(40)]
    body = f'{{"name":"{letter}","photos":["{QUOTED.join(photos)}"]}}'.encode()
    tracemalloc.start()
    try:
        sent: Sent = parse(body, JSON, PHOTOS, LIMITS)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(sent.photos["photos"]) == 40
    assert held <= copies(body, JSON) * len(body) + 50_000


def test_memory_held_for_bodies_is_given_back(client, photo_bytes):
    service = client.app.state.service
    body = b'{"photo":"%s"}' % base64.b64encode(photo_bytes(0) + bytes(500_000))
    assert len(body) > 600_000
    for content in (body, body[:-2], b'{"photo":"' + b"?" * 600_000 + b'"}'):
        client.post("/v1/detect", content=content, headers={"Content-Type": JSON})
        assert service.buffered.held == 0
