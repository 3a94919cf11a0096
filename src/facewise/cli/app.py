"""The application: all commands together, and how errors end it.

Exit codes: 0 all well; 2 wrong usage; 3 a bad photo, model, dataset or setting, told in one sentence on
stderr (batch commands finish the good items first); 4 `facewise verify` cannot tell by photos so poor; 130
stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from functools import cached_property
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from facewise._version import __version__
from facewise.cli import STOPPED
from facewise.cli.options import JSON_WANTED
from facewise.cli.output import print_json, tell
from facewise.errors import FacewiseError

_COMMANDS = {
    "demo": (
        "demo:demo",
        "Draw people, train on them, verify, enrol, identify, group, and write a report. Needs no data.",
    ),
    "detect": ("photos:detect", "Find faces: boxes and five landmarks, in pixels of the photo."),
    "landmarks": (
        "landmarks:landmarks",
        "478 points of each face in 3-D, how the head is turned in degrees, and what the face does.",
    ),
    "align": ("photos:align", "Cut aligned face crops, one PNG a face, named after the photo."),
    "embed": ("embed:embed", "Embed faces: one row a face, with its photo and the model's fingerprint."),
    "verify": ("verify:verify", "Are two photos of the same person? Compares the main face of each."),
    "enroll": ("gallery:enroll", "Put people into a gallery: one photo is enough, more are better."),
    "identify": (
        "identify:identify",
        "Who is in each photo, and in each video when; strangers are told as unknown.",
    ),
    "analyze": (
        "analyze:analyze",
        "What faces look like: age with an interval, gender, emotion, and race only if asked.",
    ),
    "challenge": (
        "challenge:challenge",
        "Ask somebody before a camera to turn their head as nobody can know before, and say who they are.",
    ),
    "cluster": ("cluster:cluster", "Group the faces of a pile of photos by person, with no names given."),
    "gallery": ("gallery:app", "Look after a gallery of people."),
    "serve": ("serve:serve", "Serve recognition over HTTP, with a page to use it, until Ctrl-C or SIGTERM."),
    "keys": ("keys:app", "Make, list and revoke the service's API keys."),
    "data": ("data:app", "Make, inspect, split and align datasets."),
    "train": (
        "train:train",
        "Train a recogniser: `facewise train photos --recipe arcface-mobilefacenet epochs=20`.",
    ),
    "compare": (
        "compare:compare",
        (
            "Train several losses alike, or name people in several ways, and tell which differences are not "
            "noise."
        ),
    ),
    "recipes": ("train:recipes", "List the recipes, or print one."),
    "eval": ("evaluate:app", "Measure models by published protocols."),
    "calibrate": (
        "calibrate:calibrate",
        "Set thresholds at FMR 0.1 to 1e-6 and fit probabilities, on people the model has not seen.",
    ),
    "calibrate-liveness": (
        "calibrate_liveness:calibrate_liveness",
        "Set the score from which a face is live, and measure how often that errs, by ISO/IEC 30107-3.",
    ),
    "report": (
        "report:report",
        "One HTML file, readable without a network: how good, how sure, where it fails, on what data.",
    ),
    "classify": ("classify:app", "Name a closed set of people by a classifier on embeddings."),
    "models": ("models:app", "Look after the models."),
    "bench": (
        "bench:bench",
        "Measure each stage, and the whole pipeline one photo at a time against side by side.",
    ),
}
"""Name → where the command or group is, below `facewise.cli`, and the first paragraph of its help."""


class LazyCommand(TyperCommand):
    """A command or group that is listed without being imported; running it, or its own help, imports it."""

    def __init__(self, name: str, place: str, help: str) -> None:  # noqa: A002  Typer's name
        super().__init__(name, help=help)
        self._place = place

    @cached_property
    def loaded(self) -> Any:
        """The command itself."""
        module, _, attribute = self._place.partition(":")
        found = getattr(import_module(f"facewise.cli.{module}"), attribute)
        around = typer.Typer(callback=lambda: None)
        if isinstance(found, typer.Typer):
            around.add_typer(found, name=self.name)
        else:
            around.command(self.name)(found)
        return typer.main.get_group(around).commands[str(self.name)]

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """What Typer does first with a command that was named, to run it or to complete its arguments."""
        return self.loaded.make_context(info_name, args, parent=parent, **extra)


class _HonestGroup(TyperGroup):
    """Ends a command that went wrong with one sentence and its exit code, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except FacewiseError as error:
            _fail(ctx, str(error))
        except KeyboardInterrupt:
            raise typer.Exit(STOPPED) from None
        except BrokenPipeError:
            # Whoever read our output has seen enough (`facewise … | head`).
            _drop_output()
            raise typer.Exit(0) from None
        except OSError as error:
            where = "" if error.filename is None else f" {error.filename}"
            _fail(
                ctx, f"Cannot read or write{where}: {error.strerror or error}; check the path and the disk."
            )


class _Facewise(_HonestGroup):
    """All commands."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands.update((name, LazyCommand(name, *told)) for name, told in _COMMANDS.items())


def _fail(ctx: Any, sentence: str) -> NoReturn:
    """Tells the sentence, to a machine that asked for JSON as JSON too, and ends with code 3."""
    sentence = " ".join(sentence.split())
    tell(f"facewise: {sentence}")
    try:
        if ctx.meta.get(JSON_WANTED):
            print_json({"error": sentence})
        sys.stdout.flush()
    except OSError:  # what went wrong may be the output itself, on a full disk
        _drop_output()
    raise typer.Exit(3) from None


def _drop_output() -> None:
    """Sends what is still buffered nowhere, lest Python complain of it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


app = typer.Typer(
    name="facewise",
    cls=_Facewise,
    no_args_is_help=True,
    help="Face recognition from a folder of photos to a measured, calibrated recogniser.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"facewise {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Face recognition from a folder of photos to a measured, calibrated recogniser."""
