// Two photos side by side: the same person?

import { call, formOf } from "../api.js";
import { button, field, h } from "../dom.js";
import { percent, plural, rate, similarity } from "../format.js";
import { alarm, busy, say, stopped } from "../notices.js";
import { Photo, markedPhoto, meter } from "../photo.js";
import { photoInput } from "../photo-input.js";
import { strictness } from "../strictness.js";

export function verifyView({ signal }) {
  const result = h("div", { class: "result" });
  let running = null;
  const run = async () => {
    running?.abort();
    sides.forEach((side) => side.mark(null));
    if (sides.some((side) => side.photo === null)) return result.replaceChildren();
    const own = new AbortController();
    running = own;
    signal.addEventListener("abort", () => own.abort(), { once: true });
    result.replaceChildren(busy("Comparing …"));
    const [a, b] = sides.map((side) => side.photo.file);
    try {
      const answer = await call("/verify", {
        method: "POST",
        form: formOf({ a, b, ...rule.values(), prior: priorOf(prior) }),
        signal: own.signal,
      });
      sides.forEach((side, index) => side.mark(answer.faces[index]));
      result.replaceChildren(verdictOf(answer));
      say(sentence(answer));
    } catch (error) {
      if (!stopped(error)) result.replaceChildren(alarm(error, run));
    }
  };
  const rule = strictness({ signal, onchange: run, search: false });
  const prior = h("input", {
    type: "number",
    min: "0.000001",
    max: "0.999999",
    step: "any",
    placeholder: "0.5",
    inputmode: "decimal",
  });
  prior.addEventListener("change", run);
  rule.element.lastElementChild.append(
    field(
      "Share of pairs that are the same person, before looking",
      prior,
      "Between 0 and 1; the probability depends on it. 0.5 where nothing is known.",
    ),
  );
  const sides = ["First photo", "Second photo"].map((label) => sideOf(label, signal, run));
  return h(
    "div",
    { class: "stack" },
    h(
      "p",
      { class: "lead" },
      "The main face of each photo is compared. The answer names the threshold it was decided by and how often that is wrong.",
    ),
    h(
      "div",
      { class: "pair" },
      sides.map((side) => side.element),
    ),
    rule.element,
    result,
  );
}

function priorOf(input) {
  const value = Number(input.value);
  return input.value && value > 0 && value < 1 ? value : null;
}

function sideOf(label, signal, run) {
  const place = h("div", {});
  const side = { photo: null, element: h("section", { class: "side", "aria-label": label }) };
  const input = photoInput({
    label,
    signal,
    wanted: () => side.photo === null,
    onphotos: async ([file]) => {
      const opened = await Photo.open(file);
      if (signal.aborted) return opened.close();
      side.photo?.close();
      side.photo = opened;
      input.hidden = true;
      run();
      place.querySelector("button").focus();
    },
  });
  const another = button(
    "Another photo",
    () => {
      side.photo?.close();
      side.photo = null;
      input.hidden = false;
      run();
      input.querySelector("input").focus();
    },
    { kind: "small", "aria-label": `Another ${label.toLowerCase()}` },
  );
  side.mark = (face) => {
    if (!side.photo) return place.replaceChildren();
    const { bitmap } = side.photo;
    const size = { width: bitmap?.width ?? 1, height: bitmap?.height ?? 1 };
    const marks = face && bitmap ? [{ box: face.box, label: "", tone: "known" }] : [];
    place.replaceChildren(markedPhoto(side.photo, size, marks), h("div", { class: "row" }, another));
  };
  signal.addEventListener("abort", () => side.photo?.close(), { once: true });
  side.element.append(input, place);
  return side;
}

function headline(answer) {
  if (answer.same === null) return "Not decided";
  return answer.same ? "The same person" : "Two different people";
}

const sentence = (answer) =>
  `${headline(answer)}: similarity ${similarity(answer.similarity)}${answer.threshold === null ? "" : `, threshold ${similarity(answer.threshold)}`}.`;

const taken = (answer) => (answer.comparisons > 1 ? "that of the most alike pair" : "the main one was compared and");

function verdictOf(answer) {
  const tone = answer.same === null ? "" : answer.same ? "known" : "unknown";
  const fact = (term, value) => h("div", {}, h("dt", {}, term), h("dd", {}, value));
  const facts = [fact("Similarity", similarity(answer.similarity))];
  if (answer.threshold !== null) facts.push(fact("Threshold", similarity(answer.threshold)));
  if (answer.fmr !== null) facts.push(fact("False match rate", rate(answer.fmr)));
  if (answer.faces.every((face) => face.liveness))
    facts.push(fact("Liveness", answer.faces.map((face) => face.liveness.score.toFixed(3)).join(" and ")));
  if (answer.probability !== null) facts.push(fact("Probability of one person", percent(answer.probability)));
  return h(
    "section",
    { class: `panel verdict ${tone}`, "aria-label": "Result" },
    h("h2", {}, headline(answer)),
    meter(answer.similarity, answer.threshold, tone),
    h("dl", { class: "facts wide" }, facts),
    answer.fmr !== null &&
      h(
        "p",
        {},
        `At this threshold, ${rate(answer.fmr)} pairs of different people would be called the same.`,
      ),
    answer.probability !== null &&
      answer.prior !== null &&
      h(
        "p",
        { class: "hint" },
        `The probability takes for granted that ${percent(answer.prior)} of the pairs asked about are one person.`,
      ),
    ...answer.found.map(
      (found, index) =>
        found > 1 &&
        h(
          "p",
          { class: "hint" },
          `The ${index ? "second" : "first"} photo has ${plural(found, "face")}: ${taken(answer)} is marked.`,
        ),
    ),
    answer.note &&
      h("p", { class: "hint" }, answer.threshold === null ? answer.note : `Measured on: ${answer.note}.`),
  );
}
