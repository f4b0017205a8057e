// The colours of an instrument, light or dark, as live.css has them.
export function coloursOf(page) {
  const style = getComputedStyle(page), of = (name) => style.getPropertyValue(`--toylab-${name}`).trim();
  const parts = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  return {
    ink: of("ink"), exact: of("exact"), found: of("found"), error: of("error"), learned: of("learned"), empirical: of("empirical"), trail: of("trail"),
    groundParts: parts(of("ground")), inkParts: parts(of("ink")), errorParts: parts(of("error")),
  };
}

// Redraws when the colours change under a page that stands, by the system or by what is around it; gives what ends it.
export function watchColours(page, redraw) {
  const system = window.matchMedia("(prefers-color-scheme: dark)"), watch = new MutationObserver(redraw);
  system.addEventListener("change", redraw);
  watch.observe(page, { attributes: true, attributeFilter: ["data-theme"] });
  return () => {
    system.removeEventListener("change", redraw);
    watch.disconnect();
  };
}
