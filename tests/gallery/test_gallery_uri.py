"""Gallery URIs: what each means, and a sentence for each that means nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from facewise.errors import GalleryError
from facewise.gallery.uri import open_store, parse_uri


@pytest.mark.parametrize(
    ("text", "scheme", "path"),
    [
        ("people.db", "sqlite", "people.db"),
        ("./a b/people.db", "sqlite", "a b/people.db"),
        ("C:\\people.db", "sqlite", "C:\\people.db"),
        ("sqlite:///people.db", "sqlite", "people.db"),
        ("sqlite:////srv/people.db", "sqlite", "/srv/people.db"),
        ("SQLite:///a?b#c%20.db", "sqlite", "a?b#c%20.db"),
        ("milvus-lite:///a/people.db", "milvus-lite", "a/people.db"),
        ("milvus-lite:////srv/people.db", "milvus-lite", "/srv/people.db"),
        (Path("milvus:/x"), "sqlite", "milvus:/x"),
    ],
)
def test_files(text, scheme, path):
    uri = parse_uri(text)
    assert (uri.scheme, uri.path) == (scheme, Path(path))


def test_a_server():
    uri = parse_uri("milvus://db.example:29530/people?index=hnsw&consistency=bounded&tls=yes&database=faces")
    assert (uri.host, uri.port, uri.name, uri.token) == ("db.example", 29530, "people", "")
    assert dict(uri.options) == {
        "index": "hnsw",
        "consistency": "bounded",
        "tls": "yes",
        "database": "faces",
    }
    assert parse_uri("milvus://h/people").port == 19530
    assert str(parse_uri("milvus://[::1]:5/people")) == "milvus://[::1]:5/people"


def test_credentials_are_never_shown():
    uri = parse_uri("milvus://ada:p%40ss@host/people")
    assert uri.token == "ada:p@ss"
    assert str(uri) == "milvus://host:19530/people"
    assert "p@ss" not in repr(uri)
    for bad in (
        "milvus://ada:secret@host/",
        "milvus://ada:secret@host:99999/x",
        "milvus://ada:secret@host/a b",
    ):
        with pytest.raises(GalleryError) as told:
            parse_uri(bad)
        assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("postgres://host/people", "no kind of gallery postgres://"),
        ("http://host/people", "no kind of gallery http://"),
        ("sqlite://people.db", "names no file"),
        ("sqlite:///", "names no file"),
        ("milvus-lite:///people", "ends with .db"),
        ("milvus-lite://people.db", "names no file"),
        ("milvus://", "names no host"),
        ("milvus:///people", "names no host"),
        ("milvus://host", "names no gallery"),
        ("milvus://host/", "names no gallery"),
        ("milvus://host/a/b", "names no gallery"),
        ("milvus://host/2people", "names no gallery"),
        ("milvus://host/" + "a" * 65, "names no gallery"),
        ("milvus://host:port/people", "no address"),
        ("milvus://host:70000/people", "no address"),
        ("milvus://[::1/people", "no address"),
        ("milvus://host/people#x", "after #"),
        ("milvus://host/people?indx=hnsw", "unknown option indx"),
        ("milvus://host/people?index=magic", "flat or hnsw"),
        ("milvus://host/people?tls=1", "yes or no"),
    ],
)
def test_bad_ones_are_told(text, told):
    with pytest.raises(GalleryError, match=told) as error:
        parse_uri(text)
    assert "\n" not in str(error.value)


def test_milvus_takes_no_key_file(tmp_path):
    with pytest.raises(GalleryError, match="only SQLite galleries"):
        open_store(f"milvus-lite:///{tmp_path}/people.db", key_file=tmp_path / "key")


def test_a_milvus_lite_gallery_is_no_file(tmp_path):
    path = tmp_path / "people.db"
    path.write_bytes(b"something else")
    with pytest.raises(GalleryError, match="no Milvus Lite gallery"):
        open_store(f"milvus-lite:///{path}")
    assert path.read_bytes() == b"something else"


def test_sqlite_galleries_load_no_milvus(tmp_path):
    code = (
        "import sys; from facewise.gallery.uri import open_store; open_store(sys.argv[1]);"
        "assert 'pymilvus' not in sys.modules and 'milvus_lite' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "people.db")], check=True)


def test_a_missing_extra_is_told(tmp_path):
    code = (
        "import sys; sys.modules['pymilvus'] = None; from facewise.gallery.uri import open_store;"
        "open_store(sys.argv[1])"
    )
    uri = f"milvus-lite:///{tmp_path}/people.db"
    run = subprocess.run([sys.executable, "-c", code, uri], capture_output=True, text=True, check=False)
    assert "pip install facewise[milvus]" in run.stderr.splitlines()[-1]


def test_a_key_in_the_environment_is_not_ignored_where_nothing_is_encrypted(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEWISE_KEY_FILE", str(tmp_path / "some.key"))
    with pytest.raises(GalleryError, match="cannot be encrypted"):
        open_store(f"milvus-lite:///{tmp_path / 'm.db'}")
