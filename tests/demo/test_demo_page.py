"""The demo's report is one file that needs nothing else, and takes no name for markup."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

from facewise.demo.blocks import Commands, Face, Faces, Picture, Section, Table, percent
from facewise.demo.finding import jpeg
from facewise.demo.page import page
from facewise.drawing import AMBER, GREEN, RED

NASTY = '<script>alert("&")</script> O\'Hara "quoted"'


class Reader(HTMLParser):
    """Collects what a page refers to, its pictures and its text."""

    def __init__(self):
        super().__init__()
        self.links, self.images, self.text, self.open, self.tags = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        found = dict(attrs)
        self.links += [found[key] for key in ("src", "href", "srcset", "action", "data") if key in found]
        if tag == "img":
            self.images.append(found)
        if tag not in ("img", "meta", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)


def read(html):
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return reader


@pytest.fixture
def sections():
    crop = np.full((112, 112, 3), 90, np.uint8)
    return [
        Section(
            model=f"{NASTY} `typed`",
            short=f"In short {NASTY}",
            title=NASTY,
            seconds=61.4,
            blocks=[
                f"words {NASTY}",
                Table([NASTY, "b"], [[NASTY, "1"]], (1,)),
                Picture(jpeg(crop), NASTY, NASTY),
                Faces([(NASTY, [Face(crop, NASTY, NASTY, colour) for colour in (GREEN, RED, AMBER)])]),
                Commands([NASTY]),
            ],
        ),
        Section(title="without anything"),
    ]


def test_the_report_is_self_contained(sections):
    html = page("Title", ["lead"], sections)
    reader = read(html)
    assert all(link.startswith(("data:image/", "#")) for link in reader.links)
    assert "url(" not in html
    assert "@import" not in html
    assert "script" not in reader.tags
    assert "link" not in reader.tags
    assert "http" not in html


def test_names_are_text(sections):
    text = "".join(read(page(NASTY, [NASTY], sections)).text)
    for said in (f"words {NASTY}", f"In short {NASTY}", "typed", "took 1 min 1 s"):
        assert said in text
    assert "`typed`" not in text
    assert text.count(NASTY) == 16


def test_pictures_have_words_and_colours_are_not_alone(sections):
    html = page("Title", [], sections)
    images = read(html).images
    assert [image["alt"] for image in images] == [NASTY] * 4
    for name in ("right", "wrong", "missed"):
        assert f'<figure class="{name}">' in html
    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html
    assert '<html lang="en">' in html


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (12, 16, "12 of 16 (75%)"),
        (1199, 1200, "1199 of 1200 (99.9%)"),
        (99_999, 100_000, "99999 of 100000 (99.9%)"),
        (16, 16, "16 of 16 (100%)"),
        (1, 1000, "1 of 1000 (0.1%)"),
        (0, 16, "0 of 16 (0%)"),
        (0, 0, "0 of 0"),
    ],
)
def test_shares(part, whole, said):
    assert percent(part, whole) == said
