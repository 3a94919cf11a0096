// A photo from the webcam. The picture never leaves the browser until it is used like any other photo; the
// camera is switched off as soon as the dialog is closed, however it is closed.

import { Trouble } from "./api.js";
import { field, h } from "./dom.js";
import { ask } from "./dialogs.js";
import { alarm, say } from "./notices.js";

const REASONS = {
  NotAllowedError:
    "The browser may not use the camera: allow it for this page (beside the address), then try again.",
  NotFoundError: "No camera was found: connect one, or choose a photo instead.",
  NotReadableError: "The camera is in use elsewhere: close the other program, then try again.",
};

/** Lets the user take a photo; resolves to a JPEG File, or null. */
export async function takePhoto() {
  const camera = openCamera();
  return ask({
    title: "Take a photo",
    body: camera.parts,
    action: "Take photo",
    wide: true,
    first: null,
    onaction: () => still(camera.video),
    onclose: camera.close,
  });
}

/** The camera in a dialog: its video, all parts to show, and how to switch it off. */
export function openCamera() {
  const video = h("video", { autoplay: true, playsinline: true, "aria-label": "What the camera sees" });
  video.muted = true;
  const trouble = h("div", { class: "trouble" });
  const choice = h("select", {});
  const which = field("Camera", choice);
  which.hidden = true;
  let stream = null;
  let closed = false;

  const stop = () => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    video.srcObject = null;
    stream = null;
  };
  const start = async (device = null) => {
    stop();
    trouble.replaceChildren();
    try {
      if (!navigator.mediaDevices) throw new DOMException("", "Insecure");
      const size = { width: { ideal: 1280 }, height: { ideal: 960 } };
      const opened = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: device ? { deviceId: { exact: device }, ...size } : { facingMode: "user", ...size },
      });
      stream = opened;
      if (closed) return stop();
      video.srcObject = stream;
      await listCameras(choice, which, stream);
      say("The camera is on.");
    } catch (error) {
      trouble.replaceChildren(alarm(reasonOf(error)));
    }
  };
  choice.addEventListener("change", () => start(choice.value));
  start();
  const close = () => {
    closed = true;
    stop();
  };
  return { video, parts: [h("div", { class: "camera" }, video), which, trouble], close };
}

function reasonOf(error) {
  if (error.name === "Insecure")
    return "The browser gives the camera only to pages on this machine or over HTTPS: open the page so, or choose a photo instead.";
  return REASONS[error.name] ?? "The camera could not be started: choose a photo instead.";
}

async function listCameras(choice, which, stream) {
  const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(
    (device) => device.kind === "videoinput",
  );
  const used = stream.getVideoTracks()[0]?.getSettings().deviceId;
  choice.replaceChildren(
    ...cameras.map((camera, index) =>
      h(
        "option",
        { value: camera.deviceId, selected: camera.deviceId === used },
        camera.label || `Camera ${index + 1}`,
      ),
    ),
  );
  which.hidden = cameras.length < 2;
}

/** What the video shows now, as a JPEG File; no wider than `widest`. */
export function still(video, widest = Infinity, name = "camera.jpg") {
  if (!video.videoWidth)
    throw new Trouble("The camera shows nothing yet: wait a moment, then try again.", 0, "camera");
  const scale = Math.min(1, widest / video.videoWidth);
  const canvas = h("canvas", {
    width: Math.round(video.videoWidth * scale),
    height: Math.round(video.videoHeight * scale),
  });
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) => {
    canvas.toBlob(
      (blob) =>
        blob
          ? resolve(new File([blob], name, { type: "image/jpeg" }))
          : reject(new Trouble("The picture could not be taken: try again.", 0, "camera")),
      "image/jpeg",
      0.95,
    );
  });
}
