"""From the zoo's address to a detector that finds faces: over HTTP, from a server on this machine."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from facewise.detection import DetectorSettings, load_detector
from facewise.errors import ModelError
from facewise.models import find_model, read_model, zoo
from facewise.models.install import install
from facewise.models.zoo import ZooEntry
from planted_detectors import same, scrfd, scrfd_faces, yunet, yunet_faces

ALL = DetectorSettings(nms_threshold=1.0, max_faces=100_000)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """What is put into it is served under its name; `""` is the address."""
    files: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = files[self.path.removeprefix("/")]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    files[""] = f"http://127.0.0.1:{running.server_port}/".encode()
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield files
    running.shutdown()
    running.server_close()


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models"


def offered(server: dict[str, bytes], name: str, body: bytes) -> ZooEntry:
    """The zoo's entry as it is, but for bytes of ours at an address of ours."""
    server[name] = body
    return replace(
        zoo.find(name),
        urls=(server[""].decode() + name,),
        sha256=hashlib.sha256(body).hexdigest(),
        size=len(body),
    )


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (75, 100, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "network", "faces"),
    [("scrfd_10g", scrfd(), scrfd_faces), ("yunet_2023mar", yunet(), yunet_faces)],
    ids=["scrfd", "yunet"],
)
def test_a_detector_of_the_zoo(server: dict[str, bytes], name: str, network: bytes, faces: object) -> None:
    (model,), left = install(offered(server, name, network))
    assert left == []
    assert (model.card.name, model.card.licence) == (name, zoo.find(name).licence)
    detector = load_detector(find_model(name, kind="detector"), settings=ALL)
    same(detector.detect(noise(1)), faces(noise(1)))  # type: ignore[operator]


@pytest.mark.parametrize("name", ["buffalo_l", "buffalo_m", "buffalo_sc", "antelopev2"])
def test_all_of_a_pack_is_installed(
    server: dict[str, bytes], tiny_embedder_file: Path, store: Path, name: str
) -> None:
    """Detector and embedder both: nothing of InsightFace's packs is left behind any more."""
    archive, entry = io.BytesIO(), zoo.find(name)
    bodies = {"detector": scrfd(), "embedder": tiny_embedder_file.read_bytes()}
    with zipfile.ZipFile(archive, "w") as zipped:
        for member in entry.members:
            zipped.writestr(member.path, bodies[member.kind])
    members = tuple(
        replace(member, sha256=hashlib.sha256(bodies[member.kind]).hexdigest(), size=len(bodies[member.kind]))
        for member in entry.members
    )
    models, left = install(replace(offered(server, name, archive.getvalue()), members=members))
    assert left == []
    assert {model.card.kind for model in models} == {"detector", "embedder"}
    assert {path.stem for path in store.iterdir()} == {f"{name}-{Path(m.file).stem}" for m in members}
    detector = next(model for model in models if model.card.kind == "detector")
    same(load_detector(detector, settings=ALL).detect(noise(2)), scrfd_faces(noise(2)))


def test_what_is_not_usable_is_not_downloaded(server: dict[str, bytes]) -> None:
    entry = replace(offered(server, "scrfd_10g", b"never asked for"), usable=False, reason="it is too new.")
    with pytest.raises(ModelError, match=r"not downloaded: it is too new\."):
        install(entry)


@pytest.mark.parametrize(
    ("name", "network", "faces"),
    [("scrfd_500m", scrfd(), scrfd_faces), ("yunet_2023mar", yunet(), yunet_faces)],
    ids=["scrfd", "yunet"],
)
def test_on_the_command_line(
    server: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    name: str, network: bytes, faces: object,
) -> None:  # fmt: skip
    """`models download`, `models verify`, `detect --detector NAME` and `--detector FILE`."""
    import PIL.Image

    from facewise.cli.app import app

    monkeypatch.chdir(tmp_path)
    entry = offered(server, name, network)
    monkeypatch.setattr(zoo, "find", lambda _: entry)

    def facewise(*words: str, code: int = 0) -> dict[str, object]:
        done = CliRunner().invoke(app, [*words, "--json"])
        assert done.exit_code == code, (done.stdout, done.stderr)
        told: dict[str, object] = json.loads(done.stdout)
        return told

    (installed,) = facewise("models", "download", name)["installed"]  # type: ignore[misc]
    assert installed["name"] == name
    assert len(facewise("models", "verify", name)["good"]) == 1  # type: ignore[arg-type]
    image = np.zeros((90, 130, 3), np.uint8)
    image[..., 1] = 40  # no face to either
    image[24, 40] = (255, 0, 0)
    image[80, 104] = (255, 0, 120)
    PIL.Image.fromarray(image).save("photo.png")
    expected = faces(image)  # type: ignore[operator]
    assert len(expected) == 2
    path = str(read_model(installed["path"]).path)
    for detector in (name, path):
        (found,) = facewise("detect", "photo.png", "--detector", detector)["photos"]  # type: ignore[misc]
        boxes = sorted(face["box"] for face in found["faces"])
        np.testing.assert_allclose(boxes, sorted(box for box, _, _ in expected), atol=0.01)
    (found,) = facewise("detect", "photo.png", "--detector", path, "--min-face", "500")["photos"]  # type: ignore[misc]
    assert found["faces"] == []
