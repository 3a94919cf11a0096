"""The reports in a real browser with the network off: no complaint, no request, and the map works.

Debian's chromium is enough. Without one these tests are skipped, loudly.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from html import unescape
from pathlib import Path

import pytest
from drawn_data import HOSTILE, write_people
from run_folders import CLASSES, write_run

from facewise.report.runs import report_runs

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, _NAMES)), None)

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no chromium: apt-get install chromium (the report is not looked at in a browser)"
)

CLICKS = """
<script>
const log = (name, value) => document.body.setAttribute('data-' + name, value);
for (const [i, map] of [...document.querySelectorAll('.map')].entries()) {
  const box = map.parentElement, svg = map.querySelector('svg.plot');
  const dots = [...svg.querySelectorAll('.dot')];
  const before = dots.map((dot) => dot.style.transform).join();
  const buttons = [...box.querySelectorAll('.switch button')];
  buttons[buttons.length - 1].click();
  log('moved' + i, String(before !== dots.map((dot) => dot.style.transform).join()));
  buttons[0].click();
  log('back' + i, String(before === dots.map((dot) => dot.style.transform).join()));
  const at = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
  const [x, y] = dots[0].style.transform.match(/-?[\\d.]+/g).map(Number);
  svg.dispatchEvent(new PointerEvent('pointermove', {
    clientX: at.left + x * at.width / view.width, clientY: at.top + y * at.height / view.height,
    bubbles: true,
  }));
  log('person' + i, map.querySelector('aside b').textContent);
  log('picture' + i, String(Boolean(map.querySelector('aside img'))));
  const first = map.querySelector('aside .key').textContent;
  svg.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
  log('walked' + i, String(first !== map.querySelector('aside .key').textContent));
  const chip = box.querySelector('.chips button');
  chip.click();
  log('dim' + i, svg.querySelectorAll('.dim').length);
  chip.click();
  log('undim' + i, svg.querySelectorAll('.dim').length);
}
log('wide', document.documentElement.scrollWidth - document.documentElement.clientWidth);
const asked = performance.getEntriesByType('resource').filter((one) => !one.name.startsWith('data:'));
log('requests', asked.length);
log('scripts', document.scripts.length);
console.log('the end was reached');
</script>
"""


def opened(page: Path, width: int, profile: Path) -> tuple[dict[str, str], list[str]]:
    """What the clicks found, and what the console says; nothing can be reached from the browser."""
    words = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--proxy-server=127.0.0.1:9", f"--user-data-dir={profile}", f"--window-size={width},900",
        "--enable-logging=stderr", "--v=0", "--timeout=15000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    # In a group of its own: a browser leaves children behind when it is stopped.
    done = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        dom, log = done.communicate(timeout=90)
    except subprocess.TimeoutExpired:
        os.killpg(done.pid, signal.SIGKILL)
        raise
    body = re.search(r"<body([^>]*)>", dom)
    assert body is not None, log[-2000:]
    console = [line for line in log.splitlines() if "CONSOLE" in line]
    return dict(re.findall(r'data-(\w+)="([^"]*)"', body[1])), console


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("browser")
    people = write_people(root / "faces", people=CLASSES)
    write_run(root / "first", people)
    write_run(root / "second", people, seed=5)
    html = report_runs([root / "first", root / "second"], root / "report.html").path.read_text("utf-8")
    page = root / "clicked.html"
    page.write_text(html.replace("</body>", CLICKS + "</body>"), "utf-8")
    return page


@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_works_in_a_browser_without_a_network(page, tmp_path, width):
    found, console = opened(page, width, tmp_path / "profile")
    assert len(console) == 1, console
    assert "the end was reached" in console[0]
    assert found["requests"] == "0"
    assert found["scripts"] == "3", "two of the report and the test's own"
    assert int(found["wide"]) <= 0, "the page is wider than the screen"
    for i in range(4):
        assert found[f"back{i}"] == found[f"walked{i}"] == "true"
        assert found[f"undim{i}"] == "0"
        assert int(found[f"dim{i}"]) > 0
        assert found[f"moved{i}"] == "true"
    assert found["picture0"] == "true"
    assert found["picture1"] == "false", "of strangers there are no photos here"
    names = {HOSTILE.replace("_", " "), *(f"Person {who}" for who in range(1, CLASSES))}
    assert unescape(found["person0"]) in names
