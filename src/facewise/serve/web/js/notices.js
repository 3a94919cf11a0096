// Telling the user: sentences beside what they are about, notices in the corner, and words for screen readers.

import { button, h } from "./dom.js";
import { Trouble } from "./api.js";

const said = document.querySelector("#said");
const corner = document.querySelector("#notices");

/** Says something to a screen reader without showing it (it can be seen elsewhere). */
export function say(sentence) {
  atHand(said);
  said.textContent = "";
  // A reader only speaks of a change: the same sentence twice has to be two changes.
  requestAnimationFrame(() => {
    said.textContent = sentence;
  });
}

/** Everything outside an open dialog is asleep, for readers too: what has to be seen and heard moves into it. */
function atHand(element) {
  const place = document.querySelector("dialog[open]") ?? document.body;
  if (element.parentNode !== place) place.append(element);
}

/** Back to the page, before a dialog that holds them goes. */
export function homeNotices() {
  document.body.append(said, corner);
}

/** What happened, in the corner until it is read: shown for eight seconds, longer while pointed at. */
export function notice(sentence) {
  say(sentence);
  const shown = h("div", { class: "notice" }, h("p", {}, sentence));
  const away = () => shown.remove();
  let timer = setTimeout(away, 8000);
  shown.append(button("Close", away, { kind: "quiet small" }));
  shown.addEventListener("pointerenter", () => clearTimeout(timer));
  shown.addEventListener("focusin", () => clearTimeout(timer));
  shown.addEventListener("pointerleave", () => {
    timer = setTimeout(away, 4000);
  });
  atHand(corner);
  corner.append(shown);
}

let waitingNotice = null;

/** The service asked to wait because it is `why`: says so once, counts down in sight. Null takes it away. */
export function showWaiting(seconds, why) {
  if (seconds === null) {
    waitingNotice?.remove();
    waitingNotice = null;
    return;
  }
  if (!waitingNotice) {
    atHand(corner);
    waitingNotice = h("div", { class: "notice" }, h("p", {}));
    corner.append(waitingNotice);
    say(`The service is ${why}. The page waits and asks again.`);
  }
  const left = `${seconds} second${seconds === 1 ? "" : "s"}`;
  waitingNotice.firstElementChild.textContent = `The service is ${why}. Asking again in ${left} …`;
}

/** The sentence for an error; what is nobody's sentence is a mistake of the page and goes to the console too. */
export function sentenceOf(error) {
  if (error instanceof Trouble) return error.message;
  console.error(error);
  return "The page made a mistake: reload it, and if it happens again, report it with what you did.";
}

/** An error where the answer would have been, with a way to try again. */
export function alarm(error, retry = null) {
  const text = typeof error === "string" ? error : sentenceOf(error);
  return h(
    "div",
    { class: "alarm", role: "alert" },
    h("p", {}, text),
    retry && button("Try again", retry, { kind: "small" }),
  );
}

/** Something is on its way: seen and said. */
export function busy(sentence) {
  say(sentence);
  return h("p", { class: "busy" }, h("span", { class: "spinner", "aria-hidden": "true" }), sentence);
}

/** Whether an error only says that the user went elsewhere. */
export const stopped = (error) => error?.name === "AbortError";

/** What a key of these scopes cannot do, instead of a view. */
export function notAllowed(sentence) {
  return h(
    "div",
    { class: "panel calm" },
    h("p", {}, sentence),
    h(
      "p",
      { class: "hint" },
      "Sign out and sign in with another key, or ask whoever runs the service for one (facewise keys new).",
    ),
  );
}
