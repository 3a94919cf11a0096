"""Small pieces of HTML: text made safe, numbers, tables, tiles, photos.

`Html` is text that is safe to put into a page. Only the functions here and in `svg` make it from plain text,
and the type checker sees to it that nothing else gets in: names of people and files are whatever somebody
called a folder.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import NewType

import PIL.Image

from facewise.metrics import Interval
from facewise.types import Image

Html = NewType("Html", str)

EMPTY = Html("")


@dataclass(frozen=True, slots=True)
class Tile:
    """A headline number.

    Attributes:
        label: What it is.
        value: The number.
        under: Its interval or what it is of; may be empty.
    """

    label: str
    value: str
    under: str = ""


def text(plain: object) -> Html:
    """Plain text, safe anywhere in a page: in an element or in a quoted attribute."""
    # A file name need not be text in any encoding; what cannot be written is shown as a question mark.
    whole = str(plain).encode("utf-8", "replace").decode("utf-8")
    return Html(escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", "�", whole), quote=True))


def prose(plain: str) -> Html:
    """Text in which what is between backticks is code."""
    return Html(re.sub(r"`([^`]+)`", r"<code>\1</code>", text(plain)))


def join(parts: Iterable[Html], between: str = "\n") -> Html:
    """Several pieces as one."""
    return Html(between.join(parts))


def paragraph(plain: str, kind: str = "") -> Html:
    """A paragraph; `kind` is a class of the style, such as `note`."""
    return Html(f'<p class="{kind}">{prose(plain)}</p>' if kind else f"<p>{prose(plain)}</p>")


def note(plain: str) -> Html:
    """Why something is not shown, or what to mind."""
    return paragraph(plain, "note")


def heading(plain: str, code: str = "") -> Html:
    """A heading within a section; `code` is its anchor."""
    anchor = f' id="{text(code)}"' if code else ""
    return Html(f"<h3{anchor}>{prose(plain)}</h3>")


def tiles(items: Sequence[Tile]) -> Html:
    """Headline numbers side by side."""
    inner = "\n".join(
        f'<div class="tile"><dt>{text(item.label)}</dt><dd><b>{text(item.value)}</b>'
        f"{f'<span>{text(item.under)}</span>' if item.under else ''}</dd></div>"
        for item in items
    )
    return Html(f'<dl class="tiles">\n{inner}\n</dl>')


def table(
    columns: Sequence[str | Html],
    rows: Iterable[Sequence[str | Html]],
    *,
    right: Sequence[int] = (),
    caption: str = "",
) -> Html:
    """A table that scrolls where the screen is narrow; cells are `Html` already (`text` makes plain ones so).

    Args:
        columns: Headings.
        rows: Cells.
        right: Indices of columns of numbers.
        caption: Read out before it; may be empty.
    """

    def row(cells: Sequence[str | Html], tag: str) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        return "".join(
            f"<{tag}{scope}{' class=r' if i in right else ''}>{cell}</{tag}>" for i, cell in enumerate(cells)
        )

    body = "\n".join(f"<tr>{row(cells, 'td')}</tr>" for cells in rows)
    told = f"<caption>{prose(caption)}</caption>" if caption else ""
    head = f"<thead><tr>{row(columns, 'th')}</tr></thead>"
    return Html(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption or "table")}">'
        f"<table>{told}{head}<tbody>\n{body}\n</tbody></table></div>"
    )


def plain_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[int] = (),
    caption: str = "",
) -> Html:
    """A table of plain text."""
    return table(
        [text(cell) for cell in columns],
        [[text(cell) for cell in row] for row in rows],
        right=right,
        caption=caption,
    )


def details(summary: str, inner: Html) -> Html:
    """Something folded away."""
    return Html(f"<details><summary>{text(summary)}</summary>\n{inner}\n</details>")


def grid(items: Sequence[Html], kind: str = "charts") -> Html:
    """Figures side by side where there is room."""
    return Html(f'<div class="{kind}">\n' + "\n".join(items) + "\n</div>")


def photo(image: Image | None, alt: str, side: int = 112) -> Html:
    """A crop as a picture inside the page; a grey box where there is none."""
    if image is None:
        return Html(f'<span class="blank" role="img" aria-label="{text(alt)}"></span>')
    return Html(f'<img alt="{text(alt)}" width="{side}" height="{side}" src="{data_uri(image, side)}">')


def data_uri(image: Image, side: int, quality: int = 80) -> str:
    """A picture as a `data:` address of a JPEG whose longer side is at most `side` pixels."""
    picture = PIL.Image.fromarray(image)
    picture.thumbnail((side, side), PIL.Image.Resampling.LANCZOS)
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def share(value: float) -> str:
    """A share in [0, 1] to four places; what is not quite 0 or 1 is not called so."""
    if not math.isfinite(value):
        return "–"
    if 0 < abs(value) < 1e-4:
        return f"{value:.1e}"
    if 0.9999 < value < 1:
        return f"{math.floor(value * 1e6) / 1e6:.6f}"
    return f"{value:.4f}"


def number(value: float, digits: int = 3) -> str:
    """A number that is no share."""
    return f"{value:.{digits}f}".replace("-", "−") if math.isfinite(value) else "–"


def signed(value: float) -> str:
    """A difference, with its sign."""
    return f"{value:+.4f}".replace("-", "−") if math.isfinite(value) else "–"


def span(interval: Interval | None) -> str:
    """The ends of an interval."""
    return "" if interval is None else f"{share(interval.low)} – {share(interval.high)}"


def shown(name: str) -> str:
    """A person's name as a folder spells it, for people."""
    return name.replace("_", " ")


def count(value: int, what: str, several: str = "") -> str:
    """`1 photo`, `2,000 photos`."""
    return f"{value:,} {what if value == 1 else several or what + 's'}"
