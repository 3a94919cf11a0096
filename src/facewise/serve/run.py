"""Running the service: a server that says where it listens, and finishes what it accepted before it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn

from facewise.errors import SettingError
from facewise.gallery.uri import open_store
from facewise.network import told_providers
from facewise.serve.app import create_app
from facewise.serve.connections import BoundedProtocol
from facewise.serve.door import Door
from facewise.serve.driving import ProcessEngine
from facewise.serve.engine import Engine
from facewise.serve.middleware import ACCESS
from facewise.serve.places import Place
from facewise.serve.rounds import Rounds
from facewise.serve.service import Service
from facewise.serve.settings import ServiceSettings

_BACKLOG = 4096

Tell = Callable[[str], None]


class _Server(uvicorn.Server):
    """Refuses new requests from the moment it is told to stop."""

    def __init__(self, config: uvicorn.Config, service: Service, tell: Tell) -> None:
        super().__init__(config)
        self._service, self._tell = service, tell
        self._door: Door | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins to stop; a second Ctrl-C stops at once."""
        first = not self.should_exit
        super().handle_exit(sig, frame)
        self._service.admission.stopping = True
        if first:
            inside = self._service.admission.inside
            rest = f" when {inside} request{'s are' if inside > 1 else ' is'} done" if inside else ""
            self._tell(f"Stopping{rest}; press Ctrl-C (again) to stop at once.")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts the application, and opens a door of our own instead of asyncio's."""
        await super().startup(sockets=[])
        [listening] = sockets or []
        loop = asyncio.get_running_loop()

        rounds = Rounds()

        def make(place: Place) -> BoundedProtocol:
            return BoundedProtocol(
                self.config, self.server_state, self.lifespan.state, loop, place=place, rounds=rounds
            )

        seconds = self._service.settings.limits.body_seconds
        self._door = Door(
            listening, self._service.connections, self._service.turns, make, self.config.ssl, seconds
        )
        self._door.open()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stops as asked, which is no failure: the signal is not raised again."""
        if self._door is not None:
            self._door.stop()
        await super().shutdown(sockets)
        if not self.force_exit:
            self._captured_signals.clear()


def serve(settings: ServiceSettings, tell: Tell) -> None:
    """Serves until SIGTERM or Ctrl-C.

    Args:
        settings: See there.
        tell: Shows a sentence to whoever started it.

    Raises:
        FacewiseError: Keys, audit log, address, certificate, models or gallery cannot be used.
    """
    # Before keys and log are made beside it: a file that is no gallery, or a key that does not open it.
    open_store(settings.gallery, key_file=settings.key_file, counter_file=settings.counter_file).close()
    service = Service(settings)
    listening = _listen(settings)
    try:
        port = listening.getsockname()[1]
        _log_to_stderr()
        server = _server(settings, service, tell)
        _first_key(service, tell)  # shown once: only when nothing else can keep the service from starting
        _say_when_ready(service, settings, port, tell)
        server.run(sockets=[listening])
    finally:
        listening.close()
        service.close()
    if service.failure is not None:
        raise service.failure
    tell("Stopped; everything that was accepted is done.")


def _server(settings: ServiceSettings, service: Service, tell: Tell) -> _Server:
    servers: list[_Server] = []
    private = settings.tls_key or settings.tls_cert
    if private is not None and _is_others_to_read(private):
        tell(f"Others may read the TLS key {private}: `chmod 600` it.")

    def fail(_: Exception) -> None:
        servers[0].should_exit = True

    def loaded() -> None:
        pipeline = service.loaded.pipeline
        for line in (*told_providers(pipeline.providers.values(), pipeline.passed_over), _models(service)):
            tell(line)
        if pipeline.liveness_doubt is not None:
            tell(pipeline.liveness_doubt)

    app = create_app(settings, service=service, on_failure=fail, on_ready=loaded)
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        loop="asyncio:SelectorEventLoop",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
        timeout_keep_alive=max(1, round(settings.limits.body_seconds)),
        timeout_graceful_shutdown=max(1, round(settings.limits.stop_seconds)),
        ssl_certfile=None if settings.tls_cert is None else str(settings.tls_cert),
        ssl_keyfile=None if settings.tls_key is None else str(settings.tls_key),
    )
    try:
        config.load()
    except ssl.SSLError as error:
        raise SettingError(
            f"The TLS certificate {settings.tls_cert} or its key cannot be used: give a certificate chain "
            f"and its own private key, in PEM ({error.reason or error})."
        ) from error
    except OSError as error:
        raise SettingError(
            f"The TLS certificate {settings.tls_cert} or its key cannot be read: {error.strerror or error}."
        ) from error
    servers.append(_Server(config, service, tell))
    return servers[0]


def _is_others_to_read(path: Path) -> bool:
    try:
        return os.name == "posix" and bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:  # whoever loads it says so
        return False


def _listen(settings: ServiceSettings) -> socket.socket:
    """A socket at the address, so that whoever cannot have it learns so before anything is loaded."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host.strip("[]"), settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # The protocol by name: without it asyncio leaves Nagle's algorithm on, and an answer waits 40 ms.
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)  # whoever connects as soon as we say where is not refused
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise SettingError(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; choose another "
            "--host or --port."
        ) from error
    return listening


def _first_key(service: Service, tell: Tell) -> None:
    if service.keys is None:
        tell("Without keys: whoever can log in on this machine may do everything.")
        return
    made = service.keys.create_first()
    if made is not None:
        text, _ = made
        tell(f"The first API key, which may do everything; it is shown this once: {text}")


def _say_when_ready(service: Service, settings: ServiceSettings, port: int, tell: Tell) -> None:
    scheme = "http" if settings.tls_cert is None else "https"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    root = settings.root_path
    under = f"page, and API under {root}/v1, behind a proxy" if root else "page, and API under /v1"
    tell(f"Listening on {scheme}://{host}:{port}{root} ({under}); gallery {settings.gallery}.")
    if service.report is not None:
        tell(f"Report {settings.report}.")


def _models(service: Service) -> str:
    loaded = service.loaded
    people, samples = loaded.people.size()
    rule = loaded.people.search_rule()
    how = "no calibration: nothing is decided without a threshold"
    if rule is not None and rule.fmr is not None:
        how = f"deciding at FMR {rule.fmr:g} (similarity {rule.threshold:.3f}, {rule.source})"
    pipeline = loaded.pipeline
    looks = "" if pipeline.liveness is None else f", liveness by {pipeline.liveness.name}"
    looks += f", attributes by {pipeline.attributes.name}" if pipeline.tells_attributes else ""
    return (
        f"Ready: {pipeline.detector.name} + {pipeline.embedder.name}{looks}, {how}; "
        f"{people} people, {samples} samples; {loaded.engine.workers} workers{_apart(loaded.engine)}."
    )


def _apart(engine: Engine) -> str:
    """What keeps those who decode photos from all else."""
    if not isinstance(engine, ProcessEngine):
        return " in this process, which decodes what is sent"
    on = [word for word in engine.confined if word != "limits"]
    told = f"confined by {' and '.join(on)}" if on else "which this system cannot confine"
    return f", processes {told}"


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    ACCESS.addHandler(handler)
    ACCESS.setLevel(logging.INFO)
    ACCESS.propagate = False
    errors = logging.StreamHandler(sys.stderr)
    errors.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    for name in ("facewise", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.addHandler(errors)
        # uvicorn warns of each request that is none: what strangers send is counted, not told.
        logger.setLevel(logging.ERROR if name == "uvicorn.error" else logging.WARNING)
        logger.propagate = False
