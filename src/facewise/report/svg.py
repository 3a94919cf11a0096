"""Charts as SVG: axes of any scale, and marks on them.

Every chart is an image with a title and a description for who cannot see it, and its figures in a table
behind it. Colours are variables of the page's style, so that a chart follows the reader's day or night.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.report.figure import framed, image, legend
from facewise.report.html import EMPTY, Html, text
from facewise.report.style import DASHES, SERIES

Floats = NDArray[np.float64]

WIDTH, HEIGHT = 460.0, 310.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 14.0, 12.0, 46.0


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis.

    Attributes:
        label: What it shows.
        low: Value at its beginning.
        high: Value at its end; not `low`.
        ticks: Values and what is written there.
        warp: Values to a scale on which distances are equal; None is linear.
    """

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    warp: Callable[[Floats], Floats] | None = None

    def place(self, values: ArrayLike) -> Floats:
        """Values to [0, 1]; those off the axis to its end."""
        given = np.clip(np.asarray(values, np.float64), min(self.low, self.high), max(self.low, self.high))
        ends = np.array([self.low, self.high])
        if self.warp is not None:
            given, ends = self.warp(given), self.warp(ends)
        return np.asarray((given - ends[0]) / (ends[1] - ends[0]), np.float64)


def linear(label: str, low: float, high: float, count: int = 5) -> Axis:
    """An axis with round ticks; a span of nothing is made one."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    step = 10.0 ** math.floor(math.log10((high - low) / count))
    step *= next(k for k in (1, 2, 2.5, 5, 10) if (high - low) / (k * step) <= count + 0.001)
    first = math.ceil(low / step - 1e-9)
    values = [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]
    digits = max(0, f"{step:e}".startswith("2.5") - math.floor(math.log10(step) + 1e-9))
    return Axis(label, low, high, tuple((value, f"{value:,.{digits}f}") for value in values))


def logarithmic(label: str, low: float, high: float) -> Axis:
    """An axis of powers of ten; both ends above 0."""
    powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    apart = max(1, math.ceil(len(powers) / 6))
    ticks = tuple((10.0**k, f"{10.0**k:g}") for k in powers if (k - powers[-1]) % apart == 0)
    return Axis(label, low, high, ticks, np.log10)


_RATES = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99)


def deviate(label: str, low: float, high: float) -> Axis:
    """An axis of rates on which normal scores are a straight line (Martin et al. 1997, the DET curve)."""
    normal = NormalDist()

    def warp(values: Floats) -> Floats:
        return np.array([normal.inv_cdf(float(value)) for value in values])

    ticks = tuple((rate, f"{rate:g}") for rate in _RATES if low <= rate <= high)
    return Axis(label, low, high, ticks, warp)


def colour(index: int) -> str:
    """The colour of the first, second … thing, as a variable of the style."""
    return f"var(--s{index % SERIES})"


def dash(index: int) -> str:
    """The dashes of the first, second … line."""
    return DASHES[index % len(DASHES)]


@dataclass(slots=True)
class Plot:
    """Axes and what is drawn on them.

    Attributes:
        x, y: The axes.
        marks: SVG elements, in the order they are drawn.
        legend: SVG of a swatch and what it stands for.
    """

    x: Axis
    y: Axis
    marks: list[str] = field(default_factory=list)
    legend: list[tuple[str, str]] = field(default_factory=list)

    def across(self, values: ArrayLike) -> Floats:
        """Values of `x` to pixels."""
        return _LEFT + self.x.place(values) * (WIDTH - _LEFT - _RIGHT)

    def down(self, values: ArrayLike) -> Floats:
        """Values of `y` to pixels."""
        return HEIGHT - _BOTTOM - self.y.place(values) * (HEIGHT - _TOP - _BOTTOM)

    def line(
        self, x: ArrayLike, y: ArrayLike, index: int, *, dashes: str = "", name: str = "", step: bool = False
    ) -> None:
        """A line through points, or of steps to them; with a name it is in the legend."""
        points = _thinned(self.across(x), self.down(y), step=step)
        style = f'fill="none" stroke="{colour(index)}" stroke-width="2" stroke-dasharray="{dashes}"'
        if len(points) == 1:
            self.marks.append(
                f'<circle cx="{points[0][0]}" cy="{points[0][1]}" r="4" fill="{colour(index)}"/>'
            )
        else:
            path = "M" + "L".join(f"{a} {b}" for a, b in points)
            self.marks.append(f'<path d="{path}" {style} stroke-linejoin="round"/>')
        if name:
            self.legend.append((f'<path d="M0 5H22" {style}/>', name))

    def steps(self, edges: ArrayLike, heights: ArrayLike, index: int, name: str) -> None:
        """A histogram as a filled outline."""
        tall = np.asarray(heights, np.float64)
        across = np.repeat(self.across(edges), 2)[1:-1]
        down = np.repeat(self.down(tall), 2)
        base = float(self.down([0.0])[0])
        path = f"M{across[0]:.1f} {base:.1f}L" + "L".join(
            f"{a:.1f} {b:.1f}" for a, b in zip(across, down, strict=True)
        )
        path += f"L{across[-1]:.1f} {base:.1f}"
        style = f'stroke="{colour(index)}" stroke-width="1.5" fill="{colour(index)}" fill-opacity=".22"'
        self.marks.append(f'<path d="{path}" {style}/>')
        self.legend.append((f'<rect width="22" height="10" {style}/>', name))

    def points(
        self,
        x: ArrayLike,
        y: ArrayLike,
        index: int,
        *,
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
        name: str = "",
    ) -> None:
        """Points, with whiskers from `low` to `high` where these are given."""
        across, down = self.across(x), self.down(y)
        if low is not None and high is not None:
            for a, b, c in zip(across, self.down(low), self.down(high), strict=True):
                self.marks.append(
                    f'<path d="M{a:.1f} {b:.1f}V{c:.1f}" stroke="{colour(index)}" stroke-width="1.5" '
                    'opacity=".65"/>'
                )
        for a, b in zip(across, down, strict=True):
            self.marks.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{colour(index)}"/>')
        if name:
            self.legend.append((f'<circle cx="11" cy="5" r="4" fill="{colour(index)}"/>', name))

    def rule(self, x: float, label: str, row: int = 0, index: int | None = None) -> None:
        """A vertical line with a label at its top; rows keep labels apart."""
        at = float(self.across([x])[0])
        stroke = "var(--ink)" if index is None else colour(index)
        left = at > WIDTH * 0.7
        anchor = f'x="{at - 5 if left else at + 5:.1f}" text-anchor="{"end" if left else "start"}"'
        self.marks.append(
            f'<path d="M{at:.1f} {_TOP}V{HEIGHT - _BOTTOM}" stroke="{stroke}" stroke-dasharray="3 3" '
            'opacity=".75"/>'
            f'<text class="name" {anchor} y="{_TOP + 12 + 16 * row:.1f}">{text(label)}</text>'
        )

    def diagonal(self) -> None:
        """Where y is x."""
        x, y = self.across([self.x.low, self.x.high]), self.down([self.x.low, self.x.high])
        self.marks.append(
            f'<path d="M{x[0]:.1f} {y[0]:.1f}L{x[1]:.1f} {y[1]:.1f}" stroke="var(--soft)" '
            'stroke-dasharray="4 4"/>'
        )

    def figure(self, title: str, told: str, *, behind: Html = EMPTY, wide: bool = False) -> Html:
        """The chart with its heading, legend, and the table behind it."""
        return framed(title, told, self._svg(title, told), legend(self.legend), behind=behind, wide=wide)

    def _svg(self, title: str, told: str) -> Html:
        return image(title, told, (WIDTH, HEIGHT), Html("\n".join([*self._axes(), *self.marks])))

    def _axes(self) -> list[str]:
        right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
        parts = []
        for (_, name), a in zip(self.x.ticks, self.across([v for v, _ in self.x.ticks]), strict=True):
            parts.append(f'<path class="tick" d="M{a:.1f} {_TOP}V{bottom}"/>')
            parts.append(f'<text x="{a:.1f}" y="{bottom + 17}" text-anchor="middle">{text(name)}</text>')
        for (_, name), b in zip(self.y.ticks, self.down([v for v, _ in self.y.ticks]), strict=True):
            parts.append(f'<path class="tick" d="M{_LEFT} {b:.1f}H{right}"/>')
            parts.append(f'<text x="{_LEFT - 7}" y="{b + 4:.1f}" text-anchor="end">{text(name)}</text>')
        middle = (_TOP + bottom) / 2
        parts.append(
            f'<text x="{(_LEFT + right) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
            f"{text(self.x.label)}</text>"
        )
        parts.append(
            f'<text transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">'
            f"{text(self.y.label)}</text>"
        )
        parts.append(f'<path class="edge" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>')
        return parts


def _thinned(across: Floats, down: Floats, *, step: bool) -> list[tuple[str, str]]:
    """Points to a tenth of a pixel without those that lie on the one before."""
    if step and len(across) > 1:
        across, down = np.repeat(across, 2)[1:], np.repeat(down, 2)[:-1]
    found: list[tuple[str, str]] = []
    for a, b in zip(across.round(1).tolist(), down.round(1).tolist(), strict=True):
        here = (f"{a:g}", f"{b:g}")
        if found and here == found[-1]:
            continue
        # Of three on one vertical or horizontal line the one between the others shows nothing.
        if len(found) > 1 and _between(found[-2], found[-1], here):
            found[-1] = here
        else:
            found.append(here)
    return found


def _between(before: tuple[str, str], point: tuple[str, str], after: tuple[str, str]) -> bool:
    flat = any(before[i] == point[i] == after[i] for i in (0, 1))
    return flat and all(
        min(float(a), float(c)) <= float(b) <= max(float(a), float(c))
        for a, b, c in zip(before, point, after, strict=True)
    )
