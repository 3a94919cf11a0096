// Runs in the report's sandboxed frame, which has no origin: takes the report from the page that made the
// frame, once, and becomes it. The page cannot put the report's text into the frame itself, because a frame
// made from text inherits the page's policy, under which a report's inline styles are refused.
"use strict";
addEventListener(
  "message",
  (event) => {
    if (event.source !== parent || typeof event.data !== "string") return;
    document.open();
    document.write(event.data);
    document.close();
  },
  { once: true },
);
parent.postMessage("report-frame-ready", "*");
