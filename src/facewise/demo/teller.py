"""Who is told of the demo while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from facewise.demo.blocks import Section


class Teller(Protocol):
    """Shows what happens to people."""

    def begin(self, number: int, title: str, left: Callable[[], float | None]) -> None:
        """A step begins; `left` says at any time how many seconds all of the demo still takes, or None."""
        ...

    def note(self, text: str) -> None:
        """Something worth a line, such as what was left out."""
        ...

    def bar(self, label: str, total: int) -> AbstractContextManager[Callable[..., None]]:
        """A progress bar; gives a function that is told how many more are done."""
        ...

    def end(self, section: Section) -> None:
        """What a step came to."""
        ...

    def training(self) -> Any:
        """Makes what shows the progress of one training: a `facewise.training.display.Display`."""
        ...


class Silent:
    """Shows nothing."""

    def begin(self, number: int, title: str, left: Callable[[], float | None]) -> None:
        """See `Teller`."""

    def note(self, text: str) -> None:
        """See `Teller`."""

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[..., None]]:  # noqa: ARG002  shown by others
        """See `Teller`."""
        yield lambda *_: None

    def end(self, section: Section) -> None:
        """See `Teller`."""

    def training(self) -> Any:
        """See `Teller`."""
        from facewise.training.display import Quiet  # noqa: PLC0415  needs the train extra's neighbours

        return Quiet()
