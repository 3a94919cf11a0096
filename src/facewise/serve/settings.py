"""What a service is told when it starts: its gallery, who may ask, and how much it takes on at once."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from facewise.errors import SettingError
from facewise.gallery.uri import GalleryUri, parse_uri
from facewise.serve.keyfile import keys_file

if TYPE_CHECKING:
    from facewise.serve.ratelimit import Rate

Keep: TypeAlias = Literal["none", "face", "photo"]
"""What is kept of an enrolled photo beside its embedding."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request, and all of them together, may ask for.

    Attributes:
        max_bytes: Of one photo's file.
        max_pixels: Width × height of a photo, read from its header before anything is decoded.
        max_photos: Of one request.
        max_faces: Of one photo; the most confident ones are kept.
        max_body: Bytes of one request, all photos together.
        max_buffered: Bytes of all requests that are being read or worked on, together.
        queue: Requests that wait for a worker; one more is answered 429.
        request_seconds: From the last byte of a request to its answer; longer is answered 504.
        body_seconds: A request's body must have come within so much, plus a second for each `least_rate`
            bytes of it; and so must its head.
        least_rate: Bytes a second.
        stop_seconds: How long a stopping service waits for what it accepted.
        photo_seconds: Of the CPU, to read one photo and to find its faces, where workers are processes.
    """

    max_bytes: int = 10 * 2**20
    max_pixels: int = 40_000_000
    max_photos: int = 50
    max_faces: int = 100
    max_body: int = 64 * 2**20
    max_buffered: int = 512 * 2**20
    queue: int = 64
    request_seconds: float = 30.0
    body_seconds: float = 10.0
    least_rate: int = 64 * 2**10
    stop_seconds: float = 60.0
    photo_seconds: float = 20.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise SettingError(f"The service's limit {name} must be above 0, not {value}.")


_DEFAULT_GALLERY = GalleryUri("sqlite", Path("facewise.db"))


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Everything that is chosen when a service starts.

    Attributes:
        gallery: Where the gallery is; a path or URI given as text becomes that.
        key_file: Of the key that the gallery is encrypted with, or None.
        counter_file: Where the gallery's changes are counted too, see `facewise.gallery.counter`, or None.
        keys: The file of API keys; None is beside the gallery (`people.db.keys`).
        auth: Whether a request needs an API key; False is allowed on a loopback address only.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        allowed_hosts: Names besides `localhost` and addresses by which browsers may call this service.
        proxies: Addresses (or networks) of proxies before this service, whose `X-Forwarded-For` is believed.
        root_path: The path that a proxy serves this service under, such as `/faces`, or empty. Requests are
            answered with it and without it, as some proxies take it away and others do not.
        keep: What is kept of enrolled photos.
        limits: See there.
        rate: How fast each key may ask that has no rate of its own; None sets no limit.
        workers: How many look at photos side by side; None is all CPUs of this process.
        processes: Whether each worker is a process of its own, where the models allow it (on the CPU):
            faster, and a fault in a decoder ends the photo and not the service; some memory more for each.
        batch: Crops of several requests that are embedded in one call of the network.
        detector: Name or path of the detector; None is the default one.
        max_size: Photos are looked at scaled down to this longer side; None is the usual one.
        model: Name or path of the embedder; None is the default one.
        flip: Average with the mirrored crop; None does as the gallery was made, or the model calibrated.
        provider: Where the networks run; see `facewise.network.PROVIDERS`.
        variant: Which network of an int8 model runs; see `Pipeline.load`.
        liveness: Whether only faces that look live are taken, by the default networks, or by those of a name
            or path; see `Pipeline.load`.
        attributes: Whether the service says what faces look like, by the default model, or by that of a name
            or path; what may be said is a question of law, see docs/attributes.md.
        mesh: Whether the mesh of faces is looked at, by the default landmarker, or by that of a name or path:
            challenges may then ask for a blink and an open mouth too, and enrolment remarks closed eyes, open
            mouths and turned heads.
        audit: The audit log; None is beside the keys (`people.db.audit`).
        audit_addresses: Whether clients' addresses are recorded there.
        report: An evaluation report (HTML) to show on the page, or None.
        tls_cert: Certificate chain (PEM) for HTTPS, or None.
        tls_key: Its private key (PEM), or None.
    """

    gallery: GalleryUri = _DEFAULT_GALLERY
    key_file: Path | None = None
    counter_file: Path | None = None
    keys: Path | None = None
    auth: bool = True
    host: str = "127.0.0.1"
    port: int = 8000
    allowed_hosts: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    root_path: str = ""
    keep: Keep = "none"
    limits: Limits = field(default_factory=Limits)
    rate: Rate | None = None
    workers: int | None = None
    processes: bool = True
    batch: int = 4
    detector: str | None = None
    max_size: int | None = None
    model: str | None = None
    flip: bool | None = None
    provider: str = "auto"
    variant: str = "auto"
    liveness: bool | str = False
    mesh: bool | str = False
    attributes: bool | str = False
    audit: Path | None = None
    audit_addresses: bool = False
    report: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "gallery", parse_uri(self.gallery))  # as a text it may hold a password
        if not self.auth and not is_loopback(self.host):
            raise SettingError(
                f"A service without keys may listen on this machine only: leave out --no-auth, or listen on "
                f"127.0.0.1 instead of {self.host}."
            )
        if not 0 <= self.port <= 65535:
            raise SettingError(f"A port lies from 0 to 65535, not at {self.port}.")
        for proxy in self.proxies:
            _check_proxy(proxy)
        if self.root_path:
            _check_root_path(self.root_path)
        if self.keep not in {"none", "face", "photo"}:
            raise SettingError(f"Of a photo one keeps none, face or photo, not {self.keep!r}.")
        if self.workers is not None and self.workers < 1:
            raise SettingError(f"The service needs at least 1 worker, not {self.workers}.")
        if self.batch < 1:
            raise SettingError(f"The batch size must be at least 1, not {self.batch}.")
        if self.tls_key is not None and self.tls_cert is None:
            raise SettingError("A TLS key needs its certificate: give --tls-cert as well.")
        if self.report is not None and not self.report.is_file():
            raise SettingError(
                f"There is no report at {self.report}: make one with `facewise report`, or leave it out."
            )

    @property
    def keys_path(self) -> Path:
        """Where the API keys are.

        Raises:
            SettingError: The gallery is on another machine, and no file was given.
        """
        return self.keys or keys_file(self.gallery)

    @property
    def audit_path(self) -> Path:
        """Where the audit log is; errors as for `keys_path`."""
        if self.audit is not None:
            return self.audit
        keys = self.keys_path
        return keys.with_name(f"{keys.name.removesuffix('.keys')}.audit")

    def allows_host(self, header: str) -> bool:
        """Whether a request may call this service by that name.

        A page of an attacker can make its own name point at this machine (DNS rebinding) and then ask as if
        it were of the same origin; it cannot do that with an address or with `localhost`.
        """
        name = header.rpartition(":")[0] if _has_port(header) else header
        name = name.strip("[]").rstrip(".").lower()
        if name == "localhost" or name in {host.lower() for host in self.allowed_hosts}:
            return True
        return _is_address(name)


def _check_proxy(proxy: str) -> None:
    try:
        ipaddress.ip_network(proxy, strict=False)
    except ValueError:
        raise SettingError(
            f"A proxy is given by its address or network, such as 127.0.0.1 or 10.0.0.0/8, not as {proxy!r}."
        ) from None


def _check_root_path(path: str) -> None:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path) or {".", ".."} & set(path.split("/")):
        raise SettingError(
            f"A root path is made of words, each with a slash before it, such as /faces; it is not {path!r}."
        )
    first = path.split("/")[1]
    if first in {"v1", "assets"}:  # whether a proxy has taken it away could not be told
        raise SettingError(f"A root path cannot begin with /{first}, which is a path of the service itself.")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _has_port(header: str) -> bool:
    name, separator, port = header.rpartition(":")
    return bool(separator) and port.isdecimal() and (":" not in name or name.endswith("]"))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
