"""Keys and sealed bytes, and a gallery that opens with its own key alone."""

import os
import shutil
import sqlite3
import stat

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from gallery_fakes import FINGERPRINT, SIZE, face_of, sample
from hypothesis import given
from hypothesis import strategies as st

from facewise.errors import GalleryError, SettingError
from facewise.gallery import Gallery, Space
from facewise.gallery.sqlite import SqliteStore
from facewise.vault import OVERHEAD, Vault, new_key_file, new_vault, open_vault, read_key_file

SPACE = Space(FINGERPRINT, "fake", SIZE, False)
KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch):
    monkeypatch.delenv("FACEWISE_KEY_FILE", raising=False)


@given(st.binary(max_size=3000), st.text(max_size=20))
def test_what_is_sealed_opens_as_what_it_is(data, kind):
    vault = Vault(KEY, "gallery")
    sealed = vault.seal(kind, data)
    assert len(sealed) == len(data) + OVERHEAD
    assert vault.open(kind, sealed) == data
    assert vault.seal(kind, data) != sealed
    # By AES-GCM as the standard has it, without this module.
    bound = f"facewise\ngallery\n{kind}".encode()
    assert AESGCM(KEY).decrypt(sealed[:12], sealed[12:], bound) == data


@given(st.binary(min_size=1, max_size=200), st.data())
def test_any_changed_bit_is_noticed(data, draw):
    vault = Vault(KEY, "gallery")
    sealed = bytearray(vault.seal("embedding 1", data))
    bit = draw.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(GalleryError, match="damaged"):
        vault.open("embedding 1", bytes(sealed))


def test_sealed_bytes_are_bound_to_their_place():
    sealed = Vault(KEY, "one").seal("embedding 1", b"data")
    for vault, kind in (
        (Vault(KEY, "another"), "embedding 1"),
        (Vault(KEY, "one"), "embedding 2"),
        (Vault(KEY, "one"), "photo 1"),
        (Vault(bytes(32), "one"), "embedding 1"),
    ):
        with pytest.raises(GalleryError):
            vault.open(kind, sealed)
    for cut in (b"", sealed[:11], sealed[:27], sealed[:-1]):
        with pytest.raises(GalleryError):
            Vault(KEY, "one").open("embedding 1", cut)


def test_a_data_key_is_the_gallerys_own():
    vault, wrapped = new_vault(KEY, "one")
    assert open_vault(KEY, wrapped, "one").open("x", vault.seal("x", b"data")) == b"data"
    assert new_vault(KEY, "one")[1] != wrapped
    for key, gallery in ((bytes(32), "one"), (KEY, "another")):
        with pytest.raises(GalleryError):
            open_vault(key, wrapped, gallery)


def test_key_files(tmp_path):
    path = tmp_path / "people.key"
    new_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = read_key_file(path)
    assert len(key) == 32
    with pytest.raises(SettingError, match="exists already"):
        new_key_file(path)
    assert read_key_file(path) == key
    new_key_file(tmp_path / "other.key")
    assert read_key_file(tmp_path / "other.key") != key
    with pytest.raises(SettingError, match="cannot be made"):
        new_key_file(tmp_path / "nowhere" / "k")
    with pytest.raises(SettingError, match="cannot be read"):
        read_key_file(tmp_path / "nowhere")
    with pytest.raises(SettingError, match="cannot be read"):
        read_key_file(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", bytes(range(32)), b"facewise-key-1:", b"facewise-key-1:AAAA", b"A" * 44, b"\xff" * 5000,
     b"facewise-key-1:" + b"!" * 44, b"facewise-key-2:" + b"A" * 43 + b"="],
)  # fmt: skip
def test_what_is_no_key_file_is_told(tmp_path, content):
    path = tmp_path / "people.key"
    path.write_bytes(content)
    with pytest.raises(SettingError, match="no key file") as told:
        read_key_file(path)
    assert content.decode(errors="replace")[20:] not in str(told.value) or len(content) <= 20


@pytest.mark.skipif(os.name != "posix", reason="modes")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602, 0o777])
def test_a_key_that_others_can_read_is_refused(tmp_path, mode):
    path = tmp_path / "people.key"
    new_key_file(path)
    path.chmod(mode)
    with pytest.raises(SettingError, match=r"Others on this machine may read .*`chmod 600` it"):
        read_key_file(path)
    with pytest.raises(SettingError, match="Others on this machine"):
        SqliteStore(tmp_path / "people.db", key_file=path)
    assert not (tmp_path / "people.db").exists()
    path.chmod(0o400)
    assert read_key_file(path)


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_a_key_that_is_handed_to_a_user_may_be_read_by_others_and_not_written(tmp_path):
    """As Docker and Kubernetes hand secrets over."""
    if os.geteuid() != 0:
        pytest.skip("To give a file away needs root.")
    path = tmp_path / "people.key"
    new_key_file(path)
    os.chown(path, 12345, -1)
    path.chmod(0o444)
    assert read_key_file(path)
    path.chmod(0o464)
    with pytest.raises(SettingError, match="may write"):
        read_key_file(path)


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_a_key_in_a_folder_of_everybodys_is_refused(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    new_key_file(folder / "people.key")
    folder.chmod(0o777)
    (tmp_path / "link").symlink_to(folder / "people.key")
    for path in (folder / "people.key", tmp_path / "link"):
        with pytest.raises(SettingError, match=r"Everybody on this machine may exchange .*chmod o-w"):
            read_key_file(path)
    with pytest.raises(SettingError, match="Everybody on this machine"):
        new_key_file(folder / "another.key")
    folder.chmod(0o1777)  # as /tmp is: nobody exchanges what is another's
    assert read_key_file(folder / "people.key")


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_what_others_can_read_is_told_by_the_check(tmp_path):
    path = tmp_path / "folder" / "people.db"
    path.parent.mkdir()
    with Gallery.open(path) as gallery:
        assert gallery.advice() == []
        path.chmod(0o644)
        path.parent.chmod(0o777)
        assert gallery.check() == []
        path.with_name("people.db.rekey").touch()
        first, second, third = gallery.advice()
        assert "older Facewise" in first
        assert "may read or write" in second
        assert "Everybody" in third


@pytest.fixture
def keys(tmp_path):
    for name in ("right.key", "wrong.key"):
        new_key_file(tmp_path / name)
    return tmp_path / "right.key", tmp_path / "wrong.key"


def test_an_encrypted_gallery_opens_with_its_key_alone(tmp_path, keys):
    path, (right, wrong) = tmp_path / "people.db", keys
    store = SqliteStore(path, key_file=right)
    store.add([("ada", [sample("ada", 1)])], SPACE)
    store.close()
    before = path.read_bytes()
    for key, told in ((None, "is encrypted: give its key"), (wrong, "with another key")):
        with pytest.raises(GalleryError, match=told):
            SqliteStore(path, key_file=key)
    with pytest.raises(SettingError, match="cannot be read"):
        SqliteStore(path, key_file=tmp_path / "none.key")
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("people.db-*"))
    with Gallery.open(path, key_file=right) as gallery:
        found = gallery.identify_embeddings(face_of("ada", 2)[None], fingerprint=FINGERPRINT, model="fake")
        assert found[0].candidates[0].name == "ada"


def test_the_environment_names_the_key(tmp_path, keys, monkeypatch):
    path, (right, wrong) = tmp_path / "people.db", keys
    monkeypatch.setenv("FACEWISE_KEY_FILE", str(right))
    SqliteStore(path).close()
    with pytest.raises(GalleryError, match="another key"):
        SqliteStore(path, key_file=wrong)  # what is said wins
    SqliteStore(path).close()
    monkeypatch.setenv("FACEWISE_KEY_FILE", "")
    with pytest.raises(GalleryError, match="is encrypted"):
        SqliteStore(path)


def test_a_key_for_a_plain_gallery_is_not_taken_for_encryption(tmp_path, keys):
    path = tmp_path / "people.db"
    SqliteStore(path).close()
    with pytest.raises(GalleryError, match="is not encrypted"):
        SqliteStore(path, key_file=keys[0])


def test_bytes_moved_to_another_persons_place_do_not_open(tmp_path, keys):
    path, key = tmp_path / "people.db", keys[0]
    store = SqliteStore(path, key_file=key)
    store.add([("ada", [sample("ada", 1)]), ("bob", [sample("bob", 1)])], SPACE)
    assert store.check() == []
    store.close()
    db = sqlite3.connect(path)
    db.execute("UPDATE samples SET vector = 3 - vector")  # as who wants to be taken for Ada would do it
    db.commit()
    db.close()
    store = SqliteStore(path, key_file=key)
    with pytest.raises(GalleryError, match="damaged"):
        store.load()
    assert len(store.check()) == 2
    store.close()


def test_a_gallery_copied_with_its_key_opens_elsewhere(tmp_path, keys):
    path, key = tmp_path / "people.db", keys[0]
    store = SqliteStore(path, key_file=key)
    store.add([("ada", [sample("ada", shot) for shot in range(3)])], SPACE)
    store.close()
    other = tmp_path / "elsewhere" / "copy.db"
    other.parent.mkdir()
    shutil.copy(path, other)
    store = SqliteStore(other, key_file=key)
    assert np.array_equal(store.load().rows, [face_of("ada", shot) for shot in range(3)])
    store.close()
