"""Downloads against a local server that misbehaves in every way a real one does."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib import request

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.errors import FacewiseError, ModelError
from facewise.models import transfer, transport
from facewise.models.download import download, fetch
from facewise.models.zoo import ZooEntry, ZooMember

BODY = random.Random(7).randbytes(300_000)
Action = Callable[["Handler"], None]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `body` with ranges and an ETag; `plan` holds what to do instead for the next requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.etag: str | None = '"one"'
        self.plan: list[Action] = []
        self.seen: list[dict[str, str]] = []
        self.sent = 0
        self.release = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/model.onnx"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is part of the tests: nothing to print."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        with self.server.lock:
            self.server.seen.append(dict(self.headers))
            action = self.server.plan.pop(0) if self.server.plan else serve
        action(self)

    def log_message(self, *args: object) -> None: ...

    def head(self, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()
        with self.server.lock:
            self.server.sent += len(data)

    def begin(self, *, ranges: bool = True) -> bytes:
        """Headers of a good answer; the bytes that should follow."""
        body = self.server.body
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (None, self.server.etag)
        if asked is None or not ranges or not same:
            self.head(200, {"Content-Length": str(len(body))})
            return body
        start = int(asked[1])
        if start >= len(body):
            self.head(416, {"Content-Range": f"bytes */{len(body)}", "Content-Length": "0"})
            return b""
        told = f"bytes {start}-{len(body) - 1}/{len(body)}"
        self.head(206, {"Content-Range": told, "Content-Length": str(len(body) - start)})
        return body[start:]


def serve(handler: Handler) -> None:
    handler.send(handler.begin())


def no_ranges(handler: Handler) -> None:
    handler.send(handler.begin(ranges=False))


def cut(count: int, *, ranges: bool = True) -> Action:
    """The connection breaks after `count` bytes."""
    return lambda handler: handler.send(handler.begin(ranges=ranges)[:count])


def answer(code: int, **headers: str) -> Action:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.head(code, {"Content-Length": "0", **fields})


def hang(handler: Handler) -> None:
    handler.server.release.wait(120)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield running
    running.release.set()
    running.shutdown()
    running.server_close()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(transfer.time, "sleep", pauses.append)
    return pauses


def get(server: Server, folder: Path, body: bytes = BODY, **options: object) -> Path:
    quick = {"backoff": 0.001, "timeout": 5.0, **options}
    return fetch([server.url], sha(body), folder / "model.onnx", **quick)  # type: ignore[arg-type]


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"model.onnx.lock"}


def test_a_good_server_is_asked_once_and_then_never_again(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    path = get(server, tmp_path / "new", progress=lambda done, total: told.append((done, total)))
    assert path.read_bytes() == BODY
    assert left(path.parent) == {"model.onnx"}
    assert told[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    get(server, tmp_path / "new")
    assert len(server.seen) == 1


def test_a_damaged_file_is_downloaded_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"damaged")
    assert get(server, tmp_path).read_bytes() == BODY


def test_a_broken_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.plan = [cut(1000), cut(70_000), cut(1)]
    assert get(server, tmp_path).read_bytes() == BODY
    wait_for(lambda: server.sent == len(BODY))
    assert [headers.get("Range") for headers in server.seen] == [
        None,
        "bytes=1000-",
        "bytes=71000-",
        "bytes=71001-",
    ]
    assert {headers["If-Range"] for headers in server.seen[1:]} == {'"one"'}


@settings(max_examples=25)
@given(breaks=st.lists(st.tuples(st.integers(0, 40_000), st.booleans()), max_size=8))
def test_whatever_breaks_the_bytes_are_the_same(breaks: list[tuple[int, bool]]) -> None:
    running = Server()
    running.body = BODY[:50_000]
    running.plan = [cut(count, ranges=ranges) for count, ranges in breaks]
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = get(running, Path(folder), running.body, retries=9, backoff=0.0)
            assert path.read_bytes() == running.body
            assert left(Path(folder)) == {"model.onnx"}
    finally:
        running.shutdown()
        running.server_close()


def test_a_server_that_ignores_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.plan = [cut(100_000), no_ranges]
    assert get(server, tmp_path).read_bytes() == BODY
    wait_for(lambda: server.sent == 100_000 + len(BODY))


def test_breaking_at_the_same_place_again_and_again_ends(server: Server, tmp_path: Path) -> None:
    server.plan = [cut(5000, ranges=False)] * 20
    with pytest.raises(ModelError, match="failed again and again"):
        get(server, tmp_path, retries=3)
    assert len(server.seen) == 4
    assert (tmp_path / "model.onnx.part").stat().st_size == 5000


def test_a_file_that_changes_between_attempts_is_not_glued(server: Server, tmp_path: Path) -> None:
    new = BODY[::-1]

    def then_change(handler: Handler) -> None:
        cut(100_000)(handler)
        server.body, server.etag = new, '"two"'

    server.plan = [then_change]
    assert get(server, tmp_path, new).read_bytes() == new
    wait_for(lambda: server.sent == 100_000 + len(new))


def test_a_change_is_seen_even_if_the_server_ignores_if_range(server: Server, tmp_path: Path) -> None:
    new = BODY[::-1]

    def then_change(handler: Handler) -> None:
        cut(100_000)(handler)
        server.body, server.etag = new, '"two"'

    def rude(handler: Handler) -> None:
        del handler.headers["If-Range"]
        serve(handler)

    server.plan = [then_change, rude]
    told: list[int] = []
    path = get(server, tmp_path, new, progress=lambda done, _: told.append(done))
    assert path.read_bytes() == new
    stopped = told.index(100_000)
    assert told[stopped + 1] < 100_000  # not one byte of the other file was appended


def test_without_an_etag_the_sha256_finds_the_glue(server: Server, tmp_path: Path) -> None:
    new = BODY[::-1]
    server.etag = None

    def then_change(handler: Handler) -> None:
        cut(100_000)(handler)
        server.body = new

    server.plan = [then_change]
    assert get(server, tmp_path, new).read_bytes() == new
    assert server.seen[2].get("Range") is None


def test_wrong_bytes_of_a_range_are_refused(server: Server, tmp_path: Path) -> None:
    def elsewhere(handler: Handler) -> None:
        size = len(BODY)
        handler.head(206, {"Content-Range": f"bytes 5-{size - 1}/{size}", "Content-Length": str(size - 5)})
        handler.send(BODY[5:])

    server.plan = [cut(1000), elsewhere]
    assert get(server, tmp_path).read_bytes() == BODY


def test_a_part_that_was_whole_already_is_only_checked(server: Server, tmp_path: Path) -> None:
    server.plan = [cut(1000)]
    with pytest.raises(ModelError):
        get(server, tmp_path, retries=0)
    (tmp_path / "model.onnx.part").write_bytes(BODY)
    assert get(server, tmp_path).read_bytes() == BODY  # size unknown: the server says 416 with the size
    wait_for(lambda: server.sent == 1000)
    assert server.seen[1]["Range"] == f"bytes={len(BODY)}-"


def test_a_part_longer_than_the_file_starts_over(server: Server, tmp_path: Path) -> None:
    server.plan = [cut(1000)]
    with pytest.raises(ModelError):
        get(server, tmp_path, retries=0)
    (tmp_path / "model.onnx.part").write_bytes(BODY + b"more")
    assert get(server, tmp_path).read_bytes() == BODY


def test_a_short_answer_is_tried_again(server: Server, tmp_path: Path) -> None:
    def no_length(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.send(BODY[:1234])

    server.plan = [no_length]
    assert get(server, tmp_path, size=len(BODY)).read_bytes() == BODY


@pytest.mark.parametrize("code", [500, 502, 503, 408])
def test_passing_refusals_are_tried_again(
    server: Server, tmp_path: Path, slept: list[float], code: int
) -> None:
    server.plan = [answer(code), answer(code)]
    assert get(server, tmp_path, backoff=1.0).read_bytes() == BODY
    assert 0.5 <= slept[0] <= 1.5
    assert 1.0 <= slept[1] <= 3.0


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [("7", 7.0, 7.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0, 0.01), ("soon", 0.0, 0.01)],
)
def test_retry_after_is_honoured(
    server: Server, tmp_path: Path, slept: list[float], text: str, least: float, most: float
) -> None:
    server.plan = [answer(429, Retry_After=text)]
    assert get(server, tmp_path).read_bytes() == BODY
    assert least <= slept[0] <= most


def test_a_server_that_asks_for_too_long_a_wait_is_left(server: Server, tmp_path: Path) -> None:
    server.plan = [answer(429, Retry_After="3600")]
    with pytest.raises(ModelError, match="asks to wait 3600 seconds"):
        get(server, tmp_path)


@pytest.mark.parametrize(("code", "words"), [(404, "There is no file"), (403, "refuses"), (401, "refuses")])
def test_final_refusals_are_not_tried_again(server: Server, tmp_path: Path, code: int, words: str) -> None:
    server.plan = [answer(code)]
    with pytest.raises(ModelError, match=words):
        get(server, tmp_path)
    assert len(server.seen) == 1


def test_a_second_address_helps(server: Server, tmp_path: Path) -> None:
    server.plan = [answer(404)]
    path = fetch([server.url, server.url + "2"], sha(BODY), tmp_path / "model.onnx")
    assert path.read_bytes() == BODY


def test_bytes_of_one_address_are_not_continued_from_another(server: Server, tmp_path: Path) -> None:
    server.plan = [cut(1000), answer(404)]
    path = fetch([server.url, server.url + "2"], sha(BODY), tmp_path / "model.onnx", backoff=0.001)
    assert path.read_bytes() == BODY
    assert server.seen[2].get("Range") is None


@pytest.mark.parametrize("told", [True, False])
def test_more_bytes_than_promised_are_not_taken(server: Server, tmp_path: Path, told: bool) -> None:
    def flood(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(2000):
            handler.send(BODY)

    server.plan = [] if told else [flood]
    with pytest.raises(ModelError, match="more than the 1000 bytes"):
        get(server, tmp_path, size=1000)
    assert left(tmp_path) == set()


def test_a_wrong_file_is_deleted_and_both_hashes_told(server: Server, tmp_path: Path) -> None:
    server.body = b"evil"
    with pytest.raises(ModelError) as caught:
        get(server, tmp_path)
    assert sha(b"evil") in str(caught.value)
    assert sha(BODY) in str(caught.value)
    assert left(tmp_path) == set()
    assert len(server.seen) == 1


def test_a_silent_server_is_given_up_and_tried_again(server: Server, tmp_path: Path) -> None:
    silent = []  # until the file is here: only giving up leads on

    def wait(handler: Handler) -> None:
        silent.append(handler.server.release.wait(120))

    def stall(handler: Handler) -> None:
        handler.send(handler.begin()[:2000])
        wait(handler)

    server.plan = [wait, stall]
    assert get(server, tmp_path, timeout=0.3).read_bytes() == BODY
    assert silent == []
    assert server.seen[2]["Range"] == "bytes=2000-"


@pytest.mark.parametrize("there", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "http://[bad/x"])
def test_redirects_and_addresses_of_other_kinds_are_refused(
    server: Server, tmp_path: Path, there: str
) -> None:
    server.plan = [answer(302, Location=there)]
    with pytest.raises(ModelError, match=r"follow|not an address|not an http"):
        get(server, tmp_path)
    with pytest.raises(ModelError):
        fetch([there], sha(BODY), tmp_path / "model.onnx")
    assert left(tmp_path) == set()


def test_a_redirect_keeps_the_range(server: Server, tmp_path: Path) -> None:
    server.plan = [cut(1000), answer(302, Location=server.url)]
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.seen[2]["Range"] == "bytes=1000-"


def test_https_is_never_left_for_http() -> None:
    # A TLS server would need a certificate the machine trusts: the rule is asked directly.
    rule = transport._Redirects()
    asked = request.Request("https://models.example/a")
    with pytest.raises(ModelError, match="without encryption"):
        rule.redirect_request(asked, io.BytesIO(), 302, "", {}, "http://models.example/a")
    assert rule.redirect_request(asked, io.BytesIO(), 302, "", {}, "https://other.example/a")
    assert rule.redirect_request(asked, io.BytesIO(), 302, "", {}, "http://127.0.0.1/a")


def test_offline_says_what_to_do(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.url
    server.shutdown()
    server.server_close()
    pauses: list[float] = []
    monkeypatch.setattr("facewise.models.transfer.time.sleep", pauses.append)
    with pytest.raises(ModelError, match=r"Cannot reach 127\.0\.0\.1 .*offline") as caught:
        fetch([url], sha(BODY), tmp_path / "model.onnx", backoff=0.01)
    assert len(pauses) == 2
    assert sum(pauses) < 0.05
    assert sha(BODY) in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_told_and_what_came_is_kept(server: Server, tmp_path: Path, monkeypatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ModelError, match=r"disk of .* is full"):
            get(server, tmp_path)
    assert (tmp_path / "model.onnx.part").read_bytes() == BODY
    assert get(server, tmp_path).read_bytes() == BODY


@pytest.mark.parametrize("name", ["model.onnx.part", "model.onnx.part.json", "model.onnx.lock"])
@pytest.mark.parametrize("link", [True, False], ids=["link", "file"])
def test_what_is_not_ours_is_not_written_to(server: Server, tmp_path: Path, name: str, link: bool) -> None:
    folder, theirs = tmp_path / "models", tmp_path / "theirs"
    folder.mkdir()
    if not link:
        theirs = folder / name
    theirs.write_bytes(b"not to be lost")
    if link:
        (folder / name).symlink_to(theirs)
    if link or not name.endswith(".json"):  # a note that says nothing is written anew
        with pytest.raises(FacewiseError, match=r"move it|Cannot write"):
            get(server, folder)
        assert theirs.read_bytes() == b"not to be lost"
        assert not (folder / "model.onnx").exists()


def test_a_folder_that_cannot_be_made_is_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelError, match="Cannot write in"):
        get(server, tmp_path / "file" / "sub")


CHILD = """
import sys
from pathlib import Path
from facewise.models.download import fetch
fetch([sys.argv[1]], sys.argv[2], Path(sys.argv[3]), backoff=0.01)
"""


def child(server: Server, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CHILD, server.url, sha(BODY), str(folder / "model.onnx")]
    source = str(Path(transfer.__file__).parents[2])
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": source})


def slowly(handler: Handler) -> None:
    data = handler.begin()
    handler.send(data[:200_000])
    handler.server.release.wait(120)
    handler.send(data[200_000:])


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_two_processes_at_once_download_once(server: Server, tmp_path: Path) -> None:
    server.plan = [slowly, slowly]
    both = [child(server, tmp_path), child(server, tmp_path)]
    wait_for(lambda: server.sent >= 200_000)
    time.sleep(0.3)  # time for the second process to come and wait
    server.release.set()
    assert [process.wait(120) for process in both] == [0, 0]
    assert len(server.seen) == 1
    wait_for(lambda: server.sent == len(BODY))
    assert (tmp_path / "model.onnx").read_bytes() == BODY


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_after_kill_9_only_the_rest_is_transferred(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "model.onnx.part"
    server.plan = [slowly]
    process = child(server, tmp_path)
    wait_for(lambda: part.exists() and part.stat().st_size > 100_000)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(120)
    here = part.stat().st_size
    server.sent = 0  # the first answer waits to the end of the test, and sends nothing more
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.seen[1]["Range"] == f"bytes={here}-"
    wait_for(lambda: server.sent == len(BODY) - here)  # counted just after it is sent


def zipped(members: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return memory.getvalue()


def pack(server: Server, *members: ZooMember) -> ZooEntry:
    return ZooEntry(
        name="pack",
        kind="pack",
        description="",
        urls=(server.url,),
        sha256=sha(server.body),
        hash_source="",
        size=len(server.body),
        size_source=None,
        members=members,
        licence="",
        commercial=False,
        licence_note="",
        source="",
        accuracy=(),
        usable=True,
        reason=None,
        facewise=None,
    )


def member(path: str, data: bytes | None, size: int | None = None) -> ZooMember:
    digest = None if data is None else sha(data)
    return ZooMember(path, Path(path).name, "embedder", digest, size, True, None, None)


def test_of_a_pack_only_the_named_members_are_kept(server: Server, tmp_path: Path) -> None:
    server.body = zipped({"p/a.onnx": b"A" * 5000, "b.onnx": b"B", "c.onnx": b"C"})
    entry = pack(server, member("p/a.onnx", b"A" * 5000, 5000), member("q/b.onnx", b"B"))
    folder = download(entry, tmp_path)
    assert folder == tmp_path / "pack"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "a.onnx": b"A" * 5000,
        "b.onnx": b"B",
    }
    assert not (tmp_path / "pack.zip").exists()
    download(entry, tmp_path)
    assert len(server.seen) == 1
    (folder / "a.onnx").write_bytes(b"damaged")
    download(entry, tmp_path)
    assert (folder / "a.onnx").read_bytes() == b"A" * 5000


@pytest.mark.parametrize(
    ("content", "wanted", "words"),
    [
        ({"../a.onnx": b"A"}, member("a.onnx", b"A"), "holds 0"),
        ({"/a.onnx": b"A"}, member("a.onnx", b"A"), "holds 0"),
        ({"x\\..\\..\\a.onnx": b"A"}, member("a.onnx", b"A"), "holds 0"),
        ({"x/a.onnx": b"A", "y/a.onnx": b"A"}, member("a.onnx", b"A"), "holds 2"),
        ({"a.onnx": b"A"}, member("a.onnx", b"B"), "expected"),
        ({"a.onnx": b"\0" * 5_000_000}, member("a.onnx", None, 1000), "at most 1000"),
    ],
)
def test_a_bad_zip_leaves_nothing(
    server: Server, tmp_path: Path, content: dict[str, bytes], wanted: ZooMember, words: str
) -> None:
    server.body = zipped(content)
    folder = tmp_path / "deep" / "models"
    with pytest.raises(ModelError, match=words):
        download(pack(server, wanted), folder)
    assert list(tmp_path.rglob("*.onnx")) == []


def test_a_zip_that_lies_about_a_size_is_caught(server: Server, tmp_path: Path) -> None:
    data = b"\0" * 100_000
    server.body = zipped({"a.onnx": data}).replace(len(data).to_bytes(4, "little"), (9).to_bytes(4, "little"))
    with pytest.raises(ModelError):
        download(pack(server, member("a.onnx", data, 9)), tmp_path)
    assert list(tmp_path.rglob("*.onnx")) == []


def test_what_is_no_zip_is_told(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a sound zip"):
        download(pack(server, member("a.onnx", b"A")), tmp_path)
