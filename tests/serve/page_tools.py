"""What the page's tests do to a page and to the service behind it."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

REFUSED = "Failed to load resource"
# Drawn people the bundled model, which learned from real faces, tells apart at its strictest measured rate.
EDEN, CLEO = "Eden_Elm", "Cleo_Clay"
STRICTEST = "fmr=0.000001"


@dataclass
class Service:
    """A running service; `keys` by name: admin, clerk (identify and enrol), reader (identify)."""

    url: str
    keys: dict[str, str]
    process: subprocess.Popen[bytes]
    folder: Path

    def call(self, method: str, path: str, **options: object):
        """A request with the admin's key."""
        import httpx

        headers = {"Authorization": f"Bearer {self.keys['admin']}"}
        answer = httpx.request(method, f"{self.url}/v1{path}", headers=headers, timeout=120, **options)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def enrol(self, name: str, *photos: Path, groups: tuple[str, ...] = ()) -> int:
        files = [("photos", (path.name, path.read_bytes())) for path in photos]
        made = self.call("POST", "/people", files=files, data={"name": name, "groups": list(groups)})
        return int(made["person"]["id"])

    def people(self) -> dict[str, dict]:
        return {one["name"]: one for one in self.call("GET", "/people")["people"]}

    def clear(self) -> None:
        for one in self.people().values():
            self.call("DELETE", f"/people/{one['id']}")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(120)


@dataclass
class Seen:
    """What a page did beside what it showed."""

    console: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    allowed: list[str] = field(default_factory=list)

    def check(self, url: str) -> None:
        extra = [line for line in self.console if not any(part in line for part in self.allowed)]
        assert not extra, extra
        assert self.hosts <= {"/".join(url.split("/")[:3])}, self.hosts


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("API key", exact=True).fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("navigation", name="Sections").wait_for()


def section(page: Page, name: str) -> None:
    """Goes to a section by its link."""
    page.get_by_role("navigation", name="Sections").get_by_role("link", name=name).click()


def choose(page: Page, label: str, *photos: Path) -> None:
    """Gives photos to the input of this name."""
    page.locator(f'input[type=file][aria-label="{label}"]').set_input_files([str(path) for path in photos])


def strictest(page: Page) -> None:
    """Opens the options and takes the strictest rate."""
    page.get_by_text("Options", exact=True).click()
    page.get_by_label("How strict").select_option(STRICTEST)


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))
