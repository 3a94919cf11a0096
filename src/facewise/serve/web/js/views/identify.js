// Who is in a photo: boxes, names, how sure, by which rule; strangers are told as unknown.

import { call, formOf } from "../api.js";
import { button, h, nameText } from "../dom.js";
import { count, percent, plural, rate, similarity, toldName } from "../format.js";
import { liveCheck } from "../live.js";
import { alarm, busy, say, stopped } from "../notices.js";
import { Photo, photoOfCards, meter } from "../photo.js";
import { photoInput } from "../photo-input.js";
import { may } from "../session.js";
import { enrolDialog } from "../enrol.js";
import { strictness } from "../strictness.js";

export function identifyView({ signal }) {
  const result = h("div", { class: "result", "aria-live": "off" });
  let photo = null;
  let running = null;

  const run = async () => {
    if (!photo) return;
    running?.abort();
    const own = new AbortController();
    running = own;
    signal.addEventListener("abort", () => own.abort(), { once: true });
    result.replaceChildren(busy("Looking for faces …"));
    try {
      const answer = await call("/identify", {
        method: "POST",
        form: formOf({ photo: photo.file, ...rule.values() }),
        signal: own.signal,
      });
      result.replaceChildren(answerOf(photo, answer, run));
      say(summary(answer));
    } catch (error) {
      if (!stopped(error)) result.replaceChildren(alarm(error, run));
    }
  };
  const rule = strictness({ signal, onchange: run });
  const input = photoInput({
    label: "A photo to look at",
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
  const live = async () => {
    const done = await liveCheck();
    if (!done || signal.aborted) return;
    running?.abort();
    photo?.close();
    photo = null;
    const { answer, frames } = done;
    if (answer.frame !== null) photo = await Photo.open(frames[answer.frame]);
    input.classList.add("slim");
    result.replaceChildren(presenceOf(photo, answer));
    say(presenceSummary(answer));
  };
  return h(
    "div",
    { class: "stack" },
    h(
      "p",
      { class: "lead" },
      "Every face is compared with the people enrolled. Whoever is not alike enough to any of them is told as unknown.",
    ),
    input,
    h(
      "div",
      { class: "row" },
      button("Live check", live, { icon: "camera", "aria-describedby": "live-hint" }),
      h("p", { class: "hint", id: "live-hint" }, "Asks somebody before the camera to do a few movements, and says who it is."),
    ),
    rule.element,
    result,
  );
}

const presenceSummary = (answer) =>
  answer.passed ? `Live check passed: ${verdict(answer.face)}.` : `Live check not passed: ${answer.note}.`;

function presenceOf(photo, answer) {
  return h(
    "section",
    { class: `panel verdict ${answer.passed ? "known" : "unknown"}`, "aria-label": "Result" },
    h("h2", {}, answer.passed ? "Live check passed" : "Live check not passed"),
    answer.note && h("p", {}, sentence(answer.note)),
    h("p", { class: "hint" }, `Asked for: ${answer.actions.join(", ")}; done: ${answer.done}.`),
    answer.face &&
      h(
        "ol",
        { class: "cards plain" },
        faceCard(photo, { faces: [answer.face], decision: null }, answer.face, 0, () => {}),
      ),
  );
}

function summary({ faces }) {
  if (!faces.length) return "No face was found in this photo.";
  const known = faces.filter(isKnown).map((face) => toldName(face.name));
  const undecided = faces.filter((face) => !face.decided).length;
  const strangers = faces.length - known.length - undecided;
  const parts = [`${plural(faces.length, "face")} found`];
  if (known.length) parts.push(`known: ${known.join(", ")}`);
  if (strangers) parts.push(`${count(strangers)} unknown`);
  if (undecided) parts.push(`${count(undecided)} not decided`);
  return `${parts.join("; ")}.`;
}

function answerOf(photo, answer, again) {
  const faces = answer.faces;
  const cards = faces.map((face, index) => faceCard(photo, answer, face, index, again));
  const marks = faces.map((face, index) => ({
    box: face.box,
    tone: toneOf(face),
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
        h(
          "p",
          {},
          "No face was found in this photo, which was tried all four ways up. A face should be at least about 20 pixels wide and not turned away.",
        ),
      ruleText(answer),
      h("ol", { class: "cards plain" }, cards),
    ),
  );
}

const isKnown = (face) => face.name !== null;
const toneOf = (face) => (isKnown(face) ? "known" : face.decided ? "unknown" : "");

const sentence = (note) => `${note.charAt(0).toUpperCase()}${note.slice(1)}.`;

function verdict(face) {
  if (isKnown(face)) return toldName(face.name);
  return face.decided ? "unknown" : "not decided";
}

/** By which rule faces got a name, in words. */
export function ruleText({ decision, note, gallery }) {
  const lines = [];
  if (decision) {
    const parts = [];
    if (decision.fmr !== null && decision.fmr !== undefined)
      parts.push(
        `${rate(decision.fmr)} comparisons of different people comes out this alike by mistake (FMR)`,
      );
    if (decision.fpir !== null && decision.fpir !== undefined)
      parts.push(`about ${rate(decision.fpir)} strangers would be given a name (FPIR)`);
    lines.push(
      h(
        "p",
        {},
        "A name is given from a similarity of ",
        h("strong", {}, similarity(decision.threshold)),
        parts.length ? `, where ${parts.join(" and ")}.` : ".",
      ),
    );
    if (decision.source) lines.push(h("p", { class: "hint" }, `Measured on: ${decision.source}.`));
  }
  if (note && note !== decision?.source) lines.push(h("p", { class: "hint" }, note));
  if (gallery)
    lines.push(
      h(
        "p",
        { class: "hint" },
        gallery.people
          ? `Compared with ${plural(gallery.people, "person", "people")} (${plural(gallery.samples, "sample")}).`
          : "Nobody is enrolled yet, so nobody can be recognised.",
      ),
    );
  return h("div", { class: "rule" }, lines);
}

function faceCard(photo, answer, face, index, again) {
  const tone = toneOf(face);
  const known = isKnown(face);
  const best = known ? face.candidates.filter((one) => one.name !== face.name) : face.candidates;
  const alone = answer.faces.length === 1;
  const linked = known && may("enrol") && face.person !== null;
  const title = known
    ? linked
      ? h("a", { href: `#/people/${face.person}` }, nameText(toldName(face.name)))
      : nameText(toldName(face.name))
    : h("span", {}, face.decided ? "Unknown" : "Not decided");
  return h(
    "li",
    { class: `panel face ${tone}`, tabindex: "-1", "aria-label": `Face ${index + 1}: ${verdict(face)}` },
    h(
      "div",
      { class: "face-head" },
      photo.portrait(face.box, 64, `Face ${index + 1}`),
      h(
        "div",
        { class: "face-name" },
        h("p", { class: "hint" }, `Face ${index + 1}`),
        h("h3", {}, title),
        face.twice && h("p", { class: "hint" }, "Another face here was given this name: one of them is wrong."),
        !known && face.decided && h("p", { class: "hint" }, "Not alike enough to anybody enrolled."),
        face.note && h("p", { class: "hint" }, sentence(face.note)),
      ),
    ),
    face.candidates.length > 0 && sureness(face, answer.decision),
    best.length > 0 &&
      h(
        "div",
        {},
        h("h4", {}, known ? "Next best" : "Most alike"),
        h(
          "ol",
          { class: "candidates plain" },
          best.map((one) =>
            h("li", {}, nameText(one.name), h("span", { class: "figure" }, similarity(one.similarity))),
          ),
        ),
      ),
    may("enrol") &&
      !known &&
      h(
        "div",
        { class: "row" },
        button(
          "Enrol this face",
          async () => {
            const done = await enrolDialog({
              title: "Enrol this face",
              files: [await photo.fileOf(face.box, alone)],
            });
            if (done) again();
          },
          { kind: "small", icon: "add", "aria-label": `Enrol face ${index + 1}` },
        ),
      ),
  );
}

function sureness(face, decision) {
  const threshold = face.note ? null : (face.threshold ?? decision?.threshold ?? null);
  const parts = [h("div", {}, h("dt", {}, "Similarity"), h("dd", {}, similarity(face.similarity)))];
  if (threshold !== null)
    parts.push(h("div", {}, h("dt", {}, "Threshold"), h("dd", {}, similarity(threshold))));
  if (face.liveness)
    parts.push(h("div", {}, h("dt", {}, "Liveness"), h("dd", {}, face.liveness.score.toFixed(3))));
  const probability = face.probability ?? null;
  if (probability !== null)
    parts.push(h("div", {}, h("dt", {}, "Probability"), h("dd", {}, percent(probability))));
  return h("div", {}, meter(face.similarity, threshold, toneOf(face)), h("dl", { class: "facts" }, parts));
}
