"""Telling videos from photos by what is in the files, and finding both in folders."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from facewise.formats.kinds import kind_of
from facewise.image import file_errors, local_path, source_name
from facewise.photos import SUFFIXES, Found, search_photos

VIDEO_SUFFIXES = frozenset(
    {
        ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".avi", ".divx", ".mkv", ".webm", ".flv", ".f4v",
        ".ogv", ".wmv", ".asf", ".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts",
    }
)  # fmt: skip
"""Lower-case file name endings that are looked at in folders."""

_STILL_BRANDS = frozenset({b"jxl ", b"j2ki", b"jp2 ", b"jpx "})
"""Brands of the ISO base media format that hold one picture and are not read as photos by it."""

_OLD_QUICKTIME = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_STARTS = (
    b"\x1a\x45\xdf\xa3",  # Matroska and WebM
    b"FLV\x01",
    b"OggS",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF: WMV
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG video
)
_PACKET = 188
"""Bytes of an MPEG transport stream's packet, each of which starts with 0x47."""


def looks_like_video(start: bytes) -> bool:
    """Whether a file that begins so is a video of one of the containers that are read.

    Only containers that hold their pictures themselves: a playlist, which names other files or addresses to
    open, is none of them.

    Args:
        start: The first 600 bytes or more, fewer where the file is shorter.
    """
    if start.startswith(_STARTS):
        return True
    if start[:4] == b"RIFF":
        return start[8:11] == b"AVI"
    if start[4:8] == b"ftyp":
        return not kind_of(start) and start[8:12] not in _STILL_BRANDS
    if start[4:8] in _OLD_QUICKTIME:
        return True
    # Of a transport stream, or of a Blu-ray's, whose packets have a time in front of them.
    return any(
        start[at::step][:3] == b"\x47\x47\x47" and len(start) > at + 2 * step
        for at, step in ((0, _PACKET), (4, _PACKET + 4))
    )


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a video, by its content; what is called one but has no content of one is not.

    Raises:
        ImageError: It cannot be read.
    """
    name = source_name(path)
    with file_errors(name), Path(local_path(path, name)).open("rb") as file:
        return looks_like_video(file.read(1024))


def photos_and_videos(paths: Iterable[str | os.PathLike[str]]) -> tuple[list[Path], list[Path]]:
    """The photos and the videos that files and folders stand for.

    A file is told by its content whatever it is called. One that cannot be read, or is neither, goes where
    its name says, so that reading it tells what is wrong.

    Args:
        paths: Files, and folders, which are searched for the names of photos and of videos.

    Returns:
        Photos and videos, each in the order given and each path once.

    Raises:
        ImageError: A path is no local path, or a folder cannot be listed.
    """
    return told_apart(search_photos_and_videos(paths).photos)


def search_photos_and_videos(paths: Iterable[str | os.PathLike[str]]) -> Found:
    """As `facewise.photos.search_photos`, for the names of photos and of videos."""
    return search_photos(paths, suffixes=SUFFIXES | VIDEO_SUFFIXES)


def told_apart(files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Photos and videos, see `photos_and_videos`."""
    photos, videos = list[Path](), list[Path]()
    for path in files:
        (videos if _is_or_should_be(path) else photos).append(path)
    return photos, videos


def _is_or_should_be(path: Path) -> bool:
    start = b""
    # A device is better not opened to look. os.path, as Path.is_file raises for a name that is too long.
    if os.path.isfile(path):  # noqa: PTH113
        with suppress(OSError), path.open("rb") as file:
            start = file.read(1024)
    if not start:
        return path.suffix.lower() in VIDEO_SUFFIXES
    return looks_like_video(start) or (path.suffix.lower() in VIDEO_SUFFIXES and not kind_of(start))
