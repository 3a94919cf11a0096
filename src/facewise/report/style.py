"""How the page looks: one column of figures with room around them, by day, by night, on paper and a phone.

The colours of curves are those of Okabe and Ito (2008, Color Universal Design), which people who see fewer
colours can tell apart as well; lines differ in their dashes too.
"""

from __future__ import annotations

SERIES = 7
"""Colours there are."""

DASHES = ("", "7 4", "2 4", "9 3 2 3")
"""Of the lines of the first, second … model."""

STYLE = """
:root { color-scheme: light dark; --paper: #fbfbfa; --card: #ffffff; --ink: #1c1e21; --soft: #5c636b;
  --line: #e2e3e0; --grid: #ebece9; --accent: #0072b2; --warn: #8a5a00; --warnpaper: #fff6e2;
  --s0: #0072b2; --s1: #d55e00; --s2: #009e73; --s3: #cc79a7; --s4: #b8860b; --s5: #56b4e9; --s6: #6b6b6b;
  --heat: 0, 114, 178; --hit: 0, 128, 96; --miss: 213, 94, 0; }
@media (prefers-color-scheme: dark) { :root { --paper: #111315; --card: #191c1f; --ink: #e8eaec;
  --soft: #9aa3ac; --line: #2c3136; --grid: #262a2e; --accent: #56b4e9; --warn: #f0c36b;
  --warnpaper: #2b2415; --s0: #56b4e9; --s1: #f0883e; --s2: #2cc295; --s3: #e4a3c6; --s4: #e6c34a;
  --s5: #4c93d6; --s6: #a5a9ad; --heat: 86, 180, 233; --hit: 44, 194, 149; --miss: 240, 136, 62; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 1rem; -webkit-text-size-adjust: 100%; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } * { transition: none !important;
  } }
body { margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans",
  sans-serif; }
.layout { max-width: 78rem; margin: 0 auto; padding: 0 1.25rem 5rem; }
header { padding: 3rem 0 1.5rem; }
header .kicker { color: var(--soft); font-size: .8rem; letter-spacing: .08em; text-transform: uppercase;
  margin: 0; }
h1 { font-size: clamp(1.6rem, 4.5vw, 2.5rem); line-height: 1.15; letter-spacing: -.02em;
  margin: .4rem 0 .8rem;
  font-weight: 650; }
header .lead { color: var(--soft); font-size: 1.06rem; max-width: 46rem; margin: .4rem 0; }
h2 { font-size: 1.45rem; letter-spacing: -.01em; line-height: 1.25; margin: 0 0 .4rem; font-weight: 620; }
h3 { font-size: 1.02rem; margin: 2.2rem 0 .5rem; font-weight: 620; }
section { padding: 3rem 0 .5rem; } section + section { border-top: 1px solid var(--line);
  margin-top: 2.5rem; }
p { max-width: 46rem; margin: .5rem 0 .9rem; }
section > p { color: var(--soft); }
a { color: var(--accent); text-underline-offset: .18em; }
code { font-size: .88em; font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono",
  monospace; }
.note { border-left: 3px solid var(--line); padding: .1rem 0 .1rem .9rem; color: var(--soft);
  font-size: .93rem; }
.warn { background: var(--warnpaper); color: var(--warn); border-radius: 8px; padding: .6rem .9rem;
  font-size: .93rem; }
nav.toc { font-size: .88rem; padding: .4rem 0 0; }
nav.toc ul { list-style: none; padding: 0; margin: 0; display: flex; flex-wrap: wrap; gap: .3rem .4rem; }
nav.toc a { color: var(--soft); text-decoration: none; display: block; padding: .22rem .6rem;
  border-radius: 6px;
  border: 1px solid var(--line); }
nav.toc a:hover, nav.toc a:focus-visible { color: var(--ink); background: var(--card); }
@media (min-width: 64rem) { .columns { display: grid; grid-template-columns: 12.5rem minmax(0, 1fr);
  gap: 3.5rem; }
  nav.toc { position: sticky; top: 1.5rem; align-self: start; padding: 3rem 0 0; max-height: 100vh;
  overflow: auto; }
  nav.toc ul { display: block; border-left: 1px solid var(--line); }
  nav.toc a { border: 0; border-radius: 0 6px 6px 0; padding: .3rem .9rem; } }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 10.5rem), 1fr));
  gap: .9rem;
  margin: 1.4rem 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: .95rem 1.1rem 1rem; }
.tile dt { color: var(--soft); font-size: .84rem; line-height: 1.3; } .tile dd { margin: .3rem 0 0; }
.tile b { display: block; font-size: 1.85rem; font-weight: 620; letter-spacing: -.02em; line-height: 1.2;
  font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .84rem; line-height: 1.35; display: block;
  font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
  gap: 1.1rem;
  margin: 1.2rem 0; align-items: start; }
figure { margin: 0; } figure.chart { background: var(--card); border: 1px solid var(--line);
  border-radius: 12px;
  padding: 1rem 1.1rem .8rem; max-width: 34rem; }
figure.wide { max-width: none; }
figcaption b { font-weight: 620; font-size: .98rem; display: block; line-height: 1.35; }
.told { color: var(--soft); font-size: .84rem; display: block; line-height: 1.45; margin: .1rem 0 .3rem; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: .82rem; color: var(--soft);
  margin: .2rem 0 .2rem; }
.legend span { display: inline-flex; align-items: center; gap: .4rem; } .legend svg { width: 22px;
  height: 10px; flex: none; }
figure svg.plot { width: 100%; height: auto; display: block; font-variant-numeric: tabular-nums; }
svg text { font-family: inherit; font-size: 12.5px; fill: var(--soft); }
svg .tick { stroke: var(--grid); } svg .edge { stroke: var(--line); fill: none; }
svg .name { fill: var(--ink); }
details { margin: .4rem 0 .2rem; } summary { cursor: pointer; color: var(--soft); font-size: .84rem; }
.scroll { overflow-x: auto; margin: 1rem 0; max-width: 100%;
  background: linear-gradient(to left, var(--paper) 1rem, transparent) right / 2.4rem 100% no-repeat local,
  linear-gradient(to left, var(--line), transparent) right / 1.2rem 100% no-repeat scroll; }
figure .scroll { background: none; } .scroll:focus-visible {
  outline: 2px solid var(--accent); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .93rem;
  overflow-wrap: normal; }
.scroll td { white-space: nowrap; } .facts td:last-child { white-space: normal; }
caption { text-align: left; color: var(--soft); font-size: .84rem; padding-bottom: .35rem; }
th { font-weight: 600; font-size: .84rem; color: var(--soft); vertical-align: bottom; }
th, td { padding: .42rem 1rem .42rem 0; border-bottom: 1px solid var(--line); text-align: left; }
td { vertical-align: top; } th.r, td.r { text-align: right; } tr:last-child td { border-bottom: 0; }
td small { display: block; color: var(--soft); font-size: .82rem; white-space: nowrap; }
td svg.whisker { width: 130px; height: 20px; display: block; }
details table { font-size: .84rem; } details .scroll { max-height: 22rem; overflow: auto; }
.facts th, .facts td { vertical-align: top; } .facts td:first-child { color: var(--soft);
  white-space: nowrap; }
.facts td { max-width: 44rem; overflow-wrap: anywhere; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.7rem, 1fr)); gap: 1.2rem .9rem;
  margin: 1rem 0; }
.pair { font-size: .8rem; line-height: 1.35; } .pair .two { display: flex; gap: 3px; }
.pair img, .pair .blank { width: 50%; height: auto; aspect-ratio: 1; border-radius: 7px; display: block;
  background: var(--grid); }
.pair b { display: block; margin-top: .35rem; font-size: .95rem; font-variant-numeric: tabular-nums; }
.pair span.who { color: var(--soft); display: block; }
.matrix { font-size: .8rem; } .matrix td, .matrix th { padding: .3rem .45rem;
  border: 1px solid var(--grid); text-align: center; }
.matrix th { text-align: right; font-weight: 500; white-space: nowrap; max-width: 11rem; overflow: hidden;
  text-overflow: ellipsis; }
.matrix thead th { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left;
  max-height: 9rem; vertical-align: top; }
.map { display: grid; grid-template-columns: minmax(0, 1fr) 11.5rem; gap: 1rem; }
@media (max-width: 44rem) { .map { grid-template-columns: minmax(0, 1fr); } }
.map svg.plot { touch-action: pan-y; cursor: crosshair; border-radius: 8px; background: var(--paper); }
.map svg:focus-visible { outline: 2px solid var(--accent); }
.map .dot { transition: transform .45s ease, opacity .15s; stroke: var(--card); stroke-width: 1; }
.map .dim { opacity: .12; } .map .on { stroke: var(--ink); stroke-width: 2.5; }
.map aside { font-size: .84rem; line-height: 1.4; min-height: 11rem; }
.map aside img { width: 112px; height: 112px; border-radius: 10px; display: block; margin-bottom: .5rem; }
.map aside .key { color: var(--soft); }
.switch { display: flex; flex-wrap: wrap; gap: .4rem; margin: .5rem 0; }
.switch button, .chips button { font: inherit; font-size: .84rem; color: var(--ink);
  background: var(--paper);
  border: 1px solid var(--line); border-radius: 999px; padding: .28rem .85rem; cursor: pointer;
  min-height: 2rem; }
.switch button[aria-pressed=true] { background: var(--ink); color: var(--paper); border-color: var(--ink); }
.chips { display: flex; flex-wrap: wrap; gap: .3rem; margin: .7rem 0 .2rem; }
.chips button { font-size: .78rem; padding: .1rem .65rem .1rem .45rem; display: inline-flex; gap: .35rem;
  align-items: center; }
.chips button[aria-pressed=true] { border-color: var(--ink); } .chips svg { width: 12px; height: 12px; }
footer { color: var(--soft); font-size: .85rem; border-top: 1px solid var(--line); margin-top: 3rem;
  padding-top: 1rem; }
@media (max-width: 63.9rem) { nav.toc ul { flex-wrap: nowrap; overflow-x: auto; padding-bottom: .4rem; }
  nav.toc a { white-space: nowrap; } }
@media (max-width: 40rem) { .scroll th { min-width: 4.2rem; }
  th, td { padding-right: .8rem; } header { padding-top: 1.8rem; } .tile b { font-size: 1.5rem; }
  .tiles { grid-template-columns: 1fr 1fr; gap: .6rem; } .tile { padding: .75rem .8rem; }
  .tile span { font-size: .76rem; } figure.chart { padding: .8rem .7rem .6rem; } svg text {
  font-size: 14px; } }
@media print { nav.toc { display: none; } .columns { display: block; } figure, .pair, .tile {
  break-inside: avoid; } }
"""
