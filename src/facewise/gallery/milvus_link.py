"""The wire to Milvus: a client, its errors in plain sentences, and requests no larger than it takes.

Everything of `pymilvus` that the gallery uses goes through here. The library is loaded when a Milvus gallery
is opened (about a second). It sends nothing to anybody but the server; Milvus Lite is a server inside this
process that listens on a free port of 127.0.0.1.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from numpy.typing import NDArray

from facewise.errors import GalleryError, StorageFullError
from facewise.secret import NO_SECRET, Secret

Row: TypeAlias = dict[str, Any]

MAX_TEXT = 65_535
"""Bytes that a text field of Milvus holds."""

_PAGE = 4_000  # rows an answer, well below the 16,384 that a server gives
_BATCH_BYTES = 16 << 20  # a request, a quarter of what gRPC is set to take
_FULL = ("no space left on device", "disk quota exhausted", "quota exceeded[reason=disk", "errno 28")

_T = TypeVar("_T")
_servers: dict[str, int] = {}
_servers_lock = threading.Lock()


class Link:
    """A connection to one Milvus server or Milvus Lite file; any thread may use it.

    Args:
        address: `http://host:port`, or the path of a Milvus Lite file.
        location: What error sentences call the gallery.
        token: `user:password` or an API key, or empty.
        database: The server's database, or empty for its default.
        timeout: Seconds for one request.

    Raises:
        GalleryError: `pymilvus` is missing, nobody answers, or another process has the file.
    """

    def __init__(
        self,
        address: str,
        location: str,
        *,
        token: Secret = NO_SECRET,
        database: str = "",
        timeout: float = 30.0,
    ) -> None:
        self.location = location
        self.lite = "://" not in address
        self._address = str(Path(address).resolve()) if self.lite else address
        self._timeout, self._token = timeout, token
        try:
            import pymilvus  # noqa: PLC0415  takes a second, for those who use it

            if self.lite:
                import_module("milvus_lite")  # pymilvus needs it for files
        except ImportError as error:
            raise GalleryError(
                f"The gallery {location} needs pymilvus: `pip install facewise[milvus]`"
                + (" and `pip install milvus-lite`." if self.lite else ".")
            ) from error
        _quiet()
        self.types = pymilvus.DataType
        self._failure: type[Exception] = pymilvus.MilvusException
        settings: dict[str, Any] = {"token": token.reveal(), "timeout": timeout}
        if database:
            settings["db_name"] = database
        if self.lite:  # its server takes frequent signs of life for an attack
            settings["grpc_options"] = {
                "grpc.keepalive_time_ms": 3_600_000,
                "grpc.keepalive_permit_without_calls": False,
            }
        with _servers_lock:
            self.client = self._ask(lambda: pymilvus.MilvusClient(self._address, **settings))
            if self.lite:
                _servers[self._address] = _servers.get(self._address, 0) + 1
        self._open = True

    def close(self) -> None:
        """Ends the connection; the last one to a Milvus Lite file gives the file free."""
        with _servers_lock:
            if not self._open:
                return
            self._open = False
            with suppress(Exception):  # whoever closes wants nothing any more
                self.client.close()
            if self.lite:
                _servers[self._address] -= 1
                if not _servers[self._address]:
                    manager = import_module("milvus_lite.server_manager")
                    manager.server_manager_instance.release_server(self._address)

    def has(self, collection: str) -> bool:
        """Whether there is such a collection."""
        return bool(self._ask(lambda: self.client.has_collection(collection, timeout=self._timeout)))

    def create(
        self,
        collection: str,
        fields: Sequence[tuple[str, Any, Mapping[str, Any]]],
        index: Mapping[str, Any],
        scalars: Sequence[str] = (),
    ) -> None:
        """Makes a collection of int64 key `id`, a vector named `vector` and what else `fields` say; loads it.

        Args:
            collection: Its name.
            fields: Name, type and parameters each.
            index: Type and parameters of the vector's index.
            scalars: Fields to index for filters, where the server is no Milvus Lite.
        """

        def make() -> None:
            schema = self.client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", self.types.INT64, is_primary=True)
            for name, kind, parameters in fields:
                schema.add_field(name, kind, **parameters)
            wanted = self.client.prepare_index_params()
            wanted.add_index("vector", **index)
            for name in () if self.lite else scalars:
                wanted.add_index(name, index_type="INVERTED")
            # One shard keeps the rows of a request in one piece of the server's log.
            self.client.create_collection(collection, schema=schema, consistency_level="Strong", num_shards=1)
            self.client.create_index(collection, wanted, sync=False)  # nothing is in it to wait for

        self._ask(make)
        self.load(collection)

    def drop(self, collections: Sequence[str]) -> None:
        """Deletes collections."""
        for collection in collections:
            self._ask(partial(self.client.drop_collection, collection))

    def load(self, collection: str) -> None:
        """Has the server ready to search a collection."""
        self._ask(lambda: self.client.load_collection(collection, timeout=self._timeout * 20))

    def reindex(self, collection: str, index: Mapping[str, Any]) -> None:
        """Gives the vectors of a collection another index, unless they have that one."""

        def change() -> None:
            names = self.client.list_indexes(collection, field_name="vector")
            kinds = [self.client.describe_index(collection, name)["index_type"] for name in names]
            if kinds == [index["index_type"]]:
                return
            self.client.release_collection(collection)
            for name in names:
                self.client.drop_index(collection, name)
            wanted = self.client.prepare_index_params()
            wanted.add_index("vector", **index)
            self.client.create_index(collection, wanted)

        self._ask(change)
        self.load(collection)

    def insert(self, collection: str, rows: Sequence[Row]) -> None:
        """Writes new rows; many requests where one would be too large."""
        for part in _batches(rows):
            self._ask(partial(self.client.insert, collection, part, timeout=self._timeout))

    def upsert(self, collection: str, rows: Sequence[Row]) -> None:
        """Writes rows in the place of those with their ids."""
        for part in _batches(rows):
            self._ask(partial(self.client.upsert, collection, part, timeout=self._timeout))

    def delete(self, collection: str, ids: Sequence[int]) -> None:
        """Deletes rows by id."""
        for at in range(0, len(ids), _PAGE):
            part = [int(i) for i in ids[at : at + _PAGE]]
            self._ask(partial(self.client.delete, collection, ids=part, timeout=self._timeout))

    def delete_where(self, collection: str, where: str) -> None:
        """Deletes what a filter finds."""
        self._ask(lambda: self.client.delete(collection, filter=where, timeout=self._timeout))

    def rows(
        self, collection: str, where: str, fields: Sequence[str], consistency: str = "Strong"
    ) -> Iterator[Row]:
        """All rows that a filter finds, by id, however many."""
        asked: dict[str, Any] = {
            "filter": where,
            "output_fields": ["id", *fields],
            "consistency_level": consistency,
            "timeout": self._timeout,
        }
        found: list[Row] = self._ask(lambda: list(self.client.query(collection, limit=_PAGE, **asked)))
        if len(found) == _PAGE:  # perhaps not all: only an iterator gets them without relying on an order
            found = self._ask(lambda: list(self._iterated(collection, asked)))
        yield from sorted(found, key=lambda row: int(row["id"]))

    def _iterated(self, collection: str, asked: Mapping[str, Any]) -> Iterator[Row]:
        pages = self.client.query_iterator(collection, batch_size=_PAGE, **asked)
        try:
            while page := pages.next():
                yield from page
        finally:
            pages.close()

    def within(
        self,
        collection: str,
        field: str,
        values: Sequence[int] | Sequence[str],
        fields: Sequence[str],
        consistency: str = "Strong",
    ) -> Iterator[Row]:
        """All rows whose field has one of these values (numbers, or text that needs no escaping)."""
        for at in range(0, len(values), 1000):
            listed = ", ".join(
                f'"{v}"' if isinstance(v, str) else str(int(v)) for v in values[at : at + 1000]
            )
            yield from self.rows(collection, f"{field} in [{listed}]", fields, consistency)

    def count(self, collection: str, where: str, consistency: str = "Strong") -> int:
        """How many rows a filter finds."""
        found = self._ask(
            lambda: self.client.query(
                collection,
                filter=where,
                output_fields=["count(*)"],
                consistency_level=consistency,
                timeout=self._timeout,
            )
        )
        return int(found[0]["count(*)"])

    def search(
        self,
        collection: str,
        probes: NDArray[Any],
        limit: int,
        where: str,
        fields: Sequence[str],
        parameters: Mapping[str, Any],
        consistency: str = "Strong",
    ) -> list[list[tuple[int, float, Row]]]:
        """For each probe the rows most like it: id, similarity as the index sees it, fields."""
        found = self._ask(
            lambda: self.client.search(
                collection,
                data=list(probes),
                anns_field="vector",
                limit=limit,
                filter=where,
                output_fields=list(fields),
                search_params={"metric_type": "IP", "params": dict(parameters)},
                consistency_level=consistency,
                timeout=self._timeout,
            )
        )
        return [[(int(hit["id"]), float(hit["distance"]), hit["entity"]) for hit in hits] for hits in found]

    def _ask(self, request: Callable[[], _T]) -> _T:
        """Does it, with errors told in a sentence."""
        try:
            return request()
        except GalleryError:
            raise
        except self._failure as error:
            raise self._told(error) from error
        except OSError as error:
            raise self._told(error) from error
        except (ValueError, RuntimeError) as error:  # a closed channel
            raise GalleryError(f"The gallery {self.location} cannot be used any more: {error}.") from error

    def _told(self, error: Exception) -> GalleryError:
        text = " ".join(self._token.hidden_in(str(getattr(error, "message", "") or error)).split())
        low = text.casefold()
        if any(sign in low for sign in _FULL):
            return StorageFullError(
                f"There is no room left for the gallery {self.location}: free some, or give Milvus more."
            )
        if "open local milvus failed" in low:
            return _unopened(Path(self._address), self.location)
        if "fail connecting" in low or "unavailable" in low or "deadline" in low or "timeout" in low:
            return GalleryError(
                f"The Milvus server of {self.location} does not answer: check that it runs "
                "and can be reached."
            )
        if "auth" in low or "permission" in low or "token" in low:
            return GalleryError(
                f"The Milvus server of {self.location} refuses this user: set MILVUS_TOKEN to user:password "
                "or an API key that may read and write."
            )
        return GalleryError(f"Milvus failed at the gallery {self.location}: {text[:300]}")


def _unopened(path: Path, location: str) -> GalleryError:
    if path.is_dir() and (path / "LOCK").exists():
        return GalleryError(
            f"The gallery {location} is in use by another process, or damaged: Milvus Lite is for one "
            "process at a time, a Milvus server or SQLite for several."
        )
    return GalleryError(f"{location} is not a Milvus Lite gallery, or cannot be read or written here.")


def _batches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The rows in parts of at most about `_BATCH_BYTES`."""
    part: list[Row] = []
    size = 0
    for row in rows:
        size += sum(v.nbytes if hasattr(v, "nbytes") else len(str(v)) + 8 for v in row.values())
        part.append(row)
        if size > _BATCH_BYTES or len(part) == _PAGE:
            yield part
            part, size = [], 0
    if part:
        yield part


def _quiet() -> None:
    """Errors are raised and told once; the libraries would also print them, with their stack, to stderr."""
    for name in ("pymilvus", "milvus_lite"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
        for logger in list(logging.root.manager.loggerDict):
            if logger.startswith(name):
                logging.getLogger(logger).setLevel(logging.CRITICAL)
