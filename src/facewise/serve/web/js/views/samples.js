// One sample of a person: the kept portrait, how usable the face was, and deleting it.

import { Trouble, call, fetchBlob } from "../api.js";
import { button, h, nameText } from "../dom.js";
import { date, degrees } from "../format.js";
import { ask } from "../dialogs.js";
import { notice, stopped } from "../notices.js";
import { may } from "../session.js";

/** A sample's card; `load(selector)` draws the person anew, `urls` are given back with the view. */
export function sampleCard(person, sample, index, load, signal, urls) {
  const label = `Sample ${index + 1}`;
  const anyPhoto = person.samples.some((one) => one.has_photo);
  const picture =
    anyPhoto &&
    h(
      "div",
      { class: "sample-picture" },
      h("p", { class: "hint" }, sample.has_photo ? "Loading …" : "No photo kept"),
    );
  if (sample.has_photo) showPhoto(picture, person, sample, label, signal, urls);
  const last = person.samples.length === 1;
  return h(
    "li",
    { class: "panel sample", "aria-label": label },
    picture,
    h("h3", {}, label),
    qualityFacts(sample.quality),
    h(
      "p",
      { class: "hint" },
      date(sample.created),
      sample.source && [" · ", h("bdi", { class: "name" }, sample.source)],
    ),
    may("admin") &&
      button(
        "Delete sample",
        async () =>
          (await removeSample(person, sample, label, last)) &&
          (last ? (location.hash = "#/people") : load(".act-add")),
        { kind: "small", "aria-label": `Delete ${label.toLowerCase()}` },
      ),
  );
}

async function showPhoto(place, person, sample, label, signal, urls) {
  try {
    const url = URL.createObjectURL(
      await fetchBlob(`/people/${person.id}/samples/${sample.id}/photo`, { signal }),
    );
    urls.push(url);
    place.replaceChildren(h("img", { src: url, alt: `${label} of ${person.name}` }));
  } catch (error) {
    if (!stopped(error))
      place.replaceChildren(
        h("p", { class: "hint" }, error instanceof Trouble ? error.message : "This photo cannot be shown."),
      );
  }
}

/** How usable the face was, each figure with its unit. */
function qualityFacts(quality) {
  if (!quality) return h("p", { class: "hint" }, "Quality was not measured.");
  const facts = [
    ["Detection", quality.score.toFixed(2)],
    ["Eye distance", `${Math.round(quality.size)} px`],
    [
      "Sharpness",
      quality.sharpness < 10 ? quality.sharpness.toFixed(1) : String(Math.round(quality.sharpness)),
    ],
    ["Turned", degrees(quality.yaw)],
    ["Nodded", degrees(quality.pitch)],
  ];
  return h(
    "dl",
    { class: "facts small" },
    facts.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))),
  );
}

async function removeSample(person, sample, label, last) {
  return ask({
    title: `Delete ${label.toLowerCase()}?`,
    danger: true,
    action: "Delete for good",
    body: [
      h(
        "p",
        {},
        `${label} of `,
        nameText(person.name),
        " will be deleted from every file of the gallery. ",
        last && "It is the last one, so the person goes with it. ",
        "This cannot be undone.",
      ),
    ],
    onaction: async (signal) => {
      await call(`/people/${person.id}/samples/${sample.id}`, { method: "DELETE", signal });
      notice(`${label} of ${person.name} is deleted.`);
    },
  });
}
