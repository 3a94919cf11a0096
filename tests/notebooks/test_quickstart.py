"""The quickstart notebook: valid, clean, and it runs from a clean kernel."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import nbformat
import pytest

PATH = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"
TEXT = PATH.read_text(encoding="utf-8")
NOTEBOOK = nbformat.reads(TEXT, as_version=4)
CODE = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]


def test_it_is_valid_and_small():
    nbformat.validate(NOTEBOOK)
    assert len({cell.id for cell in NOTEBOOK.cells}) == len(NOTEBOOK.cells)
    assert 10 <= len(CODE) <= 15


def test_it_is_committed_without_outputs():
    assert not [cell.id for cell in CODE if cell.outputs or cell.execution_count is not None]
    assert set(NOTEBOOK.metadata) == {"kernelspec", "language_info"}


def test_it_holds_on_every_machine():
    assert not re.search(r"/(?:home|root|tmp|work|Users|content)/|[A-Z]:\\\\", TEXT)
    assert not re.search(r"pypi\.org|huggingface\.co|index-url", TEXT)


@pytest.mark.parametrize("cell", CODE, ids=[cell.id for cell in CODE])
def test_its_code_is_plain_python_and_imports_what_exists(cell):
    for node in ast.walk(ast.parse(cell.source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("facewise"):
            module = importlib.import_module(node.module)
            assert not [name.name for name in node.names if not hasattr(module, name.name)]


def test_the_first_cell_installs_only_where_facewise_is_missing(monkeypatch):
    called = []
    monkeypatch.setattr("subprocess.run", lambda *args, **_: called.append(args))
    exec(compile(CODE[0].source, "first cell", "exec"), {})
    assert not called

    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    exec(compile(CODE[0].source, "first cell", "exec"), {})
    assert "pip" in called[0][0]


@pytest.mark.slow
def test_it_runs_from_a_clean_kernel_and_cleans_up(tmp_path, monkeypatch):
    from nbclient import NotebookClient

    temporary, folder = tmp_path / "temporary", tmp_path / "folder"
    temporary.mkdir()
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.delenv("FACEWISE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    done = nbformat.from_dict(NOTEBOOK)
    NotebookClient(
        done, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()

    shown = [output for cell in done.cells for output in cell.get("outputs", ())]
    pictures = sum("image/png" in output.get("data", {}) for output in shown)
    printed = "".join(output.get("text", "") for output in shown)
    assert pictures >= 7
    assert "accuracy" in printed
    assert "of strangers may get a name" in printed
    assert not [path for path in temporary.iterdir() if path.name.startswith("facewise-")], (
        "it left its folder"
    )
    assert not (folder / ".cache" / "facewise").exists()
