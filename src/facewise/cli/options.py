"""Options that several commands share, said once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

JSON_WANTED = "facewise.json"
"""Where the context remembers `--json`, so that an error that ends the command is told as JSON as well."""

if TYPE_CHECKING:
    from facewise.detection import DetectorSettings
    from facewise.pipeline import Pipeline


def given_path(text: str) -> Path:
    """A path a user gave; an empty one, as of an unset variable, is not the current folder."""
    if not text:
        raise typer.BadParameter("a path is empty.")
    return Path(text)


def _remember_json(context: typer.Context, wanted: bool) -> bool:
    context.meta[JSON_WANTED] = wanted
    return wanted


Photos = Annotated[
    list[Path],
    typer.Argument(help="Photos, or folders of photos.", metavar="PATH…", parser=given_path),
]
Detector = Annotated[
    str | None, typer.Option("--detector", help="Detector: a name in the model store or a model file.")
]
Model = Annotated[
    str | None, typer.Option("--model", help="Embedder: a name in the model store or a model file.")
]
Flip = Annotated[
    bool | None,
    typer.Option("--flip/--no-flip", help="Average with the mirrored crop. (default: as calibrated)"),
]
Provider = Annotated[
    str,
    typer.Option(
        "--provider",
        help="Where networks run: cpu, cuda, coreml, openvino, directml, tensorrt or rocm; auto is the first "
        "of cuda, coreml, openvino, directml and cpu that works here.",
    ),
]
Variant = Annotated[
    str,
    typer.Option("--variant", help="Which network of an int8 model runs: auto (the faster), int8, float."),
]
Liveness = Annotated[
    bool,
    typer.Option(
        "--liveness",
        help="Take only faces that look live, and not pictures of faces: nothing is decided by others.",
    ),
]
LivenessModel = Annotated[
    str | None,
    typer.Option(
        "--liveness-model",
        help="Liveness model for that: a name in the model store or a model file. (default: minifasnet-v2, "
        "with minifasnet-v1se)",
    ),
]
Mesh = Annotated[
    bool,
    typer.Option(
        "--mesh",
        help="Look at the mesh of each face too, by a landmarker: true turns, closed eyes and open mouths.",
    ),
]
Landmarker = Annotated[
    str | None,
    typer.Option(
        "--landmarker",
        help="Landmarker: a name in the model store or a model file. (default: mediapipe-face-landmarker)",
    ),
]
Csv = Annotated[Path | None, typer.Option("--csv", help="Table: a row a face.", parser=given_path)]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, max=1024, help="CPU threads to use. (default: all)")
]
AuditFile = Annotated[
    Path | None,
    typer.Option(
        "--audit", parser=given_path, help="The audit log. (default: beside the keys, ending in .audit)"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.", callback=_remember_json)]
AttributesModel = Annotated[
    str | None,
    typer.Option(
        "--attributes-model", help="Model of attributes: a name in the model store or a model file."
    ),
]
Score = Annotated[
    float, typer.Option("--score", min=0.0, max=1.0, help="Least detector confidence of a face.")
]
EveryFrame = Annotated[
    int | None,
    typer.Option("--every", min=1, help="Look at each N-th frame. (default: eight times a second)"),
]
MaxSize = Annotated[
    int | None,
    typer.Option(
        "--max-size",
        min=32,
        help="Look for faces in photos scaled down to this longer side, in pixels. (default: 1024)",
    ),
]
MinFace = Annotated[
    float, typer.Option("--min-face", min=0.0, help="Leave out faces smaller than this, in photo pixels.")
]
Fmr = Annotated[
    float | None,
    typer.Option("--fmr", help="Decide at this false match rate (measured ones only). (default: 0.001)"),
]
ThresholdOption = Annotated[
    float | None, typer.Option("--threshold", help="Decide at this cosine similarity instead.")
]
Fpir = Annotated[
    float | None,
    typer.Option(
        "--fpir",
        help="Give a name to this share of strangers at most: the threshold follows the gallery's size. "
        "(default: FMR 0.001, stricter where that would name more than a tenth of them)",
    ),
]
Unreadable = Annotated[
    float,
    typer.Option(
        "--unreadable",
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="Measure nothing where more than this share of the photos or pairs cannot be read; fewer are "
        "left out and named.",
    ),
]


def gallery_place(text: str) -> Any:
    """A gallery's path or URI as a `GalleryUri`, whose text holds no password."""
    from facewise.gallery.uri import GalleryUri, parse_uri

    return text if isinstance(text, GalleryUri) else parse_uri(text)


GalleryPath = Annotated[
    Any,
    typer.Option(
        "--gallery",
        parser=gallery_place,
        metavar="GALLERY",
        help="The gallery: a file, or its URI (milvus://…).",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        envvar="FACEWISE_KEY_FILE",
        parser=given_path,
        metavar="FILE",
        help="The key of an encrypted gallery; a new one is encrypted with it.",
    ),
]
CounterFile = Annotated[
    Path | None,
    typer.Option(
        "--counter-file",
        envvar="FACEWISE_COUNTER_FILE",
        parser=given_path,
        metavar="FILE",
        help="A small file elsewhere that knows the gallery's last change: an older copy is refused.",
    ),
]

DEFAULT_GALLERY = "facewise.db"


class DamagedChoice(StrEnum):
    """What is done with damaged photos."""

    refuse = "refuse"
    use = "use"


Damaged = Annotated[
    DamagedChoice | None,
    typer.Option(
        "--damaged",
        help="Photos that are damaged or cut short: refuse them, or use them and tell. (default: refuse)",
    ),
]


class QualityChoice(StrEnum):
    """What `--quality` takes; see `facewise.quality.Gate`."""

    off = "off"
    standard = "standard"
    strict = "strict"


EnrolQuality = Annotated[
    QualityChoice,
    typer.Option(
        "--quality",
        help="Which photos are enrolled: those by which somebody can be known (standard), only good ones "
        "(strict), or all (off).",
    ),
]


def reads_photos(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what all have that read photos: `--damaged`, which holds in its worker processes too."""

    @wraps(command)
    def run(*args: Any, damaged: DamagedChoice | None = None, **kwargs: Any) -> None:
        from facewise.errors import DamagedPhotoError
        from facewise.image import damaged_photos

        with damaged_photos(None if damaged is None else damaged.value):
            try:
                command(*args, **kwargs)
            except DamagedPhotoError as error:
                raise DamagedPhotoError(
                    f"{str(error)[:-1]}, or use it as it is with --damaged use."
                ) from error

    own = inspect.signature(command, eval_str=True)
    option = inspect.Parameter("damaged", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Damaged)
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), option])  # type: ignore[attr-defined]
    return run


def detector_settings(**given: float | None) -> DetectorSettings:
    """What counts as a face, and how hard to look: what is given, and else as usual."""
    from facewise.detection import DetectorSettings

    return DetectorSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def load_pipeline(
    *,
    detector: str | None,
    model: str | None = None,
    embed: bool = True,
    flip: bool | None = None,
    provider: str = "auto",
    threads: int | None = None,
    score: float | None = None,
    max_size: int | None = None,
    min_face: float | None = None,
    variant: str = "auto",
    liveness: bool = False,
    liveness_model: str | None = None,
    mesh: bool | str = False,
    told: bool = True,
    attributes: bool | str = False,
) -> Pipeline:
    """The pipeline these options ask for; `told` says what of its liveness is not as it should be."""
    from facewise.cli.output import tell
    from facewise.pipeline import Pipeline

    pipeline = Pipeline.load(
        detector,
        model,
        embed=embed,
        flip=flip,
        provider=provider,
        threads=threads,
        settings=detector_settings(score_threshold=score, max_size=max_size, min_face=min_face),
        variant=variant,
        liveness=liveness_model or liveness,
        attributes=attributes,
        mesh=mesh,
    )
    tell_providers(pipeline.providers.values(), pipeline.passed_over)
    if told and (doubt := pipeline.liveness_doubt) is not None:
        tell(doubt)
    return pipeline


def tell_providers(used: Iterable[str], passed_over: Mapping[str, str]) -> None:
    """Says on stderr where networks run: see `facewise.network.told_providers`."""
    from facewise.cli.output import tell
    from facewise.network import told_providers

    for line in told_providers(used, passed_over):
        tell(line)


def tell_other_detector(pipeline: Pipeline) -> None:
    """Says on stderr where the thresholds in use were measured on faces that another detector found."""
    from facewise.cli.output import tell

    calibration, detector = pipeline.embedder.calibration, pipeline.detector
    if calibration is not None and calibration.detector_fingerprint != detector.fingerprint:
        tell(
            f"The thresholds of {pipeline.embedder.name} were measured with the detector "
            f"{calibration.detector}, and faces found by {detector.name} are aligned a little differently: "
            "`facewise calibrate` sets them for these two."
        )


def need_training() -> None:
    """Complain plainly where PyTorch and the rest of the `train` extra are missing.

    Raises:
        SettingError: They are.
    """
    from importlib.util import find_spec

    from facewise.errors import SettingError

    missing = [
        name for name in ("torch", "pydantic", "yaml", "safetensors", "onnx") if find_spec(name) is None
    ]
    if missing:
        raise SettingError(f"Training needs {', '.join(missing)}: `pip install facewise[train]`.")
