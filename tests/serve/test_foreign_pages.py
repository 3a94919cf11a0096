"""Chromium on another site's page, with a key and without: it can neither read nor change anything.

The pages are on another port of the same machine, on another name of it, in a frame without an origin, and
on a name that was made to point at the service (DNS rebinding).
"""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from abuse_tools import unique_photo
from page_fixtures import launched

ATTACK = """async ({service, key, photo}) => {
  const told = {};
  const bytes = Uint8Array.from(atob(photo), c => c.charCodeAt(0));
  const form = () => {
    const made = new FormData();
    made.append('name', 'Mallory');
    made.append('quality', 'off');
    made.append('photos', new Blob([bytes], {type: 'image/png'}), 'a.png');
    return made;
  };
  const merge = JSON.stringify({from: 2});
  const tried = async (name, asked, options) => {
    try {
      const answer = await fetch(asked, {cache: 'no-store', ...options});
      told[name] = answer.type === 'opaque' ? 'opaque' : answer.status + ' ' + await answer.text();
    } catch (error) { told[name] = 'failed'; }
  };
  const headers = key ? {'X-API-Key': key} : {};
  const bearer = key ? {'Authorization': 'Bearer ' + key} : {};
  for (const mode of ['cors', 'no-cors']) {
    for (const credentials of ['omit', 'include']) {
      const how = {mode, credentials};
      await tried(mode + ' list ' + credentials, service + '/v1/people', how);
      await tried(mode + ' enrol ' + credentials, service + '/v1/people', {...how, method: 'POST', body:
      form()}); await tried(mode + ' merge ' + credentials, service + '/v1/people/1/merge',
        {...how, method: 'POST', body: new Blob([merge], {type: 'text/plain'})});
    }
    await tried(mode + ' key', service + '/v1/people', {mode, headers});
    await tried(mode + ' bearer', service + '/v1/people', {mode, headers: bearer, method: 'POST', body:
    form()}); await tried(mode + ' redirected', '/to?' + service + '/v1/people', {mode, method: 'POST',
    body: form()}); await tried(mode + ' page', service + '/', {mode});
    await tried(mode + ' description', service + '/v1/openapi.json', {mode});
  }
  for (const method of ['DELETE', 'PATCH', 'PUT', 'HEAD']) {
    await tried(method, service + '/v1/people/1', {method, headers});
  }
  navigator.sendBeacon(service + '/v1/people', form());
  navigator.sendBeacon(service + '/v1/people/1/merge', new Blob([merge], {type: 'text/plain'}));

  const placed = (tag, attributes) => new Promise(done => {
    const made = document.createElement(tag);
    made.onload = () => done('loaded');
    made.onerror = () => done('failed');
    Object.assign(made, attributes);
    document.body.append(made);
    setTimeout(() => done('nothing'), 700);
  });
  told.script = await placed('script', {src: service + '/v1/people'});
  told.image = await placed('img', {src: service + '/v1/people/1/samples/1/photo'});
  await placed('iframe', {src: service + '/v1/people', name: 'inside'});
  try { told.frame = frames['inside'].document.body.innerText; } catch (error) { told.frame = 'failed'; }

  const submitted = async (enctype, fields, action) => {
    const made = document.createElement('form');
    Object.assign(made, {method: 'POST', enctype, action: service + action, target: 'inside'});
    for (const [name, value] of Object.entries(fields)) {
      const input = document.createElement('input');
      Object.assign(input, {name, value});
      if (value === null) {
        const files = new DataTransfer();
        files.items.add(new File([bytes], 'a.png', {type: 'image/png'}));
        input.type = 'file';
        input.files = files.files;
      }
      made.append(input);
    }
    document.body.append(made);
    made.submit();
    await new Promise(done => setTimeout(done, 200));
  };
  await submitted('multipart/form-data', {name: 'Mallory', quality: 'off', photos: null}, '/v1/people');
  await submitted('application/x-www-form-urlencoded', {from: '2'}, '/v1/people/1/merge');
  await submitted('text/plain', {'{"from": 2, "x": "': '"}'}, '/v1/people/1/merge');
  try {
    const line = new WebSocket(service.replace('http', 'ws') + '/v1/people');
    told.socket = await new Promise(done => { line.onopen = () => done('open'); line.onerror = () =>
    done('failed'); });
  } catch (error) { told.socket = 'failed'; }
  return told;
}"""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """Another site: a page, and a redirection that keeps method and body."""

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title><body>")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(307)
            self.send_header("Location", self.path.partition("?")[2])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    # What newer browsers do by themselves for services on this machine is not what is tried here.
    own = "LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests,PrivateNetworkAccessSendPreflights"
    arguments = [
        "--host-resolver-rules=MAP rebound.example 127.0.0.1",
        f"--disable-features={own}",
    ]  # fmt: skip
    with launched(*arguments) as opened:
        yield opened


class Attacked:
    """A service with Ada and Grace in it, and what it was asked since."""

    def __init__(self, url: str, log: Path, key: str | None) -> None:
        self.url, self.log, self.key = url, log, key
        self._headers = {"X-API-Key": key} if key else {}
        self.wait()
        for number, name in enumerate(("Ada", "Grace")):
            files = {"photos": ("a.png", unique_photo(10 * number), "image/png")}
            data = {"name": name, "quality": "off"}
            made = httpx.post(f"{url}/v1/people", data=data, files=files, headers=self._headers, timeout=60)
            made.raise_for_status()
        self.before = self.state()
        self._read = 0

    def wait(self) -> None:
        end = time.monotonic() + 120
        while httpx.get(f"{self.url}/v1/ready").status_code != 200:
            assert time.monotonic() < end
            time.sleep(0.05)

    def state(self) -> object:
        ids = [1, 2]
        return [
            httpx.get(f"{self.url}/v1/people{path}", headers=self._headers, timeout=60).json()
            for path in ("", *(f"/{number}" for number in ids))
        ]

    def mark(self) -> None:
        """What it is asked from now on counts."""
        time.sleep(0.3)  # a line is written after its answer
        self._read = len(self.log.read_text())

    def asked(self) -> list[dict[str, object]]:
        """The lines of its log since the mark."""
        text = self.log.read_text()[self._read :]
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module", params=["without keys", "with keys"])
def attacked(request, tmp_path_factory, tiny_detector_file, tiny_embedder_file) -> Iterator[Attacked]:
    from test_wire import started

    folder = tmp_path_factory.mktemp("attacked")
    options = ["--no-auth"] if request.param == "without keys" else []
    with started(folder, [tiny_detector_file, tiny_embedder_file], *options) as server:
        key = None if options else (folder / "key").read_text()
        yield Attacked(f"http://127.0.0.1:{server.port}", server.log, key)


@pytest.mark.parametrize("place", ["another port", "another name", "no origin", "rebound"])
def test_a_page_of_another_site_reads_and_changes_nothing(browser, attacked, elsewhere, place):
    import base64

    attacked.mark()
    page = browser.new_page()
    port = attacked.url.rpartition(":")[2]
    service = attacked.url
    if place == "rebound":  # loaded when the name pointed elsewhere
        service = f"http://rebound.example:{port}"
        page.route(
            f"{service}/", lambda route: route.fulfill(content_type="text/html", body="<!doctype html><body>")
        )
        page.goto(f"{service}/")
    else:
        page.goto(f"http://{'other.localhost' if place == 'another name' else '127.0.0.1'}:{elsewhere}/")
    where = page
    if place == "no origin":
        page.set_content('<iframe sandbox="allow-scripts allow-forms" srcdoc="<body>"></iframe>')
        where = page.frames[1]
    given = {"service": service, "key": attacked.key, "photo": base64.b64encode(unique_photo(77)).decode()}
    told = where.evaluate(ATTACK, given)
    page.close()
    for what, answer in told.items():
        assert "Ada" not in answer, (what, answer)
        assert not answer.startswith("2") or "page" in what, (what, answer)
    assert (told["socket"], told["frame"] if place != "rebound" else "failed") == ("failed", "failed")
    time.sleep(0.3)
    asked = attacked.asked()
    assert sum(line["status"] in {400, 403} for line in asked) > 15, "hardly anything came"
    for line in asked:
        assert line["status"] >= 400 or line["route"] == "/", line
    attacked.wait()
    assert attacked.state() == attacked.before
