// Enrolling: a new person with photos, or more photos for somebody who is there.

import { Trouble, call, formOf } from "./api.js";
import { button, field, freshId, h, nameText } from "./dom.js";
import { bytes, count, plural } from "./format.js";
import { ask } from "./dialogs.js";
import { alarm, notice, stopped } from "./notices.js";
import { photoInput } from "./photo-input.js";
import { limits } from "./session.js";
import { namesIn } from "./strictness.js";

/** A chosen list of photos, each with its name and a way to drop it again. */
export function photoList({ label, files = [], onchange = () => {} }) {
  const list = h("ul", { class: "chosen plain" });
  const urls = new Map();
  const draw = () => {
    list.replaceChildren(
      ...files.map((file, index) => {
        if (!urls.has(file)) urls.set(file, URL.createObjectURL(file));
        return h(
          "li",
          {},
          h("img", { src: urls.get(file), alt: "", width: 48, height: 48 }),
          h("bdi", { class: "name" }, file.name),
          button(
            "Remove",
            () => {
              files.splice(index, 1);
              draw();
              onchange();
            },
            { kind: "quiet small", "aria-label": `Remove ${file.name}` },
          ),
        );
      }),
    );
  };
  const input = photoInput({
    label,
    multiple: true,
    onphotos: (more) => {
      files.push(...more);
      draw();
      onchange();
    },
  });
  draw();
  return {
    element: h("div", { class: "stack" }, input, list),
    files,
    close: () => urls.forEach((url) => URL.revokeObjectURL(url)),
  };
}

/** Enrols `files` (or photos the user chooses) under a name, or adds them to somebody who is there.
 *
 * Resolves to the service's answer `{person, added, duplicates, rejected, warnings}`, or null.
 */
export async function enrolDialog({ title = "Add a person", files = null, name = "" } = {}) {
  const nameInput = h("input", { type: "text", autocomplete: "off", value: name, "aria-required": "true" });
  const groupInput = h("input", { type: "text", autocomplete: "off" });
  const photos = files ? null : photoList({ label: "Photos of this person alone" });
  const existing = personPicker("Or somebody who is there");
  const body = [
    field("Name", nameInput),
    ...(files
      ? [existing.element]
      : [
          field("Groups", groupInput, "Separated by commas, such as staff, night shift. May be empty."),
          photos.element,
        ]),
  ];
  const answer = await ask({
    title,
    body,
    action: "Enrol",
    first: nameInput,
    onclose: () => photos?.close(),
    onaction: async (signal) => {
      const chosen = files ?? photos.files;
      checkPhotos(chosen);
      if (files && existing.chosen()) return addSamples(existing.chosen(), chosen, signal);
      return enrol({
        name: nameInput.value.trim(),
        groups: namesIn(groupInput.value),
        files: chosen,
        signal,
      });
    },
  });
  if (answer) tell(answer);
  return answer;
}

export function checkPhotos(files) {
  if (!files.length) throw new Trouble("Choose at least one photo.", 0, "incomplete");
  if (files.length > limits.photos)
    throw new Trouble(
      `These are ${count(files.length)} photos; the service takes ${count(limits.photos)} at a time: remove some, and add them afterwards.`,
      0,
      "incomplete",
    );
  const size = files.reduce((sum, file) => sum + file.size, 0);
  // The forms around the photos need a little room as well.
  if (size > limits.body - 65536)
    throw new Trouble(
      `These photos have ${bytes(size)} together; the service takes ${bytes(limits.body)} at a time: remove some.`,
      0,
      "incomplete",
    );
}

export async function enrol({ name, groups = [], files, signal }) {
  if (!name) throw new Trouble("Write the person's name.", 0, "incomplete");
  return call("/people", { method: "POST", form: formOf({ name, groups, photos: files }), signal });
}

export const addSamples = (person, files, signal) =>
  call(`/people/${person.id}/samples`, { method: "POST", form: formOf({ photos: files }), signal });

/** Adds chosen photos to somebody. */
export async function samplesDialog(person) {
  const photos = photoList({ label: "Photos of this person alone" });
  const answer = await ask({
    title: "Add photos",
    body: [h("p", {}, "For ", nameText(person.name), "."), photos.element],
    action: "Add",
    onclose: photos.close,
    onaction: (signal) => {
      checkPhotos(photos.files);
      return addSamples(person, photos.files, signal);
    },
  });
  if (answer) tell(answer);
  return answer;
}

/** What an enrolment did, nothing left out. */
export function tell(answer) {
  notice(outcome(answer));
}

export function outcome({ person, added, duplicates = [], rejected = [], warnings = [] }) {
  const parts = [`${person.name}: ${plural(added, "sample")} added.`];
  if (duplicates.length) parts.push(`Already there: ${duplicates.join(", ")}.`);
  for (const { source, reason } of rejected) parts.push(`Not enrolled: ${source} (${reason}).`);
  parts.push(...warnings);
  return parts.join(" ");
}

/** A search box over the people of the gallery with a list of matches to choose from. */
export function personPicker(label, { without = null } = {}) {
  let chosen = null;
  let running = null;
  let timer = null;
  // Not type="search": there the first Escape empties the field instead of closing the dialog.
  const input = h("input", {
    type: "text",
    role: "searchbox",
    autocomplete: "off",
    placeholder: "Part of a name",
  });
  const group = freshId("matches");
  const matches = h("fieldset", { class: "matches", hidden: true }, h("legend", {}, "Matches"), h("div", {}));
  const status = h("p", { class: "hint", role: "status" });
  const search = async () => {
    running?.abort();
    running = new AbortController();
    chosen = null;
    const text = input.value.trim();
    if (!text) {
      matches.hidden = true;
      status.textContent = "";
      return;
    }
    try {
      const { people, total } = await call("/people", {
        query: { search: text, limit: 8 },
        signal: running.signal,
      });
      const found = people.filter((person) => person.id !== without);
      matches.hidden = found.length === 0;
      status.textContent = found.length
        ? total > people.length
          ? `The first ${count(people.length)} of ${count(total)}: write more of the name to see others.`
          : ""
        : "Nobody of this name.";
      matches.lastElementChild.replaceChildren(
        ...found.map((person) =>
          option(group, person, () => {
            chosen = person;
          }),
        ),
      );
    } catch (error) {
      if (!stopped(error)) {
        matches.hidden = true;
        status.replaceChildren(alarm(error));
      }
    }
  };
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, 250);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    // Enter searches; it must not send the dialog's form.
    event.preventDefault();
    clearTimeout(timer);
    search();
  });
  return {
    element: h("div", { class: "stack tight" }, field(label, input), status, matches),
    chosen: () => chosen,
    input,
  };
}

function option(group, person, onchange) {
  const radio = h("input", { type: "radio", name: group, onchange });
  return h(
    "label",
    { class: "choice" },
    radio,
    h("span", {}, nameText(person.name)),
    h("span", { class: "hint" }, plural(person.samples, "sample")),
  );
}
