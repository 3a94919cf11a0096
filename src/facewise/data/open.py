"""What a path stands for: a folder of people, a CSV, LFW, record files, or photos prepared before."""

from __future__ import annotations

import os
from pathlib import Path

from facewise.data.csvfile import PERSON_COLUMNS, columns_of, csv_source
from facewise.data.folder import folder_source
from facewise.data.lfw import images_of, lfw_people
from facewise.data.prepared import is_prepared, open_prepared
from facewise.data.recordsource import RecordSource
from facewise.data.source import Source
from facewise.errors import DatasetError
from facewise.image import source_name
from facewise.photos import Tell, files_in, folders_in, refuse_one_level_too_high, some, warn


def open_source(path: str | os.PathLike[str], *, tell: Tell = warn) -> Source:
    """The dataset at a path.

    | path | dataset |
    |---|---|
    | a folder with a sub-folder of photos a person | see `folder_source` |
    | a `.csv`, or a folder of `images/` and one CSV | see `csv_source` |
    | a folder that `prepare` wrote | the aligned crops, see `PreparedSource` |
    | a `.rec`, or a folder with one | see `RecordSource` |
    | a folder of people beside LFW's pair files (`pairs*.txt`) | everybody of `lfw_people` |

    Args:
        path: A file or folder.
        tell: See `folder_source`.

    Raises:
        DatasetError: There is nothing there, or nothing that is a dataset.
    """
    if not os.fspath(path):  # which pathlib would take for the current folder
        raise DatasetError("The path of the dataset is empty; name a file or folder.")
    path = Path(path)
    if path.is_dir():
        return _open_folder(path, tell)
    if not path.exists():
        raise DatasetError(f"There is no file or folder {source_name(path)}; check the path.")
    ending = path.suffix.lower()
    if ending == ".csv":
        return csv_source(path)
    if ending in {".rec", ".idx", ".lst"}:
        return RecordSource(path.with_suffix(".rec"))
    if ending == ".bin":
        raise DatasetError(
            f"{source_name(path)} holds pairs for measuring, which say nothing of who is who: "
            "they cannot be trained on."
        )
    raise DatasetError(
        f"{source_name(path)} is no dataset: "
        "give a folder with a sub-folder of photos a person, a .csv or a .rec."
    )


def _open_folder(folder: Path, tell: Tell) -> Source:
    if is_prepared(folder):
        return open_prepared(folder)
    records = files_in(folder, ".rec")
    if len(records) > 1:
        raise DatasetError(
            f"{source_name(folder)} holds several datasets, {some(f.name for f in records)}: name one."
        )
    if records:
        return RecordSource(records[0])
    images = images_of(folder)
    if images != folder and any(folder.glob("pairs*.txt")):
        return lfw_people(folder)
    if images != folder:
        listed = [file for file in files_in(folder, ".csv") if _names_people(file)]
        if len(listed) > 1:
            raise DatasetError(
                f"{source_name(folder)} holds several lists of people, {some(f.name for f in listed)}: "
                "name the one you mean."
            )
        if listed:
            return csv_source(listed[0])
        if not folders_in(images):
            raise DatasetError(
                f"Nothing says who is in the photos of {source_name(images)}: put a CSV with the columns "
                f"path and person into {source_name(folder)}, or each one's photos in a folder."
            )
    refuse_one_level_too_high(folder)
    return folder_source(folder, tell=tell)


def _names_people(file: Path) -> bool:
    columns = columns_of(file)
    return "path" in columns and not columns.isdisjoint(PERSON_COLUMNS)
