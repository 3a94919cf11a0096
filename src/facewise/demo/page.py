"""The report: one HTML file that needs nothing else, readable by day and by night and on a phone."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape

from facewise.demo.blocks import COLOURS, Block, Commands, Face, Faces, Picture, Section, Table
from facewise.demo.finding import jpeg
from facewise.drawing import BLUE

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0;
  --card: #f6f8fa; --right: #1a7f37; --wrong: #cf222e; --missed: #9a6700; --plain: #0969da; }
@media (prefers-color-scheme: dark) { :root { --paper: #0d1117; --ink: #e6edf3; --soft: #9198a1;
  --line: #3d444d; --card: #151b23;
  --right: #3fb950; --wrong: #f85149; --missed: #d29922; --plain: #4493f8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 1.5rem 1rem 4rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  overflow-wrap: anywhere; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.35rem; margin: 2.5rem 0 .25rem; border-top: 1px solid var(--line); padding-top: 1.25rem; }
h3 { font-size: .95rem; margin: 0 0 .35rem; }
p, ul { max-width: 48rem; }
.lead, .took, figcaption { color: var(--soft); }
.took { font-size: .9rem; margin: 0; }
.model { background: var(--card); border-left: 4px solid var(--plain); padding: .5rem .8rem;
  margin: .8rem 0; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th.r, td.r { text-align: right; padding: .35rem 0 .35rem .8rem; }
figure { margin: 1rem 0; }
figure.large img { max-width: 100%; height: auto; border-radius: 6px; background: #fff; display: block; }
.groups { display: flex; flex-wrap: wrap; gap: .9rem 1.4rem; margin: 1rem 0; }
.tiles { display: flex; flex-wrap: wrap; gap: .45rem; }
.tiles figure { margin: 0; width: 4.6rem; }
.tiles img { width: 4.6rem; height: 4.6rem; display: block; border: 4px solid var(--plain);
  border-radius: 6px; }
.tiles figcaption { font-size: .72rem; line-height: 1.25; white-space: pre-line; color: var(--ink); }
.right img { border-color: var(--right); } .wrong img { border-color: var(--wrong); border-style: dashed; }
.missed img { border-color: var(--missed); border-style: dotted; }
.key { font-size: .85rem; color: var(--soft); }
ul { padding-left: 1.2rem; } li { margin: .2rem 0; }
a { color: var(--plain); }
li a { font-size: .85rem; }
pre { background: var(--card); padding: .8rem; border-radius: 6px; overflow-x: auto; font-size: .85rem;
  overflow-wrap: normal; }
@media (max-width: 30rem) { h1 { font-size: 1.5rem; } }
@media print { body { max-width: none; } h2 { break-after: avoid; } figure { break-inside: avoid; } }
"""

_KEY = "Frames: green is right, red and dashed wrong, yellow and dotted not recognised, blue is neither."


def page(title: str, lead: Sequence[str], sections: Sequence[Section]) -> str:
    """The whole report.

    Args:
        title: At the top.
        lead: Paragraphs under it.
        sections: The steps.

    Returns:
        HTML with its style and pictures inside. All text is escaped.
    """
    body = "\n".join(_section(number, section) for number, section in enumerate(sections, start=1))
    leads = "\n".join(f'<p class="lead">{_words(text)}</p>' for text in lead)
    leads += _in_short(sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n{leads}\n{body}\n</main>\n</body>\n</html>\n"
    )


def _in_short(sections: Sequence[Section]) -> str:
    """What each step came to, with a link to it."""
    items = "\n".join(
        f'<li>{_words(section.short)} <a href="#step-{number}">{escape(section.title)}</a></li>'
        for number, section in enumerate(sections, start=1)
        if section.short
    )
    return f"\n<ul>\n{items}\n</ul>" if items else ""


def _words(text: str) -> str:
    """Text with what is to be typed, between backticks, as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _section(number: int, section: Section) -> str:
    parts = [f'<section id="step-{number}">\n<h2>{number}. {escape(section.title)}</h2>']
    if section.seconds:
        parts.append(f'<p class="took">took {_seconds(section.seconds)}</p>')
    if section.model:
        parts.append(f'<p class="model">{_words(section.model)}</p>')
    parts += [_block(block) for block in section.blocks]
    return "\n".join([*parts, "</section>"])


def _block(block: Block) -> str:
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Picture):
        return (
            f'<figure class="large"><img alt="{escape(block.alt)}" src="{_inline(block.data)}">'
            f"<figcaption>{escape(block.caption)}</figcaption></figure>"
        )
    if isinstance(block, Faces):
        groups = "\n".join(_group(title, faces) for title, faces in block.groups)
        judged = any(face.colour != BLUE for _, faces in block.groups for face in faces)
        key = f'<p class="key">{escape(_KEY)}</p>\n' if judged else ""
        return f'{key}<div class="groups">\n{groups}\n</div>'
    if isinstance(block, Commands):
        return "<pre><code>" + "\n".join(escape(line) for line in block.lines) + "</code></pre>"
    return f"<p>{_words(block)}</p>"


def _table(table: Table) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        scope, flush = ' scope="col"' if tag == "th" else "", ' class="r"'
        return "".join(
            f"<{tag}{scope}{flush if i in table.right else ''}>{escape(cell)}</{tag}>"
            for i, cell in enumerate(cells)
        )

    rows = "\n".join(f"<tr>{row(cells, 'td')}</tr>" for cells in table.rows)
    head = f"<thead><tr>{row(table.columns, 'th')}</tr></thead>"
    # To be scrolled by the keyboard too, where it is wider than the screen.
    return f'<div class="scroll" tabindex="0"><table>{head}<tbody>\n{rows}\n</tbody></table></div>'


def _group(title: str, faces: Sequence[Face]) -> str:
    tiles = "\n".join(
        f'<figure class="{COLOURS[face.colour]}">'
        f'<img alt="{escape(face.alt)}" src="{_inline(jpeg(face.image, 82))}">'
        f"<figcaption>{escape(face.caption)}</figcaption></figure>"
        for face in faces
    )
    return f'<div><h3>{escape(title)}</h3><div class="tiles">\n{tiles}\n</div></div>'


def _inline(data: bytes) -> str:
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {seconds % 60:.0f} s"
