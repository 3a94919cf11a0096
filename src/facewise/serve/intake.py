"""Where photos wait for a worker process: whichever is free first takes the oldest.

All processes read the same socket, so the kernel hands each message to one of them, and nobody has to know
who is free. A message is a job's number and an open file in memory that holds its photos: it takes no room
in the socket, however large they are, and is gone with whoever held it.
"""

from __future__ import annotations

import mmap
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from facewise.serve.frames import pack, unpack

_NUMBER = 8  # bytes


@dataclass(frozen=True, slots=True)
class Look:
    """One photo to look at.

    Attributes:
        data: Its bytes.
        name: What to call it in an error.
        embed: Whether embeddings are wanted.
        main_only: Whether the main face alone is.
        attributes: What to say of each face, see `facewise.pipeline.Steps`.
        mesh: Whether meshes are wanted, likewise.
    """

    data: bytes
    name: str
    embed: bool
    main_only: bool
    attributes: tuple[str, ...] = ()
    mesh: bool = False


class Intake:
    """The service's end of it; the processes are given `theirs`."""

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    @staticmethod
    def available() -> bool:
        """Whether this system has what it takes: Linux does."""
        return hasattr(os, "memfd_create")

    def put(self, number: int, photos: Sequence[Look]) -> None:
        """Has a process take a job. Any thread may call; some dozens may wait.

        Args:
            number: Of the job, above 0.
            photos: Looked at one after the other.

        Raises:
            OSError: No memory, or no file can be opened.
        """
        fd = os.memfd_create("facewise-photos")
        try:
            with os.fdopen(fd, "wb", closefd=False) as file:
                told = [[p.name, len(p.data), p.embed, p.main_only, p.attributes, p.mesh] for p in photos]
                file.write(pack({"photos": told}))
                for photo in photos:
                    file.write(photo.data)
            socket.send_fds(self._ours, [number.to_bytes(_NUMBER, "little")], [fd])
        finally:
            os.close(fd)

    def close(self) -> None:
        """Ends the processes, when they have taken what waits."""
        self._ours.close()
        self.theirs.close()


class Taken:
    """A job that this process is to do.

    Attributes:
        number: Of the job.
    """

    def __init__(self, number: int, fd: int) -> None:
        self.number, self._fd = number, fd

    def photos(self) -> list[Look]:
        """Its photos; asked for once."""
        with os.fdopen(self._fd, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            head, rest = unpack(whole)
            looks, at = [], 0
            for name, length, embed, main_only, attributes, mesh in head["photos"]:
                data = bytes(rest[at : at + length])
                looks.append(Look(data, name, embed, main_only, tuple(attributes), mesh))
                at += length
            rest.release()
        return looks


def take(theirs: socket.socket) -> Taken | None:
    """Waits for a job; None when there will be none, as the service has closed its end or is gone."""
    message, fds, _, _ = socket.recv_fds(theirs, _NUMBER, 1)
    if not message:
        return None
    if not fds:
        raise OSError("no file can be opened")
    return Taken(int.from_bytes(message, "little"), fds[0])
