"""`import facewise` loads next to nothing, and the runtime half never loads the workshop half."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import facewise

WORKSHOP = {"torch", "sklearn", "scipy", "matplotlib", "onnx", "onnxscript", "safetensors", "fastapi"}


def run(code: str, *arguments: str) -> dict[str, object]:
    """Run code that prints JSON in a fresh process."""
    root = Path(facewise.__file__).parents[1]
    prelude = f"import sys, json, time; sys.path.insert(0, {str(root)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", prelude + code, *arguments], capture_output=True, text=True, check=True
    )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def loaded(modules: object) -> set[str]:
    assert isinstance(modules, list)
    return {name.partition(".")[0] for name in modules}


def test_import_is_instant_and_loads_nothing_heavy() -> None:
    code = "before = set(sys.modules); import facewise\n"
    code += "print(json.dumps({'new': sorted(set(sys.modules) - before), 'modules': list(sys.modules)}))"
    answer = run(code)
    assert isinstance(answer["new"], list)
    # `benchmarks/startup.py` times it: this many modules of the standard library take milliseconds.
    assert len(answer["new"]) < 50
    assert not loaded(answer["modules"]) & (
        WORKSHOP | {"numpy", "cv2", "PIL", "onnxruntime", "rich", "typer"}
    )


def test_every_public_name_is_there_and_loads_no_workshop() -> None:
    code = "import facewise; runtime = set(facewise.__all__) - {'train'}\n"  # training is the workshop
    code += "names = {n: getattr(facewise, n).__class__.__name__ for n in runtime}\n"
    code += "print(json.dumps({'names': names, 'dir': dir(facewise), 'modules': list(sys.modules)}))"
    answer = run(code)
    assert {"train", *answer["names"]} == set(facewise.__all__) == set(answer["dir"])
    assert not loaded(answer["modules"]) & WORKSHOP


def test_the_runtime_never_loads_the_workshop(
    tmp_path: Path, tiny_detector_file: Path, tiny_embedder_file: Path, drawn_photo: Callable[..., np.ndarray]
) -> None:
    """Read, detect, align, embed, verify, enrol, identify: not a module of the workshop half."""
    import PIL.Image

    photo = tmp_path / "ada.png"
    PIL.Image.fromarray(drawn_photo([(150, 120, 64)])).save(photo)
    code = """
import facewise
detector, model, photo, gallery = sys.argv[1:]
pipeline = facewise.Pipeline.load(detector, model)
found = pipeline.read(photo)
same = facewise.Recognizer(pipeline=pipeline).verify(photo, photo, threshold=0.5).same
people = facewise.Gallery.open(gallery, pipeline=pipeline)
people.enroll("Ada", photo)
names = [match.name for match in people.identify(photo, threshold=0.5)]
print(json.dumps({"faces": len(found.faces), "same": same, "names": names, "modules": list(sys.modules)}))
"""
    answer = run(
        code, str(tiny_detector_file), str(tiny_embedder_file), str(photo), str(tmp_path / "people.db")
    )
    assert (answer["faces"], answer["same"], answer["names"]) == (1, True, ["Ada"])
    assert "onnxruntime" in loaded(answer["modules"])
    assert not loaded(answer["modules"]) & WORKSHOP


def test_an_unknown_name_is_an_attribute_error() -> None:
    code = """
import facewise
try:
    facewise.recognise
except AttributeError as error:
    print(json.dumps({"said": str(error)}))
"""
    assert "recognise" in str(run(code)["said"])


def cli(*words: str, home: Path | None = None) -> tuple[list[str], str]:
    """The modules a command has loaded when it ends, and what it printed."""
    code = """
import contextlib, io, os
home, *words = sys.argv[1:]
if home: os.environ["FACEWISE_HOME"] = home
from facewise.cli import main
sys.argv = ["facewise", *words]
said = io.StringIO()
try:
    with contextlib.redirect_stdout(said): main()
except SystemExit as end:
    assert not end.code, end
print(json.dumps({"said": said.getvalue(), "modules": list(sys.modules)}))
"""
    answer = run(code, str(home or ""), *words)
    assert isinstance(answer["modules"], list)
    return answer["modules"], str(answer["said"])


GALLERY = {"sqlite3", "faiss", "pymilvus"}
PHOTOS = {"cv2", "PIL", "onnxruntime"}


def test_verify_opens_no_gallery_and_no_other_command(
    tmp_path: Path, tiny_detector_file: Path, tiny_embedder_file: Path, drawn_photo: Callable[..., np.ndarray]
) -> None:
    import PIL.Image

    photo = str(tmp_path / "ada.png")
    PIL.Image.fromarray(drawn_photo([(150, 120, 64)])).save(photo)
    modules, said = cli(
        "verify", photo, photo, "--threshold", "0.5", "--threads", "2",
        "--detector", str(tiny_detector_file), "--model", str(tiny_embedder_file),
    )  # fmt: skip
    assert said.startswith("the same person")
    assert "onnxruntime" in loaded(modules)
    assert not loaded(modules) & (WORKSHOP | GALLERY | {"rich", "filelock", "multiprocessing", "ssl"})
    ours = {name for name in modules if name.startswith("facewise.")}
    assert not [name for name in ours if name.startswith(("facewise.gallery", "facewise.serve"))]
    commands = {name for name in ours if name.startswith("facewise.cli.")}
    assert commands == {f"facewise.cli.{name}" for name in ("app", "options", "output", "verify")}


def test_help_lists_commands_without_loading_them() -> None:
    modules, said = cli("--help")
    assert "verify" in said
    assert not loaded(modules) & (WORKSHOP | GALLERY | PHOTOS | {"numpy"})
    assert {name for name in modules if name.startswith("facewise.cli.")} == {
        "facewise.cli.app",
        "facewise.cli.options",
        "facewise.cli.output",
    }


def test_a_gallery_is_listed_without_what_reads_photos(tmp_path: Path) -> None:
    for words in (["gallery", "--help"], ["models", "list"], ["recipes"]):
        assert not loaded(cli(*words, home=tmp_path)[0]) & (PHOTOS | {"faiss", "torch"}), words


def test_models_and_galleries_load_nothing_that_reads_photos() -> None:
    code = "import facewise.models, facewise.gallery, facewise.embedding\n"
    code += "print(json.dumps({'modules': list(sys.modules)}))"
    assert not loaded(run(code)["modules"]) & (WORKSHOP | PHOTOS | {"faiss", "rich", "typer", "filelock"})


def test_a_command_that_ends_looks_for_no_garbage() -> None:
    code = """
import atexit, gc
def tell():
    print(json.dumps({"left alone": gc.get_freeze_count(), "looked at": len(gc.get_objects())}))
atexit.register(tell)
from facewise.cli import main
sys.argv, sys.stdout = ["facewise", "--version"], sys.stderr
try: main()
finally: sys.stdout = sys.__stdout__
"""
    answer = run(code)
    assert isinstance(answer["left alone"], int)
    assert isinstance(answer["looked at"], int)
    assert answer["left alone"] > 100 * answer["looked at"]
