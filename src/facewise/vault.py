"""Encryption at rest: what a gallery keeps, unreadable without its key.

AES-256-GCM (NIST SP 800-38D) by the `cryptography` library. Two keys: the user's, in a file, opens nothing
but the gallery's own data key, which is random and kept in the gallery under the user's. So a key file can be
renamed, copied to a safe or serve several galleries, and one gallery's bytes mean nothing in another.

Every sealed piece has a fresh random nonce, and is bound to its gallery and to what it is (see
`facewise.gallery.seals`): one put in another's place does not open.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from facewise.errors import GalleryError, SettingError
from facewise.owned import is_open_to_all
from facewise.textfile import decode_text

if TYPE_CHECKING:  # loaded when a key is: who has none does not wait for it
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_FILE_VARIABLE = "FACEWISE_KEY_FILE"
"""The environment variable that names a key file; never the key itself, which others could see there."""

KEY_BYTES = 32
OVERHEAD = 28
"""Bytes that sealing adds: a nonce of 12 before, a tag of 16 after."""

_NONCE = 12
_DATA_KEY = "data key of bound rows"
_UNBOUND_DATA_KEY = "data key"
"""What the data key was sealed as before rows were bound to their people: nobody can make one the other."""
_MARK = b"facewise-key-1:"
_MAX_FILE_BYTES = 1000


class Vault:
    """Seals and opens bytes under one key; any thread may use it.

    Args:
        key: `KEY_BYTES` random bytes.
        context: What everything sealed here is bound to: the gallery's id.
        binds: Whether the gallery's rows are bound too: all but those of an older Facewise.
    """

    def __init__(self, key: bytes, context: str, *, binds: bool = True) -> None:
        self._aead = _aead(key)
        self._context = context
        self._marking = hmac.digest(key, self._bound("marks"), "sha256")
        self.binds = binds

    def seal(self, kind: str, data: bytes) -> bytes:
        """The data unreadable: `OVERHEAD` bytes longer, different each time.

        Args:
            kind: What it is and which one (`"embedding 7"`); needed again to open it.
            data: At most 2 GiB.
        """
        nonce = os.urandom(_NONCE)
        return nonce + self._aead.encrypt(nonce, data, self._bound(kind))

    def open(self, kind: str, sealed: bytes) -> bytes:
        """What was sealed as that kind.

        Raises:
            GalleryError: Sealed with another key or as another kind, or changed since.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  with the rest of the library

        try:
            return self._aead.decrypt(sealed[:_NONCE], sealed[_NONCE:], self._bound(kind))
        # Too short for a nonce and a tag is a ValueError; a database may hold text for bytes, or nothing.
        except (InvalidTag, ValueError, TypeError) as error:
            raise GalleryError(
                "What is encrypted here was damaged or put in another's place: restore it from a copy."
            ) from error

    def marks(self, blocks: bytes) -> bytes:
        """For each 16 bytes 16 others, which nobody without the key can tell from random ones."""
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415  see above

        # A block cipher on blocks that are all different is such a function; nothing is hidden by it.
        return Cipher(algorithms.AES(self._marking), modes.ECB()).encryptor().update(blocks)  # noqa: S305

    def _bound(self, kind: str) -> bytes:
        return f"facewise\n{self._context}\n{kind}".encode()


def new_vault(key: bytes, gallery: str) -> tuple[Vault, bytes]:
    """A vault with a new random data key for one gallery, and that key wrapped, to keep in the gallery.

    Args:
        key: The user's; see `read_key_file`.
        gallery: The gallery's id.
    """
    data_key = secrets.token_bytes(KEY_BYTES)
    return Vault(data_key, gallery), Vault(key, gallery).seal(_DATA_KEY, data_key)


def open_vault(key: bytes, wrapped: bytes, gallery: str) -> Vault:
    """The vault whose data key `new_vault` wrapped.

    Raises:
        GalleryError: It was wrapped by another key or for another gallery.
    """
    users = Vault(key, gallery)
    try:
        return Vault(users.open(_DATA_KEY, wrapped), gallery)
    except GalleryError:
        return Vault(users.open(_UNBOUND_DATA_KEY, wrapped), gallery, binds=False)


def new_key_file(path: str | os.PathLike[str]) -> None:
    """Makes a file with a new random key, for its owner only; one that is there is never written over.

    Raises:
        SettingError: The file exists or cannot be made, or everybody could exchange it.
    """
    _refuse_open_folder(path)
    text = _MARK + base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise SettingError(f"{path} exists already: a key that may be in use is not replaced.") from error
    except OSError as error:
        raise SettingError(f"The key file {path} cannot be made: {error.strerror}.") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        Path(path).unlink(missing_ok=True)
        raise SettingError(f"The key file {path} cannot be made: {error.strerror}.") from error


def key_file_of(key_file: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    """This file, or else the one that the environment names by `FACEWISE_KEY_FILE`, or None."""
    return key_file if key_file is not None else os.environ.get(KEY_FILE_VARIABLE) or None


def user_key(key_file: str | os.PathLike[str] | None) -> bytes | None:
    """The user's key: of this file, or else of the one that the environment names by `FACEWISE_KEY_FILE`.

    Raises:
        SettingError: The file is missing, unreadable, no key file, or open to others.
    """
    named = key_file_of(key_file)
    return None if named is None else read_key_file(named)


def read_key_file(path: str | os.PathLike[str]) -> bytes:
    """The key in a file that `new_key_file` made.

    Raises:
        SettingError: The file is missing, unreadable or no key file, or others could read or exchange it.
    """
    try:
        with Path(path).open("rb") as file:
            data, facts = file.read(_MAX_FILE_BYTES), os.fstat(file.fileno())
    except OSError as error:
        raise SettingError(f"The key file {path} cannot be read: {error.strerror}.") from error
    read = decode_text(data, f"the key file {path}", SettingError, odd_bytes=True)
    text = read.strip().encode(errors="replace")
    try:
        key = base64.b64decode(text.removeprefix(_MARK), altchars=b"-_", validate=True)
    except ValueError:
        key = b""
    if not text.startswith(_MARK) or len(key) != KEY_BYTES:
        raise SettingError(f"{path} is no key file: `facewise gallery new-key` makes one.")
    _refuse_open(path, facts)
    return key


def _refuse_open(path: str | os.PathLike[str], facts: os.stat_result) -> None:
    """As ssh does: a user's own key is for nobody else to read; one that is handed to them, to write."""
    if os.name != "posix" or not stat.S_ISREG(facts.st_mode):
        return
    if facts.st_uid == os.geteuid() and facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingError(f"Others on this machine may read the key file {path}: `chmod 600` it.")
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SettingError(f"Others on this machine may write the key file {path}: have `chmod go-w` done.")
    _refuse_open_folder(path)


def _refuse_open_folder(path: str | os.PathLike[str]) -> None:
    folder = Path(path).resolve().parent
    if folder.is_dir() and is_open_to_all(folder):
        raise SettingError(
            f"Everybody on this machine may exchange the key file {path}: `chmod o-w {folder}`, or keep it "
            "elsewhere."
        )


def _aead(key: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  see above
    except ImportError as error:
        raise SettingError("Encryption needs cryptography: `pip install facewise[serve]`.") from error
    return AESGCM(key)
