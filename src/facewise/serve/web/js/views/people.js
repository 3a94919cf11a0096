// Everybody enrolled: searched and paged by the service, so that a hundred thousand are as quick as ten.

import { call } from "../api.js";
import { button, field, h, nameText } from "../dom.js";
import { count, date, plural } from "../format.js";
import { alarm, busy, say, stopped } from "../notices.js";
import { enrolDialog } from "../enrol.js";

const PAGE = 50;

export function peopleView({ signal, query }) {
  const state = {
    search: query.get("search") ?? "",
    group: query.get("group") ?? "",
    page: Math.max(1, Number.parseInt(query.get("page") ?? "1", 10) || 1),
  };
  const list = h("div", { class: "stack" });
  const search = h("input", {
    type: "search",
    value: state.search,
    autocomplete: "off",
    placeholder: "Part of a name",
  });
  const group = h("input", {
    type: "text",
    value: state.group,
    autocomplete: "off",
    placeholder: "All groups",
  });
  let running = null;
  let timer = null;

  const load = async (focusOn = null) => {
    running?.abort();
    const own = new AbortController();
    running = own;
    signal.addEventListener("abort", () => own.abort(), { once: true });
    remember(state);
    list.setAttribute("aria-busy", "true");
    if (!list.children.length) list.append(busy("Loading …"));
    try {
      const answer = await call("/people", {
        query: { offset: (state.page - 1) * PAGE, limit: PAGE, search: state.search, group: state.group },
        signal: own.signal,
      });
      const pages = Math.max(1, Math.ceil(answer.total / PAGE));
      if (state.page > pages) {
        // The last of a page was deleted, or the address is an old one.
        state.page = pages;
        return load(focusOn);
      }
      list.replaceChildren(...shown(answer, state, pages, turn));
      say(rangeText(answer, state));
      if (focusOn)
        (list.querySelector(focusOn) ?? list.querySelector(".pager button:not([disabled])"))?.focus();
    } catch (error) {
      if (!stopped(error)) list.replaceChildren(alarm(error, () => load()));
    } finally {
      if (running === own) list.removeAttribute("aria-busy");
    }
    return undefined;
  };
  const turn = (page, focusOn) => {
    state.page = page;
    load(focusOn);
  };
  const narrow = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      Object.assign(state, { search: search.value.trim(), group: group.value.trim(), page: 1 });
      load();
    }, 250);
  };
  search.addEventListener("input", narrow);
  group.addEventListener("input", narrow);
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  load();
  const form = h(
    "form",
    { class: "toolbar", role: "search", "aria-label": "People" },
    field("Search", search),
    field("Group", group),
    button(
      "Add a person",
      async () => {
        const answer = await enrolDialog();
        if (answer) load();
      },
      { kind: "main", icon: "add" },
    ),
  );
  form.addEventListener("submit", (event) => event.preventDefault());
  return h("div", { class: "stack" }, form, list);
}

/** Keeps the search in the address, so that going back from a person finds it again. */
function remember({ search, group, page }) {
  const query = new URLSearchParams();
  if (search) query.set("search", search);
  if (group) query.set("group", group);
  if (page > 1) query.set("page", String(page));
  const text = query.toString();
  history.replaceState(null, "", `#/people${text ? `?${text}` : ""}`);
}

function rangeText({ people, total }, { page, search, group }) {
  if (!total) return search || group ? "Nobody matches." : "Nobody is enrolled yet.";
  const first = (page - 1) * PAGE + 1;
  return `${count(first)} to ${count(first + people.length - 1)} of ${plural(total, "person", "people")}`;
}

function shown(answer, state, pages, turn) {
  const { people, total } = answer;
  if (!total) {
    const filtered = state.search || state.group;
    return [
      h(
        "div",
        { class: "panel calm" },
        h(
          "p",
          {},
          filtered
            ? "Nobody matches: try less of the name, or another group."
            : "Nobody is enrolled yet. Add the first person with a few photos: different days, light and angles help.",
        ),
      ),
    ];
  }
  const rows = people.map((person) =>
    h(
      "li",
      {},
      h(
        "a",
        { class: "person-row", href: `#/people/${person.id}` },
        h("span", { class: "avatar", "aria-hidden": "true" }, initialOf(person.name)),
        h("span", { class: "person-name" }, nameText(person.name)),
        h(
          "span",
          { class: "person-groups" },
          person.groups.map((one) => h("bdi", { class: "chip" }, one)),
        ),
        h(
          "span",
          { class: "hint person-facts" },
          `${plural(person.samples, "sample")} · since ${date(person.created)}`,
        ),
      ),
    ),
  );
  const page = state.page;
  const pager =
    pages > 1 &&
    h(
      "nav",
      { class: "pager", "aria-label": "Pages" },
      button("First", () => turn(1, ".pager .first"), { class: "button first", disabled: page === 1 }),
      button("Previous", () => turn(page - 1, ".pager .previous"), {
        class: "button previous",
        disabled: page === 1,
      }),
      h("span", {}, `Page ${count(page)} of ${count(pages)}`),
      button("Next", () => turn(page + 1, ".pager .next"), {
        class: "button next",
        disabled: page === pages,
      }),
      button("Last", () => turn(pages, ".pager .last"), { class: "button last", disabled: page === pages }),
    );
  return [
    h("p", { class: "hint" }, rangeText(answer, state)),
    h("ul", { class: "rows plain" }, rows),
    ...(pager ? [pager] : []),
  ];
}

/** The first letter of a name as a reader sees it, emoji and accents whole. */
function initialOf(name) {
  const [first] = new Intl.Segmenter("en", { granularity: "grapheme" }).segment(name.trim());
  return (first?.segment ?? "?").toLocaleUpperCase("en");
}
