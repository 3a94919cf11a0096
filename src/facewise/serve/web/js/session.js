// Who is signed in. The key lives in this tab's sessionStorage only: it is gone when the tab is closed, and no
// other tab sees it.

/** The path that the service is under: `/`, or a proxy's such as `/faces/`. This file is `assets/<digest>/js/session.js` there. */
export const base = new URL("../../../", import.meta.url).pathname;

// Two services of one host, under different paths, each have a key of their own.
const STORED = `facewise-key${base.slice(0, -1)}`;

/** A fact the service wrote into the page's head. */
const fact = (name) => document.querySelector(`meta[name="facewise-${name}"]`).content;

export const limits = {
  photos: Number(fact("max-photos")),
  bytes: Number(fact("max-bytes")),
  body: Number(fact("max-body")),
};

/** Whether the service has an evaluation report to show. */
export const hasReport = fact("report") === "yes";

/** Whether the service says what faces look like. */
export const tellsAttributes = fact("attributes") === "yes";

/** Whether the service wants a key at all. */
export const wantsKey = fact("auth") === "key";

let key = wantsKey ? sessionStorage.getItem(STORED) : null;
let me = null;

export const currentKey = () => key;
export const who = () => me;

export function signIn(text, person) {
  key = text;
  me = person;
  if (text) sessionStorage.setItem(STORED, text);
}

export function signOut() {
  key = null;
  me = null;
  sessionStorage.removeItem(STORED);
}

/** Whether this key may do what `scope` stands for; admin may do everything. */
export const may = (scope) => me !== null && (me.scopes.includes("admin") || me.scopes.includes(scope));
