"""The page without a pointer, and what a screen reader is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_tools import EDEN, choose, section

pytest_plugins = ["page_fixtures"]

FOCUSED = """() => {
    const one = document.activeElement;
    const label = one.getAttribute("aria-label") ?? one.labels?.[0]?.textContent ?? one.textContent;
    return label.trim();
}"""

OUTLINE = """() => {
    const element = document.activeElement;
    const shown = element.classList.contains("unseen") ? element.closest("label") : element;
    const style = getComputedStyle(shown);
    return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
}"""


def tab_to(page, name, *, most=60):
    """Presses Tab until what has this name has the focus; each stop must be seen to have it."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED) == name:
            assert page.evaluate(OUTLINE), f"nothing shows that {name!r} has the focus"
            return
    raise AssertionError(f"Tab never came to {name!r}")


def give(page, photo):
    """The file chooser, opened with the keyboard."""
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(str(photo))


def test_enrol_identify_merge_delete_by_keyboard(open_page, service, photos_of):
    page = open_page(None)
    # From now on Chromium hands choosers over: asked for with the first one only, it may come too late.
    page.on("filechooser", lambda _: None)
    first, second, third = photos_of(EDEN)
    tab_to(page, "API key")
    page.keyboard.insert_text(service.keys["admin"])
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Who is in a photo?").wait_for()
    assert page.evaluate(FOCUSED) == "Who is in a photo?"

    for name, photo in (("Eden", first), ("Twin", second)):
        page.evaluate("document.querySelector('.skip').focus()")
        tab_to(page, "People")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Add a person").wait_for()
        tab_to(page, "Add a person")
        page.keyboard.press("Enter")
        page.get_by_role("dialog").wait_for()
        assert page.evaluate(FOCUSED) == "Name"
        page.keyboard.insert_text(name)
        tab_to(page, "Photos of this person alone")
        give(page, photo)
        page.get_by_role("button", name=f"Remove {photo.name}").wait_for()
        tab_to(page, "Enrol")
        page.keyboard.press("Enter")
        page.get_by_role("dialog").wait_for(state="detached")
        # The focus is back where the dialog was opened.
        assert page.evaluate(FOCUSED) == "Add a person"
    assert set(service.people()) == {"Eden", "Twin"}

    page.evaluate("document.querySelector('.skip').focus()")
    tab_to(page, "Identify")
    page.keyboard.press("Enter")
    tab_to(page, "A photo to look at")
    give(page, third)
    tab_to(
        page, f"Face 1: {page.locator('button.mark').get_attribute('aria-label').removeprefix('Face 1: ')}"
    )
    page.keyboard.press("Enter")
    assert page.evaluate(FOCUSED).startswith("Face 1: ")


def test_merge_and_delete_by_keyboard(open_page, service, photos_of):
    eden = service.enrol("Eden", photos_of(EDEN)[0])
    service.enrol("Twin", photos_of(EDEN)[1])
    page = open_page()
    page.goto(f"{service.url}/#/people/{eden}")
    page.get_by_role("heading", name="Samples").wait_for()
    tab_to(page, "Merge")
    page.keyboard.press("Enter")
    page.keyboard.insert_text("twin")
    page.get_by_role("radio").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    tab_to(page, "Merge")
    page.keyboard.press("Enter")
    page.get_by_role("listitem", name="Sample 2").wait_for()
    tab_to(page, "Delete")
    page.keyboard.press("Enter")
    assert page.evaluate(FOCUSED) == "Cancel"  # nobody deletes by pressing Enter twice
    page.keyboard.press("Escape")
    assert page.evaluate(FOCUSED) == "Delete"
    page.keyboard.press("Enter")
    tab_to(page, "Delete for good")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="People", exact=True).wait_for()
    assert service.people() == {}


def test_the_skip_link_leads_past_the_sections(open_page):
    page = open_page()
    page.evaluate("document.activeElement.blur()")
    page.reload()
    page.get_by_role("heading", name="Who is in a photo?").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "A photo to look at"


def test_what_happened_is_said(open_page, service, photos_of):
    service.enrol("Eden", *photos_of(EDEN)[:2])
    page = open_page("reader")
    choose(page, "A photo to look at", photos_of(EDEN)[2])
    page.locator("#said").get_by_text("1 face found; known: Eden.").wait_for()
    assert page.locator("#said").get_attribute("aria-live") == "polite"


def test_each_section_has_its_title_and_says_where_one_is(open_page):
    page = open_page()
    titles = set()
    for name in ("Verify", "People", "Group", "Model", "Identify"):
        section(page, name)
        page.wait_for_timeout(50)
        heading = page.get_by_role("heading", level=1)
        assert heading.count() == 1
        assert page.title() == f"{heading.inner_text()} · Facewise"
        assert page.locator("nav [aria-current=page]").inner_text() == name
        titles.add(page.title())
    assert len(titles) == 5


NEEDS_NAME = {
    "button", "link", "textbox", "searchbox", "checkbox", "radio", "combobox", "image", "dialog", "region",
    "navigation", "spinbutton", "table", "listbox", "form", "search",
}  # fmt: skip


def audit(page):
    """What an accessibility checker would say, from the tree the browser gives to readers."""
    client = page.context.new_cdp_session(page)
    nodes = client.send("Accessibility.getFullAXTree")["nodes"]
    wrong = []
    roles = []
    for node in nodes:
        if node.get("ignored"):
            continue
        role = node["role"]["value"]
        roles.append(role)
        name = node.get("name", {}).get("value", "").strip()
        # A <details> is a group without a name of its own; its summary names it.
        if (
            role in NEEDS_NAME
            and not name
            and node.get("chromeRole", {}).get("value") != 33
            and role != "group"
        ):
            wrong.append(f"a {role} without a name")
    wrong += [f"{roles.count(role)} of {role}" for role in ("main", "banner") if roles.count(role) != 1]
    wrong += page.evaluate((Path(__file__).parent / "page_audit.js").read_text())
    return wrong


@pytest.mark.parametrize("width", [1280, 390])
def test_roles_and_names(open_page, service, photos_of, width):
    number = service.enrol("Eden", *photos_of(EDEN)[:2], groups=("staff",))
    page = open_page(None, width=width)
    assert audit(page) == []
    page.get_by_label("API key", exact=True).fill(service.keys["admin"])
    page.keyboard.press("Enter")
    choose(page, "A photo to look at", photos_of(EDEN)[2])
    page.get_by_role("listitem", name="Face 1: Eden").wait_for()
    page.get_by_text("Options", exact=True).click()
    assert audit(page) == []
    section(page, "Verify")
    assert audit(page) == []
    section(page, "People")
    page.get_by_role("link", name="Eden").wait_for()
    assert audit(page) == []
    page.get_by_role("button", name="Add a person").click()
    assert audit_dialog(page) == "Add a person"
    page.keyboard.press("Escape")
    page.goto(f"{service.url}/#/people/{number}")
    page.get_by_role("heading", name="Samples").wait_for()
    assert audit(page) == []
    section(page, "Group")
    choose(page, "Photos to group", *photos_of(EDEN))
    page.get_by_role("button", name="Group by person").click()
    page.get_by_role("listitem", name="Group 1").wait_for()
    assert audit(page) == []
    section(page, "Model")
    page.get_by_role("table", name="Thresholds of the calibration").wait_for()
    assert audit(page) == []


def audit_dialog(page):
    """The dialog's name, once all in it have one."""
    dialog = page.get_by_role("dialog")
    named = "one => one.getAttribute('aria-label') || one.labels?.[0]?.textContent || one.textContent.trim()"
    for control in dialog.locator("input:visible, button:visible, select:visible").all():
        assert control.evaluate(named)
    return page.locator(f"#{dialog.get_attribute('aria-labelledby')}").inner_text()
