"""Names to builders: one decorator and one dict for each kind of part."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from facewise.errors import SettingError, nearest_known

_Part = TypeVar("_Part")


class Registry(Generic[_Part]):
    """Builders of one kind of part, by name."""

    def __init__(self, kind: str) -> None:
        """Args: kind: What the parts are called in messages, such as `backbone`."""
        self.kind = kind
        self._builders: dict[str, Callable[..., _Part]] = {}

    def register(self, name: str) -> Callable[[Callable[..., _Part]], Callable[..., _Part]]:
        """Decorator: make a class or function known under a name."""

        def add(builder: Callable[..., _Part]) -> Callable[..., _Part]:
            if name in self._builders:
                raise ValueError(f"two parts of the kind {self.kind} are called {name}")
            self._builders[name] = builder
            return builder

        return add

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._builders))

    def get(self, name: str) -> Callable[..., _Part]:
        """The builder of a name.

        Raises:
            SettingError: Nothing is called so; the nearest name is told.
        """
        if name not in self._builders:
            raise SettingError(f"There is no {self.kind} {name!r}{nearest_known(name, self.names())}")
        return self._builders[name]

    def build(self, name: str, /, *args: Any, **options: Any) -> _Part:
        """Make a part.

        Raises:
            SettingError: The name or an option is unknown; the nearest known one is told.
        """
        builder = self.get(name)
        known = inspect.signature(builder).parameters
        for option in options:
            if option not in known:
                raise SettingError(
                    f"The {self.kind} {name} has no option {option!r}{nearest_known(option, known)}"
                )
        return builder(*args, **options)
