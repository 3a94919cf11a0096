// What the faces of a photo look like: age with its interval, gender, emotion, and race only where it is ticked.

import { call, formOf } from "../api.js";
import { h, s } from "../dom.js";
import { percent, plural } from "../format.js";
import { alarm, busy, say, stopped } from "../notices.js";
import { Photo, photoOfCards } from "../photo.js";
import { photoInput } from "../photo-input.js";

const KINDS = [
  { name: "age", label: "Age" },
  { name: "gender", label: "Gender" },
  { name: "emotion", label: "Emotion" },
  { name: "race", label: "Race" },
];
const OLDEST = 100;

export function analyzeView({ signal }) {
  const result = h("div", { class: "result", "aria-live": "off" });
  let photo = null;
  let running = null;

  const run = async () => {
    if (!photo) return;
    running?.abort();
    const own = new AbortController();
    running = own;
    signal.addEventListener("abort", () => own.abort(), { once: true });
    const attributes = choice.chosen();
    if (!attributes.length) return result.replaceChildren(h("p", { class: "hint" }, "Tick at least one."));
    result.replaceChildren(busy("Looking at faces …"));
    try {
      const answer = await call("/analyze", {
        method: "POST",
        form: formOf({ photo: photo.file, attributes }),
        signal: own.signal,
      });
      result.replaceChildren(answerOf(photo, answer));
      say(summary(answer));
    } catch (error) {
      if (!stopped(error)) result.replaceChildren(alarm(error, run));
    }
  };
  const choice = choiceOf(run);
  const input = photoInput({
    label: "A photo to analyze",
    signal,
    onphotos: async ([file]) => {
      const opened = await Photo.open(file);
      if (signal.aborted) return opened.close();
      photo?.close();
      photo = opened;
      input.classList.add("slim");
      run();
    },
  });
  signal.addEventListener("abort", () => photo?.close(), { once: true });
  return h(
    "div",
    { class: "stack" },
    h(
      "p",
      { class: "lead" },
      "What a face looks like in this photo, and how sure that is. It is not who somebody is, nor what they feel.",
    ),
    input,
    choice.element,
    result,
  );
}

/** What to tell, as boxes to tick; race is not ticked. */
function choiceOf(onchange) {
  const boxes = KINDS.map(({ name, label }) => ({
    name,
    label,
    box: h("input", { type: "checkbox", checked: name !== "race", onchange }),
  }));
  const element = h(
    "fieldset",
    { class: "panel calm ticks" },
    h("legend", {}, "What to tell"),
    h(
      "div",
      { class: "row" },
      boxes.map(({ label, box }) => h("label", { class: "tick" }, box, h("span", {}, label))),
    ),
    h(
      "p",
      { class: "hint" },
      "The EU forbids to infer emotions at work and in education, and to categorise people by race from their faces.",
    ),
  );
  return { element, chosen: () => boxes.filter(({ box }) => box.checked).map(({ name }) => name) };
}

function summary({ faces }) {
  if (!faces.length) return "No face was found in this photo.";
  return `${plural(faces.length, "face")} found. ${faces.map((face, index) => `Face ${index + 1}: ${verdict(face)}`).join("; ")}.`;
}

function answerOf(photo, answer) {
  const faces = answer.faces;
  const cards = faces.map((face, index) => faceCard(photo, face, index));
  const marks = faces.map((face, index) => ({
    box: face.box,
    tone: "",
    label: `Face ${index + 1}: ${verdict(face)}`,
  }));
  const picture = photoOfCards(photo, answer, marks, cards);
  return h(
    "section",
    { class: "beside", "aria-label": "Result" },
    picture,
    h(
      "div",
      { class: "stack" },
      h("h2", {}, faces.length ? `${plural(faces.length, "face")} found` : "No face found"),
      faces.length === 0 &&
        h("p", {}, "No face was found in this photo, which was tried all four ways up."),
      h("p", { class: "hint" }, `Said by the model ${answer.model}.`),
      h("ol", { class: "cards plain" }, cards),
    ),
  );
}

/** What is sure of a face, in a few words. */
function verdict({ attributes }) {
  if (attributes.note) return `nothing can be said, ${attributes.note}`;
  const { age, gender, emotion, race } = attributes;
  const parts = [age && `about ${Math.round(age.mean)} years`];
  for (const one of [gender, emotion, race]) parts.push(one?.answer);
  return parts.filter(Boolean).join(", ") || "not sure";
}

function faceCard(photo, face, index) {
  const { note, age } = face.attributes;
  return h(
    "li",
    { class: "panel face", tabindex: "-1", "aria-label": `Face ${index + 1}: ${verdict(face)}` },
    h(
      "div",
      { class: "face-head" },
      photo.portrait(face.box, 64, `Face ${index + 1}`),
      h(
        "div",
        { class: "face-name" },
        h("p", { class: "hint" }, `Face ${index + 1}`),
        note && h("h3", {}, "Nothing can be said"),
        note && h("p", { class: "hint" }, `${note.charAt(0).toUpperCase()}${note.slice(1)}.`),
        !note && h("h3", {}, verdict(face)),
      ),
    ),
    age && ageOf(age),
    ["gender", "emotion", "race"].map((name) => face.attributes[name] && guessOf(name, face.attributes[name])),
  );
}

const headed = (name) => KINDS.find((kind) => kind.name === name).label;

function ageOf({ mean, low, high }) {
  const told = `${Math.round(mean)} years, ${Math.round(low)} to ${Math.round(high)} for 90 of 100 faces`;
  const x = (years) => Math.min(OLDEST, Math.max(0, years));
  return h(
    "section",
    { class: "guess", "aria-label": "Age" },
    h("h4", {}, "Age"),
    s(
      "svg",
      { class: "meter", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" },
      s("rect", { class: "meter-all", x: 0, y: 2, width: 100, height: 6 }),
      s("rect", { class: "meter-value", x: x(low), y: 2, width: Math.max(0.5, x(high) - x(low)), height: 6 }),
      s("rect", { class: "meter-threshold", x: x(mean) - 0.4, y: 0, width: 0.8, height: 10 }),
    ),
    h("p", { class: "hint" }, told),
  );
}

function guessOf(name, { answer, probabilities }) {
  const words = Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
  return h(
    "section",
    { class: "guess", "aria-label": headed(name) },
    h("h4", {}, headed(name), answer === null && h("span", { class: "hint" }, " not sure")),
    h(
      "dl",
      { class: "bars" },
      words.slice(0, 3).map(([word, probability]) =>
        h(
          "div",
          {},
          h("dt", {}, word),
          h("dd", {}, percent(probability)),
          s(
            "svg",
            {
              class: `meter ${word === answer ? "known" : ""}`,
              viewBox: "0 0 100 10",
              preserveAspectRatio: "none",
              "aria-hidden": "true",
              focusable: "false",
            },
            s("rect", { class: "meter-all", x: 0, y: 2, width: 100, height: 6 }),
            s("rect", { class: "meter-value", x: 0, y: 2, width: 100 * probability, height: 6 }),
          ),
        ),
      ),
    ),
  );
}
