// A line of text that is there before its text is, or screen readers would not read it out.
function render({ model, el }) {
  const line = document.createElement("p");
  line.className = "toylab-message";
  line.setAttribute("role", model.get("role"));
  el.append(line);
  const tell = () => { line.textContent = model.get("value"); };
  model.on("change:value", tell);
  tell();
}
export default { render };
