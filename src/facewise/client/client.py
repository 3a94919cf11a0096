"""A Facewise service from Python: one method a route, typed results, one sentence for each error."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Literal, TypeVar

from facewise.client import results
from facewise.client.decoding import decoded
from facewise.client.errors import AnswerError, BusyError
from facewise.client.transport import Transport, json_of
from facewise.client.uploads import Photo, uploads
from facewise.errors import SettingError

_T = TypeVar("_T")

Scoring = Literal["best", "mean"]

_PAGE = 1000
"""People asked for at once: as many as a service tells."""


class Client:
    """A service, asked over kept connections. Any thread may use it; close it, or use it in a `with`.

    A photo is a path, bytes, a file object, a PIL image, or an RGB array `(H, W, 3)`; it is uploaded. A
    request that the service is too busy for (429, 503) is sent again when it says so, within `patience`, if
    sending it twice does no more than once: all but enrolling and merging.

    Example:
        ```python
        with Client("http://127.0.0.1:8000") as service:  # the key is in FACEWISE_API_KEY
            for face in service.identify("party.jpg").faces:
                print(face.name, face.similarity)
        ```

    Args:
        url: Where the service is, such as `http://127.0.0.1:8000`.
        key: The API key; without it the environment's FACEWISE_API_KEY is taken.
        timeout: Seconds to wait for each part of an answer.
        patience: Seconds to wait in all when the service says it is busy; 0 raises `BusyError` at once.
        ca: A file of certificates to trust instead of the system's.
        insecure: Whether the key may go over the network unencrypted.

    Raises:
        SettingError: The address is none, the key would travel unencrypted, or httpx is not installed.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout: float = 60.0,
        patience: float = 30.0,
        ca: str | os.PathLike[str] | None = None,
        insecure: bool = False,
    ) -> None:
        self._transport = Transport(url, key, timeout=timeout, patience=patience, ca=ca, insecure=insecure)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._transport.url!r})"  # and not the key

    def close(self) -> None:
        """Ends the connections."""
        self._transport.close()

    def detect(self, photo: Photo) -> results.Detection:
        """The faces of a photo."""
        return self._look("/v1/detect", results.Detection, photo)

    def embed(self, photo: Photo, *, main_only: bool = False) -> results.Embedding:
        """The faces of a photo, or only the main one, with their embeddings."""
        return self._look("/v1/embed", results.Embedding, photo, main_only=_flag(main_only))

    def verify(
        self,
        a: Photo,
        b: Photo,
        *,
        fmr: float | None = None,
        threshold: float | None = None,
        prior: float | None = None,
        face: Literal["main", "best"] | None = None,
    ) -> results.Verification:
        """Whether two photos show the same person.

        Args:
            a: One photo.
            b: The other.
            fmr: Decide at this false match rate.
            threshold: Decide at this similarity instead.
            prior: Share of same pairs among those that are asked about, for the probability.
            face: Compare the main faces, or all with all and tell the most alike pair; None is the main ones.

        Raises:
            RequestError: No image, no face in it, or a rate that is not measured.
        """
        files = [*uploads("a", [a]), *uploads("b", [b])]
        form = {"fmr": fmr, "threshold": threshold, "prior": prior, "face": face}
        answer = self._transport.ask("POST", "/v1/verify", again=True, data=form, files=files)
        return decoded(results.Verification, json_of(answer))

    def identify(
        self,
        photo: Photo,
        *,
        fmr: float | None = None,
        fpir: float | None = None,
        threshold: float | None = None,
        top: int | None = None,
        scoring: Scoring | None = None,
        groups: Sequence[str] | None = None,
    ) -> results.Identification:
        """Who is in a photo.

        Args:
            photo: It may show several people.
            fmr: Decide at this false match rate of a single comparison.
            fpir: Decide so that this share of strangers is given a name.
            threshold: Decide at this similarity instead.
            top: How many candidates a face gets.
            scoring: By a person's best sample, or by the mean of all.
            groups: Only people in one of these, of which there is at least one.
        """
        return self._look(
            "/v1/identify", results.Identification, photo, fmr=fmr, fpir=fpir, threshold=threshold, top=top,
            scoring=scoring, groups=_several(groups),
        )  # fmt: skip

    def analyze(
        self, photo: Photo, *, attributes: Sequence[Literal["age", "gender", "emotion", "race"]] | None = None
    ) -> results.Analysis:
        """What the faces of a photo look like: age with an interval, gender, emotion.

        Args:
            photo: It may show several people.
            attributes: What to tell; None is all that the service's model tells but race.

        Raises:
            AccessError: The service was not started to say so, or the key may not ask.
        """
        asked = _several(attributes, "attribute")
        return self._look("/v1/analyze", results.Analysis, photo, attributes=asked)

    def cluster(
        self, photos: Iterable[Photo], *, fmr: float | None = None, threshold: float | None = None
    ) -> results.Clustering:
        """Photos grouped into people, at a false match rate or a similarity; nothing is stored."""
        files, form = uploads("photos", photos), {"fmr": fmr, "threshold": threshold}
        answer = self._transport.ask("POST", "/v1/cluster", again=True, data=form, files=files)
        return decoded(results.Clustering, json_of(answer))

    def challenge(self) -> results.Challenge:
        """What somebody before a camera is asked to do, to show that they are there."""
        return decoded(results.Challenge, json_of(self._transport.ask("POST", "/v1/challenge", again=True)))

    def answer_challenge(self, challenge: str, frames: Iterable[Photo]) -> results.Presence:
        """Whether they did, and who it is; a challenge is answered once.

        Args:
            challenge: Of `challenge`.
            frames: Taken one after the other while they did so, never sent before.
        """
        answer = self._transport.ask(
            "POST",
            "/v1/challenge/answer",
            again=False,
            data={"challenge": challenge},
            files=uploads("frames", frames),
        )
        return decoded(results.Presence, json_of(answer))

    def people(
        self,
        *,
        offset: int | None = None,
        limit: int | None = None,
        search: str | None = None,
        group: str | None = None,
    ) -> results.People:
        """A page of the people in the gallery, by name.

        Args:
            offset: How many to leave out at the beginning.
            limit: How many at most.
            search: Only names that have this in them.
            group: Only this group's.
        """
        asked = {"offset": offset, "limit": limit, "search": search, "group": group}
        return self._get("/v1/people", results.People, asked)

    def everybody(self, *, search: str | None = None, group: str | None = None) -> Iterator[results.Person]:
        """All people in the gallery, by name, fetched a page at a time; filters as for `people`.

        Whoever is enrolled, renamed or deleted meanwhile may be missing or come twice.
        """
        offset = 0
        while page := self.people(offset=offset, limit=_PAGE, search=search, group=group).people:
            yield from page
            offset += len(page)

    def person(self, person: int) -> results.PersonDetail:
        """Somebody with all samples, by number."""
        return self._get(f"/v1/people/{int(person)}", results.PersonDetail)

    def enrol(
        self,
        name: str,
        photos: Iterable[Photo],
        *,
        groups: Sequence[str] = (),
        quality: Literal["off", "standard", "strict"] = "standard",
    ) -> results.Enrolment:
        """Puts somebody new into the gallery. Never sent twice by itself.

        Args:
            name: Who is in the photos.
            photos: One or more.
            groups: To put them into.
            quality: Which photos are enrolled: those one can be known by, only good ones, or all.

        Raises:
            ConflictError: Somebody has that name.
        """
        files = uploads("photos", photos)
        form = {"name": name, "groups": list(groups) or None, "quality": quality}
        answer = self._transport.ask("POST", "/v1/people", again=False, data=form, files=files)
        return decoded(results.Enrolment, json_of(answer))

    def add_samples(
        self,
        person: int,
        photos: Iterable[Photo],
        *,
        quality: Literal["off", "standard", "strict"] = "standard",
    ) -> results.Enrolment:
        """More photos of somebody who is in the gallery; see `enrol`. Never sent twice by itself."""
        path, form = f"/v1/people/{int(person)}/samples", {"quality": quality}
        answer = self._transport.ask("POST", path, again=False, data=form, files=uploads("photos", photos))
        return decoded(results.Enrolment, json_of(answer))

    def change(
        self, person: int, *, name: str | None = None, groups: Sequence[str] | None = None
    ) -> results.PersonDetail:
        """Gives somebody another name, or other groups (instead of those they are in)."""
        change: dict[str, Any] = {}
        if name is not None:
            change["name"] = name
        if groups is not None:
            change["groups"] = list(groups)
        answer = self._transport.ask("PATCH", f"/v1/people/{int(person)}", again=True, json=change)
        return decoded(results.PersonDetail, json_of(answer))

    def remove(self, person: int) -> None:
        """Deletes somebody, with all samples and kept photos, for good."""
        self._transport.ask("DELETE", f"/v1/people/{int(person)}", again=True)

    def remove_sample(self, person: int, sample: int) -> None:
        """Deletes one sample of somebody, with its photo, for good."""
        self._transport.ask("DELETE", f"/v1/people/{int(person)}/samples/{int(sample)}", again=True)

    def photo(self, person: int, sample: int) -> bytes:
        """The photo kept with a sample, a JPEG file.

        Raises:
            MissingError: None was kept.
        """
        path = f"/v1/people/{int(person)}/samples/{int(sample)}/photo"
        return bytes(self._transport.ask("GET", path, again=True).content)

    def merge(self, into: int, other: int) -> results.Merged:
        """Two entries are one person: `other`'s samples move to `into`. Never sent twice by itself."""
        path = f"/v1/people/{int(into)}/merge"
        answer = self._transport.ask("POST", path, again=False, json={"from": int(other)})
        return decoded(results.Merged, json_of(answer))

    def models(self) -> results.Models:
        """The models in use."""
        return self._get("/v1/models", results.Models)

    def report(self) -> str:
        """The evaluation report of the model in use, HTML.

        Raises:
            MissingError: The service was started without one.
        """
        return str(self._transport.ask("GET", "/v1/report", again=True).text)

    def me(self) -> results.KeyHolder:
        """Whose key this is, and what it may do."""
        return self._get("/v1/me", results.KeyHolder)

    def audit(self, limit: int | None = None) -> tuple[results.AuditEntry, ...]:
        """The newest entries of the audit log, newest first."""
        answer = self._transport.ask("GET", "/v1/audit", again=True, parameters={"limit": limit})
        data = json_of(answer)
        entries = data.get("entries") if isinstance(data, dict) else None
        if not isinstance(entries, list):
            raise AnswerError("The service's answer is not as expected: the audit log has no entries.")
        return tuple(_audit_entry(entry) for entry in entries)

    def metrics(self) -> str:
        """Counters and timings, as Prometheus reads them."""
        return str(self._transport.ask("GET", "/v1/metrics", again=True).text)

    def openapi(self) -> dict[str, Any]:
        """The description of all routes."""
        answer = json_of(self._transport.ask("GET", "/v1/openapi.json", again=True))
        if not isinstance(answer, dict):
            raise AnswerError("The service's answer is not as expected: its description is no object.")
        return answer

    def is_ready(self) -> bool:
        """Whether the service has loaded everything and takes requests."""
        try:
            self._transport.ask("GET", "/v1/ready", again=False)
        except BusyError:
            return False
        return True

    def _get(self, path: str, kind: type[_T], parameters: dict[str, Any] | None = None) -> _T:
        return decoded(kind, json_of(self._transport.ask("GET", path, again=True, parameters=parameters)))

    def _look(self, path: str, kind: type[_T], photo: Photo, **form: Any) -> _T:
        answer = self._transport.ask("POST", path, again=True, data=form, files=uploads("photo", [photo]))
        return decoded(kind, json_of(answer))


def _several(names: Sequence[str] | None, what: str = "group") -> list[str] | None:
    """Names as fields of a form, in which none and no answer to the question look the same."""
    if names is None:
        return None
    if isinstance(names, str) or not names:
        raise SettingError(f"Name at least one {what}, in a list, or leave {what}s out.")
    return list(names)


def _flag(value: bool) -> str | None:
    return "true" if value else None


def _audit_entry(entry: Any) -> results.AuditEntry:
    if isinstance(entry, dict):
        known = {"time", "key", "action", "outcome", "people"}
        entry = {"people": []} | entry
        entry["details"] = {name: value for name, value in entry.items() if name not in known}
    return decoded(results.AuditEntry, entry, "an audit entry")
