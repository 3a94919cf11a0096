"""Where a gallery is, as one text: a path, or a URI that says which store.

| given | store |
|---|---|
| `people.db`, `sqlite:///people.db`, `sqlite:////srv/people.db` | one SQLite file |
| `milvus-lite:///people_milvus.db` | one Milvus Lite file, for one process |
| `milvus://host:19530/people` | a gallery on a Milvus server |

After `sqlite:///` and `milvus-lite:///` comes the path: with a fourth slash an absolute one. A Milvus
server's user is taken from the environment, `MILVUS_TOKEN=user:password` (or an API key), or from
`milvus://user:password@…`, which others may see in the list of processes. Options of a server follow a
question mark: `index=flat|hnsw|ivf_sq8|diskann`, `consistency=strong|bounded`, `database=NAME`, `tls=yes|no`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from facewise.errors import GalleryError
from facewise.gallery.counter import COUNTER_FILE_VARIABLE
from facewise.secret import Secret
from facewise.vault import KEY_FILE_VARIABLE

if TYPE_CHECKING:
    from facewise.gallery.store import Store

TOKEN_VARIABLE = "MILVUS_TOKEN"  # noqa: S105  the variable's name, not what it holds

_SCHEMES = ("sqlite", "milvus-lite", "milvus")
_LIKE_A_URI = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_OPTIONS = {
    "index": ("flat", "hnsw", "ivf_sq8", "diskann"),
    "consistency": ("strong", "bounded"),
    "tls": ("yes", "no"),
    "database": (),
}


@dataclass(frozen=True, slots=True)
class GalleryUri(os.PathLike[str]):
    """Where a gallery is; taken wherever a path or URI is. Its text is without what it says of the user.

    Attributes:
        scheme: `"sqlite"`, `"milvus-lite"` or `"milvus"`.
        path: The file of the first two, None for a server.
        host: Of a server.
        port: Of a server.
        name: The gallery's on a server.
        token: What the URI says of the user, or empty.
        options: Of a server.
    """

    scheme: str
    path: Path | None = None
    host: str = ""
    port: int = 0
    name: str = ""
    token: Secret = field(default_factory=Secret)
    options: tuple[tuple[str, str], ...] = ()

    def __fspath__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        """What a user may read: without the credentials."""
        if self.scheme == "sqlite":
            return str(self.path)
        if self.scheme == "milvus-lite":
            return f"milvus-lite:///{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"milvus://{host}:{self.port}/{self.name}"


def parse_uri(where: str | os.PathLike[str]) -> GalleryUri:
    """Takes a gallery's path or URI apart.

    Raises:
        GalleryError: No URI of a gallery, told in a sentence.
    """
    if isinstance(where, GalleryUri):
        return where
    text = os.fspath(where)
    if not isinstance(where, str):
        return GalleryUri("sqlite", Path(text))
    if not text:
        raise GalleryError("The path of a gallery is empty.")
    scheme = _LIKE_A_URI.match(text)
    if scheme is None:
        return GalleryUri("sqlite", Path(text))
    if scheme[1].lower() not in _SCHEMES:
        raise GalleryError(
            f"There is no kind of gallery {scheme[1]}://: give a path, sqlite:///PATH, "
            "milvus://HOST:PORT/NAME or milvus-lite:///PATH.db."
        )
    if scheme[1].lower() != "milvus":
        return _file(scheme[1].lower(), text[scheme.end() :])
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  an impossible one is a ValueError
    except ValueError:  # whose words may hold a part of a password
        raise GalleryError(
            f"{_shown(text)} is no address of a Milvus gallery: write milvus://HOST:19530/NAME, and in a "
            "user's name or password %2F for a slash, and so on."
        ) from None
    return _server(parts, _shown(text))


def _file(scheme: str, rest: str) -> GalleryUri:
    path = rest[1:] if rest.startswith("/") else ""
    if not path:
        raise GalleryError(
            f"{scheme}://{rest} names no file: write {scheme}:///people.db, or {scheme}:////srv/people.db "
            "for an absolute path."
        )
    if scheme == "milvus-lite" and not path.endswith(".db"):
        raise GalleryError(f"The name of a Milvus Lite gallery ends with .db, and {path} does not.")
    return GalleryUri(scheme, Path(path))


def _server(parts: SplitResult, shown: str) -> GalleryUri:
    name = parts.path.removeprefix("/")
    if not parts.hostname:
        raise GalleryError(f"{shown} names no host: write milvus://HOST:19530/NAME.")
    if not _NAME.fullmatch(name):
        raise GalleryError(
            f"{shown} names no gallery on the server: after the host comes /NAME, of letters, digits and "
            "underscores, beginning with a letter, at most 64."
        )
    if parts.fragment:
        raise GalleryError(f"{shown} has a part after # that means nothing.")
    token = Secret()
    if parts.username is not None:
        token = Secret(f"{unquote(parts.username)}:{unquote(parts.password or '')}")
    options = tuple(parse_qsl(parts.query, keep_blank_values=True))
    for key, value in options:
        if key not in _OPTIONS:
            raise GalleryError(f"{shown} has an unknown option {key}: there are {', '.join(_OPTIONS)}.")
        if (allowed := _OPTIONS[key]) and value not in allowed:
            raise GalleryError(f"{shown}: {key} is {' or '.join(allowed)}, not {value!r}.")
    return GalleryUri("milvus", None, parts.hostname, parts.port or 19530, name, token, options)


def _shown(text: str) -> str:
    """The text without what may be a password, which has any character where it was not written as one."""
    return re.sub(r"//.*@", "//…@", text, flags=re.DOTALL).split("?", maxsplit=1)[0]


def open_store(
    where: str | os.PathLike[str],
    *,
    create: bool = True,
    key_file: str | os.PathLike[str] | None = None,
    counter_file: str | os.PathLike[str] | None = None,
) -> Store:
    """Opens the store that a path or URI names.

    Args:
        where: See the top of this file.
        create: Whether a missing gallery is made.
        key_file: The user's key, for SQLite (see `facewise.vault`); None is what the environment names.
        counter_file: Where an SQLite gallery's changes are counted too (see `facewise.gallery.counter`).

    Raises:
        GalleryError: No such gallery, not usable, no URI of one, or a key for a store that takes none.
        SettingError: The key file is missing or none.
    """
    uri = parse_uri(where)
    if uri.scheme == "sqlite":
        from facewise.gallery.sqlite import SqliteStore  # noqa: PLC0415  only the store that is used

        return SqliteStore(_path(uri), create=create, key_file=key_file, counter_file=counter_file)
    if key_file is not None or os.environ.get(KEY_FILE_VARIABLE):  # whoever sets it believes it encrypts
        raise GalleryError(
            f"{uri} cannot be encrypted with a key file, which only SQLite galleries can: leave it out (and "
            f"{KEY_FILE_VARIABLE} unset), and have the Milvus server's disks and connections encrypted."
        )
    if counter_file is not None or os.environ.get(COUNTER_FILE_VARIABLE):
        raise GalleryError(
            f"The changes of {uri} cannot be counted in a file, which only those of SQLite galleries can: "
            f"leave it out (and {COUNTER_FILE_VARIABLE} unset)."
        )
    return _milvus(uri, create)


def _milvus(uri: GalleryUri, create: bool) -> Store:
    from facewise.gallery.milvus import MilvusStore  # noqa: PLC0415
    from facewise.gallery.milvus_link import Link  # noqa: PLC0415

    if uri.scheme == "milvus-lite":
        path = _path(uri)
        if not create and not path.exists():
            raise GalleryError(f"There is no gallery {uri}.")
        if not path.parent.is_dir():
            raise GalleryError(f"{uri} cannot be created: there is no folder {path.parent}.")
        if path.exists() and not path.is_dir():
            raise GalleryError(f"{path} is no Milvus Lite gallery, which is a folder: name another.")
        path.mkdir(mode=0o700, exist_ok=True)  # faces are nobody else's business
        link = Link(str(path), str(uri))
        name, index, consistency = "gallery", None, "strong"
    else:
        options = dict(uri.options)
        secure = options.get("tls") == "yes"
        host = f"[{uri.host}]" if ":" in uri.host else uri.host
        link = Link(
            f"{'https' if secure else 'http'}://{host}:{uri.port}",
            str(uri),
            token=Secret(os.environ.get(TOKEN_VARIABLE, "")) or uri.token,
            database=options.get("database", ""),
        )
        name, index = uri.name, options.get("index")
        consistency = options.get("consistency", "strong")
    try:
        return MilvusStore(link, name, create=create, index=index, consistency=consistency.capitalize())
    except BaseException:
        link.close()
        raise


def _path(uri: GalleryUri) -> Path:
    if uri.path is None:  # not for these schemes
        raise GalleryError(f"{uri} names no file.")
    return uri.path
