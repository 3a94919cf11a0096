"""The page when something is in the way: a service that is busy, away or full of people, and bad photos."""

from __future__ import annotations

import json
import re

import pytest
from page_tools import EDEN, REFUSED, choose, overflow, section

pytest_plugins = ["page_fixtures"]
pytestmark = pytest.mark.slow  # a service and a browser each: the clicks and the keyboard are in the fast set


def problem(status, detail, code, **headers):
    body = json.dumps({"type": "about:blank", "title": "", "status": status, "detail": detail, "code": code})
    return {"status": status, "body": body, "content_type": "application/problem+json", "headers": headers}


@pytest.mark.parametrize(
    ("status", "code", "word"), [(429, "too_fast", "busy"), (503, "starting", "starting")]
)
def test_a_service_that_asks_to_wait_is_waited_for_in_sight(open_page, photos_of, status, code, word):
    page = open_page("reader")
    answers = iter([problem(status, "Ask again.", code, **{"Retry-After": "1"})])
    asked = []

    def answer(route):
        asked.append(route.request.url)
        first = next(answers, None)
        route.fulfill(**first) if first else route.continue_()

    page.seen.allowed.append(REFUSED)
    page.route("**/v1/identify", answer)
    choose(page, "A photo to look at", photos_of(EDEN)[2])
    page.get_by_text(f"The service is {word}. Asking again in 1 second …").wait_for()
    page.get_by_role("heading", name="1 face found").wait_for()
    assert len(asked) == 2
    assert page.get_by_text("Asking again").count() == 0


@pytest.mark.slow
def test_busy_for_good_is_told(open_page, photos_of):
    page = open_page("reader", allowed=(REFUSED,))
    full = problem(429, "The queue is full: try again in 1 second.", "busy", **{"Retry-After": "1"})
    page.route("**/v1/identify", lambda route: route.fulfill(**full))
    choose(page, "A photo to look at", photos_of(EDEN)[2])
    page.get_by_role("alert").get_by_text("The queue is full: try again in 1 second.").wait_for()
    page.unroute("**/v1/identify")
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("heading", name="1 face found").wait_for()


def test_a_service_that_is_away_is_told_and_found_again(open_page, photos_of):
    page = open_page("reader", allowed=(REFUSED,))
    page.route("**/v1/**", lambda route: route.abort("connectionrefused"))
    choose(page, "A photo to look at", photos_of(EDEN)[2])
    page.get_by_role("alert").get_by_text("The service does not answer").wait_for()
    page.unroute("**/v1/**")
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("heading", name="1 face found").wait_for()


def test_what_is_no_photo_is_refused_in_the_services_words(open_page, tmp_path):
    page = open_page("reader", allowed=(REFUSED,))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a photo")
    with page.expect_response(re.compile("/v1/identify")) as answer:
        choose(page, "A photo to look at", broken)
    page.get_by_role("alert").get_by_text(answer.value.json()["detail"]).wait_for()
    large = tmp_path / "large.jpg"
    large.write_bytes(bytes(11 * 2**20))
    choose(page, "A photo to look at", large)
    page.get_by_text("“large.jpg” has 11 MiB, more than the 10 MiB the service takes").wait_for()


def test_a_photo_can_be_pasted_or_dropped(open_page, photos_of):
    page = open_page("reader")
    content = list(photos_of(EDEN)[2].read_bytes())
    bring = """([content, kind]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(content)], "one.png", { type: "image/png" }));
        const event = kind === "paste"
            ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
            : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
        document.querySelector(kind === "paste" ? "body" : ".zone").dispatchEvent(event);
    }"""
    for kind in ("paste", "drop"):
        with page.expect_response(re.compile("/v1/identify")):
            page.evaluate(bring, [content, kind])
        page.get_by_role("heading", name="1 face found").wait_for()
        section(page, "Verify")
        section(page, "Identify")


def test_a_hundred_thousand_people_are_paged(open_page, photos_of):
    page = open_page("clerk", width=390)
    queries = []

    def answer(route):
        from urllib.parse import parse_qs, urlsplit

        query = {name: values[0] for name, values in parse_qs(urlsplit(route.request.url).query).items()}
        queries.append(query)
        total = 1 if query.get("search") else 100_000
        offset, limit = int(query["offset"]), int(query["limit"])
        people = [
            {
                "id": i + 1,
                "name": f"Person {i:06d}",
                "samples": 2,
                "created": "2026-01-01T00:00:00Z",
                "groups": [],
            }
            for i in range(offset, min(offset + limit, total))
        ]
        route.fulfill(json={"people": people, "total": total})

    page.route("**/v1/people?**", answer)
    section(page, "People")
    page.get_by_text("1 to 50 of 100,000 people").first.wait_for()
    assert page.locator(".person-row").count() == 50
    page.get_by_role("button", name="Next").click()
    page.get_by_text("51 to 100 of 100,000 people").first.wait_for()
    assert page.evaluate("document.activeElement.textContent") == "Next"
    page.get_by_role("button", name="Last").click()
    page.get_by_text("Page 2,000 of 2,000").wait_for()
    assert queries[-1]["offset"] == "99950"
    assert overflow(page) == 0
    page.get_by_label("Search").fill("abc")
    page.get_by_text("1 to 1 of 1 person").first.wait_for()
    assert (queries[-1]["search"], queries[-1]["offset"]) == ("abc", "0")
