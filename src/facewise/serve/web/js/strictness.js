// How strict to be: the rule a name (or "the same person") is given by. The choices are the rates the model's
// calibration measured, so that each one means something.

import { call } from "./api.js";
import { field, h } from "./dom.js";
import { rate, similarity } from "./format.js";
import { stopped } from "./notices.js";

/** The model's facts, asked once a tab. */
let asked = null;
export function models(signal) {
  asked ??= call("/models").catch((error) => {
    asked = null;
    throw error;
  });
  return asked.then((answer) => {
    signal?.throwIfAborted();
    return answer;
  });
}

/** The points of a calibration, likeliest mistake first. */
export function pointsOf(answer) {
  const points = answer.embedder?.calibration?.points ?? [];
  return [...points].sort((one, other) => other.fmr - one.fmr);
}

const STRANGERS = [0.1, 0.01, 0.001];

/** Options below an input: `values()` are the fields to send.
 *
 * @param {{signal: AbortSignal, onchange: () => void, search: boolean}} options `search` for identification,
 *   which has rates of strangers, groups and scoring besides.
 */
export function strictness({ signal, onchange, search = true }) {
  const choice = h("select", {}, h("option", { value: "" }, "As the service is set"));
  const groups = h("input", { type: "text", autocomplete: "off", placeholder: "staff, visitors" });
  const scoring = h(
    "select",
    {},
    h("option", { value: "" }, "Their best sample"),
    h("option", { value: "mean" }, "The mean of their samples"),
  );
  models(signal)
    .then((answer) => {
      choice.append(
        h(
          "optgroup",
          { label: "By comparison (FMR)" },
          pointsOf(answer).map((point) =>
            h(
              "option",
              { value: `fmr=${point.fmr}` },
              `${rate(point.fmr)} of different people match (from ${similarity(point.threshold)})`,
            ),
          ),
        ),
      );
      if (search)
        choice.append(
          h(
            "optgroup",
            { label: "By search (FPIR)" },
            STRANGERS.map((value) =>
              h("option", { value: `fpir=${value}` }, `${rate(value)} strangers get a name`),
            ),
          ),
        );
    })
    .catch((error) => {
      // Without the model's facts the default remains, and the request itself will say what is wrong.
      if (!stopped(error)) choice.title = error.message;
    });
  for (const input of [choice, groups, scoring]) input.addEventListener("change", onchange);
  const fields = [field("How strict", choice)];
  if (search) {
    fields.push(field("Only people of these groups", groups, "Separated by commas; empty for everybody."));
    fields.push(field("A person is as alike as", scoring));
  }
  const element = h(
    "details",
    { class: "options" },
    h("summary", {}, "Options"),
    h("div", { class: "fields" }, fields),
  );
  const values = () => {
    const [name, value] = choice.value.split("=");
    const fields = name ? { [name]: value } : {};
    if (!search) return fields;
    return { ...fields, scoring: scoring.value, groups: namesIn(groups.value) };
  };
  return { element, values };
}

/** The names in a text with commas between them, each once. */
export function namesIn(text) {
  return [
    ...new Set(
      text
        .split(",")
        .map((one) => one.trim())
        .filter(Boolean),
    ),
  ];
}
