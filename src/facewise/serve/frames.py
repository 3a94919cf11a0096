"""What a worker process tells the service, as plain data: lengths, JSON, and the bytes of arrays.

A worker decodes what strangers send. Whatever becomes of it, what it says is taken apart here as anything
else that comes from outside: nothing in it is a name of something to call.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict
from mmap import mmap
from typing import Any, TypeAlias

import numpy as np

from facewise import errors
from facewise.analysis.mesh import POINTS
from facewise.errors import FacewiseError
from facewise.pipeline import PhotoFaces
from facewise.types import Age, Attributes, Face, FloatArray, Guess, Liveness, Mesh, Pose, Quality

Seen: TypeAlias = PhotoFaces | Exception
"""What was found in a photo, or why nothing was."""

Answer: TypeAlias = tuple[int, list[Seen], int]
"""The number of a job, what was found in each of its photos, and how many crops were embedded at once."""

MOST_BYTES = 64 << 20
"""Of one frame: ten thousand faces with long embeddings."""

_LENGTH = struct.Struct("<I")
_ERRORS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, FacewiseError)
}
_LONGEST = 2000
"""Characters of a sentence."""
_MOST_WORDS = 100
"""Answers that one guess chooses from."""


def pack(head: dict[str, Any], *parts: bytes) -> bytes:
    """A frame of facts and of bytes that belong to them."""
    told = json.dumps(head, separators=(",", ":")).encode()
    return b"".join((_LENGTH.pack(len(told)), told, *parts))


def unpack(frame: bytes | mmap) -> tuple[dict[str, Any], memoryview]:
    """What `pack` was given, its bytes in one piece.

    Raises:
        ValueError: It is no frame.
    """
    whole = memoryview(frame)
    if len(whole) < _LENGTH.size:
        raise ValueError("a frame without a head")
    (length,) = _LENGTH.unpack_from(whole)
    end = _LENGTH.size + length
    head = json.loads(bytes(whole[_LENGTH.size : end])) if end <= len(whole) else None
    if not isinstance(head, dict):
        raise ValueError("a frame without a head")  # noqa: TRY004  of whatever kind it is
    return head, whole[end:]


def packed(number: int, seen: Sequence[Seen], together: int) -> bytes:
    """An answer as a frame."""
    photos, parts = list[dict[str, Any]](), list[bytes]()
    for one in seen:
        if isinstance(one, Exception):
            photos.append({"error": type(one).__name__, "told": str(one)[:_LONGEST]})
            continue
        rows = [face.embedding for face in one.faces if face.embedding is not None]
        if rows and len(rows) != len(one.faces):
            raise ValueError("faces with an embedding and without")
        photos.append({
            "source": one.source, "sha256": one.sha256, "size": one.size, "others": one.others,
            "scores": [face.score for face in one.faces],
            "qualities": [None if face.quality is None else asdict(face.quality) for face in one.faces],
            "attributes": [None if f.attributes is None else asdict(f.attributes) for f in one.faces],
            "meshes": [None if face.mesh is None else _told_mesh(face.mesh) for face in one.faces],
            "lives": [None if face.liveness is None else asdict(face.liveness) for face in one.faces],
            "values": rows[0].shape[0] if rows else 0,
        })  # fmt: skip
        for face in one.faces:
            parts += [_bytes(face.box), _bytes(face.landmarks)]
        parts += [_bytes(face.mesh.points) for face in one.faces if face.mesh is not None]
        parts += map(_bytes, rows)
    return pack({"job": number, "together": together, "photos": photos}, *parts)


def answer_of(frame: bytes) -> Answer:
    """The answer that a frame holds.

    Raises:
        ValueError: It holds none.
    """
    head, rest = unpack(frame)
    try:
        number, together = int(head["job"]), int(head["together"])
        seen: list[Seen] = []
        for photo in head["photos"]:
            if "error" in photo:
                seen.append(error_of(photo))
            else:
                found, rest = _found(photo, rest)
                seen.append(found)
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError("an answer that is none") from error
    if rest:
        raise ValueError("an answer with something behind it")
    return number, seen, together


def error_of(told: dict[str, Any]) -> Exception:
    """The error that a worker tells of: one of ours by its name, anything else in its words alone."""
    name, sentence = str(told["error"]), str(told["told"])[:_LONGEST]
    return _ERRORS[name](sentence) if name in _ERRORS else RuntimeError(f"{name}: {sentence}")


def _found(photo: dict[str, Any], rest: memoryview) -> tuple[PhotoFaces, memoryview]:
    scores, qualities, values = list(photo["scores"]), list(photo["qualities"]), int(photo["values"])
    lives, told, meshes = list(photo["lives"]), list(photo["attributes"]), list(photo["meshes"])
    height, width = photo["size"]
    if not len(told) == len(meshes) == len(scores):
        raise ValueError("an answer that is none")
    boxes, rest = _taken(rest, len(scores), 14)
    there = [i for i, mesh in enumerate(meshes) if mesh is not None]
    points, rest = _taken(rest, len(there), 3 * POINTS)
    found = {i: _mesh(meshes[i], own.reshape(POINTS, 3)) for i, own in zip(there, points, strict=True)}
    rows, rest = _taken(rest, len(scores) if values else 0, values)
    faces = tuple(
        Face(
            box[:4], float(score), box[4:].reshape(5, 2), rows[i] if values else None,
            None if quality is None else _quality(quality),
            attributes=None if told[i] is None else _attributes(told[i]),
            liveness=None if live is None else _liveness(live),
            mesh=found.get(i),
        )
        for i, (box, score, quality, live) in enumerate(zip(boxes, scores, qualities, lives, strict=True))
    )  # fmt: skip
    digest, size = str(photo["sha256"]), (int(height), int(width))
    return PhotoFaces(str(photo["source"]), digest, size, faces, int(photo["others"])), rest


def _quality(told: dict[str, Any]) -> Quality:
    numbers = {name: float(told[name]) for name in ("score", "size", "sharpness", "yaw", "pitch", "roll")}
    value = told["value"]
    reasons, remarks = (tuple(str(why)[:_LONGEST] for why in told[name]) for name in ("reasons", "remarks"))
    value = None if value is None else float(value)
    return Quality(**numbers, value=value, reasons=reasons, remarks=remarks)


def _attributes(told: dict[str, Any]) -> Attributes:
    age = told["age"]
    years = None if age is None else Age(*(float(age[name]) for name in ("mean", "low", "high")))
    gender, emotion, race = (_guess(told[name]) for name in ("gender", "emotion", "race"))
    return Attributes(years, gender, emotion, race, str(told["note"])[:_LONGEST])


def _guess(told: dict[str, Any] | None) -> Guess | None:
    if told is None:
        return None
    answer, words = told["answer"], dict(told["probabilities"])
    if len(words) > _MOST_WORDS or not (answer is None or answer in words):
        raise ValueError("an answer that is none")
    return Guess(answer, {str(word)[:_LONGEST]: float(p) for word, p in words.items()})


def _liveness(told: dict[str, Any]) -> Liveness:
    live = told["live"]
    return Liveness(float(told["score"]), None if live is None else bool(live), str(told["note"])[:_LONGEST])


def _told_mesh(mesh: Mesh) -> dict[str, Any]:
    return {
        "presence": mesh.presence, "blendshapes": dict(mesh.blendshapes), "pose": asdict(mesh.pose),
        "eyes_open": list(mesh.eyes_open),
    }  # fmt: skip


def _mesh(told: dict[str, Any], points: FloatArray) -> Mesh:
    shapes = dict(told["blendshapes"])
    if len(shapes) > _MOST_WORDS:
        raise ValueError("an answer that is none")
    left, right = (float(gap) for gap in told["eyes_open"])
    pose = Pose(*(float(told["pose"][name]) for name in ("yaw", "pitch", "roll")))
    blendshapes = {str(name)[:_LONGEST]: float(value) for name, value in shapes.items()}
    return Mesh(points, float(told["presence"]), blendshapes, pose, (left, right))


def _taken(rest: memoryview, count: int, values: int) -> tuple[FloatArray, memoryview]:
    """`(count, values)` numbers from the front, of their own, and what follows them."""
    size = 4 * count * values
    if not 0 <= size <= len(rest):
        raise ValueError("an answer cut short")
    array = np.frombuffer(rest[:size], dtype="<f4").reshape(count, values).astype(np.float32)
    return array, rest[size:]


def _bytes(array: FloatArray) -> bytes:
    return np.ascontiguousarray(array, dtype="<f4").tobytes()
