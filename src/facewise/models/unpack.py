"""Taking the models out of a downloaded zip: those named, no larger than told, with the right sha256."""

from __future__ import annotations

import hashlib
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from facewise.errors import FacewiseError, ModelError
from facewise.files import atomic_write
from facewise.models.zoo import ZooMember

_CHUNK = 1 << 20
_MOST_BYTES = 1 << 30  # of a member whose size nobody documents


def unpacked(members: Sequence[ZooMember], folder: Path) -> bool:
    """Whether every member is in `folder`, with the right sha256 where it is known."""
    return all(_is_there(member, folder / member.file) for member in members)


def unpack(archive: Path, members: Sequence[ZooMember], folder: Path) -> None:
    """Write the members of a zip into `folder`, each whole or not at all.

    Names in the zip decide nothing about where a file goes: that is `ZooMember.file`.

    Args:
        archive: The zip.
        members: What to take.
        folder: Made if missing.

    Raises:
        ModelError: It is no zip, a member is missing, too large or another, or the disk is full.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in members:
                if not _is_there(member, folder / member.file):
                    _take(opened, member, folder / member.file)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{archive.name} is not a sound zip file ({error}).") from error
    except ModelError:
        raise
    except FacewiseError as error:
        raise ModelError(str(error)) from error
    except OSError as error:
        raise ModelError(f"Cannot read {archive}: {error.strerror or error}.") from error


def _take(opened: zipfile.ZipFile, member: ZooMember, path: Path) -> None:
    info = _find(opened, member)
    limit = member.size or _MOST_BYTES
    if info.file_size > limit:
        raise ModelError(
            f"{member.path} in the zip unpacks to {info.file_size} bytes, at most {limit} may be."
        )
    digest, done = hashlib.sha256(), 0
    with atomic_write(path) as temporary, opened.open(info) as source, temporary.open("wb") as sink:
        # The zip's own word about a size is not trusted: it is counted too.
        while chunk := source.read(_CHUNK):
            done += len(chunk)
            if done > limit:
                raise ModelError(f"{member.path} in the zip unpacks to more than {limit} bytes.")
            digest.update(chunk)
            sink.write(chunk)
        if member.sha256 is not None and digest.hexdigest() != member.sha256:
            got = digest.hexdigest()
            raise ModelError(
                f"{member.path} in the zip has sha256 {got}, expected {member.sha256}: not kept."
            )


def _find(opened: zipfile.ZipFile, member: ZooMember) -> zipfile.ZipInfo:
    """The member by its path, else the only file of that name: packs are zipped with and without a folder."""
    usable = [info for info in opened.infolist() if _harmless(info)]
    exact = [info for info in usable if info.filename == member.path]
    named = [info for info in usable if PurePosixPath(info.filename).name == PurePosixPath(member.path).name]
    found = exact or named
    if len(found) != 1:
        raise ModelError(f"The zip should hold one {member.path} and holds {len(found)}.")
    return found[0]


def _harmless(info: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(info.filename.replace("\\", "/"))
    leaves = path.is_absolute() or ".." in path.parts
    return not (leaves or info.is_dir() or stat.S_ISLNK(info.external_attr >> 16))


def _is_there(member: ZooMember, path: Path) -> bool:
    if not path.is_file() or (member.size is not None and path.stat().st_size != member.size):
        return False
    if member.sha256 is None:
        return True
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == member.sha256
