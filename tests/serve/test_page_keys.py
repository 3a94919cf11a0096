"""The page and API keys: wrong, revoked, with fewer scopes; where a key is kept and where not."""

from __future__ import annotations

import re

from page_tools import EDEN, REFUSED, choose, section, sign_in

pytest_plugins = ["page_fixtures"]

STORED = (
    "[sessionStorage.getItem('facewise-key'), JSON.stringify(localStorage), document.cookie, location.href]"
)


def test_a_wrong_key_is_refused_in_the_services_words(open_page, service):
    page = open_page(None, allowed=(REFUSED,))
    box = page.get_by_label("API key", exact=True)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").get_by_text("Paste an API key first.").wait_for()
    with page.expect_response(re.compile("/v1/me")) as answer:
        box.fill("fw_" + "x" * 43)
        page.keyboard.press("Enter")
    assert answer.value.status == 401
    page.get_by_role("alert").get_by_text(answer.value.json()["detail"]).wait_for()
    assert box.get_attribute("aria-invalid") == "true"
    assert page.evaluate("document.activeElement.type") == "password"
    assert page.evaluate("sessionStorage.length") == 0
    sign_in(page, service.keys["reader"])


def test_the_key_stays_in_the_tab_until_signing_out(open_page, service):
    page = open_page("reader")
    key = service.keys["reader"]
    assert page.evaluate(STORED) == [key, "{}", "", f"{service.url}/"]
    page.reload()
    page.get_by_role("heading", name="Who is in a photo?").wait_for()
    other = page.context.new_page()
    other.goto(service.url)
    other.get_by_label("API key", exact=True).wait_for()  # another tab does not have it
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("API key", exact=True).wait_for()
    assert page.evaluate(STORED)[0] is None


def test_a_key_that_is_revoked_leads_back_to_signing_in(open_page, service):
    from facewise.serve.keys import KeyStore

    store = KeyStore(service.folder / "people.db.keys")
    text, info = store.create("brief", ["identify", "enrol"])
    page = open_page(None, allowed=(REFUSED,))
    sign_in(page, text)
    # The view asks for the rates at first: refused, that would lead back too, before the click that is to.
    page.locator("optgroup[label^='By comparison']").wait_for(state="attached")
    store.revoke(info.id)
    page.wait_for_timeout(1100)  # a running service sees it within a second
    section(page, "People")
    page.get_by_role("alert").wait_for()
    assert "revoked" in page.get_by_role("alert").inner_text()
    page.get_by_label("API key", exact=True).wait_for()


def test_a_key_with_fewer_scopes_is_told_what_it_may_not(open_page, service, photos_of):
    number = service.enrol("Eden", *photos_of(EDEN)[:2])
    page = open_page("reader")
    section(page, "People")
    page.get_by_text("may not see or enrol people").wait_for()
    assert page.get_by_role("button", name="Add a person").count() == 0
    section(page, "Identify")
    choose(page, "A photo to look at", photos_of(EDEN)[2])
    card = page.get_by_role("listitem", name="Face 1: Eden")
    card.wait_for()
    assert card.get_by_role("link").count() == 0
    page = open_page("clerk")
    page.goto(f"{service.url}/#/people/{number}")
    page.get_by_text("Merging and deleting need a key with the scope “admin”.").wait_for()
    assert page.get_by_role("button", name=re.compile("Delete|Merge")).count() == 0
    assert page.get_by_role("button", name="Rename").count() == 1
