"""Schemathesis over the service's OpenAPI: whatever fits it or not, every answer is a declared one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace

import httpx
import pytest
import schemathesis
from abuse_server import started
from abuse_tools import rss, unique_photo
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance, unsupported_method,
]  # fmt: skip


@pytest.fixture(scope="module")
def running(tmp_path_factory, tiny_detector_file, tiny_embedder_file) -> Iterator[SimpleNamespace]:
    """A service with three people in it, whom cases may change and delete."""
    folder = tmp_path_factory.mktemp("schemathesis")
    with started(folder, tiny_detector_file, tiny_embedder_file) as server:
        for i, name in enumerate(("Ada", "Grace", "Edsger")):
            files = [("photos", (f"{k}.png", unique_photo(10 * i + k), "image/png")) for k in range(2)]
            httpx.post(
                f"{server.url}/v1/people", data={"name": name}, files=files, timeout=120
            ).raise_for_status()
        yield server


def cases(running: SimpleNamespace, count: int, number: int) -> Counter[int]:
    """At least `count` cases over all operations, valid and invalid ones in turn."""
    schema = schemathesis.openapi.from_url(f"{running.url}/v1/openapi.json", timeout=120)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 20
    seen: Counter[int] = Counter()
    each = -(-count // (2 * len(operations)))
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                one(operation.as_strategy(generation_mode=mode), running.url, each, number, seen)
            except Exception as error:
                if (
                    "Unsatisfiable" in type(error).__name__
                ):  # an operation that takes nothing cannot be negated
                    continue
                raise
    # Where there was nothing to negate, the operations that take most make up for it.
    rich = [operation for operation in operations if operation.body]
    while sum(seen.values()) < count:
        number += 1
        for operation in rich:
            one(operation.as_strategy(), running.url, each, number, seen)
    return seen


def one(strategy, url: str, count: int, number: int, seen: Counter[int]) -> None:  # type: ignore[no-untyped-def]
    @seed(number)
    @settings(
        max_examples=count, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=strategy)
    def run(case: schemathesis.Case) -> None:
        for name in ("person", "sample"):  # half of them somebody who is there
            value = (case.path_parameters or {}).get(name)
            if isinstance(value, int) and value % 2:
                case.path_parameters[name] = value % 6 + 1
        response = case.call(base_url=url, timeout=120)
        seen[response.status_code] += 1
        # An empty list in a form is a field that is not there: what breaks the schema may be good as sent.
        # One that is too large is refused (413) before it is held to its schema.
        as_sent = case.media_type == "application/json" and response.status_code != 413
        case.validate_response(response, checks=[*CHECKS, *([negative_data_rejection] if as_sent else [])])

    run()


def test_openapi_is_valid_and_has_examples(running):
    document = httpx.get(f"{running.url}/v1/openapi.json", timeout=120).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}).get("content", {})
            assert not body or any("example" in kind or "examples" in kind for kind in body.values()), (
                path,
                method,
            )
            assert {"400"} <= set(operation["responses"]), (path, method)


def test_some_cases(running):
    seen = cases(running, 100, 1)
    assert sum(seen.values()) >= 100
    assert all(status < 500 for status in seen), seen


@pytest.mark.slow
def test_two_thousand_cases(running):
    before = rss(running.process.pid)
    seen = cases(running, 2000, 7)
    after = rss(running.process.pid)
    print(f"{sum(seen.values())} cases: {dict(sorted(seen.items()))}; RSS {before:.1f} to {after:.1f} MiB")  # noqa: T201
    assert sum(seen.values()) >= 2000
    assert all(status < 500 for status in seen), seen
    assert after - before < 60
    assert running.process.poll() is None
    assert "Traceback" not in running.log.read_text()
