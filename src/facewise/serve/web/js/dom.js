// Building the page from elements and text. Nothing here ever parses a string as markup, so a name, a path or a
// service's sentence is text whatever it holds.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `on…` attributes are listeners; true is an empty attribute; null, undefined and false are none. */
export function h(tag, attributes = {}, ...children) {
  return furnished(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes = {}, ...children) {
  return furnished(document.createElementNS(SVG, tag), attributes, children);
}

function furnished(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

/** Somebody's name: its own direction, so that a right-to-left one does not turn the sentence around it. */
export function nameText(name) {
  return h("bdi", { class: "name", title: name.length > 60 ? name : null }, name);
}

let counter = 0;

/** An id no other element has. */
export function freshId(prefix) {
  counter += 1;
  return `${prefix}-${counter}`;
}

/** A labelled input, select or textarea with an optional hint below. */
export function field(label, input, hint = null) {
  input.id ||= freshId("field");
  const parts = [h("label", { for: input.id }, label), input];
  if (hint) {
    const id = freshId("hint");
    input.setAttribute("aria-describedby", id);
    parts.push(h("p", { class: "hint", id }, hint));
  }
  return h("div", { class: "field" }, ...parts);
}

/** A button; `kind` is "", "main", "danger" or "quiet". */
export function button(label, onclick, { kind = "", icon: picture = null, ...attributes } = {}) {
  return h(
    "button",
    { type: "button", class: `button ${kind}`.trim(), onclick, ...attributes },
    picture && icon(picture),
    h("span", {}, label),
  );
}

const ICONS = {
  identify:
    "M4 8V5.500A1.500 1.500 0 0 1 5.500 4H8M16 4h2.500A1.500 1.500 0 0 1 20 5.500V8M20 16v2.500a1.500 1.500 0 0 1-1.500 1.500H16M8 20H5.500A1.500 1.500 0 0 1 4 18.500V16M9 14.500c1.700 1.800 4.300 1.800 6 0M9 9.500v.5M15 9.500v.5",
  verify: "M4 5h6v14H4zM14 5h6v14h-6zM10 12h4",
  people:
    "M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 20c0-4 3-6 6.500-6s6.500 2 6.500 6M16 4.500a3.500 3.500 0 0 1 0 6.500M18 14.500c2.200.8 3.500 2.700 3.500 5.500",
  group: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM16.500 13.500v6M13.500 16.500h6",
  analyze:
    "M12 21a8 8 0 1 0 0-16 8 8 0 0 0 0 16zM9 11v.500M15 11v.500M8.500 15c2 2 5 2 7 0M12 5V2.500M5.500 7.500L4 6M18.500 7.500L20 6",
  model: "M4 20V4M4 20h16M7 8c2 6 6 8 12 8.500",
  camera: "M4 8h3l1.500-2.500h7L17 8h3v11H4zM12 16.500a3.300 3.300 0 1 0 0-6.600 3.300 3.300 0 0 0 0 6.600z",
  photo: "M4 5h16v14H4zM4 16l4.500-4.500 4 4 2.500-2.500 5 5M15 9.500v.1",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2.500v2M12 19.500v2M2.500 12h2M19.500 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M5.300 18.700l1.400-1.400M17.300 6.700l1.400-1.400",
  moon: "M20 14.500A8 8 0 0 1 9.500 4 8 8 0 1 0 20 14.500z",
  key: "M8 15.500a4.500 4.500 0 1 1 4.300-6H21v4h-3v-1.500h-2V14h-3.700A4.500 4.500 0 0 1 8 15.500zM7.500 11v.1",
  leave: "M10 4H5v16h5M14 8l4 4-4 4M18 12H9",
  close: "M6 6l12 12M18 6L6 18",
  add: "M12 5v14M5 12h14",
  left: "M14.500 6l-6 6 6 6",
  right: "M9.500 6l6 6-6 6",
};

/** A line drawing beside a label; never alone, so it is hidden from readers. */
export function icon(name) {
  return s(
    "svg",
    { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    s("path", { d: ICONS[name] }),
  );
}
