// Talking to the service. Every failure becomes a `Trouble` with one plain sentence, the service's own where it
// gave one. A service that is busy or still starting is waited for in the open: `waiting` is told the seconds left.

import { base, currentKey } from "./session.js";

// How often to ask in all where asking again helps: of a service that is busy, or still loading its models.
const TRIES = { 429: 4, starting: 30 };

export class Trouble extends Error {
  constructor(sentence, status, code = "") {
    super(sentence);
    this.status = status;
    this.code = code;
  }
}

const listeners = { refused: () => {}, waiting: () => {} };

/** What to do when the key is refused, and while the service asks to wait (seconds left, null when over, and why). */
export function whenever(handlers) {
  Object.assign(listeners, handlers);
}

/** The JSON answer (null for an empty one).
 *
 * @param {string} path Below `/v1`.
 * @param {{method?: string, json?: object, form?: FormData, query?: object, signal?: AbortSignal, key?: string}} options
 */
export async function call(path, options = {}) {
  const response = await request(path, options);
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("The service's answer broke off: try again.", 0, "broken");
  }
}

/** The answer's bytes as a Blob. */
export async function fetchBlob(path, options = {}) {
  return (await request(path, options)).blob();
}

/** The answer's text. */
export async function fetchText(path, options = {}) {
  return (await request(path, options)).text();
}

async function request(path, options) {
  for (let attempt = 1; ; attempt += 1) {
    const response = await send(path, options);
    if (response.ok) return response;
    const trouble = await troubleOf(response);
    if (attempt < (TRIES[trouble.code] ?? TRIES[trouble.status] ?? 1)) {
      await wait(secondsToWait(response), trouble, options.signal);
      continue;
    }
    if (response.status === 401 && options.key === undefined) listeners.refused(trouble);
    throw trouble;
  }
}

async function send(path, { method = "GET", json, form, query, signal, key = currentKey() }) {
  const address = new URL(`${base}v1${path}`, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== null && value !== undefined && value !== "") address.searchParams.append(name, value);
  }
  const headers = {};
  if (key) headers.Authorization = `Bearer ${key}`;
  if (json !== undefined) headers["Content-Type"] = "application/json";
  try {
    const body = json === undefined ? form : JSON.stringify(json);
    return await fetch(address, {
      method,
      headers,
      body,
      signal,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble(
      "The service does not answer: check that it is running (facewise serve), then try again.",
      0,
      "away",
    );
  }
}

async function troubleOf(response) {
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // Not the service's own words (a proxy's page, say): the status is all there is.
  }
  const sentence =
    typeof problem?.detail === "string" && problem.detail
      ? problem.detail
      : `The service answered with status ${response.status} and no explanation: try again, or look at its log.`;
  return new Trouble(sentence, response.status, problem?.code ?? "");
}

function secondsToWait(response) {
  const told = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  return Math.min(Number.isFinite(told) && told > 0 ? told : 1, 60);
}

async function wait(seconds, trouble, signal) {
  try {
    for (let left = seconds; left > 0; left -= 1) {
      listeners.waiting(left, trouble.code === "starting" ? "starting" : "busy");
      await pause(1000, signal);
    }
  } finally {
    listeners.waiting(null);
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("Stopped.", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}

/** A form with these fields; a list is sent as several of one name, null not at all. */
export function formOf(fields) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one === null || one === undefined || one === "") continue;
      if (one instanceof Blob) form.append(name, one, one.name ?? "photo.jpg");
      else form.append(name, one);
    }
  }
  return form;
}
