// A live check: the service asks for a few movements in an order nobody can know before, and looks at frames of
// the camera while somebody does them. The frames leave the browser when all of them are taken.

import { call, formOf } from "./api.js";
import { openCamera, still } from "./camera.js";
import { ask } from "./dialogs.js";
import { h } from "./dom.js";
import { say } from "./notices.js";

const REST = "Look straight into the camera";
const PROMPTS = {
  "turn left": "Turn your head to your left",
  "turn right": "Turn your head to your right",
  blink: "Close your eyes",
  "open mouth": "Open your mouth wide",
};
// Milliseconds: of the first look, of an action, of the look after it, and between two frames at least.
const TIMES = { first: 1500, action: 2000, rest: 1200, frame: 250 };
const WIDEST = 640;

/** Runs a live check in a dialog; resolves to {answer, frames}, or null where it was cancelled. */
export function liveCheck() {
  const camera = openCamera();
  camera.video.classList.add("mirror");
  const prompt = h("p", { class: "prompt", role: "status" }, "When you start, do what is written here.");
  return ask({
    title: "Live check",
    body: [prompt, ...camera.parts],
    action: "Start",
    wide: true,
    onaction: (signal) => check(camera.video, prompt, signal),
    onclose: camera.close,
  });
}

async function check(video, prompt, signal) {
  await still(video); // a camera that shows nothing is told before a challenge is asked for
  const asked = await call("/challenge", { method: "POST", signal });
  const steps = [[REST, TIMES.first, ""]];
  for (const action of asked.actions)
    steps.push([PROMPTS[action] ?? action, TIMES.action, action], [REST, TIMES.rest, ""]);
  const whole = steps.reduce((sum, [, time]) => sum + time, 0);
  const every = Math.max(TIMES.frame, whole / (asked.most_frames - 2));
  const frames = [];
  let next = performance.now();
  for (const [words, time, action] of steps) {
    prompt.textContent = words;
    prompt.dataset.action = action;
    say(words);
    const end = performance.now() + time;
    while (performance.now() < end) {
      signal.throwIfAborted();
      if (frames.length < asked.most_frames)
        frames.push(await still(video, WIDEST, `frame-${frames.length}.jpg`));
      next = Math.max(next + every, performance.now());
      await pause(Math.min(next, end) - performance.now());
    }
  }
  prompt.textContent = "Looking at the frames …";
  delete prompt.dataset.action;
  const form = formOf({ challenge: asked.challenge, frames });
  return { answer: await call("/challenge/answer", { method: "POST", form, signal }), frames };
}

const pause = (time) => new Promise((resolve) => setTimeout(resolve, Math.max(0, time)));
