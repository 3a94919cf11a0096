"""The page: what is at its top, its parts, and the way between them."""

from __future__ import annotations

from dataclasses import dataclass, field

import facewise
from facewise.report.html import EMPTY, Html, join, prose, text
from facewise.report.script import SCRIPT
from facewise.report.style import STYLE


@dataclass(slots=True)
class Section:
    """One part of the page.

    Attributes:
        title: Its heading.
        code: Its anchor.
        lead: A sentence or two on what it shows.
        body: What is in it.
    """

    title: str
    code: str
    lead: str = ""
    body: list[Html] = field(default_factory=list)


@dataclass(slots=True)
class Page:
    """The whole report.

    Attributes:
        title: What it is about.
        kicker: A few words over the title.
        lead: Sentences under it.
        top: The headline numbers.
        sections: The rest.
        warnings: What must not be missed.
        data: JSON for the script, with `<` written as an escape; empty where there is no script to run.
    """

    title: str
    kicker: str
    lead: list[str] = field(default_factory=list)
    top: Html = EMPTY
    sections: list[Section] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    data: str = ""

    def html(self) -> str:
        """The file's text: style, pictures and script inside, nothing outside."""
        lead = join(Html(f'<p class="lead">{prose(one)}</p>') for one in self.lead)
        warnings = join(Html(f'<p class="warn">{prose(one)}</p>') for one in self.warnings)
        script = (
            f'<script type="application/json" id="maps">{self.data}</script>\n<script>{SCRIPT}</script>\n'
        )
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="referrer" content="no-referrer">\n'
            # Nothing may be fetched, whatever a name in it tries.
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
            "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
            f"<title>{text(self.title)} – Facewise report</title>\n"
            f'<link rel="icon" href="data:,">\n<style>{STYLE}</style>\n</head>\n<body>\n'
            f'<div class="layout">\n<div class="columns">\n{self._contents()}\n<div>\n<header>\n'
            f'<p class="kicker">{text(self.kicker)}</p>\n<h1>{text(self.title)}</h1>\n{lead}\n{warnings}\n'
            f"</header>\n<main>\n{self.top}\n{join(_section(one) for one in self.sections)}\n</main>\n"
            f"<footer>Written by Facewise {text(facewise.__version__)}. Intervals are at 95%.</footer>\n"
            f"</div>\n</div>\n</div>\n{script if self.data else ''}</body>\n</html>\n"
        )

    def _contents(self) -> Html:
        items = join(
            Html(f'<li><a href="#{text(one.code)}">{text(one.title)}</a></li>') for one in self.sections
        )
        return Html(f'<nav class="toc" aria-label="Contents"><ul>\n{items}\n</ul></nav>')


def _section(section: Section) -> Html:
    lead = f"<p>{prose(section.lead)}</p>\n" if section.lead else ""
    return Html(
        f'<section id="{text(section.code)}">\n<h2>{text(section.title)}</h2>\n{lead}'
        f"{join(section.body)}\n</section>"
    )
