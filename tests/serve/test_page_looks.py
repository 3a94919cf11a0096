"""How the page looks: contrast computed, no sideways scrolling on a phone, light and dark, little motion."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_tools import EDEN, choose, overflow, section

pytest_plugins = ["page_fixtures"]
pytestmark = pytest.mark.slow  # a service and a browser each: the clicks and the keyboard are in the fast set

CONTRAST = (Path(__file__).parent / "page_contrast.js").read_text()


def check(page, least=5):
    """Everything readable, nothing beyond the edge."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(250)  # colours change over 150 ms
    found = page.evaluate(CONTRAST)
    assert found["wrong"] == []
    assert found["texts"] >= least
    assert overflow(page) == 0


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        (390, "dark"),
        pytest.param(1280, "dark", marks=pytest.mark.slow),
        pytest.param(390, "light", marks=pytest.mark.slow),
    ],
)
def test_every_view_can_be_read(open_page, service, photos_of, scheme, width):
    number = service.enrol("Eden", *photos_of(EDEN)[:2], groups=("staff", "night shift"))
    page = open_page(None, width=width, scheme=scheme)
    check(page)
    page.get_by_label("API key", exact=True).fill("not a key")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    check(page)
    page.get_by_label("API key", exact=True).fill(service.keys["admin"])
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Who is in a photo?").wait_for()
    check(page)
    page.get_by_text("Options", exact=True).click()
    choose(page, "A photo to look at", photos_of(EDEN)[2])
    page.get_by_role("listitem", name="Face 1: Eden").wait_for()
    check(page)
    section(page, "Verify")
    choose(page, "First photo", photos_of(EDEN)[0])
    choose(page, "Second photo", photos_of(EDEN)[1])
    page.get_by_role("region", name="Result").wait_for()
    check(page)
    section(page, "People")
    page.get_by_role("link", name="Eden").wait_for()
    check(page)
    page.get_by_role("button", name="Add a person").click()
    check(page)
    page.keyboard.press("Escape")
    page.goto(f"{service.url}/#/people/{number}")
    page.get_by_role("heading", name="Samples").wait_for()
    check(page)
    page.get_by_role("button", name="Delete", exact=True).click()
    check(page)
    page.keyboard.press("Escape")
    section(page, "Group")
    choose(page, "Photos to group", *photos_of(EDEN))
    page.get_by_role("button", name="Group by person").click()
    page.get_by_role("listitem", name="Group 1").wait_for()
    check(page)
    section(page, "Model")
    page.get_by_role("table", name="Thresholds of the calibration").wait_for()
    check(page)


def test_the_switch_of_colours_holds_and_keeps_the_focus(open_page):
    page = open_page(scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    switch = page.get_by_role("button", name="Dark colours")
    assert switch.get_attribute("aria-pressed") == "false"
    switch.click()
    assert switch.get_attribute("aria-pressed") == "true"
    assert page.evaluate("document.activeElement.textContent") == "Dark colours"
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark
    # The theme's name is all that stays when the tab is closed.
    assert page.evaluate("JSON.stringify(localStorage)") == '{"facewise-theme":"dark"}'
    page.emulate_media(color_scheme="dark")
    switch.click()
    assert page.evaluate(ground) == light


def test_reduced_motion(open_page):
    page = open_page(reduced_motion="reduce")
    longest = page.evaluate(
        """() => Math.max(...[...document.querySelectorAll("*")].map(
            (one) => parseFloat(getComputedStyle(one).transitionDuration)))"""
    )
    assert longest < 0.001


def test_the_checks_see_what_is_wrong(open_page):
    page = open_page()
    page.evaluate(
        """() => {
            const pale = document.createElement("p");
            pale.textContent = "pale words";
            pale.style.cssText = "color: rgb(170 170 170); width: 3000px";
            document.querySelector("main").append(pale);
        }"""
    )
    assert [line.split(": ")[1] for line in page.evaluate(CONTRAST)["wrong"]] == ["pale words"]
    assert overflow(page) > 1000
