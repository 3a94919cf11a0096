"""Work under load: batches, full queues, timeouts, slow bodies, and a stop that finishes what it accepted."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import threading
import time

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner


class SlowPipeline:
    """A pipeline whose detection waits for `go`."""

    def __init__(self, pipeline) -> None:
        self._pipeline, self.go, self.looked = pipeline, threading.Event(), 0

    def __getattr__(self, name: str):
        return getattr(self._pipeline, name)

    def read_bytes(self, *args, **options):
        self.looked += 1
        self.go.wait(120)
        return self._pipeline.read_bytes(*args, **options)


def upload(data: bytes, name: str = "a.png"):
    from facewise.serve.uploads import Upload

    made = Upload(data)
    made.name = name
    return made


def engine_of(pipeline, search=None, workers: int = 1, batch: int = 4, observe=None):
    from facewise.serve.batching import ThreadEngine
    from facewise.serve.settings import Limits

    return ThreadEngine(
        pipeline, search or (lambda rows, asked, _: (asked, list(range(len(rows))))), Limits(),
        workers=workers, batch=batch, observe=observe,
    )  # fmt: skip


def ticket(seconds: float = 20.0):
    from facewise.serve.admission import Ticket

    return Ticket(seconds)


def test_crops_and_probes_of_several_photos_share_a_batch(tiny_pipeline, photo_bytes):
    slow, sizes = SlowPipeline(tiny_pipeline), []
    engine = engine_of(slow, observe=lambda kind, size: sizes.append((kind, size)))
    photos = [photo_bytes(i) for i in range(4)]

    async def ask():
        jobs = [asyncio.ensure_future(engine.search(upload(p), "x", ticket())) for p in photos]
        await asyncio.sleep(0.05)
        slow.go.set()
        return await asyncio.gather(*jobs)

    found = asyncio.run(ask())
    engine.close()
    assert max(size for kind, size in sizes if kind == "embed") > 1
    assert sum(size for kind, size in sizes if kind == "search") == 4
    for photo, (faces, shared, answers) in zip(photos, found, strict=True):
        own = tiny_pipeline.read(photo).faces[0]
        assert shared == "x"
        assert len(answers) == 1
        assert np.allclose(faces.faces[0].embedding, own.embedding, atol=1e-5)


def test_one_broken_batch_does_not_hurt_its_neighbours(tiny_pipeline, photo_bytes):
    from facewise.errors import ModelError

    class Picky:
        def __init__(self, embedder) -> None:
            self._embedder = embedder
            self.embedding_size = embedder.embedding_size

        def embed(self, crops, threads=None):
            if len(crops) != 1 or crops.mean() == bad:
                raise ModelError("no direction")
            return self._embedder.embed(crops, threads=threads)

    from facewise.pipeline import Steps

    photos = [photo_bytes(0), photo_bytes(1)]
    bad = tiny_pipeline.read_bytes(photos[0], Steps(embed=False, keep_crops=True)).crops.mean()
    slow = SlowPipeline(tiny_pipeline)
    slow.embedder = Picky(tiny_pipeline.embedder)
    engine = engine_of(slow)

    async def ask():
        jobs = [asyncio.ensure_future(engine.faces(upload(p), ticket())) for p in photos]
        await asyncio.sleep(0.05)
        slow.go.set()
        return await asyncio.gather(*jobs, return_exceptions=True)

    broken, good = asyncio.run(ask())
    engine.close()
    assert isinstance(broken, ModelError)
    assert good.faces[0].embedding is not None


def test_what_nobody_waits_for_is_not_done(tiny_pipeline, photo_bytes):
    slow = SlowPipeline(tiny_pipeline)
    engine = engine_of(slow)

    async def ask():
        first = asyncio.ensure_future(engine.faces(upload(photo_bytes(0)), ticket()))
        gone = ticket()
        second = asyncio.ensure_future(engine.faces(upload(photo_bytes(1)), gone))
        await asyncio.sleep(0.05)
        gone.gone = True
        slow.go.set()
        return await asyncio.gather(first, second, return_exceptions=True)

    first, second = asyncio.run(ask())
    engine.close()
    assert len(first.faces) == 1
    assert isinstance(second, TimeoutError)
    assert slow.looked == 1


def test_closing_finishes_what_was_put_in(tiny_pipeline, photo_bytes):
    slow = SlowPipeline(tiny_pipeline)
    engine = engine_of(slow, workers=2)

    async def ask():
        jobs = [
            asyncio.ensure_future(engine.search(upload(photo_bytes(i)), i % 2, ticket())) for i in range(6)
        ]
        await asyncio.sleep(0.05)
        closing = asyncio.ensure_future(asyncio.to_thread(engine.close))
        slow.go.set()
        found = await asyncio.gather(*jobs)
        await closing
        return found

    assert [len(answers) for _, _, answers in asyncio.run(ask())] == [1] * 6


@pytest.fixture
def slow_app(make_app, tiny_pipeline):
    """An application whose workers wait, and the pipeline to let them go."""

    def make(**given):
        app = make_app(**given)
        slow = SlowPipeline(tiny_pipeline)
        app.state.service.loaded.engine.pipeline = slow
        return app, slow

    return make


async def _ask(app, count: int, photo: bytes, meanwhile=None):
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        jobs = [
            asyncio.ensure_future(client.post("/v1/detect", files={"photo": ("a.png", photo)}))
            for _ in range(count)
        ]
        if meanwhile is not None:
            await asyncio.sleep(0.3)
            meanwhile()
        return await asyncio.gather(*jobs)


def test_a_full_queue_says_when_to_come_again(slow_app, photo_bytes):
    from facewise.serve.settings import Limits

    app, slow = slow_app(limits=Limits(queue=2), workers=2)
    answers = asyncio.run(_ask(app, 7, photo_bytes(0), slow.go.set))
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [429] * 3
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["code"] == "busy"


def test_a_request_that_takes_too_long_is_given_up(slow_app, photo_bytes):
    from facewise.serve.settings import Limits

    app, slow = slow_app(limits=Limits(request_seconds=0.3), workers=1)
    answers = asyncio.run(_ask(app, 3, photo_bytes(0)))  # while the worker waits: it is let go afterwards
    assert [answer.status_code for answer in answers] == [504] * 3
    slow.go.set()
    time.sleep(0.2)
    assert slow.looked == 1
    assert app.state.service.admission.inside == 0


def test_uploads_of_all_requests_together_are_bounded(slow_app, photo_bytes):
    from facewise.serve.settings import Limits

    app, slow = slow_app(limits=Limits(max_buffered=len(photo_bytes(0)) * 2 + 2000))
    answers = asyncio.run(_ask(app, 4, photo_bytes(0), slow.go.set))
    assert {answer.status_code for answer in answers} == {200, 429}
    assert app.state.service.buffered.held == 0


# A real server


def raw(port: int, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=120)
    connection.sendall(data)
    return connection


def answer(connection: socket.socket) -> bytes:
    got = b""
    with connection:
        while chunk := connection.recv(65536):
            got += chunk
    return got


def test_a_server_stops_when_what_it_accepted_is_done(server, photo_bytes):
    photo = photo_bytes(0)
    body = (
        b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
        + photo
        + b"\r\n--b--\r\n"
    )
    head = (
        f"POST /v1/detect HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    connection = raw(server.port, head + body[:100])
    time.sleep(0.3)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.4)
    connection.sendall(body[100:])
    got = answer(connection)
    assert got.startswith(b"HTTP/1.1 200")
    assert server.process.wait(120) == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), timeout=2)
    assert "Traceback" not in server.log.read_text()


def test_what_is_not_http_is_told_so(server):
    got = answer(raw(server.port, b"\x16\x03\x01 hello\r\n\r\n"))
    assert got.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in got
    long_head = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 100_000
    assert answer(raw(server.port, long_head)).startswith(b"HTTP/1.1 4")


def test_a_server_says_where_it_is_and_at_which_rate(server):
    def said(words: str) -> str:
        """What it has said when it has said this, which may be a moment after it answers."""
        end = time.monotonic() + 120
        while words not in (text := server.log.read_text()):
            assert time.monotonic() < end, text
            time.sleep(0.02)
        return text

    assert f"http://127.0.0.1:{server.port}" in said("Ready: ")
    httpx.get(f"{server.url}/v1/people", timeout=120, params={"search": "Ada"})
    assert "Ada" not in said('"route": "/v1/people"')


def test_a_server_prints_its_first_key_once(start_server, tmp_path):
    server = start_server(auth=True)
    key = next(word for word in server.log.read_text().split() if word.startswith("fw_"))
    assert httpx.get(f"{server.url}/v1/people", timeout=120).status_code == 401
    good = httpx.get(f"{server.url}/v1/people", timeout=120, headers={"authorization": f"Bearer {key}"})
    assert good.status_code == 200
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(120)
    again = start_server(auth=True)
    assert "fw_" not in again.log.read_text()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--host", "0.0.0.0", "--no-auth"], "on this machine only"),
        (["--report", "/nowhere/report.html"], "There is no report"),
        (["--keep", "all"], "one keeps none, face or photo"),
        (["--tls-key", "x.pem"], "needs its certificate"),
        (["--tls-cert", "/nowhere/x.pem"], "cannot be read: No such file"),
        (["--tls-cert", __file__], "its own private key, in PEM"),
        (["--rate", "fast"], "is not a rate"),
        (["--proxy", "my proxy"], "A proxy is given by its address or network"),
    ],
)
def test_wrong_settings_end_in_one_sentence(tmp_path, monkeypatch, options, told):
    """Before anything is served, so that no process of its own is needed."""
    from facewise.cli.app import app

    def serves(*_: object, **__: object) -> None:
        raise AssertionError("it serves")

    monkeypatch.setattr("uvicorn.Server.run", serves)
    monkeypatch.setattr("facewise.serve.run._log_to_stderr", lambda: None)
    words = ["serve", "--gallery", str(tmp_path / "people.db"), "--port", "0", "--no-auth", *options]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 3, done.output
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2  # before it, how open a service without keys is


def test_a_model_that_cannot_be_loaded_ends_it_in_one_sentence(start_server):
    server = start_server("--model", "/nowhere/model.onnx", wait=False)
    assert server.process.wait(120) == 3
    text = server.log.read_text()
    assert "model.onnx" in text
    assert "Traceback" not in text


def test_what_is_no_gallery_is_told_before_anything_is_made_beside_it(start_server, tmp_path):
    (tmp_path / "photo.jpg").write_text("no gallery\n" * 100)
    server = start_server(gallery=tmp_path / "photo.jpg", auth=True, wait=False)
    assert server.process.wait(120) == 3
    assert "is not a Facewise gallery" in server.log.read_text()
    assert not list(tmp_path.glob("photo.jpg.*"))


def test_a_first_key_is_not_spent_on_a_service_that_cannot_start(start_server, tmp_path):
    (tmp_path / "bad.pem").write_text("no certificate")
    server = start_server("--tls-cert", str(tmp_path / "bad.pem"), auth=True, wait=False)
    assert server.process.wait(120) == 3
    assert "fw_" not in server.log.read_text()
    assert "fw_" in start_server(auth=True).log.read_text()


def test_it_can_be_connected_to_from_the_moment_it_says_so(tmp_path):
    from facewise.serve.run import serve
    from facewise.serve.settings import ServiceSettings

    class ConnectedError(Exception):
        pass

    def tell(sentence: str) -> None:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", sentence):
            socket.create_connection(("127.0.0.1", int(found[1])), timeout=5).close()
            raise ConnectedError

    with pytest.raises(ConnectedError):
        serve(ServiceSettings(gallery=str(tmp_path / "people.db"), port=0), tell)
