"""A change of the gallery, from its first step to its entry in the audit log, whoever still waits for it.

A request is given up after its time; a change that has begun is not. So the thread that makes it sees to its
entry: what was done is noted by the change itself, what failed is recorded by the same thread. The request
records only what never began.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from facewise.gallery.notes import Tell
from facewise.serve.service import Service

_Result = TypeVar("_Result")


class Undertaking(Generic[_Result]):
    """One change.

    Args:
        service: Whose gallery and log.
        work: Makes the change, by one transaction of the gallery.
        tell: What to note of it.
        failed: Records that it failed.
    """

    def __init__(
        self, service: Service, work: Callable[[], _Result], tell: Tell, failed: Callable[[Exception], None]
    ) -> None:
        self._service, self._work, self._tell, self._failed = service, work, tell, failed

    def run(self) -> _Result:
        """Makes the change; when this returns or raises, the log says which, or will when it can be written.

        Raises:
            FacewiseError: Whatever the work raises, also after the change is made.
        """
        with self._service.loaded.people.gallery.noting(self._tell) as noted:
            try:
                return self._work()
            except Exception as error:
                if not noted.made:
                    self._failed(error)
                raise
            finally:
                if noted.made:
                    self._service.settle_or_tell()
