"""The evaluation report in its frame, and a service that asks for no keys."""

from __future__ import annotations

import pytest
from page_tools import section

pytest_plugins = ["page_fixtures"]
pytestmark = pytest.mark.slow  # a service and a browser each: the clicks and the keyboard are in the fast set

REPORT = """<!doctype html><html><head><style>body { background: rgb(1, 2, 3) }</style></head>
<body><h1>Figures</h1>
<p id="out">not run</p><script>
const told = (words) => { document.getElementById("out").textContent = [...reached, words].join(", ") };
let reached = [];
try { reached.push(parent.document.title) } catch { reached.push("no page") }
try { reached.push(sessionStorage.length) } catch { reached.push("no storage") }
fetch("/v1/health").then(() => told("network"), () => told("no network"));
</script></body></html>"""


@pytest.fixture(scope="module")
def service(start_service, tmp_path_factory):
    report = tmp_path_factory.mktemp("report") / "report.html"
    report.write_text(REPORT)
    return start_service("--report", str(report))


def test_the_report_runs_in_a_frame_that_reaches_nothing(open_page):
    # The report's own attempts to get out are what the browser writes to the console here.
    page = open_page("reader", allowed=("connect-src", "Fetch API cannot load"))
    section(page, "Model")
    page.get_by_role("button", name="Show the report").click()
    frame = page.frame_locator("iframe[title='Evaluation report']")
    frame.get_by_text("no page, no storage, no network").wait_for()
    assert frame.locator("body").evaluate("one => getComputedStyle(one).backgroundColor") == "rgb(1, 2, 3)"


def test_a_service_without_keys_asks_for_none(open_page, start_service):
    free = start_service("--no-auth")
    page = open_page(None, at=free.url)
    page.get_by_role("heading", name="Who is in a photo?").wait_for()
    assert page.get_by_role("button", name="Sign out").count() == 0
