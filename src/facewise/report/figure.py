"""What every chart stands in: an image with words for who cannot see it, a heading, a legend, a table."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from facewise.report.html import EMPTY, Html, details, join, prose, text


def image(title: str, told: str, size: tuple[float, float], inner: Html, extra: str = "") -> Html:
    """An SVG element that screen readers announce as an image with title and description."""
    code = "c" + hashlib.sha256(f"{title}{told}{inner}".encode("utf-8", "replace")).hexdigest()[:10]
    return Html(
        f'<svg class="plot" role="img" aria-labelledby="{code}t {code}d" '
        f'viewBox="0 0 {size[0]:g} {size[1]:g}"{extra}>'
        f'<title id="{code}t">{text(title)}</title><desc id="{code}d">{text(told)}</desc>\n{inner}\n</svg>'
    )


def framed(
    title: str, told: str, inner: Html, key: Html = EMPTY, *, behind: Html = EMPTY, wide: bool = False
) -> Html:
    """A figure with a heading, a sentence, a legend, and a table folded away."""
    table = details("The figures", behind) if behind else EMPTY
    return Html(
        f'<figure class="chart{" wide" if wide else ""}"><figcaption><b>{text(title)}</b>'
        f'<span class="told">{prose(told)}</span></figcaption>\n{key}\n{inner}\n{table}</figure>'
    )


def legend(entries: Sequence[tuple[str, str]]) -> Html:
    """Swatches and what they stand for."""
    if not entries:
        return EMPTY
    items = join(
        (
            Html(f'<span><svg viewBox="0 0 22 10" aria-hidden="true">{swatch}</svg>{text(name)}</span>')
            for swatch, name in entries
        ),
        "",
    )
    return Html(f'<div class="legend">{items}</div>')


def whisker(low: float, estimate: float, high: float) -> Html:
    """A difference and its interval on a line with 0 in the middle, as long as the interval needs."""
    reach = 1.15 * max(abs(low), abs(high)) or 1.0
    at = [95 + 90 * max(-1.0, min(1.0, value / reach)) for value in (low, estimate, high)]
    sure = low > 0 or high < 0
    stroke = "var(--accent)" if sure else "var(--soft)"
    return Html(
        '<svg class="whisker" viewBox="0 0 190 20" aria-hidden="true">'
        '<path d="M95 1V19" stroke="var(--line)"/>'
        f'<path d="M{at[0]:.1f} 10H{at[2]:.1f}" stroke="{stroke}" stroke-width="2"/>'
        f'<circle cx="{at[1]:.1f}" cy="10" r="4" fill="{stroke}"/></svg>'
    )
