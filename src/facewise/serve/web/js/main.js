// The frame of the page: sections, sign-in, colours, and one view at a time below `#main`.

import { call, whenever } from "./api.js";
import { button, h, icon } from "./dom.js";
import { alarm, busy, say, sentenceOf, showWaiting, stopped } from "./notices.js";
import { currentKey, may, signIn, signOut, tellsAttributes, wantsKey, who } from "./session.js";
import { analyzeView } from "./views/analyze.js";
import { clusterView } from "./views/cluster.js";
import { identifyView } from "./views/identify.js";
import { modelView } from "./views/model.js";
import { peopleView } from "./views/people.js";
import { personView } from "./views/person.js";
import { signInView } from "./views/sign-in.js";
import { verifyView } from "./views/verify.js";

const SECTIONS = [
  {
    path: "identify",
    label: "Identify",
    picture: "identify",
    title: "Who is in a photo?",
    scope: "identify",
    view: identifyView,
  },
  {
    path: "verify",
    label: "Verify",
    picture: "verify",
    title: "The same person?",
    scope: "identify",
    view: verifyView,
  },
  { path: "people", label: "People", picture: "people", title: "People", scope: "enrol", view: peopleView },
  {
    path: "group",
    label: "Group",
    picture: "group",
    title: "Group photos by person",
    scope: "identify",
    view: clusterView,
  },
  tellsAttributes && {
    path: "analyze",
    label: "Analyze",
    picture: "analyze",
    title: "What faces look like",
    scope: "analyze",
    view: analyzeView,
  },
  {
    path: "model",
    label: "Model",
    picture: "model",
    title: "The model in use",
    scope: "identify",
    view: modelView,
  },
].filter(Boolean);
const PERSON = { path: "people", title: "Person", scope: "enrol", view: personView };
const NEEDS = { identify: "identify people", enrol: "see or enrol people", analyze: "ask what faces look like" };

const main = document.querySelector("#main");
const nav = document.querySelector("#nav");
const tools = document.querySelector("#tools");
let leaving = new AbortController();

/** Where the address points: a section, the id of a person, and what comes after a question mark. */
function route() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [first, id] = path.split("/");
  const section =
    SECTIONS.find((one) => one.path === first) ?? SECTIONS.find((one) => may(one.scope)) ?? SECTIONS[0];
  if (section.path === "people" && /^\d+$/.test(id ?? ""))
    return { section: PERSON, id: Number(id), query: new URLSearchParams(search) };
  return { section, id: null, query: new URLSearchParams(search) };
}

function render({ focus = true } = {}) {
  leaving.abort();
  leaving = new AbortController();
  document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close());
  drawTools();
  nav.hidden = who() === null;
  if (who() === null) return show("Sign in", signInView({ onsignedin }), focus);
  const { section, id, query } = route();
  drawNav(section);
  const heading = { set: (text) => retitle(text) };
  const body = may(section.scope)
    ? section.view({ signal: leaving.signal, id, query, heading })
    : barred(section);
  show(section.title, body, focus);
}

function show(title, body, focus) {
  const heading = h("h1", { tabindex: "-1" }, title);
  main.replaceChildren(h("div", { class: "view" }, heading, body));
  retitle(title);
  scrollTo(0, 0);
  if (focus) heading.focus({ preventScroll: true });
}

function retitle(title) {
  document.title = `${title} · Facewise`;
  const heading = main.querySelector("h1");
  if (heading) heading.replaceChildren(h("bdi", {}, title));
}

function barred(section) {
  const can = SECTIONS.filter((one) => may(one.scope)).map((one) => one.label);
  return h(
    "div",
    { class: "panel calm" },
    h(
      "p",
      {},
      `The key “${who().name}” may not ${NEEDS[section.scope]}: that needs one with the scope “${section.scope}”.`,
    ),
    h(
      "p",
      { class: "hint" },
      can.length ? `With this key: ${can.join(", ")}. ` : "",
      "Whoever runs the service makes keys with “facewise keys new”.",
    ),
  );
}

function drawNav(current) {
  nav.replaceChildren(
    h(
      "ul",
      {},
      SECTIONS.map(({ path, label, picture, scope }) =>
        h(
          "li",
          {},
          h(
            "a",
            {
              href: `#/${path}`,
              "aria-current": path === current.path ? "page" : null,
              class: may(scope) ? null : "barred",
              title: may(scope) ? null : "Not with this key",
            },
            icon(picture),
            h("span", {}, label),
          ),
        ),
      ),
    ),
  );
}

function drawTools() {
  const parts = [themeSwitch()];
  if (wantsKey && who()) {
    parts.unshift(
      h("p", { class: "who" }, h("span", { class: "unseen" }, "Signed in as "), h("bdi", {}, who().name)),
    );
    parts.push(button("Sign out", () => leave(""), { kind: "quiet tool", icon: "leave" }));
  }
  tools.replaceChildren(...parts);
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function themeSwitch() {
  const toggle = button(
    "Dark colours",
    () => {
      const theme = isDark() ? "light" : "dark";
      document.documentElement.dataset.theme = theme;
      try {
        localStorage.setItem("facewise-theme", theme);
      } catch {
        // Storage is switched off: it holds until the page is left.
      }
      drawTools();
      tools.querySelector("[aria-pressed]").focus();
    },
    { kind: "quiet tool", icon: isDark() ? "sun" : "moon", "aria-pressed": String(isDark()) },
  );
  return toggle;
}

function onsignedin(key, person) {
  signIn(key, person);
  say(`Signed in as ${person.name}.`);
  render();
}

function leave(sentence) {
  signOut();
  render();
  if (sentence) main.querySelector(".view").append(alarm(sentence));
}

async function start() {
  if (wantsKey && !currentKey()) return render({ focus: false });
  main.replaceChildren(h("div", { class: "view" }, busy("Opening …")));
  try {
    signIn(currentKey(), await call("/me", { key: currentKey() ?? undefined }));
    render({ focus: false });
  } catch (error) {
    if (stopped(error)) return;
    if (error.status === 401) return leave(sentenceOf(error));
    main.replaceChildren(
      h("div", { class: "view" }, h("h1", { tabindex: "-1" }, "Facewise"), alarm(error, start)),
    );
  }
}

whenever({ refused: (trouble) => who() && leave(trouble.message), waiting: showWaiting });
addEventListener("hashchange", () => render());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawTools);
document.querySelector(".skip").addEventListener("click", (event) => {
  // The address after # is the section's: the link must not change it.
  event.preventDefault();
  main.focus();
});
start();
