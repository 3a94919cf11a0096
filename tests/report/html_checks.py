"""What every report must be: well-formed, self-contained, and free of what names would smuggle in."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input"}
SVG_LEAVES = {"path", "rect", "circle"}
FETCHING = {"src", "href", "srcset", "action", "data", "poster", "xlink:href"}


class Page(HTMLParser):
    """A page read strictly: every element is closed, in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.problems: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, self.open
        assert not self.problems, self.problems[:5]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if len({name for name, _ in attrs}) < len(attrs):
            self.problems.append(f"an attribute twice in {tag}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in SVG_LEAVES:
            self.problems.append(f"<{tag}/> is no leaf")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"</{tag}> closes {self.open[-1:]}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        (self.scripts if self.open and self.open[-1] == "script" else self.texts).append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def check_page(html: str) -> Page:
    """Read a page, and see that it is whole, alone and accessible."""
    page = Page(html)
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in FETCHING:
                assert value is not None
                assert value.startswith(("data:", "#")), (tag, name, value[:80])
    style = "".join(page.texts[:40])
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|https?://", "".join(page.scripts[-1:]))
    codes = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(codes) == len(set(codes)), "an id twice"
    anchors = [a["href"] for a in page.of("a")]
    assert all(str(anchor)[1:] in codes for anchor in anchors)
    for svg in page.of("svg"):
        if svg.get("aria-hidden") != "true":
            assert svg["role"] == "img"
            assert all(code in codes for code in str(svg["aria-labelledby"]).split())
    assert all("alt" in image for image in page.of("img"))
    assert page.elements[0][0] == "html"
    return page


def maps_of(page: Page) -> dict:
    """The JSON the script reads."""
    return json.loads(page.scripts[0])
