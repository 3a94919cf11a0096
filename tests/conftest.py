"""What tests share: a home of their own, tiny models that work on drawn photos, real data if it is there."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import certifi
import hypothesis
import pytest

from facewise.hardware import available_threads

if TYPE_CHECKING:  # NumPy reads the number of threads, set below, when it is loaded
    import numpy as np

# PyTorch's threads spin while they wait: on a busy machine small networks are ten times slower with them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts what runs in its background with Ctrl-C ignored, and all it starts inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Fifty other examples in each run. How long one takes, or making one up, says how busy the machine is.
hypothesis.settings.register_profile(
    "facewise", max_examples=50, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("facewise")

# Collecting thousands of tests makes no garbage; looking for it takes a third of the time.
gc.disable()

_REPOSITORY = Path(__file__).parents[1]
_SHARED = Path(os.environ.get("FACEWISE_TEST_DATA") or _REPOSITORY.parent / "shared")
_MISSING = f"real data: FACEWISE_TEST_DATA ({_SHARED}) not found"


@pytest.fixture(scope="session", autouse=True)
def facewise_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or writes the home of whoever runs it."""
    home = tmp_path_factory.mktemp("facewise-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEWISE_HOME", str(home))
        # httpx reads all certificates of the web for each client, even for plain HTTP: here it reads one.
        first, end, _ = certifi.contents().partition("-----END CERTIFICATE-----")
        (home / "one.pem").write_text(first[first.index("-----BEGIN") :] + end + "\n")
        patch.setenv("SSL_CERT_FILE", str(home / "one.pem"))
        # Tests end processes, not the power: to wait for a disk proves nothing, and takes minutes.
        patch.setattr(os, "fsync", lambda _: None)
        yield home


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photos, checkpoints and golden files."""
    if not (_SHARED / "data" / "lfw" / "pairs.txt").is_file():
        pytest.skip(_MISSING)
    return _SHARED


@pytest.fixture(scope="session")
def real_models(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """`detector` and `embedder`: paths of the imported public checkpoints; `imported`: both `Imported`."""
    checkpoints = [
        _SHARED / "models" / f"{name}" for name in ("retinaface_mobilenet025.pth", "mobilefacenet_foamliu.pt")
    ]
    if not all(path.is_file() for path in checkpoints):
        pytest.skip(_MISSING)
    from facewise.models.importing import import_checkpoint

    folder = tmp_path_factory.mktemp("real-models")
    imported = [import_checkpoint(path, folder) for path in checkpoints]
    detector, embedder = (one.model.path for one in imported)
    return SimpleNamespace(detector=detector, embedder=embedder, imported=imported, checkpoints=checkpoints)


@pytest.fixture(scope="session")
def tiny_detector_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector that finds the faces `drawn_photo` draws, exactly."""
    from tiny_models import write_detector

    return write_detector(tmp_path_factory.mktemp("tiny") / "tiny-detector.onnx").path


@pytest.fixture(scope="session")
def tiny_embedder_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedder of 32 numbers that tells drawn people apart."""
    from tiny_models import write_embedder

    return write_embedder(tmp_path_factory.mktemp("tiny") / "tiny-embedder.onnx", seed=1).path


@pytest.fixture(scope="session")
def plain_attributes_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of attributes that reads drawn faces by the rules of `plain_attributes`."""
    from plain_attributes import write_plain_attributes

    return write_plain_attributes(tmp_path_factory.mktemp("tiny") / "plain-attributes.onnx").path


@pytest.fixture(scope="session")
def other_embedder_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another embedder of as many numbers, other ones."""
    from tiny_models import write_embedder

    return write_embedder(tmp_path_factory.mktemp("tiny") / "other-embedder.onnx", seed=2).path


@pytest.fixture(scope="session")
def drawn_photo() -> Callable[..., np.ndarray]:
    """`drawn_photo(faces=[(x, y, diameter), …], size=(height, width))`: an RGB photo.

    A fourth number of a face is the person; without it the first face is person 0, the second person 1, …
    """
    from tiny_models import draw

    def make(faces=(), size: tuple[int, int] = (240, 320)) -> np.ndarray:
        return draw(size, faces)

    return make


@pytest.fixture(scope="session")
def tiny_pipeline(tiny_detector_file: Path, tiny_embedder_file: Path):
    """A pipeline of the tiny models on two threads."""
    from facewise.pipeline import Pipeline

    return Pipeline.load(tiny_detector_file, tiny_embedder_file, threads=2)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: one more than there are cores, as a fifth of the time is waiting for services to start."""
    return available_threads() + 1


def pytest_collection_finish() -> None:
    """What there is now stays to the end: nobody needs to look through it again."""
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly when a pass says nothing about real photos."""
    skipped = [
        report for report in terminalreporter.stats.get("skipped", []) if "real data:" in str(report.longrepr)
    ]
    if skipped:
        terminalreporter.write_sep(
            "!", f"{len(skipped)} tests on real photos DID NOT RUN", red=True, bold=True
        )
        terminalreporter.write_line(f"{_MISSING}: accuracy on real faces was not checked.")
