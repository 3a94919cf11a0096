// A pile of photos grouped into people without names; a group gets a name and is enrolled.

import { Trouble, call, formOf } from "../api.js";
import { button, h, nameText } from "../dom.js";
import { count, plural, rate, similarity } from "../format.js";
import { addSamples, checkPhotos, enrol, outcome, photoList } from "../enrol.js";
import { alarm, busy, say, stopped } from "../notices.js";
import { Photo } from "../photo.js";
import { limits, may } from "../session.js";
import { strictness } from "../strictness.js";

export function clusterView({ signal }) {
  const result = h("div", { class: "result" });
  const rule = strictness({ signal, onchange: () => {}, search: false });
  const submit = button("Group by person", () => run(), { kind: "main", icon: "group", disabled: true });
  const told = h("p", { class: "hint", role: "status" });
  const changed = () => {
    const many = photos.files.length;
    submit.disabled = many === 0 || many > limits.photos;
    if (many > limits.photos)
      told.textContent = `These are ${count(many)} photos; the service takes ${count(limits.photos)} at a time: remove ${count(many - limits.photos)}.`;
    else told.textContent = many ? `${plural(many, "photo")} chosen.` : "";
  };
  const photos = photoList({ label: "Photos to group", onchange: changed });
  photos.element.classList.add("pile");
  signal.addEventListener("abort", photos.close, { once: true });
  const run = async () => {
    const files = [...photos.files];
    try {
      checkPhotos(files);
    } catch (error) {
      return result.replaceChildren(alarm(error));
    }
    submit.disabled = true;
    result.replaceChildren(busy(`Looking through ${plural(files.length, "photo")} …`));
    try {
      const answer = await call("/cluster", {
        method: "POST",
        form: formOf({ photos: files, ...rule.values() }),
        signal,
      });
      const portraits = await portraitsOf(files, answer, signal);
      const sentence = summary(answer);
      result.replaceChildren(grouped(files, answer, portraits, sentence, signal));
      result.querySelector("h2").focus();
      say(sentence);
    } catch (error) {
      if (!stopped(error)) result.replaceChildren(alarm(error, run));
    } finally {
      changed();
    }
    return undefined;
  };
  return h(
    "div",
    { class: "stack" },
    h(
      "p",
      { class: "lead" },
      "Faces that are alike come together, without anybody being enrolled. Then give each group its name.",
    ),
    photos.element,
    rule.element,
    h("div", { class: "row" }, submit, told),
    result,
  );
}

/** A portrait for each face, one photo opened at a time: fifty large ones would not fit in memory. */
async function portraitsOf(files, answer, signal) {
  const portraits = new Map();
  for (const { index, faces } of answer.photos) {
    const photo = await Photo.open(files[index]);
    signal.throwIfAborted();
    faces.forEach((face, number) => portraits.set(`${index}/${number}`, photo.portrait(face.box, 72, "")));
    photo.close();
  }
  return portraits;
}

function summary({ groups, photos }) {
  const together = groups.filter((group) => group.length > 1).length;
  const alone = groups.length - together;
  const faces = photos.reduce((sum, photo) => sum + photo.faces.length, 0);
  return `${plural(faces, "face")} in ${plural(photos.length, "photo")}: ${plural(together, "person", "people")} seen more than once, ${count(alone)} seen once.`;
}

function grouped(files, answer, portraits, sentence, signal) {
  const groups = [...answer.groups].sort((one, other) => other.length - one.length);
  const problems = answer.photos.filter((photo) => photo.error !== null);
  const empty = answer.photos.filter((photo) => photo.error === null && photo.faces.length === 0);
  return h(
    "section",
    { class: "stack", "aria-label": "Result" },
    h("h2", { tabindex: "-1" }, plural(groups.length, "group")),
    h("p", {}, sentence),
    h(
      "p",
      { class: "hint" },
      `Faces come together from a similarity of ${similarity(answer.threshold)}${answer.fmr === null ? "" : `, which ${rate(answer.fmr)} pairs of different people reach (FMR)`}. Method: ${answer.method}.`,
    ),
    problems.length > 0 &&
      h(
        "div",
        { class: "alarm" },
        h(
          "ul",
          {},
          problems.map((photo) => h("li", {}, nameText(photo.name), `: ${photo.error}`)),
        ),
      ),
    empty.length > 0 &&
      h(
        "p",
        {},
        "No face in: ",
        empty.map((photo, index) => [index ? ", " : "", nameText(photo.name)]),
        ".",
      ),
    answer.too_poor.length > 0 &&
      h(
        "p",
        {},
        "Left alone, too poor to group: ",
        answer.too_poor.map(({ photo, face, reason }, index) => [
          index ? ", " : "",
          nameText(answer.photos[photo].name),
          ` (face ${face + 1}: ${reason})`,
        ]),
        ".",
      ),
    !may("enrol") &&
      groups.length > 0 &&
      h("p", { class: "hint" }, "Naming a group enrols it; that needs a key with the scope “enrol”."),
    h(
      "ol",
      { class: "groups plain" },
      groups.map((group, index) => groupCard(files, answer, portraits, group, index, signal)),
    ),
  );
}

function groupCard(files, answer, portraits, group, index, signal) {
  const label = `Group ${index + 1}`;
  const boxes = group.map(({ photo, face }, number) => {
    const name = answer.photos[photo].name;
    const check = h("input", {
      type: "checkbox",
      checked: true,
      "aria-label": `Face ${number + 1}, from ${name}`,
    });
    return {
      photo,
      face,
      check,
      element: h("label", { class: "pick", title: name }, check, portraits.get(`${photo}/${face}`)),
    };
  });
  const card = h(
    "li",
    { class: "panel group-card", "aria-label": label },
    h("h3", {}, label, " ", h("span", { class: "hint" }, plural(group.length, "face"))),
    h(
      "div",
      { class: "picks" },
      boxes.map((box) => box.element),
    ),
  );
  if (may("enrol")) card.append(namingForm({ files, answer, boxes, label, card, signal }));
  return card;
}

function namingForm({ files, answer, boxes, label, card, signal }) {
  const input = h("input", {
    type: "text",
    autocomplete: "off",
    "aria-label": `Name of ${label.toLowerCase()}`,
    placeholder: "Name",
  });
  const submit = h("button", { type: "submit", class: "button" }, h("span", {}, "Enrol"));
  const trouble = h("div", { class: "trouble stack tight" });
  const form = h(
    "form",
    { class: "stack tight", novalidate: true, "aria-label": `Name ${label.toLowerCase()}` },
    h("div", { class: "row nowrap" }, input, submit),
    trouble,
  );
  const chosen = () =>
    filesOf(
      files,
      answer,
      boxes.filter((box) => box.check.checked),
    );
  const done = (outcomeOf) => {
    const told = h(
      "p",
      { class: "done", tabindex: "-1" },
      h("a", { href: `#/people/${outcomeOf.person.id}` }, nameText(outcomeOf.person.name)),
      " · ",
      outcome(outcomeOf),
    );
    form.replaceWith(told);
    boxes.forEach((box) => {
      box.check.disabled = true;
    });
    card.classList.add("enrolled");
    told.focus();
    say(outcome(outcomeOf));
  };
  const attempt = async (action) => {
    submit.disabled = true;
    trouble.replaceChildren();
    try {
      done(await action());
    } catch (error) {
      if (stopped(error)) return;
      const taken = error.status === 409 ? await called(input.value.trim(), signal) : null;
      trouble.replaceChildren(alarm(error));
      if (taken)
        trouble.append(
          button(
            `Add to ${taken.name}`,
            () => attempt(async () => addSamples(taken, await chosen(), signal)),
            { kind: "small" },
          ),
        );
    } finally {
      submit.disabled = false;
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(async () => {
      const photos = await chosen();
      if (!photos.length) throw new Trouble("Tick at least one face of the group.", 0, "incomplete");
      return enrol({ name: input.value.trim(), files: photos, signal });
    });
  });
  return form;
}

async function filesOf(files, answer, boxes) {
  const cuts = [];
  for (const { photo, face } of boxes) {
    const faces = answer.photos[photo].faces;
    const opened = await Photo.open(files[photo]);
    cuts.push(await opened.fileOf(faces[face].box, faces.length === 1));
    opened.close();
  }
  return cuts;
}

/** The person of exactly this name, or null. */
async function called(name, signal) {
  try {
    const { people } = await call("/people", { query: { search: name, limit: 100 }, signal });
    return people.find((person) => person.name === name) ?? null;
  } catch {
    // The first refusal says enough; this was only for an offer.
    return null;
  }
}
