"""Drawn people as a folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from facewise.data.source import FileSource
from facewise.data.synthetic import SyntheticSource, write_people
from facewise.errors import DatasetError, FacewiseError, SettingError

SIZE = 32


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("drawn") / "people"
    assert write_people(made, 3, 2, 5, size=SIZE).photos == 6
    return made


def test_a_folder_a_person_and_the_pixels_of_the_source(folder):
    source = SyntheticSource(3, 2, 5, size=SIZE)
    assert sorted(p.name for p in folder.iterdir() if p.is_dir()) == sorted(source.names)
    files = FileSource("files", folder, source.keys, source.labels, source.names)
    for index in range(6):
        assert np.array_equal(files.read(index), source.read(index))


def test_the_truth_is_written_twice_alike(folder):
    rows = [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]
    with (folder / "truth.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    source = SyntheticSource(3, 2, 5, size=SIZE)
    assert [row["path"] for row in rows] == [row["path"] for row in table] == list(source.keys)
    for index, (row, cells) in enumerate(zip(rows, table, strict=True)):
        truth = source.truth(index)
        assert row["person"] == cells["person"] == source.names[source.labels[index]]
        assert np.allclose(row["box"], truth.box, atol=1e-3)
        assert np.allclose(row["landmarks"], truth.landmarks, atol=1e-3)
        assert [float(cells[f"box_{c}"]) for c in ("x1", "y1", "x2", "y2")] == row["box"]
        points = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
        assert [[float(cells[f"{p}_{axis}"]) for axis in "xy"] for p in points] == row["landmarks"]
        assert [float(cells[f"light_{axis}"]) for axis in "xyz"] == row["light"]
        assert np.isclose(row["yaw"], truth.view.yaw, atol=1e-6)
        assert float(cells["yaw"]) == row["yaw"]
        assert cells["glasses"] == row["glasses"] == truth.view.glasses


def test_a_run_again_mends_what_is_missing_or_broken(folder, tmp_path):
    again = tmp_path / "again"
    write_people(again, 3, 2, 5, size=SIZE)
    before = content(again)
    assert before == content(folder)
    source = SyntheticSource(3, 2, 5, size=SIZE)
    (again / source.keys[1]).unlink()
    (again / source.keys[2]).write_bytes(b"half a pho")
    (again / "truth.csv").unlink()
    written = write_people(again, 3, 2, 5, size=SIZE)
    assert (written.photos, written.kept) == (6, 4)
    assert content(again) == before


def test_processes_draw_the_same(tmp_path):
    done: list[int] = []
    write_people(tmp_path / "two", 2, 50, 2, size=SIZE, workers=2, done=lambda: done.append(1))
    assert len(done) == 100
    source = SyntheticSource(2, 50, 2, size=SIZE)
    for index in (0, 31, 32, 49, 50, 63, 64, 99):
        assert (tmp_path / "two" / source.keys[index]).read_bytes() == source.jpeg(index)[0]
    paths = [json.loads(line)["path"] for line in (tmp_path / "two" / "truth.jsonl").read_text().splitlines()]
    assert paths == list(source.keys)


def test_a_folder_of_something_else_is_left_alone(folder, tmp_path):
    before = content(folder)
    with pytest.raises(DatasetError, match="other settings"):
        write_people(folder, 3, 3, 5, size=SIZE)
    assert content(folder) == before
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DatasetError, match="already holds something else"):
        write_people(tmp_path, 3, 2, 5, size=SIZE)
    with pytest.raises(FacewiseError, match="already holds something else"):
        write_people(tmp_path / "mine.txt", 3, 2, 5, size=SIZE)
    with pytest.raises(SettingError):
        write_people(tmp_path / "new", 3, 2, -5, size=SIZE)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
