// The density editor: modes that are dragged and stretched, or points that are drawn; their noised law under the hand.
import { number, oneOf, places, readAddress, writeAddress } from "./address.js";
import { button, choice, lessonList, make, numberBox, slider, stateOf } from "./controls.js";
import { EDITOR_LESSONS } from "./editor_lessons.js";
import { listenToHand } from "./hand.js";
import { keeper } from "./keep.js";
import { roundLevels } from "./levels.js";
import {
  EXTENT, mixtureOf, modesRule, MOST_MODES, MOST_POINTS, PLACES, pythonOf, rounded, WEIGHTS, WIDTHS,
} from "./own_law.js";
import { cellsOf, darkPoints } from "./picture_law.js";
import { clamp, densityOn, fullLength, gridPoints, letter, Plane, SHADE } from "./plane.js";
import { coloursOf, watchColours } from "./theme.js";

const LEVELS_OF_NOISE = [0, ...roundLevels(0.05, 10)];
const LEAST_NOISE = 0.05; // of points, which have no density of their own
const ARROWS = 19; // per side
const WORK = 2e6; // Gaussians evaluated for a picture of the density
const HANDLE = 12; // pixels within which a handle is taken hold of

// root: where it is shown; address: the state to begin with; onState: told each new one; noPages: no other instrument beside
export function editor(root, laws, address = "", onState = () => {}, noPages = false) {
  const lesson = lessonList(EDITOR_LESSONS, () => true, openLesson);
  const rules = { lesson: oneOf(Object.keys(lesson.known)), modes: modesRule, points: places(MOST_POINTS, 20), sigma: number(0, 10), at: places(1, 20) };
  const asked = readAddress(address, rules), first = Object.values(EDITOR_LESSONS)[0].state;
  let state = stateOf(asked.state, first, lesson), chosen = 0, held = null, hover = null, looking = false, weights = null, shown = null;

  const page = make("div", { class: "toylab-live" });
  const said = make("p", { class: "message", role: "status" });
  const say = (text) => { said.textContent = text; };
  const plane = new Plane(EXTENT, "");
  plane.operate();
  const numbers = make("p", { class: "numbers" }), python = make("pre", { tabindex: 0 });
  const pages = { playground: make("a", {}, "sample it"), trainer: make("a", {}, "learn its score"), film: make("a", {}, "film its diffusion") };
  const links = make("p", { class: "row" }, ...Object.values(pages));

  const sigma = slider("noise σ", LEVELS_OF_NOISE, state.sigma, (value) => change({ sigma: value }));
  const which = choice("mode", {}, "", (name) => { chosen = Number(name); show(); });
  const of = (name) => (value) => changeMode({ [name]: value });
  const boxes = {
    weight: numberBox("weight", WEIGHTS, 1, of("weight")), x: numberBox("x", PLACES, 0, of("x")), y: numberBox("y", PLACES, 0, of("y")),
    s1: numberBox("width", WIDTHS, 1, of("s1")), s2: numberBox("across", WIDTHS, 1, of("s2")), angle: numberBox("angle °", [-360, 360], 0, of("angle")),
  };
  const add = button("add a mode", "at the cross, or in the middle", addMode);
  const remove = button("remove it", "the mode chosen", removeMode);
  const draw = button("draw points", "with the pointer, in place of modes", () => {
    setDrawing(!drawing);
    if (!isPoints()) change({ lesson: "" }); // points are another law
    if (!drawing && !isPoints()) say("Nothing was drawn: the modes stay.");
  });
  const clear = button("back to modes", "forget the points", () => { weights = null; setDrawing(false); change({ points: [], lesson: "" }); });
  const file = make("input", { type: "file", accept: "image/*", "aria-label": "a picture as a density" });
  const modeRow = make("div", { class: "row" }, which.element, ...Object.values(boxes).map((box) => box.element), add, remove);
  const kept = keeper(() => onState(writeAddress({ ...state, points: weights ? [] : state.points }, rules)));
  let drawing = false;

  page.append(
    make("div", { class: "row" }, lesson.element, sigma.element), lesson.asked,
    modeRow,
    make("div", { class: "row" }, draw, clear, make("label", {}, "a picture as a density ", file)),
    make("div", { class: "pictures one" }, plane.canvas),
    numbers, links, make("details", {}, make("summary", {}, "the same density in Python"), python), said,
  );
  root.append(page);

  function change(changed) {
    state = { ...state, ...changed };
    say("");
    show();
    kept.tell();
  }

  const changeMode = (changed) => change({ modes: state.modes.map((mode, k) => (k === chosen ? { ...mode, ...changed } : mode)) });

  function addMode() {
    if (state.modes.length === MOST_MODES) {
      say(`There are ${MOST_MODES} modes, as many as the page shows: remove one first.`);
      return;
    }
    const [x, y] = state.at[0] ?? [0, 0];
    chosen = state.modes.length;
    change({ modes: [...state.modes, { weight: 1, x, y, s1: 0.6, s2: 0.6, angle: 0 }] });
  }

  function removeMode() {
    if (state.modes.length === 1) {
      say("One mode is left, without which there is no density: add another first.");
      return;
    }
    change({ modes: state.modes.filter((_, k) => k !== chosen) });
  }

  function openLesson(name) {
    state = { ...state, ...lesson.known[name]?.state, lesson: name };
    if (name) weights = null;
    chosen = 0;
    setDrawing(false);
    show();
    kept.tell();
  }

  function setDrawing(now) {
    drawing = now;
    draw.setAttribute("aria-pressed", now);
    draw.textContent = now ? "stop drawing" : "draw points";
    plane.canvas.style.touchAction = now ? "none" : ""; // a pen that draws does not scroll
  }

  const isPoints = () => state.points.length > 0;
  const noise = () => (isPoints() ? Math.max(state.sigma, LEAST_NOISE) : state.sigma);

  // where the guess is shown: at the pointer, else at the cross
  const lookedAt = () => (hover ? [hover] : state.at);

  // everything as the state is
  function show() {
    shown = null;
    chosen = Math.min(chosen, state.modes.length - 1);
    modeRow.hidden = isPoints() || drawing; // before the first point, which is not to move the picture
    clear.disabled = !isPoints();
    lesson.set(state.lesson);
    sigma.set(state.sigma);
    sigma.say(modeRow.hidden && state.sigma < LEAST_NOISE ? `points have no density of their own: shown at σ = ${LEAST_NOISE}` : "");
    which.control.replaceChildren(...state.modes.map((_, k) => make("option", { value: k }, letter(k))));
    which.set(chosen);
    for (const [name, box] of Object.entries(boxes)) box.set(state.modes[chosen][name]);
    paint();
    describe();
  }

  function paint() {
    const colours = coloursOf(page);
    plane.fit();
    if (shown?.ink !== colours.ink) { // once for each law: the pointer moves over it
      const law = mixtureOf({ ...state, weights }).noised(noise()), n = Math.max(40, Math.min(120, Math.floor(Math.sqrt(WORK / law.K))));
      const { values, most } = densityOn(law, EXTENT, n), x = gridPoints(EXTENT, ARROWS);
      plane.shade(values.map((v) => (SHADE * v) / most), n, colours.groundParts);
      const s = law.score(x);
      shown = { law, x, s, full: fullLength(s), ink: colours.ink };
    }
    const { law } = shown;
    plane.clear();
    plane.arrows(shown.x, shown.s, shown.full, colours.exact);
    if (isPoints() && !weights) plane.points(Float64Array.from(state.points.flat()), 5, colours.ink);
    if (!isPoints()) {
      state.modes.forEach((mode, k) => {
        plane.ellipse(mode, k === chosen ? 2.5 : 1.2, colours.ink);
        plane.text(letter(k), mode.x, mode.y, colours.ink);
      });
      for (const [hx, hy] of handles(state.modes[chosen])) plane.disc(hx, hy, 6, colours.ink);
    }
    for (const at of state.at) plane.cross(...at, colours.ink);
    for (const at of lookedAt()) {
      const guess = tweedie(law, at);
      plane.line(at, guess, colours.error);
      plane.star(...guess, colours.error);
    }
  }

  function tweedie(law, at) {
    const [sx, sy] = law.score(Float64Array.from(at));
    return [at[0] + noise() ** 2 * sx, at[1] + noise() ** 2 * sy];
  }

  function describe() {
    const { law, full } = shown, [at] = lookedAt();
    const what = isPoints() ? `${state.points.length} point${state.points.length > 1 ? "s" : ""}` : `${state.modes.length} mode${state.modes.length > 1 ? "s" : ""}`;
    const parts = [`${what} at noise σ = ${noise()}`, `an arrow of full length: |s| of ${full} or more`];
    if (at) {
      const x = Float64Array.from(at), s = law.score(x), [gx, gy] = tweedie(law, at);
      parts.push(`at (${pair(at)}): log p = ${law.logProb(x)[0].toPrecision(4)}, s = (${pair(s)}), |s| = ${Math.hypot(...s).toPrecision(3)}`);
      parts.push(`E[x₀ | x] = x + σ² s = (${pair([gx, gy])})`);
    }
    const out = outside();
    if (out.length) parts.push(`${out.join(", ")} outside what is shown, ±${EXTENT[1]}`);
    numbers.textContent = `${parts.join("; ")}.`;
    plane.canvas.setAttribute("aria-label", `The density and its score. ${numbers.textContent} Arrow keys move the cross, Enter ${drawing ? "draws a point" : "brings the mode"} there.`);
    links.hidden = isPoints() || noPages;
    for (const [name, link] of Object.entries(pages)) link.href = `${name}.html#modes=${modesRule.write(state.modes)}`;
    pages.playground.href += `&sigma=${Math.min(state.sigma, 5)}`;
    const kind = isPoints() ? "Points" : "GaussianMixture";
    python.textContent = `from toylab.densities import ${kind}\n\np = ${pythonOf({ ...state, weights })}${noise() > 0 ? `.noised(${noise()})` : ""}`;
  }

  // what lies where it is not seen
  function outside() {
    const beyond = (place) => !plane.shows(place), n = state.points.filter(beyond).length;
    const modes = state.modes.flatMap(({ x, y }, k) => (beyond([x, y]) ? [`mode ${letter(k)} lies`] : []));
    const points = n ? [`${n} of the points ${n > 1 ? "lie" : "lies"}`] : [];
    return [...(isPoints() ? points : modes), ...(state.at.some(beyond) ? ["the cross lies"] : [])];
  }

  // what is taken hold of at a place, and how far its middle is from there: a handle of the mode chosen, or a mode
  function under(place) {
    if (isPoints()) return null;
    const near = (middle) => plane.apart(middle, place) <= HANDLE, from = (middle) => middle.map((v, i) => v - place[i]);
    const ends = handles(state.modes[chosen]), handle = ends.findIndex(near);
    if (handle >= 0) return { handle, off: from(ends[handle]) };
    const middles = state.modes.map(({ x, y }) => [x, y]), k = middles.findIndex(near);
    return k >= 0 ? { mode: k, off: from(middles[k]) } : null;
  }

  listenToHand(plane, page, {
    holds: (place) => drawing || under(place) !== null,
    press: (place) => {
      held = { ...(drawing ? { points: true } : under(place) ?? { cross: true }), before: { state, weights, chosen } };
      hover = null;
      chosen = held.mode ?? chosen;
      if (held.off) show();
      else drag(place);
    },
    move: drag,
    lift: () => { held = null; },
    cancel: () => {
      ({ weights, chosen } = held.before);
      change(held.before.state);
      held = null;
    },
  });
  plane.canvas.addEventListener("pointermove", (event) => {
    if (!held && event.pointerType === "mouse") look(plane.place(event).map(rounded));
  });
  plane.canvas.addEventListener("pointerleave", () => look(null));

  // the guess follows the pointer, once a frame of the screen
  function look(place) {
    if (hover === place) return;
    hover = place;
    if (looking) return;
    looking = true;
    requestAnimationFrame(() => {
      looking = false;
      paint();
      describe();
    });
  }

  function addPoint(place) {
    const drawn = weights ? [] : state.points; // those of a picture give way to what is drawn
    weights = null;
    if (drawn.length < MOST_POINTS) change({ points: [...drawn, place] });
    else say(`${MOST_POINTS} points are drawn, as many as the page shows.`);
  }

  function drag(place) {
    hover = null;
    const { off = [0, 0] } = held, [x, y] = place.map((v, i) => rounded(v + off[i])), mode = state.modes[chosen];
    if (held.points) addPoint([x, y]);
    else if (held.cross) change({ at: [[x, y]] });
    else if (held.mode !== undefined) changeMode({ x: clamp(x, EXTENT[0], EXTENT[1]), y: clamp(y, EXTENT[2], EXTENT[3]) });
    else {
      const length = clamp(rounded(Math.hypot(x - mode.x, y - mode.y)), ...WIDTHS);
      const turned = rounded((Math.atan2(y - mode.y, x - mode.x) * 180) / Math.PI);
      changeMode(held.handle === 0 ? { s1: length, angle: turned } : { s2: length });
    }
  }

  plane.canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = event.shiftKey ? 0.02 : 0.2, [x, y] = state.at[0] ?? [0, 0];
    const way = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, by], ArrowDown: [0, -by] }[event.key];
    hover = null; // the keys have the word
    if (way) change({ at: [[rounded(clamp(x + way[0], EXTENT[0], EXTENT[1])), rounded(clamp(y + way[1], EXTENT[2], EXTENT[3]))]] });
    else if (event.key === "Enter" && drawing) addPoint([x, y]);
    else if (event.key === "Enter" && !isPoints()) changeMode({ x, y });
    else return;
    event.preventDefault();
    event.stopPropagation(); // or the notebook would take the key for itself
  });

  file.addEventListener("change", () => {
    if (file.files[0]) usePicture(file.files[0]);
    file.value = "";
  });
  page.addEventListener("dragover", (event) => event.preventDefault()); // or the page would be left for the picture
  page.addEventListener("drop", (event) => {
    event.preventDefault();
    const [given] = event.dataTransfer.files;
    if (given) usePicture(given);
    else say("What was dropped is no file: drop a PNG or JPEG.");
  });

  async function usePicture(given) {
    try {
      const whole = await createImageBitmap(given), [across, down] = cellsOf(whole);
      const image = await createImageBitmap(whole, { resizeWidth: across, resizeHeight: down });
      const canvas = make("canvas", { width: across, height: down }), context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      const found = darkPoints(context.getImageData(0, 0, across, down).data, [across, down], 0.8 * EXTENT[1]);
      if (!found) say("The picture is of one shade: where it is darker, more points are put, so give one with something on it.");
      else {
        ({ weights } = found);
        change({ points: found.points, lesson: "" });
        say("The picture is not part of the address.");
      }
    } catch {
      say(`“${given.name}” cannot be read as a picture: give a PNG or JPEG.`);
    }
  }

  const observer = new ResizeObserver(() => paint());
  const unwatch = watchColours(page, paint);
  observer.observe(plane.canvas);
  show();
  if (asked.refused.length) say(`In the address ${asked.refused.join("; ")}. The rest is as asked.`);
  if (!address) openLesson(Object.keys(EDITOR_LESSONS)[0]);
  return {
    state: () => state,
    remove: () => {
      kept.close();
      observer.disconnect();
      unwatch();
      page.remove();
    },
  };
}

// where the two widths of a mode can be taken hold of
function handles({ x, y, s1, s2, angle }) {
  const c = Math.cos((angle * Math.PI) / 180), s = Math.sin((angle * Math.PI) / 180);
  return [[x + s1 * c, y + s1 * s], [x - s2 * s, y + s2 * c]];
}

const pair = (v) => Array.from(v, (one) => one.toPrecision(3)).join(", ");
