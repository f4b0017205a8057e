// A picture that can be clicked, and pointed at by keyboard: arrow keys move a cross, Enter or space is a click there.
const FAR = 0.02, NEAR = 0.004; // of the picture, a press of an arrow key; with Shift

function render({ model, el }) {
  const stage = document.createElement("div");
  stage.className = "toylab-stage";
  stage.style.cssText = "position:relative; display:inline-block; max-width:100%; line-height:0";
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
  const size = () => { picture.style.width = `${model.get("width")}px`; };
  model.on("change:png", show);
  model.on("change:alt", tell);
  model.on("change:width", size);
  show(); tell(); size();
  if (!model.get("clickable")) return;

  const cross = document.createElement("div");
  cross.style.cssText = "position:absolute; width:19px; height:19px; margin:-10px 0 0 -10px; pointer-events:none;"
    + "background:linear-gradient(#000,#000) 50%/3px 100% no-repeat, linear-gradient(#000,#000) 50%/100% 3px no-repeat;"
    + "outline:1px solid #fff; display:none";
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
}
export default { render };
