"""Workers that are processes (see `facewise.serve.lookers`): who gets which photo, and what becomes of it.

Photos go into one `Intake`, from which a process that is free takes the next by itself: a share for each
process and one ahead, so that none waits for the service. A share is photos whose crops are embedded
together, more than one only while many wait. A thread for each process hears what it found, and searches for
the faces, if nobody is searching. Else they wait for the search that is running to end, and the thread that
is there for it searches for all that came meanwhile as one batch.

A process that ends, or does not get on, is started again. A photo that it held alone is refused; those that
it held together are looked at one by one, so that the others are kept. Where it held none, it may have been
ended (not by a photo: by something from outside) between taking one and saying so: then whatever nobody has
said to hold is put in again, and what is done twice is answered once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Hashable, Sequence
from functools import partial
from itertools import count

import numpy as np

from facewise.errors import FacewiseError, ImageError
from facewise.gallery.identification import embedding_of
from facewise.pipeline import Pipeline
from facewise.serve.engine import Engine, thread
from facewise.serve.frames import Seen
from facewise.serve.intake import Intake, Look
from facewise.serve.jobs import Photo, Probes, begin, take_alike
from facewise.serve.lookers import Looker, OvertimeError
from facewise.serve.settings import Limits

_LOG = logging.getLogger(__name__)

_AHEAD = 1
"""Shares that wait in the intake for each process, beside the one that it looks at."""

_PAUSE = 1.0
"""Seconds between two tries to start a process again."""


class ProcessEngine(Engine):
    """Processes that look at photos; the search stays here. Arguments as of `Engine`."""

    def _start(self) -> None:
        self._found = threading.Condition(self._lock)
        self._done = threading.Condition(self._lock)
        self._jobs: dict[int, list[Photo]] = {}  # handed out and not answered, by number
        self._numbers = count(1)
        self._searching = False
        self._ended = False  # whether the processes are to end
        self._looked = False  # whether all photos have been looked at, at the end
        self._intake = Intake()
        try:
            self._lookers = _started(self.pipeline, self._limits, self.workers, self._intake)
        except BaseException:
            self._intake.close()
            raise
        self._alive = self.workers
        self._threads = [
            thread(partial(self._drive, looker), f"facewise-driver-{i}")
            for i, looker in enumerate(self._lookers)
        ]
        self._searcher = thread(self._search_rest, "facewise-searcher")

    @property
    def confined(self) -> tuple[str, ...]:
        """What holds of every process, of what takes from it all it does not need."""
        words = [looker.confined for looker in self._lookers]
        return tuple(word for word in words[0] if all(word in each for each in words))

    def close(self) -> None:
        """Finishes what was put in, and ends the processes."""
        with self._wake:
            self._closed = True
            while self._photos or self._jobs:
                self._done.wait()
            self._ended = True
            self._done.notify_all()
        self._intake.close()
        for driver in self._threads:
            driver.join()
        with self._wake:
            self._looked = True
            self._found.notify_all()
        self._searcher.join()
        for looker in self._lookers:
            looker.close()

    def _put(self, photo: Photo) -> None:
        super()._put(photo)
        self._feed()

    def _feed(self) -> None:
        """Hands out the oldest photos; no more than are taken soon, as the others may yet be dropped."""
        while True:
            with self._lock:
                if not self._photos or len(self._jobs) >= (1 + _AHEAD) * self.workers:
                    return
                share = min(self._batch, -(-len(self._photos) // self.workers))
                taken = self._photos.take(share, self._may_be_given)
                if not taken:
                    return
                photos = [photo for photo in taken if begin(photo.ticket, photo.future)]
                if not photos:
                    self._done.notify_all()
                    continue
                number = self._number(photos)
            self._hand_out(number, photos)

    def _may_be_given(self, client: Hashable) -> bool:
        """Whether a job of this client may be handed out."""
        most = self._photos.most(client, self.workers)
        return most is None or sum(p[0].ticket.client == client for p in self._jobs.values()) < most

    def _number(self, photos: list[Photo]) -> int:
        number, now = next(self._numbers), time.monotonic()
        for photo in photos:
            photo.handed = now
        self._jobs[number] = photos
        return number

    def _hand_out(self, number: int, photos: Sequence[Photo]) -> None:
        looks = [
            Look(bytes(p.upload), p.upload.name, p.embed, p.main_only, p.attributes, p.mesh) for p in photos
        ]
        try:
            self._intake.put(number, looks)
        except Exception as error:  # noqa: BLE001  told to whoever sent the photos
            self._refuse(number, error)

    def _refuse(self, number: int, error: Exception) -> None:
        """Ends a job that will not be done."""
        for photo in self._answered(number):
            photo.future.set_exception(error)

    def _answered(self, number: int) -> list[Photo]:
        """The photos of a job that is over; none if it was before."""
        with self._lock:
            photos = self._jobs.pop(number, [])
            if not self._jobs:
                self._done.notify_all()
        return photos

    def _drive(self, looker: Looker) -> None:
        """Hears of faces, until the engine is closed and no photo is left."""
        free = time.monotonic()  # since when the process has had nothing else to do
        while True:
            try:
                number, seen, together = looker.answer()
            except Exception as error:  # noqa: BLE001  whatever it is, the process is of no more use
                if not isinstance(error, EOFError | OSError):
                    _LOG.exception("A worker process cannot be understood.")
                self._charge(self._jobs.get(looker.holds, []), free)
                if self._ended or not self._restart(looker, error):
                    return
                free = time.monotonic()
                continue
            photos = self._answered(number)
            free = self._charge(photos, free)
            try:
                self._feed()
                if together:
                    self._observe("embed", together)
                self._hand_on(photos, seen)
            except BaseException:  # a bug here must not cost a worker  # noqa: BLE001
                _LOG.exception("A worker failed.")

    def _charge(self, photos: Sequence[Photo], free: float) -> float:
        """Charges clients for what a process was busy with until now."""
        now = time.monotonic()
        if photos:
            with self._lock:
                self._photos.took(photos, now - max(free, photos[0].handed))
        return now

    def _hand_on(self, photos: Sequence[Photo], seen: Sequence[Seen]) -> None:
        probes = []
        for photo, one in zip(photos, seen, strict=False):  # of a job that was answered before there is none
            if isinstance(one, Exception):
                photo.future.set_exception(one)
            elif photo.asked is None:
                photo.future.set_result(one)
            else:
                size = self.pipeline.embedder.embedding_size
                rows = np.zeros((len(one.faces), size), dtype=np.float32)
                for row, face in zip(rows, one.faces, strict=True):
                    row[:] = embedding_of(face)
                probes.append(Probes(one, rows, photo.asked, photo.ticket, photo.future, photo.note))
        if probes:
            with self._lock:
                self._probes.extend(probes)
            self._search_once()

    def _restart(self, looker: Looker, ended: Exception) -> bool:
        """Starts a process that has ended, when its photos are seen to; False if the engine ends first."""
        looker.close()
        held = looker.holds
        with self._lock:
            self._alive -= 1
            taken = {other.holds for other in self._lookers if other is not looker}
            untold = {} if held else {n: photos for n, photos in self._jobs.items() if n not in taken}
        photos = self._part(held, ended)
        _LOG.warning("A worker process ended while it looked at %d photos; it is started again.", len(photos))
        for number, others in untold.items():
            self._hand_out(number, others)
        while True:
            try:
                looker.start()
                looker.wait_until_ready()
            except Exception:  # told; the next try may do better  # noqa: BLE001
                _LOG.exception("A worker process could not be started again.")
                looker.close()
            else:
                with self._lock:
                    self._alive += 1
                self._feed()
                return True
            with self._lock:
                if self._closed and not self._alive:
                    self._give_up()
                self._done.wait(_PAUSE)
                if self._ended:
                    return False

    def _part(self, held: int, ended: Exception) -> list[Photo]:
        """The photos of the job that a process ended with: one is refused, of several each is a job now."""
        with self._lock:
            photos = self._jobs.get(held, [])
            numbers = [self._number([photo]) for photo in photos] if len(photos) > 1 else []
        if len(photos) == 1:
            name = photos[0].upload.name
            why = "looking at it failed"
            if isinstance(ended, OvertimeError | TimeoutError):
                why = "looking at it took too long; save it again as a plain JPEG"
            self._refuse(held, ImageError(f"{name} cannot be read: {why}."))
        else:
            self._answered(held)
        for number, photo in zip(numbers, photos, strict=False):
            self._hand_out(number, [photo])
        return photos

    def _give_up(self) -> None:
        """At the end, with no process left: nobody is to wait for ever."""
        error = FacewiseError("No worker process is left to look at this.")
        for number in list(self._jobs):
            self._refuse(number, error)
        while self._photos:
            photo = self._photos.popleft()
            if begin(photo.ticket, photo.future):
                photo.future.set_exception(error)
        self._done.notify_all()

    def _search_once(self) -> None:
        """One search, unless there is one under way: who does that looks again when it is done."""
        with self._wake:
            if self._searching or not self._probes:
                return
            self._searching = True
            probes = take_alike(self._probes)
        try:
            self._answer(probes)
        finally:
            with self._wake:
                self._searching = False
                if self._probes or self._looked:
                    self._found.notify()

    def _search_rest(self) -> None:
        """The thread that searches where no driver does."""
        while True:
            with self._wake:
                while not self._probes or self._searching:
                    if self._looked and not self._probes:
                        return
                    self._found.wait()
            try:
                self._search_once()
            except BaseException:  # as in `_drive`  # noqa: BLE001
                _LOG.exception("A search failed.")


def _started(pipeline: Pipeline, limits: Limits, number: int, intake: Intake) -> list[Looker]:
    """Processes that have loaded their networks, side by side."""
    lookers = [Looker(pipeline, limits, intake) for _ in range(number)]
    try:
        for looker in lookers:
            looker.start()
        for looker in lookers:
            looker.wait_until_ready()
    except BaseException:
        for looker in lookers:
            looker.close()
        raise
    return lookers
