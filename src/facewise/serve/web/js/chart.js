// A curve over the false match rate, drawn as SVG; its figures stand in a table beside it.

import { freshId, h, s } from "./dom.js";
import { rate } from "./format.js";

const [WIDTH, HEIGHT] = [420, 260];
const EDGE = { left: 52, right: 30, top: 14, bottom: 44 };

/** A chart of `points` `{x, y, low?, high?}`, x (a rate) on a logarithmic axis, strictest at the right. */
export function curve({ title, points, unit, say }) {
  const [heading, description] = [freshId("chart"), freshId("chart")];
  if (points.length === 0) return h("p", { class: "hint" }, `${title}: nothing was measured.`);
  const powers = points.map((point) => Math.log10(point.x));
  const [first, last] = [Math.max(...powers), Math.min(...powers)];
  const top = niceTop(Math.max(...points.map((point) => point.high ?? point.y)));
  const x = (value) =>
    EDGE.left +
    ((first - Math.log10(value)) / Math.max(first - last, 1e-9)) * (WIDTH - EDGE.left - EDGE.right);
  const y = (value) => HEIGHT - EDGE.bottom - (Math.max(0, value) / top) * (HEIGHT - EDGE.top - EDGE.bottom);
  const grid = [0, 0.25, 0.5, 0.75, 1].map((part) => part * top);
  const text = (place, content, extra = {}) => s("text", { ...place, ...extra }, content);
  const drawing = s(
    "svg",
    {
      class: "chart",
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      role: "img",
      "aria-labelledby": `${heading} ${description}`,
    },
    s("desc", { id: description }, points.map((point) => `${rate(point.x)}: ${say(point.y)}`).join("; ")),
    grid.map((value) => [
      s("line", { class: "grid", x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(value), y2: y(value) }),
      text({ x: EDGE.left - 8, y: y(value) + 4 }, Number(value.toPrecision(3)).toString(), {
        "text-anchor": "end",
      }),
    ]),
    points.map((point) =>
      text({ x: x(point.x), y: HEIGHT - EDGE.bottom + 18 }, tick(point.x), { "text-anchor": "middle" }),
    ),
    text({ x: (EDGE.left + WIDTH - EDGE.right) / 2, y: HEIGHT - 6 }, "false match rate (FMR)", {
      "text-anchor": "middle",
      class: "axis",
    }),
    points
      .filter((point) => point.low !== undefined && point.high !== undefined)
      .map((point) =>
        s("line", { class: "whisker", x1: x(point.x), x2: x(point.x), y1: y(point.low), y2: y(point.high) }),
      ),
    s("polyline", {
      class: "curve",
      points: points.map((point) => `${x(point.x).toFixed(1)},${y(point.y).toFixed(1)}`).join(" "),
    }),
    points.map((point) =>
      s(
        "circle",
        { class: "dot", cx: x(point.x), cy: y(point.y), r: 4 },
        s("title", {}, `${unit} ${say(point.y)} at ${rate(point.x)}`),
      ),
    ),
  );
  return h("figure", { class: "panel" }, h("figcaption", { id: heading }, title), drawing);
}

function niceTop(value) {
  const step = 10 ** Math.floor(Math.log10(value || 1));
  return [1, 2, 4, 8, 10].map((times) => times * step).find((top) => top >= value) ?? 10 * step;
}

function tick(value) {
  const power = Math.round(Math.log10(value));
  return power >= -3 ? String(Number(value.toPrecision(2))) : value.toExponential(0).replace("-", "−");
}
