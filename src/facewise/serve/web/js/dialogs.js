// Dialogs on <dialog>: the browser keeps the focus inside, closes them on Escape and gives the focus back.

import { button, freshId, h } from "./dom.js";
import { alarm, homeNotices, stopped } from "./notices.js";

/** Opens a dialog with a form.
 *
 * @param {object} options
 * @param {string} options.title
 * @param {Node[]} options.body
 * @param {string} options.action The button's label.
 * @param {(signal: AbortSignal) => Promise<any>} options.onaction Runs the action; the dialog closes when it
 *   is done, and stays with the sentence when it fails. Returning false keeps the dialog open.
 * @param {boolean} options.danger Whether the action destroys: then the focus starts on Cancel.
 * @param {HTMLElement} options.first What gets the focus first.
 * @param {boolean} options.wide
 * @returns {Promise<any>} The action's result, or null where it was cancelled.
 */
export function ask({
  title,
  body,
  action,
  onaction,
  danger = false,
  first = null,
  wide = false,
  onclose = null,
}) {
  return new Promise((resolve) => {
    const controller = new AbortController();
    const trouble = h("div", { class: "trouble" });
    const confirm = h(
      "button",
      { type: "submit", class: `button ${danger ? "danger" : "main"}` },
      h("span", {}, action),
    );
    const cancel = button("Cancel", () => dialog.close());
    const heading = freshId("dialog");
    const form = h(
      "form",
      { novalidate: true },
      h("h2", { id: heading }, title),
      h("div", { class: "body" }, ...body),
      trouble,
      h("div", { class: "actions" }, cancel, confirm),
    );
    const dialog = h("dialog", { class: wide ? "wide" : null, "aria-labelledby": heading }, form);
    let result = null;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (confirm.disabled) return;
      confirm.disabled = true;
      dialog.setAttribute("aria-busy", "true");
      trouble.replaceChildren();
      try {
        const done = await onaction(controller.signal);
        if (done !== false) {
          result = done ?? true;
          dialog.close();
        }
      } catch (error) {
        if (!stopped(error)) trouble.replaceChildren(alarm(error));
      } finally {
        confirm.disabled = false;
        dialog.removeAttribute("aria-busy");
      }
    });
    dialog.addEventListener("close", () => {
      controller.abort();
      onclose?.();
      homeNotices();
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
    (
      first ?? (danger ? cancel : (form.querySelector(".body input, .body select, .body button") ?? confirm))
    ).focus();
  });
}
