"""The client against a service in a process of its own, through every route."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("fastapi")

from facewise.client import (
    AccessError,
    BusyError,
    Client,
    ConflictError,
    MissingError,
    RequestError,
    UnreachableError,
)
from facewise.errors import SettingError, UnknownPersonError
from facewise.models import Calibration, read_model, write_model
from facewise.models.calibration import Threshold
from facewise.pipeline import Pipeline
from facewise.serve.keys import KeyStore
from own_certificate import own_certificate
from plain_attributes import age, race, somebody


class Running:
    """`facewise serve` in a process, and where it listens."""

    def __init__(self, folder: Path, detector: Path, embedder: Path, *options: str) -> None:
        self.folder = folder
        self.keys = KeyStore(folder / "people.db.keys")
        self.admin, _ = self.keys.create("admin", ["admin"])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "facewise", "serve", "--port", "0", "--gallery", "people.db",
             "--threads", "1", "--timeout", "600", "--detector", str(detector), "--model", str(embedder),
             *options],
            cwd=folder, stderr=subprocess.PIPE, text=True, env=os.environ | {"FACEWISE_HOME": str(folder)},
        )  # fmt: skip
        self.said: list[str] = []
        self._known = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._known.wait(60), "".join(self.said)
        found = re.search(r"https?://[\d.]+:\d+", "".join(self.said))
        assert found, "".join(self.said)
        self.url = found[0]

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.said.append(line)
            if re.search(r"https?://[\d.]+:\d+", line):
                self._known.set()
        self._known.set()

    def client(self, *scopes: str, patience: float = 30.0) -> Client:
        """A client with a key of these scopes."""
        return Client(self.url, self.keys.create("test", scopes)[0], patience=patience)

    def stop(self) -> int:
        """Ends it as a service manager does, and says how it ended."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(120)
        self._reader.join(5)
        return code


@pytest.fixture(scope="module")
def calibrated(
    tmp_path_factory: pytest.TempPathFactory, tiny_detector_file: Path, tiny_embedder_file: Path
) -> Path:
    """The tiny embedder with a calibration, made up, so that it decides."""
    detector, embedder = read_model(tiny_detector_file), read_model(tiny_embedder_file)
    points = tuple(
        Threshold(fmr, at, fmr, 0.0, (0.0, 0.1)) for fmr, at in ((0.1, 0.6), (0.01, 0.7), (0.001, 0.8))
    )
    calibration = Calibration(
        "drawings", "by hand", "0" * 64, 100, 1000, False, detector.card.name, detector.fingerprint, points
    )
    path = tmp_path_factory.mktemp("calibrated") / "calibrated.onnx"
    write_model(path, embedder.network, replace(embedder.card, name="calibrated", calibration=calibration))
    return path


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, tiny_detector_file: Path, calibrated: Path,
    plain_attributes_file: Path,
) -> Iterator[Running]:  # fmt: skip
    looks = ("--allow-attributes", "--attributes-model", str(plain_attributes_file))
    folder = tmp_path_factory.mktemp("service")
    running = Running(folder, tiny_detector_file, calibrated, "--keep", "face", *looks)
    yield running
    assert running.stop() == 0, "".join(running.said)


@pytest.fixture(scope="module")
def admin(service: Running) -> Iterator[Client]:
    with Client(service.url, service.admin) as client:
        client.models()  # waits until it is ready, as it is told to
        yield client


@pytest.fixture(scope="module")
def pipeline(tiny_detector_file: Path, calibrated: Path) -> Pipeline:
    """The same models here: what the service should say."""
    return Pipeline.load(tiny_detector_file, calibrated, threads=1)


@pytest.fixture
def two(drawn_photo: Callable[..., np.ndarray]) -> np.ndarray:
    """A photo of persons 0 and 1."""
    return drawn_photo([(80, 90, 70, 0), (220, 120, 64, 1)])


def png(image: np.ndarray) -> bytes:
    out = BytesIO()
    PIL.Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def test_a_service_that_starts_is_waited_for_or_told(
    tmp_path: Path, tiny_detector_file: Path, tiny_embedder_file: Path, two: np.ndarray
) -> None:
    running = Running(tmp_path, tiny_detector_file, tiny_embedder_file)
    with Client(running.url, running.admin) as client:
        assert len(client.detect(two).faces) == 2
        assert client.is_ready()
    assert running.stop() == 0
    with Client(running.url, running.admin) as client, pytest.raises(UnreachableError, match="is it running"):
        client.is_ready()


def test_a_service_with_a_certificate(
    tmp_path: Path, tiny_detector_file: Path, tiny_embedder_file: Path, two: np.ndarray
) -> None:
    certificate, key = own_certificate(tmp_path)
    running = Running(
        tmp_path,
        tiny_detector_file,
        tiny_embedder_file,
        "--tls-cert",
        str(certificate),
        "--tls-key",
        str(key),
    )
    assert running.url.startswith("https://")
    with Client(running.url, running.admin, ca=certificate) as client:
        assert len(client.detect(two).faces) == 2
        client.enrol("ada", [png(two)])
        with pytest.raises(RequestError):
            client.detect(b"no photo" * 200_000)  # longer than one record, and than a socket's buffer
    with Client(running.url, running.admin) as client, pytest.raises(UnreachableError, match="CERTIFICATE"):
        client.is_ready()
    plain = running.url.replace("https", "http")
    with Client(plain, running.admin) as client, pytest.raises(UnreachableError):
        client.is_ready()
    assert running.stop() == 0


def test_faces_are_those_of_the_library(
    admin: Client, pipeline: Pipeline, two: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "two.png"
    path.write_bytes(png(two))
    expected = pipeline.read(two).faces
    for photo in (two, path, str(path), path.read_bytes()):
        found = admin.embed(photo)
        assert (found.model, len(found.faces)) == ("calibrated", 2)
        assert found.fingerprint == pipeline.embedder.fingerprint
        for ours, theirs in zip(found.faces, expected, strict=True):
            np.testing.assert_allclose(ours.box, theirs.box, atol=0.01)
            np.testing.assert_allclose(ours.landmarks, theirs.landmarks, atol=0.01)
            assert ours.embedding is not None
            assert theirs.embedding is not None
            np.testing.assert_allclose(ours.embedding, theirs.embedding, atol=1e-5)
            assert ours.quality is not None
            assert theirs.quality is not None
            assert ours.quality.size == pytest.approx(theirs.quality.size, abs=1e-3)
    assert len(admin.embed(two, main_only=True).faces) == 1
    detected = admin.detect(two)
    assert (detected.width, detected.height) == (two.shape[1], two.shape[0])
    assert all(face.embedding is None for face in detected.faces)


def test_verify(admin: Client, drawn_photo: Callable[..., np.ndarray]) -> None:
    one, again, other = (
        drawn_photo([(150, 120, 64, 0)]), drawn_photo([(140, 110, 80, 0)]), drawn_photo([(150, 120, 64, 1)]),
    )  # fmt: skip
    same = admin.verify(one, again, fmr=0.01)
    assert (same.same, same.fmr, same.threshold) == (True, 0.01, 0.7)
    assert same.similarity > 0.9
    assert len(same.faces) == 2
    assert admin.verify(one, other).same is False
    assert admin.verify(one, other, threshold=-1).same is True
    with pytest.raises(RequestError) as error:
        admin.verify(one, other, fmr=1e-9)
    assert error.value.status == 422
    with pytest.raises(RequestError, match="No face"):
        admin.verify(one, drawn_photo())
    several = drawn_photo([(150, 120, 64, 1), (40, 40, 40, 0)])
    assert (admin.verify(several, one).found, admin.verify(several, one).same) == ((2, 1), False)
    best = admin.verify(several, one, face="best", threshold=0.7)
    assert (best.same, best.found, best.comparisons) == (True, (2, 1), 2)


def test_a_persons_life(
    admin: Client, service: Running, drawn_photo: Callable[..., np.ndarray], two: np.ndarray
) -> None:
    ada = [drawn_photo([(120 + shift, 100, 64, 0)]) for shift in (0, 7)]
    done = admin.enrol("Ada", [*ada, ada[0]], groups=["staff", "first"])
    assert (done.person.name, done.added, len(done.duplicates), done.rejected) == ("Ada", 2, 1, ())
    assert set(done.person.groups) == {"staff", "first"}
    grace = admin.enrol("Grace", [drawn_photo([(120, 100, 64, 1)])]).person
    with pytest.raises(ConflictError) as conflict:
        admin.enrol("Ada", [drawn_photo([(100, 100, 64, 2)])])
    assert conflict.value.status == 409

    found = admin.identify(two, fmr=0.01)
    assert {face.name for face in found.faces} == {"Ada", "Grace"}
    assert {face.person for face in found.faces} == {done.person.id, grace.id}
    assert found.decision is not None
    assert (found.decision.fmr, found.gallery.people, found.gallery.samples) == (0.01, 2, 3)
    assert all(len(face.candidates) == 1 for face in admin.identify(two, top=1).faces)
    only_staff = admin.identify(two, groups=["staff"])
    assert {face.name for face in only_staff.faces} == {"Ada", None}
    with pytest.raises(SettingError, match="at least one group"):
        admin.identify(two, groups=[])

    assert [person.name for person in admin.people().people] == ["Ada", "Grace"]
    assert admin.people(search="gra").total == 1
    assert admin.people(group="staff").people[0].name == "Ada"
    assert [person.name for person in admin.everybody()] == ["Ada", "Grace"]
    page = admin.people(offset=1, limit=1)
    assert ([person.name for person in page.people], page.total) == (["Grace"], 2)

    more = admin.add_samples(grace.id, [drawn_photo([(90, 100, 64, 1)]), b"no image"])
    assert (more.added, len(more.rejected)) == (1, 1)
    detail = admin.person(grace.id)
    assert len(detail.samples) == 2
    kept = admin.photo(grace.id, detail.samples[0].id)
    assert PIL.Image.open(BytesIO(kept)).format == "JPEG"
    admin.remove_sample(grace.id, detail.samples[0].id)
    assert len(admin.person(grace.id).samples) == 1

    renamed = admin.change(grace.id, name="Grace Hopper", groups=["navy"])
    assert (renamed.name, renamed.groups) == ("Grace Hopper", ("navy",))
    merged = admin.merge(done.person.id, grace.id)
    assert (merged.person.id, merged.moved) == (done.person.id, 1)
    with pytest.raises(UnknownPersonError):
        admin.person(grace.id)
    admin.remove(done.person.id)
    with pytest.raises(MissingError) as missing:
        admin.remove(done.person.id)
    assert missing.value.status == 404
    assert admin.people().total == 0

    actions = [entry.action for entry in admin.audit(50) if entry.outcome == "ok"]
    assert {"identify", "person.enrol", "person.delete", "person.merge"} <= set(actions)
    deleted = next(
        entry for entry in admin.audit(50) if entry.action == "person.delete" and entry.outcome == "ok"
    )
    assert deleted.people == (done.person.id,)
    assert deleted.key == 1
    assert "Ada" not in (service.folder / "people.db.audit").read_text()


def test_cluster(admin: Client, drawn_photo: Callable[..., np.ndarray], two: np.ndarray) -> None:
    photos = [two, drawn_photo([(100, 100, 64, 0)]), b"no image", drawn_photo([(100, 100, 60, 1)])]
    found = admin.cluster(photos, fmr=0.01)
    assert found.fmr == 0.01
    assert [len(photo.faces) for photo in found.photos] == [2, 1, 0, 1]
    assert found.photos[2].error is not None
    assert sorted(len(group) for group in found.groups) == [2, 2]
    together = {frozenset(ref.photo for ref in group) for group in found.groups}
    assert together == {frozenset({0, 1}), frozenset({0, 3})}


def test_what_faces_look_like(
    admin: Client, service: Running, drawn_photo: Callable[..., np.ndarray], plain_attributes_file: Path
) -> None:
    who = somebody(emotion="happy", gender="female")
    photo = drawn_photo([(160, 120, 90, who)])
    found = admin.analyze(photo)
    (face,) = found.faces
    assert face.attributes is not None
    assert face.attributes.emotion is not None
    assert face.attributes.age is not None
    assert (face.attributes.emotion.answer, face.attributes.race) == ("happy", None)
    assert face.attributes.age.mean == pytest.approx(age(who), abs=0.6)
    assert (found.width, found.model, found.attributes) == (
        320,
        "plain-attributes",
        ("age", "gender", "emotion"),
    )
    assert found.fingerprint == read_model(plain_attributes_file).fingerprint
    (face,) = admin.analyze(photo, attributes=["race"]).faces
    assert face.attributes is not None
    assert face.attributes.race is not None
    assert face.attributes.race.answer == race(who)
    with service.client("identify") as other, pytest.raises(AccessError, match="scope analyze"):
        other.analyze(photo)
    with service.client("analyze") as analyst:
        assert len(analyst.analyze(photo).faces) == 1
        with pytest.raises(AccessError, match="scope identify"):
            analyst.detect(photo)
    with pytest.raises(SettingError, match="at least one attribute"):
        admin.analyze(photo, attributes=[])


def test_a_challenge(admin: Client, drawn_photo: Callable[..., np.ndarray]) -> None:
    asked = admin.challenge()
    assert len(asked.actions) == 3
    frames = [drawn_photo([(100 + i, 100, 64, 0)]) for i in range(3)]
    found = admin.answer_challenge(asked.challenge, frames)
    assert (found.passed, found.done, found.face, found.actions) == (False, 0, None, asked.actions)
    assert found.note
    with pytest.raises(RequestError, match="no such challenge"):
        admin.answer_challenge(asked.challenge, frames)


def test_about_the_service(admin: Client, service: Running, pipeline: Pipeline) -> None:
    models = admin.models()
    assert models.embedder.fingerprint == pipeline.embedder.fingerprint
    assert models.embedder.embedding_size == 32
    assert (models.detector.provider, models.embedder.provider) == ("cpu", "cpu")
    assert (models.detector.variant, models.embedder.variant) == ("float", "float")
    assert models.embedder.calibration is not None
    assert {point.fmr: point.threshold for point in models.embedder.calibration.points} == {
        0.1: 0.6, 0.01: 0.7, 0.001: 0.8,
    }  # fmt: skip
    me = admin.me()
    assert (me.name, me.scopes, me.expires) == ("admin", ("admin",), None)
    assert "facewise_" in admin.metrics()
    assert "/v1/identify" in admin.openapi()["paths"]
    with pytest.raises(MissingError, match="without an evaluation report"):
        admin.report()


def test_refusals_are_told_apart(service: Running, admin: Client, two: np.ndarray) -> None:
    with service.client("enrol") as clerk:
        with pytest.raises(AccessError, match="scope identify") as error:
            clerk.identify(two)
        assert (error.value.status, error.value.code) == (403, "wrong_scope")
    with Client(service.url, "fw_nonsense") as nobody, pytest.raises(AccessError) as error:
        nobody.people()
    assert (error.value.status, error.value.code) == (401, "bad_key")
    with pytest.raises(RequestError) as bad:
        admin.detect(b"no image")
    assert (bad.value.status, bad.value.code) == (422, "bad_photo")


def test_a_key_that_is_too_fast_waits_as_told(service: Running, two: np.ndarray) -> None:
    from facewise.serve.ratelimit import Rate

    text, _ = service.keys.create("slow", ["identify"], rate=Rate(2, 1))
    with Client(service.url, text) as client:
        names = [client.me().name for _ in range(4)]  # the last two are refused once, wait, and get through
    assert names == ["slow"] * 4
    with Client(service.url, text, patience=0) as client, pytest.raises(BusyError) as error:
        [client.me() for _ in range(10)]
    assert error.value.status == 429
    assert error.value.retry_after == 1.0


def test_threads_share_a_client(admin: Client, two: np.ndarray) -> None:
    found: list[int] = []

    def look() -> None:
        found.extend(len(admin.detect(two).faces) for _ in range(5))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2] * 20


@pytest.mark.parametrize("key", [None, "fw_nonsense"])
def test_nobody_without_a_key_makes_it_read_an_upload(
    service: Running, admin: Client, key: str | None
) -> None:
    """The refusal comes while 10 MB are still to be sent, and none of them is."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    head = f"POST /v1/identify HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    head += "Content-Length: 10000000\r\n" + (f"X-API-Key: {key}\r\n" if key else "")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode() + b"\r\n")
        answer = ""
        while not answer.endswith("}"):
            answer += connection.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 401")
    assert json.loads(answer.partition("\r\n\r\n")[2])["status"] == 401


def test_a_key_of_the_command_line_works_at_once_and_until_it_is_revoked(
    service: Running, admin: Client
) -> None:
    def keys(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "facewise", "keys", *words, "--gallery", "people.db"],
            cwd=service.folder, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip

    text = keys("new", "front", "--scope", "identify", "--expires", "1h")
    with Client(service.url, text) as client:
        assert client.me().name == "front"
        keys("revoke", "front")
        with pytest.raises(AccessError, match="was revoked"):
            client.me()
