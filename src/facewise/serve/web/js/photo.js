// A photo with its faces: boxes that are buttons, and portraits cut out for lists.

import { h, s } from "./dom.js";

/** A photo the browser has opened.
 *
 * `bitmap` is null where this browser cannot show the format; the service may know it all the same, and the
 * boxes are then drawn on an empty sheet.
 */
export class Photo {
  constructor(file, bitmap) {
    this.file = file;
    this.bitmap = bitmap;
  }

  static async open(file) {
    try {
      return new Photo(file, await createImageBitmap(file));
    } catch {
      return new Photo(file, null);
    }
  }

  close() {
    this.bitmap?.close();
  }

  /** The whole photo on a canvas no wider than `width` pixels. */
  canvas(width, label) {
    if (!this.bitmap)
      return h(
        "div",
        { class: "no-picture", role: "img", "aria-label": label },
        h("p", {}, "This browser cannot show this kind of picture."),
      );
    const scale = Math.min(1, width / this.bitmap.width);
    return drawn(
      this.bitmap,
      [0, 0, this.bitmap.width, this.bitmap.height],
      this.bitmap.width * scale,
      this.bitmap.height * scale,
      label,
    );
  }

  /** A square portrait around a face's box; `size` CSS pixels, drawn twice as fine. */
  portrait(box, size, label) {
    if (!this.bitmap) return h("div", { class: "portrait no-picture", role: "img", "aria-label": label });
    const side = 1.5 * Math.max(box[2] - box[0], box[3] - box[1]);
    const [x, y] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
    const canvas = drawn(this.bitmap, [x - side / 2, y - side / 2, side, side], 2 * size, 2 * size, label);
    canvas.classList.add("portrait");
    return canvas;
  }

  /** What to send so that the service finds exactly this face: the photo itself where it is the only one, else
   * a generous cut around it. */
  async fileOf(box, alone) {
    if (alone || !this.bitmap) return this.file;
    const [grow, up] = [0.6 * (box[2] - box[0]), 0.6 * (box[3] - box[1])];
    const left = Math.max(0, Math.floor(box[0] - grow));
    const top = Math.max(0, Math.floor(box[1] - up));
    const right = Math.min(this.bitmap.width, Math.ceil(box[2] + grow));
    const bottom = Math.min(this.bitmap.height, Math.ceil(box[3] + up));
    const canvas = drawn(
      this.bitmap,
      [left, top, right - left, bottom - top],
      right - left,
      bottom - top,
      "",
    );
    const blob = await new Promise((resolve) => {
      canvas.toBlob(resolve, "image/jpeg", 0.97);
    });
    return new File([blob], `${this.file.name.replace(/\.[^.]*$/, "")}, face.jpg`, { type: "image/jpeg" });
  }
}

function drawn(bitmap, [x, y, width, height], toWidth, toHeight, label) {
  const canvas = h("canvas", {
    width: Math.max(1, Math.round(toWidth)),
    height: Math.max(1, Math.round(toHeight)),
    role: label ? "img" : null,
    "aria-label": label || null,
    "aria-hidden": label ? null : "true",
  });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, x, y, width, height, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** The photo with a box on each face.
 *
 * @param {Photo} photo
 * @param {{width: number, height: number}} size The photo's size by the service, which the boxes are in.
 * @param {{box: number[], label: string, tone: string}[]} marks `tone` is "known", "unknown" or "".
 * @param {((index: number) => void) | null} onpick Boxes are buttons where given.
 */
export function markedPhoto(photo, size, marks, onpick = null) {
  const sheet = h("div", { class: "sheet" }, photo.canvas(1600, `The photo ${photo.file.name}`));
  marks.forEach(({ box, label, tone }, index) => {
    const attributes = { class: `mark ${tone}`.trim(), "data-face": index };
    const number = h("span", { class: "mark-number", "aria-hidden": "true" }, String(index + 1));
    const mark = onpick
      ? h(
          "button",
          { type: "button", ...attributes, "aria-label": label, onclick: () => onpick(index) },
          number,
        )
      : h("div", { ...attributes, "aria-hidden": "true" }, marks.length > 1 ? number : null);
    place(mark, box, size);
    sheet.append(mark);
  });
  const frame = h("div", { class: "photo" }, sheet);
  sheet.style.setProperty("--shape", `${size.width} / ${size.height}`);
  sheet.style.setProperty("--ratio", String(size.width / size.height));
  return frame;
}

/** The photo with a box for each card: picked, it leads to its card, which lights it up.
 *
 * @param {Photo} photo
 * @param {{width: number, height: number}} size See `markedPhoto`.
 * @param {{box: number[], label: string, tone: string}[]} marks See `markedPhoto`.
 * @param {HTMLElement[]} cards In their order.
 */
export function photoOfCards(photo, size, marks, cards) {
  const picture = markedPhoto(photo, size, marks, (index) => {
    cards[index].focus();
    cards[index].scrollIntoView({ block: "nearest" });
  });
  cards.forEach((card, index) => {
    const mark = picture.querySelector(`[data-face="${index}"]`);
    for (const event of ["pointerenter", "focusin"])
      card.addEventListener(event, () => mark.classList.add("lit"));
    for (const event of ["pointerleave", "focusout"])
      card.addEventListener(event, () => mark.classList.remove("lit"));
  });
  return picture;
}

function place(mark, box, { width, height }) {
  const [left, top] = [Math.max(0, box[0]), Math.max(0, box[1])];
  mark.style.left = `${(100 * left) / width}%`;
  mark.style.top = `${(100 * top) / height}%`;
  mark.style.width = `${(100 * (Math.min(width, box[2]) - left)) / width}%`;
  mark.style.height = `${(100 * (Math.min(height, box[3]) - top)) / height}%`;
}

/** A bar for a similarity from 0 to 1 with the threshold marked; the figures stand beside it in words. */
export function meter(similarity, threshold, tone) {
  const x = (value) => 100 * Math.min(1, Math.max(0, value));
  return s(
    "svg",
    {
      class: `meter ${tone}`,
      viewBox: "0 0 100 10",
      preserveAspectRatio: "none",
      "aria-hidden": "true",
      focusable: "false",
    },
    s("rect", { class: "meter-all", x: 0, y: 2, width: 100, height: 6 }),
    s("rect", { class: "meter-value", x: 0, y: 2, width: x(similarity), height: 6 }),
    threshold !== null &&
      threshold !== undefined &&
      s("rect", { class: "meter-threshold", x: x(threshold) - 0.4, y: 0, width: 0.8, height: 10 }),
  );
}
