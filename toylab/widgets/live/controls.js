// Controls with their words, and the message of each beside it: native ones, so that keyboard and screen reader work.
import { clearer, readNumber } from "./address.js";

// A label and a message point to their control by its id. A page may have several copies of this module, one for each widget.
const COPY = Math.random().toString(36).slice(2, 10);
let names = 0;

// An element with attributes and children; text is set as text, never as HTML.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// A label, a control and a line for its message.
function field(label, control, ...more) {
  const name = `toylab-${COPY}-${names++}`, message = make("span", { class: "message", role: "status", id: `${name}-message` });
  control.id = name;
  control.setAttribute("aria-describedby", message.id);
  const element = make("div", { class: "field" }, make("label", { for: name }, label), control, ...more, message);
  return { element, control, say: (text) => { message.textContent = text; } };
}

// A slider over the numbers of a list, so that what it shows is exactly one of them. While it is dragged, the last value
// before each frame is told, and none on the way.
export function slider(label, values, value, onChange, show = String) {
  const control = make("input", { type: "range", min: 0, max: values.length - 1, step: 1 });
  const shown = make("output", { "aria-hidden": "true" }); // the slider itself says it
  const made = field(label, control, shown);
  made.set = (now) => {
    const gaps = values.map((v) => Math.abs(v - now));
    control.value = gaps.indexOf(Math.min(...gaps));
    shown.textContent = show(now);
    control.setAttribute("aria-valuetext", show(now));
  };
  let asked = null; // what is set in the meantime, as by a film that plays, does not count
  control.addEventListener("input", () => {
    const isFirst = asked === null;
    asked = values[control.value];
    shown.textContent = show(asked);
    control.setAttribute("aria-valuetext", show(asked));
    if (!isFirst) return;
    requestAnimationFrame(() => {
      const now = asked;
      asked = null;
      onChange(now);
    });
  });
  made.set(value);
  return made;
}

// A box for a number; what cannot be meant is refused beside it, and the last good number stays in use.
export function numberBox(label, [least, most], value, onChange, { whole = false } = {}) {
  const control = make("input", { type: "text", inputmode: "decimal", size: 6, autocomplete: "off" });
  const made = field(label, control);
  let last = value;
  made.set = (now) => {
    last = now;
    control.value = now;
    made.say("");
  };
  const take = () => {
    const now = readNumber(control.value, least, most, whole), before = last;
    if (now === undefined) {
      made.say(`“${control.value}”: ${clearer(control.value, whole) || `give a ${whole ? "whole " : ""}number from ${least} to ${most}`}.`);
      return;
    }
    made.set(now);
    if (now !== before) onChange(now);
  };
  control.addEventListener("change", take);
  control.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    take();
    event.stopPropagation(); // of which JupyterLab would make no change
  });
  made.set(value);
  return made;
}

// A list to choose from; options are {name: words}.
export function choice(label, options, value, onChange) {
  const control = make("select", {}, ...Object.entries(options).map(([name, words]) => make("option", { value: name }, words)));
  const made = field(label, control);
  made.set = (now) => { control.value = now; };
  control.addEventListener("change", () => onChange(control.value));
  made.set(value);
  return made;
}

// Those lessons {name: {title, question, state}} whose density is known: a list, and the question of the chosen one, which
// stays while settings are changed, with a button that sets them back. open: told a name, "" for none; set: what is chosen.
export function lessonList(lessons, isKnown, open) {
  const known = Object.fromEntries(Object.entries(lessons).filter(([, { state }]) => isKnown(state.density)));
  const titles = Object.entries(known).map(([name, { title }]) => [name, title]);
  const list = choice("lesson", { "": "choose…", ...Object.fromEntries(titles) }, "", open);
  const again = button("reset", "the settings of the lesson", () => open(list.control.value));
  const words = make("p", { class: "question", role: "status" }), asked = make("div", { class: "asked" }, words, again);
  function set(name) {
    const question = known[name]?.question ?? "";
    list.set(name);
    asked.hidden = name === "";
    if (words.textContent !== question) words.textContent = question; // or a screen reader would say it again
  }
  set("");
  return { known, element: list.element, asked, set };
}

// The state of an address over that of its lesson over the first; a lesson on another density is none.
export function stateOf(asked, first, { known }) {
  const state = { lesson: "", ...first, ...known[asked.lesson]?.state, ...asked };
  return known[state.lesson]?.state.density === state.density ? state : { ...state, lesson: "" };
}

export function button(words, title, onClick) {
  return make("button", { type: "button", title, onclick: onClick }, words);
}
