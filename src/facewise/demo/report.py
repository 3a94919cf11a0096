"""The end of the demo: contact sheets as pictures, and the report."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from shutil import which

from facewise._version import __version__
from facewise.demo.blocks import Block, Commands, Faces, Section, Table
from facewise.demo.cast import People
from facewise.demo.detectors import is_missing
from facewise.demo.page import page
from facewise.demo.story import Story
from facewise.drawing import Tile, contact_sheet, save_image
from facewise.files import write_bytes
from facewise.photos import several

REPORT = "report.html"


def save_sheet(path: Path, section: Section) -> None:
    """The contact sheet of a section as a picture of its own; nothing where it has none."""
    for block in section.blocks:
        if isinstance(block, Faces) and any(faces for _, faces in block.groups):
            rows = [
                (title, [Tile(face.image, face.caption, face.colour) for face in faces])
                for title, faces in block.groups
            ]
            save_image(path, contact_sheet(rows, tile=84, columns=12))


def write_report(story: Story, people: People, data: Path | None) -> None:
    """How long it took and how to go on, and all of it as `report.html`.

    Raises:
        FacewiseError: It cannot be written.
    """
    out, took = story.out, sum(section.seconds for section in story.sections)
    rows = [(section.title, f"{section.seconds:.1f}") for section in story.sections if section.seconds]
    blocks: list[Block] = [Table(("step", "seconds"), [*rows, ("all", f"{took:.1f}")], (1,))]
    if (out / "gallery.db").exists():
        photo = people.path(people.photos[people.cast.enrolled[0]][-1])
        blocks += ["The gallery and the model can be used on:", _commands(out, photo)]
    section = Section(blocks=blocks, numbers={"seconds": took}, title="How long it took, and how to go on")
    story.sections.append(section)
    story.teller.end(section)
    # A terminal shows these at its very end; here they are the report's.
    commands = own_photos()
    section.blocks += [] if commands is None else ["On your own photos:", commands]
    who = "people drawn for it" if data is None else f"the photos in {data.name}"
    made = (
        f"Made by Facewise {__version__} on {who}, with {several(story.threads, 'CPU thread')}, in "
        f"{took / 60:.1f} minutes. Nothing left this machine."
    )
    lead = [made]
    if data is not None:
        lead.append("This file has people's faces in it: give it only to whom you would give the photos.")
    write_bytes(out / REPORT, page("What Facewise did", lead, story.sections).encode("utf-8", "replace"))


def own_photos() -> Commands | None:
    """What to try on photos of one's own; None where a default model is missing that it needs."""
    if is_missing("detector") or is_missing("embedder"):
        return None
    facewise = _facewise()
    return Commands(
        [
            f"{facewise} verify a.jpg b.jpg             # the same person?",
            f"{facewise} enroll --folder people         # a sub-folder of photos for each person",
            f"{facewise} identify party.jpg             # who is in it",
        ]
    )


def _facewise() -> str:
    """How the command is typed here: by its place in an environment that is not active."""
    here = Path(sys.executable).with_name("facewise")
    if which("facewise") is not None or not here.is_file():
        return "facewise"
    return shlex.quote(os.path.relpath(here)) if here.is_relative_to(Path.cwd()) else shlex.quote(str(here))


def _commands(out: Path, photo: Path) -> Commands:
    facewise = _facewise()
    gallery, model = shlex.quote(str(out / "gallery.db")), shlex.quote(str(out / "model.onnx"))
    lines = [f"{facewise} gallery list --gallery {gallery}", f"{facewise} models show {model}"]
    if not is_missing("detector"):
        lines.insert(0, f"{facewise} identify {shlex.quote(str(photo))} --gallery {gallery} --model {model}")
    return Commands(lines)
