"""`facewise serve`: recognition over HTTP, and a page to use it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facewise.cli.options import (
    DEFAULT_GALLERY,
    AttributesModel,
    AuditFile,
    CounterFile,
    Detector,
    Flip,
    GalleryPath,
    Landmarker,
    Liveness,
    LivenessModel,
    MaxSize,
    Mesh,
    Model,
    Provider,
    Threads,
    Variant,
    given_path,
    reads_photos,
)
from facewise.cli.output import tell, usage_error


@reads_photos
def serve(
    gallery: GalleryPath = DEFAULT_GALLERY,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0 is all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file",
            envvar="FACEWISE_KEY_FILE",
            parser=given_path,
            help="The key that the gallery is encrypted with.",
        ),
    ] = None,
    counter_file: CounterFile = None,
    keep: Annotated[
        str, typer.Option("--keep", help="What to keep of enrolled photos: none, face or photo.")
    ] = "none",
    detector: Detector = None,
    max_size: MaxSize = None,
    model: Model = None,
    flip: Flip = None,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    allow_attributes: Annotated[
        bool,
        typer.Option(
            "--allow-attributes",
            help="Say what faces look like (age, gender, emotion, race) to keys that may analyze: see "
            "docs/attributes.md for where that is forbidden.",
        ),
    ] = False,
    attributes_model: AttributesModel = None,
    liveness: Liveness = False,
    liveness_model: LivenessModel = None,
    mesh: Mesh = False,
    landmarker: Landmarker = None,
    in_process: Annotated[
        bool,
        typer.Option("--in-process", help="Look at photos in this process: less memory, and slower."),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option("--report", parser=given_path, help="Evaluation report (HTML) to show on the page."),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys",
            parser=given_path,
            help="The file of API keys. (default: the gallery's with .keys added)",
        ),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Ask for no keys; on a loopback address only.")
    ] = False,
    rate: Annotated[
        str | None,
        typer.Option("--rate", help="How fast each key may ask, such as 10/s. (default: no limit)"),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option("--allowed-host", help="Name by which browsers call the service. Several times."),
    ] = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option("--proxy", help="Address of a proxy whose X-Forwarded-For is believed. Several times."),
    ] = None,
    root_path: Annotated[
        str, typer.Option("--root-path", help="Path that a proxy serves this under, such as /faces.")
    ] = "",
    queue: Annotated[
        int, typer.Option("--queue", min=1, max=100_000, help="Requests that may wait; more are refused.")
    ] = 64,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, max=3600, help="Seconds a request may take.")
    ] = 30.0,
    max_mib: Annotated[
        int, typer.Option("--max-mib", min=1, max=256, help="MiB a photo's file may have.")
    ] = 10,
    max_pixels: Annotated[
        int, typer.Option("--max-pixels", min=1, max=178_000_000, help="Pixels a photo may have.")
    ] = 40_000_000,
    max_photos: Annotated[
        int, typer.Option("--max-photos", min=1, max=1000, help="Photos a request may have.")
    ] = 50,
    audit: AuditFile = None,
    audit_addresses: Annotated[
        bool, typer.Option("--audit-addresses", help="Record clients' network addresses in it.")
    ] = False,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", parser=given_path, help="Certificate chain (PEM), for HTTPS.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", parser=given_path, help="The certificate's private key (PEM).")
    ] = None,
) -> None:
    """Serve recognition over HTTP, with a page to use it, until Ctrl-C or SIGTERM."""
    if attributes_model is not None and not allow_attributes:
        usage_error("--attributes-model needs --allow-attributes.")
    need_serving()
    from facewise.serve.ratelimit import Rate
    from facewise.serve.run import serve as run
    from facewise.serve.settings import Limits, ServiceSettings

    limits = Limits(
        max_bytes=max_mib * 2**20,
        max_body=max(64, 2 * max_mib) * 2**20,
        max_pixels=max_pixels,
        max_photos=max_photos,
        queue=queue,
        request_seconds=timeout,
    )
    settings = ServiceSettings(
        gallery=gallery,
        key_file=key_file,
        counter_file=counter_file,
        keys=keys,
        auth=not no_auth,
        host=host,
        port=port,
        allowed_hosts=tuple(allowed_host or ()),
        proxies=tuple(proxy or ()),
        root_path=root_path,
        keep=keep,  # type: ignore[arg-type]  # the settings check it
        limits=limits,
        rate=None if rate is None else Rate.parse(rate),
        workers=threads,
        processes=not in_process,
        detector=detector,
        max_size=max_size,
        model=model,
        flip=flip,
        provider=provider,
        variant=variant,
        attributes=(attributes_model or True) if allow_attributes else False,
        liveness=liveness_model or liveness,
        mesh=landmarker or mesh,
        audit=audit,
        audit_addresses=audit_addresses,
        report=report,
        tls_cert=tls_cert,
        tls_key=tls_key,
    )
    run(settings, tell)


def need_serving() -> None:
    """Complain plainly where FastAPI and the rest of the `serve` extra are missing.

    Raises:
        SettingError: They are.
    """
    from importlib.util import find_spec

    from facewise.errors import SettingError

    wanted = (
        "fastapi", "uvicorn", "httptools", "python_multipart", "pydantic", "prometheus_client",
        "cryptography",
    )  # fmt: skip
    missing = [name for name in wanted if find_spec(name) is None]
    if missing:
        raise SettingError(f"The service needs {', '.join(missing)}: `pip install facewise[serve]`.")
