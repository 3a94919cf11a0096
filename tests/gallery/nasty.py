"""Files of others, under every name that a gallery's own files come near."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from facewise.vault import new_key_file

KINDS = ("file", "key", "link", "hard link", "folder")


def names_beside(gallery: str) -> Iterator[str]:
    """None is one of SQLite's own, which it must have."""
    for ending in (".rekey", ".index", ".index.lock", ".bak", ".keys.old", ".key", ".tmp", "~"):
        yield gallery + ending
    for ending in (".rekey", ".index"):
        for more in (".key", "-x", "-wal", "-shm", "-journal", "2024", ".index", ".lock.key"):
            yield gallery + ending + more
    for of in (gallery, f"{gallery}.index", "export.npz"):
        mark = hashlib.sha256(of.encode()).hexdigest()[:12]
        yield from (f".{mark}-key", f".{mark}-deadbeef.key", f".{mark}-deadbeef0.index", f".{mark}.rekey")


def put_beside(gallery: Path, kind: str, elsewhere: Path) -> None:
    """Makes one of a kind of each name; what links lead to is made in another folder."""
    elsewhere.mkdir(exist_ok=True)
    for name in names_beside(gallery.name):
        path, target = gallery.with_name(name), elsewhere / name
        if kind == "key":
            new_key_file(path)
        elif kind == "folder":
            path.mkdir()
            (path / "file").write_bytes(name.encode())
        else:
            (path if kind == "file" else target).write_bytes(b"precious: " + name.encode() * 200)
            if kind == "link":
                path.symlink_to(target)
            elif kind == "hard link":
                path.hardlink_to(target)


def everything(*folders: Path) -> dict[str, object]:
    """All that is there: bytes, links, kinds, sizes and times."""
    found: dict[str, object] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            facts = path.lstat()
            what = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else ""
            found[str(path)] = (what, facts.st_mode, facts.st_ino, facts.st_nlink)
    return found
