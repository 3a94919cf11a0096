"""Where Facewise keeps its own: private, made when it is written to, and done without where it cannot be."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from facewise.errors import FacewiseError, FacewiseWarning, ModelError
from facewise.evaluation.cache import CachedCrop, FaceCache
from facewise.models import home
from facewise.models.store import find_model, installed_models, path_of


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "_temporary", [])


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that cannot be made."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "file" / "home"))
    return tmp_path / "file" / "home"


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of whom the system knows no home, as a container's that runs under a number."""
    for name in ("FACEWISE_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "mine"))
    assert home.models_folder() == tmp_path / "mine" / "models"
    assert home.cache_folder() == tmp_path / "mine" / "cache"
    monkeypatch.delenv("FACEWISE_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert home.home() == tmp_path / "xdg" / "facewise"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home.home() == tmp_path / ".cache" / "facewise"
    assert list(tmp_path.iterdir()) == []  # to ask makes nothing


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_what_is_made_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int) -> None:
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "mine"))
    before = os.umask(umask)
    try:
        home.make(home.models_folder())
        with FaceCache() as cache:
            assert stat.S_IMODE(cache.path.stat().st_mode) == 0o600
    finally:
        os.umask(before)
    for folder in (home.home(), home.models_folder(), home.cache_folder()):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_home_that_cannot_be_made_holds_nothing(nowhere: Path) -> None:
    assert path_of("mine") is None
    assert all(found.place == "bundled" for found in installed_models())
    with pytest.raises(ModelError, match=f"in {nowhere}/models"):
        find_model("mine", kind="embedder")
    with pytest.raises(FacewiseError, match="set FACEWISE_HOME to a folder that can be written"):
        home.make(home.models_folder())


@pytest.mark.usefixtures("homeless")
def test_a_user_without_a_home() -> None:
    assert path_of("mine") is None
    with pytest.raises(ModelError, match="no home folder"):
        find_model("mine", kind="embedder")
    with pytest.raises(FacewiseError, match="This user has no home folder: set FACEWISE_HOME"):
        home.make(home.models_folder())


@pytest.mark.usefixtures("nowhere")
def test_a_cache_that_cannot_be_kept_is_done_without_and_told_once() -> None:
    with pytest.warns(FacewiseWarning, match="not kept") as told:
        cache = FaceCache()
    with cache:
        cache.add_crops("detector", [("photo", CachedCrop(None, 0.0, None))])
        assert cache.without_face(["photo"], "detector") == {"photo"}
    assert home.make_cache("crops").parent == cache.path.parent  # and is not warned of again
    assert len(told) == 1
    assert stat.S_IMODE(cache.path.parent.stat().st_mode) == 0o700


def test_a_cache_that_another_user_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "mine"))
    with FaceCache() as cache:
        theirs = cache.path
    # As it is for a user who may not write it; root may write everything.
    touch = Path.touch

    def refuse(self: Path, *args: object, **more: object) -> None:
        if self == theirs:
            raise PermissionError(13, "Permission denied", str(self))
        touch(self, *args, **more)

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.warns(FacewiseWarning, match="cannot be written"), FaceCache() as cache:
        assert cache.path != theirs


def test_nothing_is_left_of_a_cache_that_was_not_kept(nowhere: Path, tmp_path: Path) -> None:
    code = "from facewise.models import home; home.make_cache('crops').mkdir(); print(home.make_cache())"
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment,
        capture_output=True,
        check=True,
        text=True,
    )
    folder = Path(os.fsdecode(done.stdout.strip()))
    assert folder.parent == tmp_path
    assert not folder.exists()


def test_libraries_leave_nothing_in_the_users_home_and_send_nothing(tmp_path: Path) -> None:
    code = "import facewise, onnxruntime, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"HOME": str(tmp_path)}, capture_output=True, check=True, text=True,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("1", "")
    assert list(tmp_path.rglob("*")) == []
