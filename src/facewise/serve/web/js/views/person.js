// One person: name, groups, samples with their quality, and merging and deleting for those who may.

import { Trouble, call } from "../api.js";
import { button, field, h, nameText } from "../dom.js";
import { date, plural } from "../format.js";
import { ask } from "../dialogs.js";
import { alarm, busy, notice, stopped } from "../notices.js";
import { personPicker, samplesDialog } from "../enrol.js";
import { may } from "../session.js";
import { namesIn } from "../strictness.js";
import { sampleCard } from "./samples.js";

export function personView({ signal, id, heading }) {
  const body = h("div", { class: "stack" });
  const urls = [];
  signal.addEventListener("abort", () => urls.forEach((url) => URL.revokeObjectURL(url)), { once: true });
  const load = async (focusOn = null) => {
    if (!body.children.length) body.append(busy("Loading …"));
    try {
      const person = await call(`/people/${id}`, { signal });
      heading.set(person.name);
      body.replaceChildren(...parts(person, load, signal, urls));
      if (focusOn) body.querySelector(focusOn)?.focus();
    } catch (error) {
      if (!stopped(error)) body.replaceChildren(alarm(error, () => load()));
    }
  };
  load();
  return h("div", { class: "stack" }, h("p", {}, h("a", { href: "#/people" }, "All people")), body);
}

function parts(person, load, signal, urls) {
  const actions = [
    button("Add photos", async () => (await samplesDialog(person)) && load(".act-add"), {
      kind: "main",
      class: "button main act-add",
      icon: "add",
    }),
    button("Rename", async () => (await rename(person)) && load(".act-rename"), {
      class: "button act-rename",
    }),
    button("Groups", async () => (await regroup(person)) && load(".act-groups"), {
      class: "button act-groups",
    }),
  ];
  if (may("admin")) {
    actions.push(
      button("Merge", async () => (await merge(person)) && load(".act-merge"), { class: "button act-merge" }),
    );
    actions.push(
      button(
        "Delete",
        async () => {
          if (await remove(person)) location.hash = "#/people";
        },
        { kind: "danger" },
      ),
    );
  }
  return [
    h(
      "div",
      { class: "row" },
      person.groups.map((one) => h("bdi", { class: "chip" }, one)),
      h(
        "span",
        { class: "hint" },
        `${plural(person.samples.length, "sample")} · enrolled ${date(person.created)}`,
      ),
    ),
    h("div", { class: "row", role: "group", "aria-label": "What to do with this person" }, actions),
    !may("admin") && h("p", { class: "hint" }, "Merging and deleting need a key with the scope “admin”."),
    h("h2", {}, "Samples"),
    person.samples.every((one) => !one.has_photo) &&
      h("p", { class: "hint" }, "No photos are kept with these samples, only what the model made of them."),
    h(
      "ul",
      { class: "samples plain" },
      person.samples.map((sample, index) => sampleCard(person, sample, index, load, signal, urls)),
    ),
  ].filter(Boolean);
}

async function rename(person) {
  const input = h("input", {
    type: "text",
    autocomplete: "off",
    value: person.name,
    "aria-required": "true",
  });
  return ask({
    title: "Rename",
    body: [field("Name", input)],
    action: "Rename",
    first: input,
    onaction: async (signal) => {
      const name = input.value.trim();
      if (!name) throw new Trouble("Write the person's name.", 0, "incomplete");
      await call(`/people/${person.id}`, { method: "PATCH", json: { name }, signal });
      notice(`${person.name} is now ${name}.`);
    },
  });
}

async function regroup(person) {
  const input = h("input", { type: "text", autocomplete: "off", value: person.groups.join(", ") });
  return ask({
    title: "Groups",
    body: [
      field(
        "Groups",
        input,
        "Separated by commas, such as staff, night shift. Searches can be narrowed to groups.",
      ),
    ],
    action: "Save",
    first: input,
    onaction: async (signal) => {
      await call(`/people/${person.id}`, { method: "PATCH", json: { groups: namesIn(input.value) }, signal });
      notice(`The groups of ${person.name} are saved.`);
    },
  });
}

async function merge(person) {
  const picker = personPicker("Who is the same person?", { without: person.id });
  return ask({
    title: "Merge",
    first: picker.input,
    danger: true,
    action: "Merge",
    body: [
      h(
        "p",
        {},
        "All samples of the person you choose move to ",
        nameText(person.name),
        "; the other name then goes. This cannot be undone.",
      ),
      picker.element,
    ],
    onaction: async (signal) => {
      const other = picker.chosen();
      if (!other) throw new Trouble("Search for a person and choose one of the matches.", 0, "incomplete");
      const { moved } = await call(`/people/${person.id}/merge`, {
        method: "POST",
        json: { from: other.id },
        signal,
      });
      notice(`${plural(moved, "sample")} of ${other.name} moved to ${person.name}.`);
    },
  });
}

async function remove(person) {
  return ask({
    title: "Delete this person?",
    danger: true,
    action: "Delete for good",
    body: [
      h(
        "p",
        {},
        nameText(person.name),
        ` and ${plural(person.samples.length, "sample")} will be deleted from every file of the gallery. This cannot be undone.`,
      ),
    ],
    onaction: async (signal) => {
      await call(`/people/${person.id}`, { method: "DELETE", signal });
      notice(`${person.name} is deleted.`);
    },
  });
}
