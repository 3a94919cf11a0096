// Numbers as people read them. The language is the page's, so that a figure and its sentence agree.

const WHOLE = new Intl.NumberFormat("en-GB");

export const count = (number) => WHOLE.format(number);

/** "1 photo", "2 photos". */
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** A name, in quotes where it would read like what is said of somebody without one. */
export const toldName = (name) =>
  /^(unknown|not decided|nobody|no face)$/i.test(name) ? `“${name}”` : name;

/** A cosine similarity. */
export const similarity = (value) => value.toFixed(3).replace("-", "−");

/** A rate such as 0.001 as "1 in 1,000". */
export function rate(value) {
  if (value === 0) return "none";
  if (value >= 0.5) return percent(value);
  const every = 1 / value;
  return `1 in ${count(every < 100 ? Math.round(every * 10) / 10 : Number(every.toPrecision(3)))}`;
}

/** A probability, never rounded to certainty. */
export function percent(value) {
  if (value > 0.999 && value < 1) return "over 99.9%";
  if (value < 0.001 && value > 0) return "under 0.1%";
  return `${Number((100 * value).toPrecision(value > 0.99 || value < 0.1 ? 2 + (value > 0.99) : 2))}%`;
}

/** An ISO time as a date, in the reader's zone. */
export function date(iso) {
  const time = new Date(iso);
  return Number.isNaN(time.valueOf())
    ? String(iso)
    : time.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
}

export function bytes(size) {
  return size >= 2 ** 20 ? `${Number((size / 2 ** 20).toPrecision(3))} MiB` : `${Math.ceil(size / 1024)} KiB`;
}

export const degrees = (radians) => `${Math.round((radians * 180) / Math.PI)}°`.replace("-", "−");
