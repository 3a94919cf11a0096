"""What can be wrong inside a Milvus gallery, each told in one sentence."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator

import numpy as np

from facewise.errors import GalleryError
from facewise.gallery.milvus_content import Content
from facewise.gallery.milvus_rows import PARTS, template_of
from facewise.gallery.names import clean_name
from facewise.gallery.search import UNIT_TOLERANCE

_JPEG = base64.b64encode(b"\xff\xd8\xff").decode()


def problems(content: Content) -> list[str]:
    """All that is wrong with a gallery that nobody writes to just now; empty if nothing is."""
    return [*_rows(content), *_unreached(content)] if content.head.space else []


def _rows(content: Content) -> Iterator[str]:
    people = {p.id: p for p in content.people(template=True)}
    vectors: dict[int, list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]] = {}
    known: Counter[str] = Counter()
    with_photo = set()
    for sample in content.samples(vectors=True):
        known[sample.known] += 1
        if sample.has_photo:
            with_photo.add(sample.id)
        if sample.person not in people:
            yield f"Sample {sample.id} is of person {sample.person}, who is not there."
            continue
        vectors.setdefault(sample.person, []).append(sample.vector)
        if sample.groups != people[sample.person].groups:
            yield f"Sample {sample.id} is in other groups than {people[sample.person].name!r}."
        # A norm that is not finite fails the comparison too.
        if not abs(float(np.linalg.norm(sample.vector.astype(np.float64))) - 1) <= UNIT_TOLERANCE:
            yield f"Sample {sample.id} is not of unit length."
    for name, times in Counter(p.name for p in people.values()).items():
        if times > 1:
            yield f"{times} people have the name {name!r}: two processes wrote at once; rename or remove one."
    yield from (f"The photo {one!r} is kept {times} times." for one, times in known.items() if times > 1)
    for person in people.values():
        if not _is_clean(person.name):
            yield f"{person.name!a} is not a name as Facewise keeps them."
        if person.id not in vectors:
            yield f"{person.name!r} has no samples."
        elif not np.allclose(person.template, template_of(vectors[person.id]), atol=1e-5):
            yield f"The template of {person.name!r} is not the mean of the samples: enrol or remove one anew."
    yield from _photos(content, with_photo)


def _photos(content: Content, wanted: set[int]) -> Iterator[str]:
    there = set()
    for row in content.link.rows(content.tables.photos, "id >= 0", ["part"]):
        sample, part = divmod(int(row["id"]), PARTS)
        there.add(sample)
        if part == 0 and not row["part"].startswith(_JPEG):
            yield f"The photo of sample {sample} is no JPEG."
    yield from (f"The photo of sample {sample} is missing." for sample in sorted(wanted - there))
    yield from (f"A photo is kept of sample {sample}, which has none." for sample in sorted(there - wanted))


def _unreached(content: Content) -> Iterator[str]:
    head, tables = content.head, content.tables
    for kind, table, least in (
        ("people", tables.people, head.next_person),
        ("samples", tables.samples, head.next_sample),
    ):
        if rows := content.link.count(table, f"id >= {least}"):
            yield f"There are {rows} rows of {kind} that no enrolment finished."


def _is_clean(name: str) -> bool:
    try:
        return clean_name(name) == name
    except GalleryError:
        return False
