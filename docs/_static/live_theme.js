// Tells the instruments in the frames of a page whether it is light or dark: by the reader's choice, else by the system.
const system = window.matchMedia("(prefers-color-scheme: dark)");

function told() {
  const { theme } = document.body.dataset;
  return theme === "light" || theme === "dark" ? theme : system.matches ? "dark" : "light";
}

// pages opened from the disk have no origin to name; the word is no secret
const tell = (frame) => frame.contentWindow.postMessage(told(), "*");

document.addEventListener("DOMContentLoaded", () => {
  const frames = document.querySelectorAll("iframe.live"), all = () => frames.forEach(tell);
  for (const frame of frames) {
    frame.addEventListener("load", () => tell(frame));
    tell(frame);
  }
  system.addEventListener("change", all);
  new MutationObserver(all).observe(document.body, { attributes: true, attributeFilter: ["data-theme"] });
});
