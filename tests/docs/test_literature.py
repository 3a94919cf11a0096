"""The literature review: citations and entries match, numbers and links hold, names and figures are ours."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "literature.md"
BODY, REFERENCES = PAGE.read_text(encoding="utf-8").split("\n## References\n")
ENTRIES = dict(re.findall(r"^(\d+)\. (.+)$", REFERENCES, re.MULTILINE))
MARKS = re.findall(r"\[(\d+)\](?!\()", BODY)


def test_every_citation_has_its_entry_and_every_entry_is_cited():
    assert set(MARKS) == set(ENTRIES)


def test_entries_are_numbered_in_the_order_in_which_they_are_cited():
    assert list(dict.fromkeys(MARKS)) == list(ENTRIES) == [str(i + 1) for i in range(len(ENTRIES))]


def test_no_work_is_listed_twice():
    titles = [re.sub(r"\W+", " ", entry.lower()) for entry in ENTRIES.values()]
    assert len(set(titles)) == len(titles)
    preprints = re.findall(r"arXiv:(\S+?)\.?$", REFERENCES, re.MULTILINE)
    assert len(set(preprints)) == len(preprints)


@pytest.mark.parametrize("entry", ENTRIES.values())
def test_entries_have_a_year_or_a_version_and_a_well_formed_preprint_number(entry):
    year = re.search(r"\b(19[5-9]\d|20[0-3]\d|20/\d+)\b|commit [0-9a-f]{7}|ISO/IEC|Regulation", entry)
    assert year, entry
    if "arxiv" not in entry.lower():
        return
    number = re.search(r"arXiv:(\d{2})(\d{2})\.(\d{4,5})\.$", entry)
    assert number, entry
    decade, month, serial = number.groups()
    assert 1 <= int(month) <= 12
    # Five digits since 2015 (https://info.arxiv.org/help/arxiv_identifier.html).
    assert len(serial) == (5 if int(decade) >= 15 else 4)
    published = max(int(found) for found in re.findall(r"\b(?:19|20)\d\d\b", entry[: number.start()]))
    assert published >= 2000 + int(decade) - 1, "published long before its preprint"


def test_links_into_the_repository_exist():
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", BODY)
    assert len(links) > 30
    missing = [link for link in links if not (PAGE.parent / link).exists()]
    assert not missing


def test_the_tables_name_every_loss_and_backbone_there_is_and_no_other():
    from facewise.nn.backbones import BACKBONES
    from facewise.nn.losses import LOSSES

    for heading, registry in (("`loss.name`", LOSSES), ("`backbone.name`", BACKBONES)):
        table = BODY.split(f"| in Facewise ({heading})")[1].split("\n\n")[0]
        cells = " ".join(row.split("|")[1] for row in table.splitlines()[2:])
        named = set(re.findall(r"`([a-z0-9-]+)`", cells))
        assert named == {name for name in registry.names() if not name.startswith("test-")}


ZOO_ROWS = [
    (
        "YuNet, 2023",
        "yunet_2023mar",
        ["WIDER FACE val AP easy", "WIDER FACE val AP medium", "WIDER FACE val AP hard"],
    ),
    (
        "`buffalo_l`",
        "buffalo_l",
        ["LFW accuracy", "CFP-FP accuracy", "AgeDB-30 accuracy", "IJB-C TAR@FAR=1e-4"],
    ),
    (
        "`buffalo_sc`",
        "buffalo_sc",
        ["LFW accuracy", "CFP-FP accuracy", "AgeDB-30 accuracy", "IJB-C TAR@FAR=1e-4"],
    ),
    ("EdgeFace base", "edgeface_base", ["LFW accuracy", "CFP-FP accuracy", "AgeDB-30 accuracy"]),
    ("SFace (OpenCV)", "sface_2021dec", ["LFW accuracy", "CFP-FP accuracy", "AgeDB-30 accuracy"]),
]


@pytest.mark.parametrize(("label", "name", "metrics"), ZOO_ROWS, ids=[row[1] for row in ZOO_ROWS])
def test_figures_of_the_zoo_are_those_of_its_file(label, name, metrics):
    zoo = json.loads((ROOT / "src/facewise/models/zoo.json").read_text(encoding="utf-8"))
    entry = next(one for one in zoo["entries"] if one["name"] == name)
    published = {one["metric"]: one["value"] for one in entry["accuracy"]}
    row = next(line for line in BODY.splitlines() if label in line and "zoo.json" in line)
    shown = [float(cell) for cell in row.split("|") if re.fullmatch(r" 0\.\d+ ", cell)]
    assert shown == pytest.approx([published[metric] / 100 for metric in metrics], abs=1e-9)


def test_rates_are_shares():
    assert not re.search(r"\d\s?%", BODY)
    figures = [float(found) for found in re.findall(r"\|\s*(\d+\.\d{3,})\s*(?=\||±)", BODY)]
    assert len(figures) > 60
    assert all(0 < figure < 1 for figure in figures)
