"""A server of canned answers that remembers what it was asked."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Stub:
    """Answers in turn, the last one again and again."""

    url: str = ""
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def answer(self, status: int, body: Any = None, **headers: str) -> Stub:
        """Adds an answer; `body` is JSON unless it is bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append((status, {name.replace("_", "-"): text for name, text in headers.items()}, data))
        return self

    def problem(self, status: int, detail: str = "No.", code: str = "no", **headers: str) -> Stub:
        """Adds an error as the service tells it."""
        return self.answer(status, {"status": status, "detail": detail, "code": code}, **headers)


@contextmanager
def running_stub(certificate: tuple[Path, Path] | None = None) -> Iterator[Stub]:
    """A stub on a free port of this machine, encrypted where it gets a certificate and its key."""
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            stub.asked.append((self.command, self.path, dict(self.headers.items()), body))
            status, headers, data = stub.answers.pop(0) if len(stub.answers) > 1 else stub.answers[0]
            self.send_response(status)
            for name, text in ({"Content-Type": "application/json"} | headers).items():
                self.send_header(name, text)
            self.send_header("Content-Length", "0" if status == 204 else str(len(data)))
            self.end_headers()
            if status != 204:
                self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815  the names of http.server

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  a client that hangs up is a test
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    stub.url = f"{'http' if certificate is None else 'https'}://127.0.0.1:{server.server_address[1]}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
