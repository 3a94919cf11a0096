"""Places for connections: so many in all, and so many for one address. Used on the event loop only.

A connection that waits for its client (for a first byte, a TLS handshake, a head, the next request) costs
nothing to end. When all places are taken the longest-waiting one gives way to a newcomer: of the same address
where that has all its places, else of any; and of those that never said anything where they are the most,
else of the others. So silent and slow connections, however many, shut nobody out. One that waits for us, as
its request is there, keeps its place until that is answered, which takes a moment where there is no key.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator

from facewise.serve.ratelimit import neighbourhood

try:
    import resource
except ImportError:  # Windows counts no descriptors
    resource = None  # type: ignore[assignment]

MOST = 1000
"""Connections at a time, where the descriptors allow it."""

_OWN = 256
"""Descriptors that are kept for files, galleries and workers."""


def most_connections() -> int:
    """How many connections this process can hold and still open the files that it needs."""
    if resource is None:
        return MOST
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return MOST
    return max(8, min(MOST, limit - min(_OWN, limit // 2)))


class Place:
    """One connection's place; it waits from the beginning, and has said nothing.

    Attributes:
        end: Ends the connection; whoever makes it says how.
        left: Called when it is given back, for what still waits on behalf of its client.
        since: When it began to wait.
        spoken: Whether its client ever said anything.
    """

    __slots__ = ("_house", "_places", "end", "left", "since", "spoken")

    def __init__(self, places: Places, house: _House) -> None:
        self._places, self._house = places, house
        self.end: Callable[[], object] = _nothing
        self.left: Callable[[], object] = _nothing
        self.since = math.inf
        self.spoken = False

    @property
    def address(self) -> str:
        """Whose it is; of IPv6, a /64."""
        return self._house.name

    def wait(self, now: float) -> None:
        """The client is waited for: it has so long from `now` on."""
        if self in self._house.held:
            self._house.waiting.discard(self)
            self._places.waiting.discard(self)
            self.since = now
            self._house.waiting.add(self)
            self._places.waiting.add(self)

    def serve(self) -> None:
        """It is our turn to do something for the client: the place is kept until it waits again."""
        self._house.waiting.discard(self)
        self._places.waiting.discard(self)
        self.spoken = True

    def leave(self) -> None:
        """The connection is gone."""
        self.serve()
        self._places.left(self, self._house)
        self.left()


def _nothing() -> None:
    """Done where nobody said what to do."""


class _Waiting:
    """Places that wait: the silent ones, and those that spoke, each in order."""

    def __init__(self) -> None:
        self._silent: OrderedDict[Place, None] = OrderedDict()
        self._spoken: OrderedDict[Place, None] = OrderedDict()

    def add(self, place: Place) -> None:
        """At the end."""
        (self._spoken if place.spoken else self._silent)[place] = None

    def discard(self, place: Place) -> None:
        """If it is there."""
        (self._spoken if place.spoken else self._silent).pop(place, None)

    def first(self) -> Place | None:
        """Which gives way first."""
        crowd = self._silent if len(self._silent) >= len(self._spoken) else self._spoken
        return next(iter(crowd), None)

    def __iter__(self) -> Iterator[Place]:
        yield from self._silent
        yield from self._spoken

    def before(self, moment: float) -> list[Place]:
        """Those that have waited since before a moment."""
        return [place for place in self if place.since < moment]


class _House:
    """The connections of one address."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held: set[Place] = set()
        self.waiting = _Waiting()


class Places:
    """All places.

    Args:
        most: Connections in all.
        each: Connections of one address (of IPv6, of one /64).
        proxies: Addresses or networks that speak for many clients: each may hold as many as there are.

    Attributes:
        held: Connections there are.
        waiting: Those that wait for their clients.
        refused: Connections that found no place, counted.
        displaced: Connections that gave way, counted.
    """

    def __init__(self, most: int, each: int, proxies: tuple[str, ...] = ()) -> None:
        self._most, self._each = most, each
        self._proxies = [ipaddress.ip_network(proxy, strict=False) for proxy in proxies]
        self._houses: dict[str, _House] = {}
        self.held = 0
        self.waiting = _Waiting()
        self.refused = 0
        self.displaced = 0

    def enter(self, address: str, now: float) -> Place | None:
        """A place for a connection from `address`, or None where all are kept by requests."""
        name = neighbourhood(address)
        house = self._houses.get(name) or _House(name)
        full = len(house.held) >= self._each and not self._is_proxy(address)
        if (full and not self._displace(house.waiting)) or (
            self.held >= self._most and not self._displace(self.waiting)
        ):
            self.refused += 1
            return None
        self._houses[name] = house
        place = Place(self, house)
        house.held.add(place)
        self.held += 1
        place.wait(now)
        return place

    def left(self, place: Place, house: _House) -> None:
        """Gives a place back; a second time does nothing."""
        if place in house.held:
            house.held.remove(place)
            self.held -= 1
            if not house.held:
                self._houses.pop(house.name, None)

    def end_waiting(self, before: float) -> None:
        """Ends the connections that have waited since before a moment."""
        for place in self.waiting.before(before):
            place.leave()
            place.end()

    def _is_proxy(self, address: str) -> bool:
        return any(ipaddress.ip_address(address) in network for network in self._proxies)

    def _displace(self, waiting: _Waiting) -> bool:
        place = waiting.first()
        if place is None:
            return False
        place.leave()
        place.end()
        self.displaced += 1
        return True
