// Signing in with an API key.

import { call } from "../api.js";
import { button, field, h } from "../dom.js";
import { alarm } from "../notices.js";

export function signInView({ onsignedin }) {
  const input = h("input", {
    type: "password",
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
    placeholder: "fw_…",
  });
  const reveal = button(
    "Show",
    () => {
      const hidden = input.type === "password";
      input.type = hidden ? "text" : "password";
      reveal.setAttribute("aria-pressed", String(hidden));
    },
    { "aria-pressed": "false", "aria-label": "Show the key" },
  );
  const trouble = h("div", { class: "trouble" });
  const submit = h("button", { type: "submit", class: "button main" }, h("span", {}, "Sign in"));
  const form = h(
    "form",
    { class: "panel stack sign-in", novalidate: true, "aria-label": "Sign in" },
    field("API key", input, "Kept in this tab only and gone when you close it."),
    trouble,
    h("div", { class: "row" }, submit, reveal),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const key = input.value.trim();
    trouble.replaceChildren();
    if (!key) return complain("Paste an API key first.");
    // A header holds plain characters only; the browser would refuse any other with its own words.
    if (!/^[\x21-\x7e]+$/.test(key))
      return complain("An API key has no spaces or accents: paste it as it was shown.");
    submit.disabled = true;
    try {
      onsignedin(key, await call("/me", { key }));
    } catch (error) {
      complain(error);
    } finally {
      submit.disabled = false;
    }
  });
  const complain = (error) => {
    trouble.replaceChildren(alarm(error));
    input.setAttribute("aria-invalid", "true");
    input.focus();
    input.select();
  };
  return h(
    "div",
    { class: "narrow stack" },
    h(
      "p",
      { class: "lead" },
      "Find out who is in a photo, with a model whose error rates are measured. Photos go to this service and nowhere else.",
    ),
    form,
    h(
      "p",
      { class: "hint" },
      "The first key is shown once when the service first starts; more are made with ",
      h("code", {}, "facewise keys new"),
      ".",
    ),
  );
}
