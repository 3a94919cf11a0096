"""Forms, JSON and photos that are mutated in any way: declared answers only, no hang, nothing kept."""

from __future__ import annotations

import base64
import json
import random
import time
import tracemalloc

import pytest

pytest.importorskip("fastapi")

from abuse_tools import mutated, unique_photo

from facewise.errors import FacewiseError
from facewise.formats.work import check_work
from facewise.image import decode
from facewise.serve.errors import ProblemError, told
from facewise.serve.settings import Limits
from facewise.serve.uploads import Sent, copies, most_bytes, parse

FIELDS = {"photos": True}
LIMITS = Limits(max_photos=4, max_bytes=20_000)
KINDS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
WORDS = [
    b"\r\n--b\r\n", b"--b--", b"--b", b"\r\n\r\n", b'filename="', b'name="', b"[", b"]", b"{", b"}", b'"',
    b",", b":", b"\\u0000", b"\\ud800", b"null", b"1e999", b"-", b"\xff", b"\0", b"=", b"data:,",
    b"\xf0\x9f\x99\x82",
]  # fmt: skip


def form(chance: random.Random) -> tuple[bytes, str]:
    parts = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="photos"; filename="%d.png"\r\n\r\n%s\r\n'
        % (i, chance.randbytes(chance.randrange(300)))
        for i in range(chance.randrange(1, 5))
    )
    text = b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nAda\r\n--b--\r\n'
    return parts + text, "multipart/form-data; boundary=b"


def json_body(chance: random.Random) -> tuple[bytes, str]:
    photos = [base64.b64encode(chance.randbytes(200)).decode() for _ in range(chance.randrange(1, 5))]
    return json.dumps({"photos": photos, "name": "Ada", "groups": ["a"]}).encode(), "application/json"


def worse(body: bytes, chance: random.Random) -> bytes:
    """Mutated, and with words that parsers look for put in, at times many of them."""
    body = mutated(body, chance)
    for _ in range(chance.randrange(4)):
        at, word = chance.randrange(len(body) + 1), chance.choice(WORDS)
        body = body[:at] + word * chance.choice((1, 1, 2, 1000, 30_000)) + body[at:]
    return body


def fuzz_bodies(number: int, seed: int) -> set[str]:
    chance, seen = random.Random(seed), set()
    for i in range(number):
        body, kind = (form if i % 2 else json_body)(chance)
        body = worse(body, chance)
        if chance.random() < 0.05:
            kind = worse(kind.encode(), chance).decode("latin-1")
        tracemalloc.clear_traces()
        tracemalloc.reset_peak()
        begun = time.thread_time()
        try:
            sent = parse(body, kind, FIELDS, LIMITS)
        except ProblemError as error:
            seen.add(error.code if error.status in {400, 413, 415, 422} else f"undeclared: {error}")
        else:
            assert isinstance(sent, Sent)
            assert 0 < len(sent.photos["photos"]) <= 4
            seen.add("ok")
        assert time.thread_time() - begun < 5
        assert tracemalloc.get_traced_memory()[1] < 2 * copies(body, kind) * len(body) + 4_000_000
    assert not any("undeclared" in one for one in seen), seen
    return seen


@pytest.fixture
def traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_some_mutated_bodies(traced):
    assert {"ok", "bad_form", "bad_json", "not_a_photo"} <= fuzz_bodies(600, 1)
    assert most_bytes(FIELDS, LIMITS) > 0


@pytest.mark.slow
def test_ten_thousand_mutated_bodies(traced):
    fuzz_bodies(10_000, 2)


def fuzz_photos(number: int, seed: int) -> set[str]:
    chance, seen = random.Random(seed), set()
    whole = {kind: unique_photo(3, kind) for kind in KINDS}
    for i in range(number):
        kind = KINDS[i % len(KINDS)]
        data = mutated(whole[kind], chance)
        if chance.random() < 0.3:  # a part of it again and again, which headers may allow
            at, length = chance.randrange(len(data) + 1), chance.randrange(1, 60)
            data = data[:at] + data[at : at + length] * chance.choice((10, 1000, 20_000)) + data[at:]
        begun = time.thread_time()
        try:
            decode(data, max_pixels=1_000_000)
            check_work(data, kind, 1_000_000)
        except FacewiseError as error:
            known = told(error)
            seen.add(known.code if known.status in {413, 422} else f"undeclared: {error}")
        else:
            seen.add("ok")
        assert time.thread_time() - begun < 5, kind
    assert not any("undeclared" in one for one in seen), seen
    return seen


def test_some_mutated_photos():
    assert {"ok", "bad_photo", "photo_too_large"} <= fuzz_photos(600, 1)


@pytest.mark.slow
def test_ten_thousand_mutated_photos():
    fuzz_photos(10_000, 2)


def test_a_service_answers_what_was_mutated_with_declared_errors(client):
    chance, statuses = random.Random(3), set()
    declared = {200, 201, 400, 409, 413, 415, 422}
    for i in range(120):
        body, kind = (form if i % 2 else json_body)(chance)
        path = chance.choice(("people", "cluster", "people/1/samples", "people/1/merge"))
        answer = client.post(f"/v1/{path}", content=worse(body, chance), headers={"Content-Type": kind})
        assert answer.status_code in declared | {404}, answer.text
        statuses.add(answer.status_code)
    assert len(statuses) >= 3
    assert client.get("/v1/health").status_code == 200
    assert client.app.state.service.buffered.held == 0
