// A box for a number with its message under it; what is typed is sent as text, and read by the kernel.
function render({ model, el }) {
  const name = `toylab-number-${Math.random().toString(36).slice(2)}`;
  const row = document.createElement("div"), label = document.createElement("label");
  const box = document.createElement("input"), message = document.createElement("p");
  row.className = "jupyter-widgets widget-inline-hbox widget-text"; // looks as the boxes of ipywidgets do
  label.className = "widget-label";
  label.style.width = "max-content";
  label.htmlFor = box.id = name;
  label.textContent = model.get("description");
  box.type = "text";
  box.inputMode = "decimal";
  box.autocomplete = "off";
  box.style.width = "100%";
  box.setAttribute("aria-describedby", message.id = `${name}-message`);
  message.className = "toylab-message";
  message.setAttribute("role", "alert");
  row.style.width = model.get("width");
  row.append(label, box);
  el.append(row, message);

  let sent = null;
  const send = (text) => { sent = text; model.set("text", text); model.save_changes(); };
  const show = () => {
    const typing = document.activeElement === box && sent !== null && box.value !== sent;
    if (!typing) box.value = model.get("text");
  };
  const tell = () => {
    message.textContent = model.get("message");
    box.setAttribute("aria-invalid", String(message.textContent !== ""));
  };
  const able = () => { box.disabled = model.get("disabled"); };
  model.on("change:text", show);
  model.on("change:message", tell);
  model.on("change:disabled", able);
  show(); tell(); able();

  box.addEventListener("change", () => send(box.value));
  box.addEventListener("keydown", (event) => {
    event.stopPropagation(); // or the notebook would take the key for itself
    const way = { ArrowUp: 1, ArrowDown: -1 }[event.key], now = Number(box.value);
    if (!way || !Number.isFinite(now)) return;
    event.preventDefault();
    box.value = String(Number((now + way * model.get("step")).toPrecision(12)));
    send(box.value);
  });
}
export default { render };
