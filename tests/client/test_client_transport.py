"""How the client asks: the key, when it asks again, and every failure as one sentence of one kind."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from stub_service import Stub, running_stub

from facewise.client import (
    AccessError,
    AnswerError,
    BusyError,
    Client,
    ConflictError,
    FullError,
    MissingError,
    RequestError,
    ServiceError,
    UnreachableError,
)
from facewise.client.transport import Transport
from facewise.errors import FacewiseError, NameTakenError, SettingError, StorageFullError, UnknownPersonError
from own_certificate import own_certificate

KEY = "fw_" + "a" * 49
ME = {"name": "front", "scopes": ["identify"], "expires": None}
PERSON = {"id": 1, "name": "Ada", "samples": 1, "created": "2030-01-01T00:00:00Z", "groups": []}
ENROLMENT = {"person": PERSON, "added": 1, "duplicates": [], "rejected": [], "warnings": []}
NO_FACES = {"width": 4, "height": 4, "faces": []}


@pytest.fixture
def stub() -> Iterator[Stub]:
    with running_stub() as stub:
        yield stub


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the client waits, without waiting."""
    waited: list[float] = []
    monkeypatch.setitem(Transport.__init__.__kwdefaults__, "sleep", waited.append)
    return waited


@pytest.fixture(autouse=True)
def no_key_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEWISE_API_KEY", raising=False)


def test_the_key_goes_along_as_a_bearer(stub: Stub) -> None:
    stub.answer(200, ME)
    with Client(stub.url, KEY) as client:
        assert client.me().name == "front"
    assert stub.asked[0][2]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(client)


def test_the_key_is_taken_from_the_environment(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    stub.answer(200, ME)
    monkeypatch.setenv("FACEWISE_API_KEY", KEY)
    Client(stub.url).me()
    Client(stub.url, "fw_other").me()
    monkeypatch.setenv("FACEWISE_API_KEY", "")
    Client(stub.url).me()
    assert [asked[2].get("Authorization") for asked in stub.asked] == [
        f"Bearer {KEY}",
        "Bearer fw_other",
        None,
    ]


@pytest.mark.parametrize("key", ["fw_é", "a\nb", "a\r\nX-Evil: 1", "\x00"])
def test_a_key_that_is_none_is_told_before_it_is_sent(key: str) -> None:
    with pytest.raises(SettingError, match="copy it again") as error:
        Client("http://127.0.0.1:1", key)
    assert key not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8000",
        "localhost",
        "ftp://host",
        "file:///etc/passwd",
        "http://",
        "http://h:99999",
        "http://h?a",
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(SettingError, match="no address of a service"):
        Client(url)


def test_no_password_in_an_address() -> None:
    with pytest.raises(SettingError, match="user name or password") as error:
        Client("http://me:secret@localhost")
    assert "secret" not in str(error.value)


def test_a_key_does_not_go_over_a_network_unencrypted() -> None:
    for host in ("192.0.2.1", "faces.example", "0.0.0.0", "127.0.0.1.example", "[2001:db8::1]"):
        with pytest.raises(SettingError, match="unencrypted"):
            Client(f"http://{host}:8000", KEY)
        Client(f"http://{host}:8000", KEY, insecure=True).close()
        Client(f"http://{host}:8000").close()  # there is nothing to lose
        Client(f"https://{host}:8000", KEY).close()
    for host in ("localhost", "127.0.0.1", "127.8.8.8", "[::1]"):
        Client(f"http://{host}:8000", KEY).close()


def test_the_key_goes_to_no_proxy_and_no_other_host(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_stub() as elsewhere:
        elsewhere.answer(200, ME)
        stub.answer(307, b"", Location=f"{elsewhere.url}/v1/me")
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, elsewhere.url)
        with pytest.raises(AnswerError, match="sends requests elsewhere"):
            Client(stub.url, KEY).me()
        assert elsewhere.asked == []


def test_a_path_of_a_proxy_is_kept(stub: Stub) -> None:
    stub.answer(200, ME)
    Client(f"{stub.url}/faces/", KEY).me()
    assert stub.asked[0][1] == "/faces/v1/me"


CALLS: dict[str, Callable[[Client], object]] = {
    "detect": lambda client: client.detect(b"x"),
    "people": lambda client: client.people(),
    "remove": lambda client: client.remove(1),
    "change": lambda client: client.change(1, name="Ada"),
    "enrol": lambda client: client.enrol("Ada", [b"x"]),
    "add_samples": lambda client: client.add_samples(1, [b"x"]),
    "merge": lambda client: client.merge(1, 2),
}
ANSWERS: dict[str, tuple[int, object]] = {
    "detect": (200, NO_FACES),
    "people": (200, {"people": [PERSON], "total": 1}),
    "remove": (204, None),
    "change": (200, PERSON | {"samples": []}),
    "enrol": (201, ENROLMENT),
    "add_samples": (200, ENROLMENT),
    "merge": (200, {"person": PERSON, "moved": 1}),
}


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("call", ["detect", "people", "remove", "change"])
def test_what_may_be_asked_twice_is_asked_again_when_told(
    stub: Stub, waits: list[float], call: str, status: int
) -> None:
    stub.problem(status, Retry_After="3").problem(status, Retry_After="1").answer(*ANSWERS[call])
    CALLS[call](Client(stub.url, KEY))
    assert waits == [3.0, 1.0]
    assert len({(method, path) for method, path, _, _ in stub.asked}) == 1
    assert len(stub.asked) == 3


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("call", ["enrol", "add_samples", "merge"])
def test_what_does_more_when_asked_twice_is_never_asked_again(
    stub: Stub, waits: list[float], call: str, status: int
) -> None:
    stub.problem(status, Retry_After="3").answer(*ANSWERS[call])
    with pytest.raises(BusyError) as error:
        CALLS[call](Client(stub.url, KEY))
    assert (error.value.retry_after, error.value.status, waits, len(stub.asked)) == (3.0, status, [], 1)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 422, 500, 502, 504, 507])
def test_no_other_error_is_asked_again(stub: Stub, waits: list[float], status: int) -> None:
    stub.problem(status, Retry_After="1")
    with pytest.raises(ServiceError):
        Client(stub.url, KEY).detect(b"x")
    assert (waits, len(stub.asked)) == ([], 1)


def test_patience_is_bounded(stub: Stub, waits: list[float]) -> None:
    stub.problem(503, "Starting.", "starting", Retry_After="8")
    with pytest.raises(BusyError, match=r"Starting\."):
        Client(stub.url, KEY, patience=30).me()
    assert waits == [8, 8, 8]
    waits.clear()
    with pytest.raises(BusyError):
        Client(stub.url, KEY, patience=0).me()
    assert waits == []
    stub.answers.clear()
    stub.problem(429, Retry_After="3600")
    with pytest.raises(BusyError) as error:
        Client(stub.url, KEY).me()
    assert (waits, error.value.retry_after) == ([], 3600.0)


def test_at_once_again_and_again_has_an_end_too(stub: Stub, waits: list[float]) -> None:
    stub.problem(429, Retry_After="0")
    with pytest.raises(BusyError):
        Client(stub.url, KEY, patience=3).me()
    assert waits == [0.5] * 6


def test_without_being_told_when_it_waits_longer_each_time(stub: Stub, waits: list[float]) -> None:
    stub.problem(503)
    with pytest.raises(BusyError):
        Client(stub.url, KEY, patience=10).me()
    assert waits == [0.5, 1, 2, 4]


def test_a_date_to_try_again(stub: Stub, waits: list[float]) -> None:
    stub.problem(503, Retry_After=format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True))
    stub.problem(503, Retry_After="soon").answer(200, ME)
    Client(stub.url, KEY).me()
    assert waits[0] == pytest.approx(20, abs=2)
    assert waits[1] == 1.0  # nonsense is as if nothing was told: the second wait of its own


@pytest.mark.parametrize(
    ("status", "kind", "also"),
    [
        (400, RequestError, FacewiseError),
        (401, AccessError, FacewiseError),
        (403, AccessError, FacewiseError),
        (404, MissingError, UnknownPersonError),
        (409, ConflictError, NameTakenError),
        (413, RequestError, FacewiseError),
        (415, RequestError, FacewiseError),
        (422, RequestError, FacewiseError),
        (429, BusyError, FacewiseError),
        (503, BusyError, FacewiseError),
        (504, BusyError, FacewiseError),
        (507, FullError, StorageFullError),
        (500, ServiceError, FacewiseError),
    ],
)
def test_errors_say_what_the_service_says(
    stub: Stub, waits: list[float], status: int, kind: type[Exception], also: type[Exception]
) -> None:
    stub.problem(status, "One plain sentence.", "some_code")
    with pytest.raises(kind) as error:
        Client(stub.url, KEY).me()
    assert type(error.value) is kind
    assert isinstance(error.value, also)
    assert str(error.value) == "One plain sentence."
    assert isinstance(error.value, ServiceError)
    assert (error.value.status, error.value.code) == (status, "some_code")


@pytest.mark.parametrize(
    "body", [b"<html>Bad gateway</html>", b"", b"[]", b'{"detail": 5}', b"\xff\xfe", b"null"]
)
def test_a_proxys_own_error_page(stub: Stub, body: bytes) -> None:
    stub.answer(502, body)
    with pytest.raises(ServiceError, match="HTTP status 502"):
        Client(stub.url, KEY).me()


@pytest.mark.parametrize(
    "body", [b"<html>Welcome</html>", b"", b"\xff\xfe", b"{", b"[]", b"{}", b"null", b'{"name": 1}']
)
def test_something_that_is_no_facewise_service(stub: Stub, body: bytes) -> None:
    stub.answer(200, body)
    with pytest.raises(AnswerError):
        Client(stub.url, KEY).me()


def test_nobody_there_and_nobody_who_answers() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UnreachableError, match="is it running there"):
            Client(url, KEY).me()
        taken.listen(1)
        with pytest.raises(UnreachableError, match="did not answer in time"):
            Client(url, KEY, timeout=0.2).me()


def test_a_connection_that_breaks_off(stub: Stub) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        import threading

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.recv(100)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(UnreachableError, match="broke off"):
            Client(f"http://127.0.0.1:{server.getsockname()[1]}", KEY).me()
        thread.join()


def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be read"):
        Client("https://127.0.0.1:1", KEY, ca=tmp_path / "missing.pem")
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(SettingError, match="cannot be read"):
        Client("https://127.0.0.1:1", KEY, ca=tmp_path / "bad.pem")


def test_an_encrypted_service_must_show_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    certificate, key = own_certificate(tmp_path)
    with running_stub((certificate, key)) as stub:
        stub.answer(200, ME)
        with pytest.raises(UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
            Client(stub.url, KEY).me()
        assert stub.asked == []
        assert Client(stub.url, KEY, ca=certificate).me().name == "front"


def test_everybody_is_fetched_page_by_page(stub: Stub) -> None:
    for first, count in ((0, 1000), (1000, 1000), (2000, 7), (0, 0)):
        people = [PERSON | {"id": first + i + 1, "name": f"p{first + i}"} for i in range(count)]
        stub.answer(200, {"people": people, "total": 2007})
    names = [person.name for person in Client(stub.url, KEY).everybody(group="staff")]
    assert names == [f"p{i}" for i in range(2007)]
    asked = [asked[1].partition("?")[2] for asked in stub.asked]
    assert asked == [f"offset={at}&limit=1000&group=staff" for at in (0, 1000, 2000, 2007)]


def test_httpx_missing_is_told_in_one_sentence_and_the_rest_loads() -> None:
    code = (
        "import sys; sys.modules['httpx'] = None\n"
        "from facewise.client import Client\n"
        "from facewise.errors import SettingError\n"
        "try: Client('http://127.0.0.1:1')\n"
        "except SettingError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "Talking to a service needs httpx: `pip install facewise[client]`.\n"


def test_the_client_needs_nothing_of_the_service() -> None:
    code = (
        "import sys\n"
        "for name in ('fastapi', 'starlette', 'uvicorn', 'cryptography', 'faiss', 'torch'):\n"
        "    sys.modules[name] = None\n"
        "from facewise.client import Client\n"
        "Client('http://127.0.0.1:1').close()\n"
        "print('onnxruntime' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
