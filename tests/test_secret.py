"""A secret's text is stars wherever it goes: in outputs, errors, logs, copies, and not in files at all."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from dataclasses import asdict, replace

import pytest

from facewise.errors import GalleryError
from facewise.gallery.uri import parse_uri
from facewise.secret import Secret
from facewise.serve.settings import ServiceSettings

PASSWORD = "sw0rdfish"
URI = f"milvus://ada:{PASSWORD}@milvus.example:19530/people"


def test_its_text_is_stars(caplog):
    secret = Secret(PASSWORD)
    held = {"a": [secret], "b": (secret,)}
    texts = [
        str(secret), repr(secret), f"{secret}", f"{secret!r:>40}", "%s %r" % (secret, secret), str(held),  # noqa: UP031
        str(copy.deepcopy(held)), str(copy.copy(secret)), str(KeyError(secret)), str(vars(Secret)),
    ]  # fmt: skip
    logging.getLogger("facewise").error("%s", secret)
    assert PASSWORD not in " ".join([*texts, caplog.text])
    assert secret.reveal() == PASSWORD
    assert (bool(secret), bool(Secret()), str(Secret())) == (True, False, "")
    assert secret == Secret(PASSWORD) == PASSWORD != Secret("other")
    for written in (pickle.dumps, json.dumps):
        with pytest.raises(TypeError):
            written(secret)


def test_it_is_taken_out_of_what_others_say():
    assert (
        Secret(f"ada:{PASSWORD}").hidden_in(f"no ada:{PASSWORD}, not {PASSWORD}")
        == "no ********, not ********"
    )
    assert Secret().hidden_in("as it is") == "as it is"


def test_a_gallery_on_a_server_is_told_without_it():
    uri = parse_uri(URI)
    assert uri.token.reveal() == f"ada:{PASSWORD}"
    settings = ServiceSettings(gallery=URI, keys="k", auth=False)
    settings = replace(settings, port=0)
    told = [
        str(uri),
        repr(uri),
        str(asdict(uri)),
        repr(settings),
        str(asdict(settings)),
        str(settings.gallery),
    ]
    assert PASSWORD not in " ".join(told)
    assert settings.gallery.token == uri.token
    assert "milvus.example" in str(settings.gallery)


@pytest.mark.parametrize("odd", ["/", "#", "?", "@", ":", " ", "%", "\n", "[", "%zz"])
@pytest.mark.parametrize(
    "where",
    [
        "milvus://ada:{}@host/people", "milvus://ada:{}@host:no/people", "milvus://ada:{}@host", "milvus://{}@/x",
        "milvus://ada:{}@host/people?a=b", "milvus://ada:{}@host/people?tls=maybe", "milvus://ada:{}@host/1#b",
        "MILVUS://ada:{}@host/a b", "milvusdb://ada:{}@host/people",
    ],
)  # fmt: skip
def test_nor_is_it_in_an_error_about_its_address(where, odd):
    text = where.format(f"sw0rd{odd}fish")
    try:
        told = str(parse_uri(text))
    except GalleryError as error:
        told = f"{error} {error.__cause__} {error.__context__ if not error.__suppress_context__ else ''}"
    assert "sw0rd" not in told
    assert "fish" not in told.replace("facewise", "")


def test_what_a_server_says_of_it_is_told_without_it(monkeypatch):
    pymilvus = pytest.importorskip("pymilvus")
    from facewise.gallery.milvus_link import Link

    def refuse(*_, token, **__):
        raise pymilvus.MilvusException(message=f"the server did not like {token}")

    monkeypatch.setattr(pymilvus, "MilvusClient", refuse)
    with pytest.raises(GalleryError) as error:
        Link("http://host:1", "milvus://host:1/people", token=Secret(f"ada:{PASSWORD}"))
    assert "did not like" in str(error.value)
    assert PASSWORD not in str(error.value)
