"""What workers are given: photos that wait, probes that wait, and who waits for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeAlias

from facewise.pipeline import PhotoFaces
from facewise.serve.admission import Ticket
from facewise.serve.uploads import Upload
from facewise.types import Face, FloatArray

MOST_PROBES = 64
"""Probes of one search."""

Search: TypeAlias = Callable[[FloatArray, Any, Sequence[Face]], tuple[Any, Sequence[Any]]]
"""From (P, D) probes, what is asked of them and the face of each, to what holds for all, and an answer
each."""

Found: TypeAlias = tuple[PhotoFaces, Any, list[Any]]
"""A photo's faces, what holds for the whole search, and the answer for each face."""

Note: TypeAlias = Callable[[Found, Callable[[Exception | None], None]], None]
"""Told what was found before whoever asked is: they are when it calls back, unless with an error."""


@dataclass(eq=False, slots=True)
class Photo:
    """A photo to look at.

    Attributes:
        upload: Its bytes.
        embed: Whether embeddings are wanted.
        main_only: Whether the main face alone is.
        asked: What is asked of its faces; None where they are all that is wanted.
        ticket: Of the request.
        future: Of its faces, or of what was found.
        note: Told first, on the thread that searched.
        attributes: What to say of each face, see `facewise.pipeline.Steps`.
        mesh: Whether meshes are wanted, likewise.
        charged: Seconds of a worker that its client was charged for it.
        handed: When it was handed to the workers.
    """

    upload: Upload
    embed: bool
    main_only: bool
    asked: Hashable | None
    ticket: Ticket
    future: Future[Any]
    note: Note | None = None
    attributes: tuple[str, ...] = ()
    mesh: bool = False
    charged: float = 0.0
    handed: float = 0.0


@dataclass(eq=False, slots=True)
class Probes:
    """The faces of a photo, to be searched for; attributes as of `Photo`.

    Attributes:
        found: The faces.
        rows: `(F, D)` their embeddings.
    """

    found: PhotoFaces
    rows: FloatArray
    asked: Hashable
    ticket: Ticket
    future: Future[Found]
    note: Note | None = None


def take_alike(queue: deque[Probes]) -> list[Probes]:
    """The oldest and all that ask the same, up to a bound; the others keep their places."""
    first = queue.popleft()
    taken, count = [first], len(first.rows)
    for item in list(queue):
        if item.asked == first.asked and count + len(item.rows) <= MOST_PROBES:
            queue.remove(item)
            taken.append(item)
            count += len(item.rows)
    return taken


def begin(ticket: Ticket, future: Future[Any]) -> bool:
    """Whether somebody still waits for it."""
    return future.set_running_or_notify_cancel() and (ticket.wanted or drop(future))


def drop(future: Future[Any]) -> bool:
    """Ends what nobody waits for any more."""
    future.set_exception(TimeoutError("nobody waits for this any more"))
    return False
