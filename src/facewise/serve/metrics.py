"""What Prometheus is told: how much is asked, how long it takes, how full the queues are."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BATCH = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The numbers of one service, in a registry of its own; any thread may count."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter("facewise_requests", "Requests answered.", labels, registry=self._registry)
        self._seconds = Histogram(
            "facewise_request_seconds", "From a request's head to its answer.", ("route",),
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._batches = Histogram(
            "facewise_batch_size", "Crops embedded, and probes searched, at once.", ("stage",),
            buckets=_BATCH, registry=self._registry,
        )  # fmt: skip
        self._faces = Counter("facewise_faces", "Faces found in photos.", registry=self._registry)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts an answer; `route` is a path as it was declared, never one with somebody's number in it."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, stage: str, size: int) -> None:
        """Counts a batch."""
        self._batches.labels(stage).observe(size)

    def faces(self, count: int) -> None:
        """Counts faces."""
        self._faces.inc(count)

    def watch(self, name: str, help_: str, value: Callable[[], float]) -> None:
        """A number that is asked for when Prometheus comes."""
        Gauge(f"facewise_{name}", help_, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
