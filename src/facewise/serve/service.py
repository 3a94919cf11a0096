"""The service's parts together: gallery, workers, keys, audit log, metrics; started and stopped as one."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from facewise.detection import DetectorSettings, ModelDetector
from facewise.errors import FacewiseError, SettingError
from facewise.gallery import Gallery
from facewise.gallery.results import Space
from facewise.gallery.store import refuse_foreign
from facewise.hardware import available_threads
from facewise.pipeline import Pipeline
from facewise.serve.admission import Admission
from facewise.serve.audit import AuditLog, Line
from facewise.serve.batching import ThreadEngine
from facewise.serve.bodies import Buffered
from facewise.serve.challenges import Challenges
from facewise.serve.driving import ProcessEngine
from facewise.serve.engine import Engine
from facewise.serve.errors import ProblemError, told
from facewise.serve.gate import Gate
from facewise.serve.intake import Intake
from facewise.serve.keys import KeyStore
from facewise.serve.known import KnownKeys
from facewise.serve.metrics import Metrics
from facewise.serve.people import Asked, People, UploadReader
from facewise.serve.places import Places, most_connections
from facewise.serve.ratelimit import Rate, RateLimiter
from facewise.serve.scribe import Scribe
from facewise.serve.settings import ServiceSettings
from facewise.serve.turns import Turns

_LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")

_IO_THREADS = 8

FAILED = Rate(60, 60)
"""Requests of a key that fail and have an entry each: 60 a minute."""

_NOBODYS_FAULT = {"storage_full", "unavailable", "starting", "busy"}


class Loaded:
    """What takes seconds to load: models, workers, and the gallery.

    Args:
        settings: Of the service.
        gallery: One that is open already, or None to open the settings'.
        metrics: Told of batches.
    """

    def __init__(self, settings: ServiceSettings, gallery: Gallery | None, metrics: Metrics) -> None:
        self._opened = gallery is None
        gallery = gallery or _open(settings)
        try:
            self.pipeline = _pipeline(settings, gallery, given=not self._opened)
            embedder = self.pipeline.embedder
            if (bound := gallery.space) is not None:
                space = Space(embedder.fingerprint, embedder.name, embedder.embedding_size, embedder.flip)
                refuse_foreign(str(settings.gallery), bound, space)
            gallery.pipeline = UploadReader(self.pipeline)
            self.people = People(gallery, self.pipeline, settings.keep)
            self._warm()
        except BaseException:
            if self._opened:
                gallery.close()
            raise
        apart = settings.processes and self._opened and self.pipeline.portable and Intake.available()
        self.engine: Engine = (ProcessEngine if apart else ThreadEngine)(
            self.pipeline, self.people.search, settings.limits,
            workers=settings.workers or available_threads(), batch=settings.batch, observe=metrics.batch,
        )  # fmt: skip

    def _warm(self) -> None:
        """Opens the networks and the index before the first request waits for them."""
        self.pipeline.embedder.settle()
        size = self.pipeline.crop_size
        self.pipeline.detector.detect(np.zeros((480, 640, 3), dtype=np.uint8), threads=1)
        probe = self.pipeline.embedder.embed(np.full((1, size, size, 3), 128, dtype=np.uint8), threads=1)
        self.people.search(probe, Asked(threshold=1.0))

    def close(self) -> None:
        """Finishes what the workers have, and closes the gallery if it was opened here."""
        self.engine.close()
        if self._opened:
            self.people.gallery.close()


class Service:
    """A service, before and after it is loaded.

    Args:
        settings: See there.
        gallery: One that is open already: then the service is ready at once, and leaves it open at the end.

    Raises:
        FacewiseError: Keys or the audit log cannot be opened, or, with a gallery given, it does not fit.
    """

    def __init__(self, settings: ServiceSettings, gallery: Gallery | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.buffered = Buffered(settings.limits.max_buffered)
        most = most_connections()
        self.connections = Places(most, most // 3, settings.proxies)
        self.one_parses = asyncio.Lock()
        self.turns, self.parsing = Turns(), Turns(1)
        self.admission = Admission(settings.limits, settings.workers or available_threads())
        self.keys = KeyStore(settings.keys_path) if settings.auth else None
        self.audit = AuditLog(settings.audit_path, addresses=settings.audit_addresses)
        self.scribe = Scribe(self.audit)
        rates = RateLimiter(settings.rate)
        self.gate = Gate(self.keys, self.audit, rates=rates)
        self.known = None if self.keys is None else KnownKeys(self.keys, rates)
        self.report = None if settings.report is None else _report(settings.report)
        self.challenges = Challenges()
        self._failing = RateLimiter(FAILED)
        self._unrecorded: Counter[int] = Counter()
        self._settling = threading.Lock()
        self._behind = threading.Event()  # whether changes may have notes that are on no record
        self._io = ThreadPoolExecutor(_IO_THREADS, "facewise-io")
        self._loaded: Loaded | None = None
        self._loading = threading.Lock()
        self.failure: Exception | None = None
        self._watch()
        if gallery is not None:
            self._loaded = Loaded(settings, gallery, self.metrics)
            self.settle_or_tell()

    @property
    def places(self) -> tuple[str, ...]:
        """How the gallery's errors call it, which is where it lies; the longest first."""
        uri = str(self.settings.gallery)
        path = uri.partition("://")[2] or uri
        return tuple(sorted({uri, path, str(Path(path).absolute())}, key=len, reverse=True))

    @property
    def ready(self) -> bool:
        """Whether it takes requests."""
        return self._loaded is not None and not self.admission.stopping

    @property
    def loaded(self) -> Loaded:
        """Models, workers and gallery.

        Raises:
            ProblemError: They are not loaded yet (503).
        """
        if self._loaded is None:
            raise ProblemError(
                503, "starting", "The service is still loading its models and its gallery.",
                {"Retry-After": "2"},
            )  # fmt: skip
        return self._loaded

    def load(self) -> None:
        """Loads models and gallery, on the calling thread, once."""
        with self._loading:
            if self._loaded is not None:
                return
            try:
                self._loaded = Loaded(self.settings, None, self.metrics)
                self.settle_or_tell()  # of a service that was killed
                # Models and people stay: looking through them again and again for garbage took a tenth of the
                # event loop's time with 100,000 people.
                gc.collect()
                gc.freeze()
            except Exception as error:
                self.failure = error
                raise

    async def run(self, work: Callable[..., _Result], *args: Any, **options: Any) -> _Result:
        """Runs what waits for a disk on a thread of its own."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._io, lambda: work(*args, **options))

    def begin(self, work: Callable[[], _Result]) -> Future[_Result]:
        """Begins work on such a thread; it can be cancelled until a thread takes it."""
        return self._io.submit(work)

    def ready_to_change(self) -> None:
        """Passes where a change can be made and recorded; those before are on record when it does.

        Raises:
            FacewiseError: The log cannot be written.
        """
        if self._behind.is_set():
            self.settle()
        self.audit.ensure()

    def settle(self) -> None:
        """Puts on record what changes have noted of themselves.

        Raises:
            FacewiseError: The log or the gallery cannot be written; the notes are kept.
        """
        with self._settling:
            self._behind.set()
            self.loaded.people.gallery.take_notes(self.audit.adopt)
            self.audit.forget()
            self._behind.clear()

    def settle_or_tell(self) -> None:
        """As `settle`; what keeps it from that is told in the log, and it is tried again before a change."""
        try:
            self.settle()
        except FacewiseError as error:
            _LOG.warning("%s", error)

    def failed(self, key: int, action: str, error: Exception, address: str) -> Line | None:
        """The entry of something that was asked for and not done; None where there is to be none.

        There is none where the log itself, or the service as a whole, is what failed; and of a key that
        fails fast the next that has one says how many had none.
        """
        code = told(error).code
        if code in _NOBODYS_FAULT:
            return None
        if self._failing.take(key):
            self._unrecorded[key] += 1
            return None
        return self.audit.line(
            key, action, outcome="failed", code=code, address=address,
            unrecorded=self._unrecorded.pop(key, None),
        )  # fmt: skip

    def close(self) -> None:
        """Finishes what was accepted and closes everything."""
        self.admission.stopping = True
        self._io.shutdown(wait=True)
        if self._loaded is not None:
            if self._behind.is_set():
                self.settle_or_tell()
            self._loaded.close()
            self._loaded = None
        if self.keys is not None:
            self.keys.close()
        self.scribe.close()
        self.audit.close()

    def _watch(self) -> None:
        metrics = self.metrics
        metrics.watch(
            "requests_inside", "Requests being worked on or waiting.", lambda: self.admission.inside
        )
        metrics.watch("queue_length", "Requests waiting for a worker.", lambda: self.admission.waiting)
        metrics.watch("buffered_bytes", "Bytes of uploads in memory.", lambda: self.buffered.held)
        metrics.watch("connections", "Connections that are open.", lambda: self.connections.held)
        metrics.watch(
            "connections_refused", "Connections that found no place.", lambda: self.connections.refused
        )
        metrics.watch(
            "connections_displaced", "Waiting connections that were ended for newcomers.",
            lambda: self.connections.displaced,
        )  # fmt: skip
        metrics.watch("ready", "1 while the service takes requests.", lambda: float(self.ready))
        metrics.watch("gallery_people", "People in the gallery.", lambda: self._size(0))
        metrics.watch("gallery_samples", "Samples in the gallery.", lambda: self._size(1))
        metrics.watch("photos_waiting", "Photos no worker has looked at yet.", self._photos_waiting)

    def _size(self, which: int) -> float:
        return float("nan") if self._loaded is None else self._loaded.people.size()[which]

    def _photos_waiting(self) -> float:
        return 0.0 if self._loaded is None else self._loaded.engine.waiting


def _open(settings: ServiceSettings) -> Gallery:
    return Gallery.open(settings.gallery, key_file=settings.key_file, counter_file=settings.counter_file)


def _pipeline(settings: ServiceSettings, gallery: Gallery, *, given: bool) -> Pipeline:
    if given:
        pipeline = gallery.pipeline
        if not isinstance(pipeline, Pipeline):
            raise SettingError("A service needs a gallery with a pipeline of models.")
        if settings.attributes is False:
            return pipeline
        return pipeline.with_attributes(None if settings.attributes is True else settings.attributes)
    bound = gallery.space
    flip = settings.flip if settings.flip is not None or bound is None else bound.flip
    return Pipeline.load(
        settings.detector, settings.model, flip=flip, provider=settings.provider, threads=settings.workers,
        settings=_looking(settings), variant=settings.variant, liveness=settings.liveness,
        attributes=settings.attributes, mesh=settings.mesh,
    )  # fmt: skip


def _looking(settings: ServiceSettings) -> DetectorSettings:
    usual = DetectorSettings(max_faces=settings.limits.max_faces)
    return usual if settings.max_size is None else replace(usual, max_size=settings.max_size)


def detector_file(pipeline: Pipeline) -> Any:
    """The model file of a detector that has one."""
    return pipeline.detector.model if isinstance(pipeline.detector, ModelDetector) else None


def _report(path: Path) -> bytes:
    return path.read_bytes()
