"""The page's view of what faces look like: there where the service says so, for keys that may ask."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_tools import EDEN, choose, overflow, section

from plain_attributes import write_plain_attributes

pytest_plugins = ["page_fixtures"]

CONTRAST = (Path(__file__).parent / "page_contrast.js").read_text()


@pytest.fixture(scope="module")
def service(start_service, tmp_path_factory):
    model = write_plain_attributes(tmp_path_factory.mktemp("looks") / "looks.onnx", sure=2.0).path
    return start_service("--allow-attributes", "--attributes-model", str(model))


def test_what_a_face_looks_like_and_race_only_where_ticked(open_page, photos_of, both):
    page = open_page(width=390)
    section(page, "Analyze")
    choose(page, "A photo to analyze", photos_of(EDEN)[1])
    result = page.get_by_role("region", name="Result")
    result.get_by_role("heading", name="1 face found").wait_for()
    card = result.get_by_role("listitem", name=re.compile(r"Face 1: about \d+ years"))
    assert re.search(r"\d+ years, \d+ to \d+ for 90 of 100 faces", card.inner_text())
    assert card.get_by_role("region", name="Emotion").count() == 1
    assert card.get_by_role("region", name="Race").count() == 0
    assert "looks" in result.inner_text()
    assert page.locator("button.mark").count() == 1
    page.get_by_role("checkbox", name="Race").check()
    card.get_by_role("region", name="Race").wait_for()
    page.get_by_role("checkbox", name="Age").uncheck()
    card.get_by_role("region", name="Age").wait_for(state="detached")
    assert overflow(page) == 0
    page.mouse.move(0, 0)
    page.wait_for_timeout(250)  # colours change over 150 ms
    assert page.evaluate(CONTRAST)["wrong"] == []
    choose(page, "A photo to analyze", both)
    result.get_by_role("heading", name="2 faces found").wait_for()


def test_a_key_that_may_not_ask_is_told_so(open_page):
    page = open_page("reader")
    section(page, "Analyze")
    page.get_by_text("that needs one with the scope “analyze”").wait_for()


def test_without_the_services_consent_there_is_no_such_section(start_service, open_page):
    other = start_service()
    page = open_page(None, at=other.url)
    page.get_by_label("API key", exact=True).fill(other.keys["admin"])
    page.get_by_role("button", name="Sign in").click()
    nav = page.get_by_role("navigation", name="Sections")
    nav.get_by_role("link", name="Identify").wait_for()
    assert nav.get_by_role("link", name="Analyze").count() == 0
    other.stop()
