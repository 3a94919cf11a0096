"""docs/client.md: every method and error of the client is told, with the options it has."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from facewise import client
from facewise.client import Client, ServiceError

TEXT = (Path(__file__).parents[2] / "docs" / "client.md").read_text(encoding="utf-8")
CALLS = dict(re.findall(r"`(\w+)\(([^)`]*)\)`", TEXT))


def test_every_method_is_told_and_no_other() -> None:
    methods = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    assert methods - {"close"} == set(CALLS)


def test_options_are_those_of_the_methods() -> None:
    for name, told in CALLS.items():
        options = {word.removesuffix("=") for word in told.replace(" ", "").split(",") if word.endswith("=")}
        parameters = inspect.signature(getattr(Client, name)).parameters.values()
        known = {one.name for one in parameters if one.kind is one.KEYWORD_ONLY}
        assert options == known or name == "everybody", name  # everybody has those of people


def test_every_error_is_told() -> None:
    kinds = [getattr(client, name) for name in client.__all__]
    errors = {kind.__name__ for kind in kinds if isinstance(kind, type) and issubclass(kind, ServiceError)}
    assert errors - {"ServiceError"} == set(re.findall(r"^\| `(\w+Error)`", TEXT, re.MULTILINE))


def test_results_are_told_by_names_that_exist() -> None:
    for name in re.findall(r"`([A-Z]\w+)`", TEXT):
        assert hasattr(client, name) or name in {
            "FacewiseError", "Verification", "UnknownPersonError", "NameTakenError", "StorageFullError",
        }, name  # fmt: skip
