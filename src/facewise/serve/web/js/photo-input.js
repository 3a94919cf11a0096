// Where photos come in: chosen, dropped, pasted or taken.

import { limits } from "./session.js";
import { button, freshId, h, icon } from "./dom.js";
import { bytes, count } from "./format.js";
import { takePhoto } from "./camera.js";

// Who gets what is pasted or dropped beside any zone: the newest place that is still on the page.
const targets = [];

function offered(files) {
  const dialog = document.querySelector("dialog[open]");
  const open = targets.filter(
    (one) => one.zone.isConnected && !one.zone.closest("[hidden]") && (!dialog || dialog.contains(one.zone)),
  );
  const target = open.findLast((one) => one.wanted()) ?? open.at(-1);
  if (target && files.length) target.take(files);
  return target !== undefined;
}

const imagesOf = (list) =>
  [...(list ?? [])].filter((file) => file.type.startsWith("image/") || file.type === "");

addEventListener("paste", (event) => {
  const files = imagesOf(event.clipboardData?.files);
  if (files.length && offered(files)) event.preventDefault();
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  // Else the browser would leave the page to show the photo.
  event.preventDefault();
  offered([...(event.dataTransfer?.files ?? [])]);
});

/** A zone that takes photos.
 *
 * @param {object} options
 * @param {string} options.label What the photo is for: names the input.
 * @param {boolean} options.multiple
 * @param {(files: File[]) => void} options.onphotos Gets one or more photos that are small enough.
 * @param {AbortSignal} options.signal Over with the view.
 * @param {() => boolean} options.wanted Whether something pasted should come here (of two zones, the empty one).
 */
export function photoInput({ label, multiple = false, onphotos, signal = null, wanted = () => true }) {
  const problem = h("p", { class: "refused", role: "alert" });
  const take = (files) => {
    const [good, sentence] = smallEnough(multiple ? files : files.slice(0, 1));
    problem.textContent = sentence;
    if (good.length) onphotos(good);
  };
  const hint = freshId("hint");
  const input = h("input", {
    type: "file",
    accept: "image/*,.heic,.heif,.hif,.avif",
    multiple,
    class: "unseen",
    "aria-label": label,
    "aria-describedby": hint,
  });
  input.addEventListener("change", () => {
    const files = [...input.files];
    // Choosing the same file again must be a change again.
    input.value = "";
    take(files);
  });
  const camera = button(
    "Take a photo",
    async () => {
      const photo = await takePhoto();
      if (photo instanceof File) take([photo]);
    },
    { icon: "camera" },
  );
  const zone = h(
    "div",
    { class: "zone", role: "group", "aria-label": label },
    h("div", { class: "zone-picture" }, icon("photo")),
    h("p", { class: "zone-label" }, label),
    h(
      "div",
      { class: "row centre" },
      h(
        "label",
        { class: "button main" },
        input,
        h("span", {}, multiple ? "Choose photos" : "Choose a photo"),
      ),
      camera,
    ),
    h(
      "p",
      { class: "hint", id: hint },
      `Or drop ${multiple ? "them" : "it"} here, or paste. At most ${bytes(limits.bytes)} ${multiple ? `each, ${count(limits.photos)} at a time` : ""}`.trimEnd(),
      ".",
    ),
    problem,
  );
  zone.addEventListener("dragenter", () => zone.classList.add("over"));
  zone.addEventListener(
    "dragleave",
    (event) => zone.contains(event.relatedTarget) || zone.classList.remove("over"),
  );
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    zone.classList.remove("over");
    take([...event.dataTransfer.files]);
  });
  const target = { zone, take, wanted };
  targets.push(target);
  signal?.addEventListener("abort", () => targets.splice(targets.indexOf(target), 1), { once: true });
  return zone;
}

function smallEnough(files) {
  const large = files.filter((file) => file.size > limits.bytes);
  const good = files.filter((file) => file.size <= limits.bytes && file.size > 0);
  const empty = files.filter((file) => file.size === 0);
  const sentences = [
    ...large.map(
      (file) =>
        `“${file.name}” has ${bytes(file.size)}, more than the ${bytes(limits.bytes)} the service takes: make it smaller.`,
    ),
    ...empty.map((file) => `“${file.name}” is empty.`),
  ];
  return [good, sentences.join(" ")];
}
