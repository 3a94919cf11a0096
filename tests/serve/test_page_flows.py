"""The page by clicking, on the bundled models: identify, verify, enrol, merge, delete, group and name."""

from __future__ import annotations

import re

import pytest
from page_tools import CLEO, EDEN, REFUSED, choose, section, strictest

pytest_plugins = ["page_fixtures"]


def add_person(page, name, *photos, groups=""):
    section(page, "People")
    page.get_by_role("button", name="Add a person").click()
    dialog = page.get_by_role("dialog", name="Add a person")
    dialog.get_by_label("Name", exact=True).fill(name)
    dialog.get_by_label("Groups").fill(groups)
    choose(page, "Photos of this person alone", *photos)
    dialog.get_by_role("button", name="Enrol").click()
    dialog.wait_for(state="detached")


def notice(page, text):
    page.get_by_role("region", name="Notices").get_by_text(text).wait_for()


def test_enrol_identify_merge_delete(open_page, service, photos_of, both):
    page = open_page()
    eden, cleo = photos_of(EDEN), photos_of(CLEO)
    add_person(page, "Eden", eden[0], groups="staff, night shift")
    notice(page, "Eden: 1 sample added.")
    add_person(page, "Cleo", cleo[0])
    add_person(page, "Cleo again", cleo[1])
    assert set(service.people()) == {"Eden", "Cleo", "Cleo again"}
    assert set(service.people()["Eden"]["groups"]) == {"staff", "night shift"}

    section(page, "Identify")
    strictest(page)
    choose(page, "A photo to look at", both)
    result = page.get_by_role("region", name="Result")
    result.get_by_role("heading", name="2 faces found").wait_for()
    names = result.get_by_role("listitem", name=re.compile(r"^Face \d: ")).evaluate_all(
        "cards => cards.map(card => card.getAttribute('aria-label').slice(8))"
    )
    assert "Eden" in names
    assert {"Cleo", "Cleo again"} & set(names)
    # Each box is a button that says who it is, and lies where the service found the face.
    boxes = page.locator("button.mark")
    assert boxes.count() == 2
    sheet = page.locator(".sheet").bounding_box()
    for index in range(2):
        name, box = boxes.nth(index).get_attribute("aria-label"), boxes.nth(index).bounding_box()
        at_left = box["x"] + box["width"] / 2 < sheet["x"] + sheet["width"] / 2
        assert at_left == name.endswith("Eden")
    text = result.inner_text()
    assert "0.630" in text
    assert "1 in 1,000,000 comparisons of different people" in text
    assert "FMR" in text
    assert "FPIR" in text

    section(page, "People")
    page.get_by_role("link", name="Cleo 1 sample").click()
    page.get_by_role("button", name="Merge").click()
    dialog = page.get_by_role("dialog", name="Merge")
    dialog.get_by_label("Who is the same person?").fill("again")
    dialog.get_by_role("radio", name="Cleo again").check()
    dialog.get_by_role("button", name="Merge").click()
    notice(page, "1 sample of Cleo again moved to Cleo.")
    page.get_by_role("listitem", name="Sample 2").wait_for()
    assert service.people()["Cleo"]["samples"] == 2

    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert "Cleo" in service.people()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete for good").click()
    page.get_by_role("heading", name="People", exact=True).wait_for()
    assert set(service.people()) == {"Eden"}


def test_strangers_are_told_as_unknown_and_can_be_enrolled(open_page, service, photos_of, both):
    service.enrol("Eden", *photos_of(EDEN)[:2])
    page = open_page("clerk")
    strictest(page)
    choose(page, "A photo to look at", both)
    stranger = page.get_by_role("listitem", name=re.compile(r"Face \d: unknown"))
    stranger.get_by_text("Not alike enough to anybody enrolled.").wait_for()
    assert "Eden" in stranger.inner_text()  # the most alike is still told
    stranger.get_by_role("button", name=re.compile("Enrol face")).click()
    dialog = page.get_by_role("dialog", name="Enrol this face")
    dialog.get_by_label("Name", exact=True).fill("Cleo")
    dialog.get_by_role("button", name="Enrol").click()
    page.get_by_role("listitem", name=re.compile(r"Face \d: Cleo")).wait_for()
    assert service.people()["Cleo"]["samples"] == 1


def test_verify(open_page, photos_of):
    page = open_page("reader")
    section(page, "Verify")
    strictest(page)
    choose(page, "First photo", photos_of(EDEN)[0])
    choose(page, "Second photo", photos_of(EDEN)[1])
    result = page.get_by_role("region", name="Result")
    result.get_by_role("heading", name="The same person").wait_for()
    assert re.search(r"Probability of one person\s+(over )?9\d", result.inner_text())
    assert page.locator(".mark").count() == 2
    page.get_by_role("button", name="Another second photo").click()
    choose(page, "Second photo", photos_of(CLEO)[0])
    result.get_by_role("heading", name="Two different people").wait_for()
    assert "1 in 1,000,000 pairs of different people" in result.inner_text()


def test_group_and_name(open_page, service, photos_of, both):
    service.enrol("Cleo", photos_of(CLEO)[0])
    page = open_page("clerk", allowed=(REFUSED,))
    section(page, "Group")
    strictest(page)
    choose(page, "Photos to group", *photos_of(EDEN), *photos_of(CLEO)[:2], both)
    page.get_by_role("button", name="Group by person").click()
    page.get_by_role("heading", name="2 groups").wait_for()
    eden, cleo = (page.get_by_role("listitem", name=f"Group {number}") for number in (1, 2))
    assert eden.get_by_role("checkbox").count() == 4
    assert cleo.get_by_role("checkbox").count() == 3
    eden.get_by_role("checkbox").nth(0).uncheck()
    eden.get_by_label("Name of group 1").fill("Eden")
    eden.get_by_role("button", name="Enrol").click()
    eden.get_by_text("Eden: 3 samples added.").wait_for()
    # A name that is there already is not a dead end.
    cleo.get_by_label("Name of group 2").fill("Cleo")
    cleo.get_by_role("button", name="Enrol").click()
    cleo.get_by_role("button", name="Add to Cleo").click()
    cleo.get_by_text("samples added").wait_for()
    people = service.people()
    assert people["Eden"]["samples"] == 3
    assert people["Cleo"]["samples"] == 3


def test_the_camera_takes_a_photo_and_is_switched_off(open_page, service, photos_of):
    service.enrol("Eden", *photos_of(EDEN)[:2])
    page = open_page("reader")
    page.evaluate(
        """() => {
            const devices = navigator.mediaDevices;
            const ask = devices.getUserMedia.bind(devices);
            devices.getUserMedia = async (how) => (window.stream = await ask(how));
        }"""
    )
    page.get_by_role("button", name="Take a photo").click()
    dialog = page.get_by_role("dialog", name="Take a photo")
    while not page.evaluate("document.querySelector('video')?.videoWidth"):
        page.wait_for_timeout(50)
    dialog.get_by_role("button", name="Take photo").click()
    page.get_by_role("listitem", name="Face 1: Eden").wait_for()
    assert page.evaluate("window.stream.getTracks().every((track) => track.readyState === 'ended')")


def test_rename_groups_and_samples(open_page, service, photos_of):
    number = service.enrol("Eden", *photos_of(EDEN)[:2])
    page = open_page()
    page.goto(f"{service.url}/#/people/{number}")
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("Name", exact=True).fill("Edna")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Edna", level=1).wait_for()
    page.get_by_role("button", name="Groups").click()
    page.get_by_role("textbox", name="Groups").fill("staff")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page.get_by_role("main").get_by_text("staff", exact=True).wait_for()
    sample = page.get_by_role("listitem", name="Sample 1")
    assert "Eye distance" in sample.inner_text()
    page.get_by_role("img", name="Sample 1 of Edna").wait_for()  # the kept portrait
    page.get_by_role("button", name="Delete sample 2").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete for good").click()
    page.get_by_role("listitem", name="Sample 2").wait_for(state="detached")
    person = service.people()["Edna"]
    assert (person["samples"], person["groups"]) == (1, ["staff"])


def test_hostile_names_are_text(open_page, service, photos_of):
    names = ["<img src=x onerror=alert(1)>", "evil\"'&amp;</bdi>", "عمر الخيام", "W" * 200]
    for name, photo in zip(names, [*photos_of(EDEN), *photos_of(CLEO)], strict=False):
        service.enrol(name, photo)
    page = open_page(width=390)
    page.on("dialog", lambda dialog: pytest.fail(f"a dialog opened: {dialog.message}"))
    section(page, "People")
    page.locator(".person-row").nth(3).wait_for()
    shown = page.locator(".person-row bdi.name").all_text_contents()
    assert sorted(shown) == sorted(service.people())
    assert page.locator("main img[src=x]").count() == 0
    for index in range(4):
        section(page, "People")
        page.locator(".person-row").nth(index).click()
        page.get_by_role("heading", name="Samples").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
