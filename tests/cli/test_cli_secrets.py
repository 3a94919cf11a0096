"""No command prints the password of a gallery's server, whatever it says and however it fails."""

from __future__ import annotations

import pytest

URI = "milvus://ada:sw0rdfish@127.0.0.1:9/people"


@pytest.fixture(autouse=True)
def unreachable(monkeypatch):
    """Nobody answers, at once."""
    pymilvus = pytest.importorskip("pymilvus")

    def refuse(address, **settings):
        raise pymilvus.MilvusException(message=f"fail connecting to {address} with {settings}")

    monkeypatch.setattr(pymilvus, "MilvusClient", refuse)


@pytest.mark.parametrize(
    "words",
    [
        ("gallery", "list"), ("gallery", "show", "Ada"), ("gallery", "remove", "Ada"),
        ("gallery", "check"), ("gallery", "check", "--json"), ("gallery", "export", "a.npz"),
        ("gallery", "rekey", "--plain"), ("keys", "list"), ("keys", "audit"), ("serve", "--no-auth"),
        ("serve", "--keys", "k", "--audit", "a"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_command_on_a_server_tells_no_password(facewise, words):
    done = facewise(*words, "--gallery", URI, code=3)
    assert done.err
    assert "sw0rdfish" not in done.out + done.err


def test_the_banner_tells_where_the_gallery_is_and_no_more():
    from types import SimpleNamespace

    from facewise.serve.run import _say_when_ready
    from facewise.serve.settings import ServiceSettings

    told: list[str] = []
    settings = ServiceSettings(gallery=URI, keys="k")
    _say_when_ready(SimpleNamespace(report=None), settings, 8000, told.append)
    assert "gallery milvus://127.0.0.1:9/people." in told[0]
