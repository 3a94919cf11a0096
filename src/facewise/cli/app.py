"""The application: all commands together, and how errors end it.

Exit codes: 0 all well; 2 wrong usage; 3 a bad photo, model, dataset or setting, told in one sentence on
stderr (batch commands finish the good items first); 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from facewise._version import __version__
from facewise.cli import (
    STOPPED,
    bench,
    calibrate,
    classify,
    cluster,
    compare,
    data,
    demo,
    embed,
    evaluate,
    gallery,
    identify,
    keys,
    models,
    photos,
    report,
    serve,
    synth,
    train,
    verify,
)
from facewise.cli.options import JSON_WANTED
from facewise.cli.output import print_json
from facewise.errors import FacewiseError


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


def _fail(ctx: Any, sentence: str) -> NoReturn:
    """Tells the sentence, to a machine that asked for JSON as JSON too, and ends with code 3."""
    sentence = " ".join(sentence.split())
    print(f"facewise: {sentence}", file=sys.stderr)  # noqa: T201
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
    cls=_HonestGroup,
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


app.command("demo")(demo.demo)
app.command("detect")(photos.detect)
app.command("align")(photos.align)
app.command("embed")(embed.embed)
app.command("verify")(verify.verify)
app.command("enroll")(gallery.enroll)
app.command("identify")(identify.identify)
app.command("cluster")(cluster.cluster)
app.add_typer(gallery.app, name="gallery")
app.command("serve")(serve.serve)
app.add_typer(keys.app, name="keys")
data.app.command("synth")(synth.synth)
app.add_typer(data.app, name="data")
app.command("train")(train.train)
app.command("compare")(compare.compare)
app.command("recipes")(train.recipes)
app.add_typer(evaluate.app, name="eval")
app.command("calibrate")(calibrate.calibrate)
app.command("report")(report.report)
app.add_typer(classify.app, name="classify")
app.add_typer(models.app, name="models")
app.command("bench")(bench.bench)
