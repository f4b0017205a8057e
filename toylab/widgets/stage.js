// A picture that can be clicked, and pointed at by keyboard: arrow keys move a cross, Enter or space is a click there.
const FAR = 0.02, NEAR = 0.004; // of the picture, a press of an arrow key; with Shift
const BELOW = 56, BARS = 200; // pixels for the message under a picture; for what a browser and a page have around a cell
const LOWEST = 300, WIDEST = 1800, SETTLED = 120; // pixels, pixels, milliseconds without a change

function render({ model, el }) {
  const stage = document.createElement("div");
  stage.className = "toylab-stage";
  stage.style.cssText = "position:relative; display:inline-block; max-width:100%; line-height:0";
  el.style.width = "fit-content";
  const picture = document.createElement("img");
  picture.style.cssText = "max-width:100%; height:auto";
  picture.draggable = false;
  stage.append(picture);
  el.append(stage);

  const show = () => {
    const before = picture.src;
    picture.src = URL.createObjectURL(new Blob([model.get("png")], { type: "image/png" }));
    if (before) URL.revokeObjectURL(before);
  };
  const tell = () => { picture.alt = model.get("alt"); };
  // of the page that is seen at once: an output in a frame of its own is as high as what is in it
  const seen = () => {
    const notebook = el.closest(".jp-WindowedPanel-outer, .jp-NotebookPanel-notebook");
    if (notebook) return notebook.clientHeight;
    return window.parent === window ? window.innerHeight : window.screen.availHeight - BARS;
  };
  // as wide as there is room, and no higher than leaves the controls on the screen with it
  let asked = 0, watched = null, above = 0;
  const size = () => {
    const around = el.parentElement, beside = [...(around?.children ?? [])].filter((other) => other !== el);
    const isRow = around && getComputedStyle(around).flexDirection === "row";
    const free = (around?.clientWidth ?? 0) - (isRow ? beside.reduce((sum, other) => sum + other.offsetWidth + 8, 0) : 0);
    if (free <= 0) return; // not shown at present
    if (watched !== around) watch.observe(watched = around);
    const widget = el.closest(".toylab-widget") ?? el;
    // a message that comes and goes among the controls moves the picture, but does not resize it
    const told = widget.querySelector(".toylab-row .toylab-message:not(:empty)");
    if (!told) above = el.getBoundingClientRect().top - widget.getBoundingClientRect().top;
    const highest = Math.max(LOWEST, seen() - above - BELOW);
    const width = Math.min(Math.max(free, LOWEST), highest * model.get("aspect"), WIDEST);
    picture.style.width = `${Math.round(width)}px`;
    window.clearTimeout(asked);
    asked = window.setTimeout(() => {
      const now = [Math.round(width), window.devicePixelRatio || 1], before = model.get("room");
      if (Math.abs(now[0] - before[0]) <= 2 && now[1] === before[1]) return;
      model.set("room", now);
      model.save_changes();
    }, SETTLED);
  };
  const watch = new ResizeObserver(size);
  watch.observe(el); // until it is part of the page, it has no parent
  window.addEventListener("resize", size);
  model.on("change:png", show);
  model.on("change:alt", tell);
  model.on("change:aspect", size);
  show(); tell(); size();
  const forget = () => {
    watch.disconnect();
    window.removeEventListener("resize", size);
  };
  if (!model.get("clickable")) return forget;

  const cross = document.createElement("div");
  cross.style.cssText = "position:absolute; width:19px; height:19px; margin:-10px 0 0 -10px; pointer-events:none;"
    + "background:linear-gradient(#000,#000) 50%/3px 100% no-repeat, linear-gradient(#000,#000) 50%/100% 3px no-repeat;"
    + "outline:1px solid #fff; display:none"; // seen on every ground
  stage.append(cross);
  stage.tabIndex = 0;
  stage.setAttribute("role", "application");
  stage.setAttribute("aria-label", "picture: arrow keys move a cross, Enter places it");
  picture.style.cursor = "crosshair";
  const at = { x: model.get("cross")[0], y: model.get("cross")[1] };
  const move = () => { cross.style.left = `${100 * at.x}%`; cross.style.top = `${100 * at.y}%`; };
  const place = () => model.send({ x: at.x, y: at.y });
  move();
  stage.addEventListener("focus", () => { if (stage.matches(":focus-visible")) cross.style.display = "block"; });
  stage.addEventListener("blur", () => { cross.style.display = "none"; });
  picture.addEventListener("click", (event) => {
    const box = picture.getBoundingClientRect();
    at.x = (event.clientX - box.left) / box.width;
    at.y = (event.clientY - box.top) / box.height;
    move(); place();
  });
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = event.shiftKey ? NEAR : FAR;
    const way = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] }[event.key];
    if (way) {
      at.x = Math.min(1, Math.max(0, at.x + way[0]));
      at.y = Math.min(1, Math.max(0, at.y + way[1]));
      cross.style.display = "block";
      move();
    } else if ((event.key === "Enter" || event.key === " ") && !event.shiftKey) {
      if (!event.repeat) place();
    } else return;
    event.preventDefault();
    event.stopPropagation(); // or the notebook would take the key for itself
  });
  return forget;
}
export default { render };
