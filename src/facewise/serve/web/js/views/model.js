// What the answers rest on: the models in use, how often they are wrong, and the evaluation report.

import { call, fetchText } from "../api.js";
import { curve } from "../chart.js";
import { button, h } from "../dom.js";
import { count, percent, rate, similarity } from "../format.js";
import { alarm, busy, stopped } from "../notices.js";
import { hasReport } from "../session.js";
import { pointsOf } from "../strictness.js";

export function modelView({ signal }) {
  const body = h("div", { class: "stack" }, busy("Loading …"));
  const report = h("section", { class: "stack", "aria-label": "Evaluation report" });
  const load = async () => {
    try {
      const answer = await call("/models", { signal });
      body.replaceChildren(...calibrated(answer), ...facts(answer));
    } catch (error) {
      if (!stopped(error)) body.replaceChildren(alarm(error, load));
    }
  };
  load();
  report.append(
    h("h2", {}, "Evaluation report"),
    hasReport
      ? h(
          "div",
          { class: "row" },
          button("Show the report", () => showReport(report, signal)),
        )
      : h(
          "p",
          { class: "hint" },
          "The service was started without a report: make one with “facewise report” and start it with --report.",
        ),
  );
  return h(
    "div",
    { class: "stack" },
    h(
      "p",
      { class: "lead" },
      "A similarity alone says little. What counts is how often it is wrong, and that was measured.",
    ),
    body,
    report,
  );
}

function calibrated(answer) {
  const { calibration } = answer.embedder;
  if (!calibration)
    return [
      h(
        "div",
        { class: "panel calm" },
        h(
          "p",
          {},
          "This model has no calibration: similarities are shown, but nothing is decided. Calibrate it with “facewise calibrate”.",
        ),
      ),
    ];
  const points = pointsOf(answer);
  return [
    h(
      "p",
      {},
      `Calibrated on ${calibration.dataset}: ${count(calibration.genuine)} pairs of one person, ${count(calibration.impostors)} of two. `,
      calibration.same_detector
        ? ""
        : `Faces were found by ${calibration.detector} then, another detector than here, so the figures hold less well.`,
    ),
    h(
      "div",
      { class: "charts" },
      curve({
        title: "Threshold by false match rate",
        points: points.map((point) => ({ x: point.fmr, y: point.threshold })),
        unit: "threshold",
        say: similarity,
      }),
      curve({
        title: "Misses by false match rate",
        points: points.map((point) => ({
          x: point.fmr,
          y: point.fnmr,
          low: point.fnmr_interval?.[0],
          high: point.fnmr_interval?.[1],
        })),
        unit: "misses (FNMR)",
        say: percent,
      }),
    ),
    h(
      "div",
      { class: "scroll", role: "region", "aria-label": "Calibration table", tabindex: "0" },
      table(points),
    ),
    h(
      "p",
      { class: "hint" },
      `FMR: how many pairs of different people reach the threshold. Misses (FNMR): how many pairs of one person do not, with 95% intervals. Protocol: ${calibration.protocol}.`,
    ),
  ];
}

function table(points) {
  const head = ["FMR", "Threshold", "Misses (FNMR)", "95% interval"];
  const interval = ({ fnmr_interval: range }) =>
    range ? `${percent(range[0])} to ${percent(range[1])}` : "–";
  return h(
    "table",
    {},
    h("caption", {}, "Thresholds of the calibration"),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        head.map((text) => h("th", { scope: "col" }, text)),
      ),
    ),
    h(
      "tbody",
      {},
      points.map((point) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, rate(point.fmr)),
          h("td", {}, similarity(point.threshold)),
          h("td", {}, percent(point.fnmr)),
          h("td", {}, interval(point)),
        ),
      ),
    ),
  );
}

function facts({ detector, embedder }) {
  const cards = [
    ["Finds faces", detector],
    ["Tells faces apart", embedder],
  ].map(([title, model]) =>
    h(
      "div",
      { class: "panel" },
      h("h3", {}, title),
      h(
        "dl",
        { class: "facts rows-of" },
        [
          ["Name", model.name],
          ["Version", model.version],
          ["Numbers a face", model.embedding_size],
          ["Licence", model.licence],
          ["Fingerprint", model.fingerprint && h("code", { class: "long" }, model.fingerprint)],
        ]
          .filter(([, value]) => value !== undefined && value !== null && value !== "")
          .map(([term, value]) =>
            h("div", {}, h("dt", {}, term), h("dd", {}, value instanceof Node ? value : String(value))),
          ),
      ),
    ),
  );
  return [h("h2", {}, "Models"), h("div", { class: "two" }, cards)];
}

/** The report in a frame that has no origin: its own script may draw, but reaches neither this page nor a network. */
async function showReport(section, signal) {
  const place = h("div", {}, busy("Loading the report …"));
  section.replaceChildren(h("h2", {}, "Evaluation report"), place);
  try {
    const text = await fetchText("/report", { signal });
    const address = new URL("../../report.html", import.meta.url).href;
    const frame = h("iframe", {
      src: address,
      sandbox: "allow-scripts",
      title: "Evaluation report",
      class: "report",
    });
    const ready = (event) => {
      if (event.source !== frame.contentWindow || event.data !== "report-frame-ready") return;
      removeEventListener("message", ready);
      // The frame has no origin that could be named here; its window is known to be this one.
      frame.contentWindow.postMessage(text, "*");
    };
    addEventListener("message", ready, { signal });
    place.replaceChildren(frame);
  } catch (error) {
    if (stopped(error)) return;
    place.replaceChildren(
      error.status === 404
        ? h("p", { class: "hint" }, error.message)
        : alarm(error, () => showReport(section, signal)),
    );
  }
}
