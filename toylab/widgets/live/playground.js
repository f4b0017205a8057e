// The sampler playground: two samplers on one density, from the same start, on the same random numbers.
import { number, oneOf, places, playing, readAddress, readNumber, whole, writeAddress } from "./address.js";
import { clock, mayMove } from "./clock.js";
import { button, choice, lessonList, make, numberBox, slider, stateOf } from "./controls.js";
import { densityOf, noteOf } from "./densities.js";
import { withError } from "./estimate.js";
import { listenToHand } from "./hand.js";
import { keeper } from "./keep.js";
import { roundLevels } from "./levels.js";
import { ownRule, withOwn } from "./own_law.js";
import { clamp, densityOn, letter, Plane, SHADE } from "./plane.js";
import { LESSONS } from "./playground_lessons.js";
import {
  acceptance, advance, arrived, CELLS, count, countedFrom, exactVariance, nCounted, nDiverged, newRun, SAMPLERS,
  varianceInModes, visited, weights,
} from "./playground_run.js";
import { pythonLines } from "./python_lines.js";
import { Generator } from "./random.js";
import { gaussianStart, startAt, uniformStart } from "./starts.js";
import { coloursOf, watchColours } from "./theme.js";

const SIGMAS = [0, ...roundLevels(0.05, 5)];
const TEMPERATURES = Array.from({ length: 21 }, (_, k) => k / 10);
const SPEEDS = [0.03, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20]; // steps a frame
const MOST_CHAINS = 5000, MOST_PLACES = 200, STEP_SIZES = [1e-6, 100], TIMES = [2, 5000], LARGEST_SEED = 4294967295;
const GROUND = 120; // cells per side of the density drawn
const N_TRAILS = 24, TRAIL = 20; // chains that leave one, and its frames
const BUDGET = 12; // milliseconds of steps in a frame

// sampler:step size or number of steps:temperature
const setting = {
  read: (text) => {
    const [sampler, amount, heat] = text.split(":");
    if (!Object.hasOwn(SAMPLERS, sampler)) return undefined;
    const { fromNoise, temperature: warm } = SAMPLERS[sampler], temperature = readNumber(heat ?? "1", ...(warm ? [0, 2] : [1, 1]));
    const value = readNumber(amount ?? "", ...(fromNoise ? TIMES : STEP_SIZES), fromNoise);
    if (value === undefined || temperature === undefined) return undefined;
    return { sampler, temperature, stepSize: fromNoise ? 0.1 : value, nTimes: fromNoise ? value : 200 };
  },
  write: ({ sampler, stepSize, nTimes, temperature }) =>
    `${sampler}:${SAMPLERS[sampler].fromNoise ? nTimes : stepSize}:${temperature}`,
  wanted: `a sampler, its step size (or number of steps) and a temperature, such as langevin:0.05:1, of ${
    Object.keys(SAMPLERS).join(", ")}, a step from ${STEP_SIZES[0]} to ${STEP_SIZES[1]} (or ${TIMES[0]} to ${TIMES[1]} steps), a temperature from 0 to 2, which is 1 but for langevin`,
};

// root: where it is shown; laws: {name: {title, weights, means, covariances, extent}}; address: the state to begin with
export function playground(root, given, address = "", onState = () => {}) {
  const { laws, first: own } = withOwn(given, address);
  const lesson = lessonList(LESSONS, (name) => Object.hasOwn(laws, name), openLesson);
  const rules = {
    lesson: oneOf(Object.keys(lesson.known)), modes: ownRule,
    density: oneOf(Object.keys(laws)), sigma: number(0, 5), n: whole(1, MOST_CHAINS), seed: whole(0, LARGEST_SEED),
    speed: number(SPEEDS[0], SPEEDS.at(-1)), start: places(MOST_PLACES, 1000), a: setting, b: setting,
    play: playing,
  };
  const first = Object.values(LESSONS).find(({ state }) => Object.hasOwn(laws, state.density))?.state
    ?? { ...LESSONS.wide.state, density: Object.keys(laws)[0] };
  const asked = readAddress(address, rules);
  let state = stateOf(asked.state, { play: "", ...first, ...own }, lesson);
  const known = {}; // densities by name, once they are asked for
  let owed = 0, frame = 0;

  const page = make("div", { class: "toylab-live" });
  const said = make("p", { class: "message", role: "status" });
  const note = make("p", { class: "note" });
  const say = (text) => { said.textContent = text; };

  const panels = ["a", "b"].map((key) => makePanel(key));
  const density = choice("density", Object.fromEntries(Object.entries(laws).map(([name, law]) => [name, law.title])),
    state.density, (name) => change({ density: name, lesson: "" }));
  const sigma = slider("noise σ", SIGMAS, state.sigma, (value) => change({ sigma: value }));
  const n = numberBox("chains", [1, MOST_CHAINS], state.n, (value) => change({ n: value }), { whole: true });
  const seed = numberBox("seed", [0, LARGEST_SEED], state.seed, (value) => change({ seed: value }), { whole: true });
  const speed = slider("steps a frame", SPEEDS, state.speed, (value) => { state.speed = value; kept.tell(); });
  const play = button("play", "both samplers; Space on a picture", () => setPlaying(!time.running));
  const once = button("step", "one step of both", () => { setPlaying(false); move(1); draw(); describe(); });
  const again = button("start again", "the same start and the same random numbers", start);
  const everywhere = button("start everywhere", "forget the places that were clicked or drawn", () => change({ start: [] }));

  const time = clock(play, ["play", "pause"], tick, describe);
  const kept = keeper(() => onState(writeAddress(state, rules)));

  page.append(
    make("div", { class: "row" }, lesson.element, density.element, sigma.element),
    lesson.asked, note,
    make("div", { class: "row" }, play, once, again, everywhere, speed.element, n.element, seed.element),
    make("div", { class: "panels" }, ...panels.map((panel) => panel.element)),
    said,
  );
  root.append(page);

  function makePanel(key) {
    const panel = { key, trail: [] };
    panel.plane = new Plane([-5, 5, -5, 5], "");
    panel.plane.operate();
    panel.visited = new Plane([-5, 5, -5, 5], "");
    panel.bars = make("canvas", { class: "bars", role: "img" });
    panel.numbers = make("p", { class: "numbers" });
    panel.python = make("pre", { tabindex: 0 });
    const set = (changed) => change({ [key]: { ...state[key], ...changed } });
    panel.sampler = choice(`sampler ${key.toUpperCase()}`, Object.fromEntries(
      Object.entries(SAMPLERS).map(([name, { name: words }]) => [name, words])), state[key].sampler,
      (sampler) => set({ sampler, temperature: 1 }));
    panel.stepSize = numberBox("step size ε", STEP_SIZES, state[key].stepSize, (stepSize) => set({ stepSize }));
    panel.nTimes = numberBox("steps N", TIMES, state[key].nTimes, (nTimes) => set({ nTimes }), { whole: true });
    panel.temperature = slider("temperature", TEMPERATURES, state[key].temperature, (temperature) => set({ temperature }));
    panel.element = make("section", { class: "panel", "aria-label": `sampler ${key.toUpperCase()}` },
      make("div", { class: "row" }, panel.sampler.element, panel.stepSize.element, panel.nTimes.element, panel.temperature.element),
      make("div", { class: "pictures" }, panel.plane.canvas, make("div", { class: "side" }, panel.visited.canvas, panel.bars)),
      panel.numbers, make("details", {}, make("summary", {}, "the same chains in Python"), panel.python));
    listen(panel);
    return panel;
  }

  // a click places a start, a stroke draws many; arrow keys move a cross, Enter places it, Space plays
  function listen({ plane }) {
    let drawn = [];
    const canvas = plane.canvas, rounded = (place) => place.map((v) => Number(v.toFixed(2)));
    listenToHand(plane, page, {
      press: (at) => { drawn = [at]; },
      move: (at) => { if (plane.apart(at, drawn.at(-1)) >= 5) drawn.push(at); },
      lift: () => place(drawn.map(rounded)),
      cancel: () => { drawn = []; },
    });
    canvas.addEventListener("blur", () => { plane.at = null; draw(); });
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const [left, right, bottom, top] = plane.extent, by = event.shiftKey ? 0.004 : 0.02;
      const way = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, by], ArrowDown: [0, -by] }[event.key];
      if (way) {
        const [x, y] = plane.at ?? [(left + right) / 2, (bottom + top) / 2];
        plane.at = [clamp(x + way[0] * (right - left), left, right), clamp(y + way[1] * (top - bottom), bottom, top)];
        draw();
      } else if (event.key === "Enter" && plane.at) place([rounded(plane.at)]);
      else if (event.key === " ") setPlaying(!time.running);
      else return;
      event.preventDefault();
      event.stopPropagation(); // or the notebook would take the key for itself
    });
  }

  function place(added) {
    const start = [...state.start, ...added];
    change({ start: start.slice(0, MOST_PLACES) });
    if (start.length > MOST_PLACES) say(`A start has at most ${MOST_PLACES} places: the first of them are kept.`);
  }

  function change(changed) {
    state = { ...state, ...changed };
    say("");
    start();
    kept.tell();
  }

  function openLesson(name) {
    time.set(false); // it is to be thought about first
    state = { ...state, ...lesson.known[name]?.state, play: "", lesson: name };
    say("");
    for (const [control, value] of [[density, state.density], [sigma, state.sigma], [n, state.n], [seed, state.seed], [speed, state.speed]]) {
      control.set(value);
    }
    start();
    kept.tell();
  }

  // both samplers at step 0 of the state
  function start() {
    const { extent } = laws[state.density];
    const target = (known[state.density] ??= densityOf(laws[state.density])).blurred(state.sigma);
    lesson.set(state.lesson);
    for (const panel of panels) {
      const mine = state[panel.key], generator = new Generator(state.seed), { fromNoise, temperature } = SAMPLERS[mine.sampler];
      for (const name of ["sampler", "stepSize", "nTimes", "temperature"]) panel[name].set(mine[name]);
      panel.stepSize.element.hidden = fromNoise;
      panel.nTimes.element.hidden = !fromNoise;
      panel.temperature.element.hidden = !temperature; // the others are defined with their noise only
      const anywhere = () => (fromNoise ? gaussianStart(state.n, 1, generator) : uniformStart(state.n, extent, generator));
      const x = state.start.length ? startAt(state.n, state.start) : anywhere();
      panel.plane.extent = panel.visited.extent = extent;
      panel.run = newRun({ ...mine, density: target, generator, extent }, x);
      panel.bars.hidden = target.weights.length === 1; // which is no weight to be found
      panel.shown = null;
      panel.trail = [];
    }
    const beyond = state.start.filter((place) => !panels[0].plane.shows(place)).length;
    const outside = `${beyond} of the places where chains start ${beyond > 1 ? "lie" : "lies"} outside what is shown.`;
    note.textContent = [noteOf(laws[state.density]), beyond ? outside : ""].filter(Boolean).join(" ");
    owed = 0;
    draw();
    describe();
  }

  function move(nSteps) {
    const begun = performance.now();
    let made = 0;
    while (made < nSteps && performance.now() - begun < BUDGET) {
      for (const { run } of panels) advance(run);
      made += 1;
    }
    for (const panel of panels) {
      if (made === 0 || arrivedBefore(panel)) continue;
      count(panel.run);
      panel.trail.push(panel.run.x.slice(0, 2 * Math.min(N_TRAILS, panel.run.n)));
      if (panel.trail.length > TRAIL) panel.trail.shift();
    }
    return made;
  }

  // a diffusion that has arrived is counted there once
  const arrivedBefore = ({ run }) => arrived(run) && nCounted(run) > 0;

  function tick() {
    owed = Math.min(owed + state.speed, SPEEDS.at(-1));
    const whole = Math.floor(owed);
    if (whole) owed -= move(whole);
    owed = Math.max(owed, 0) % 1;
    draw();
    frame += 1;
    if (panels.every(({ run }) => arrived(run))) setPlaying(false);
  }

  // what has arrived begins anew
  function setPlaying(now) {
    if (now && panels.every(({ run }) => arrived(run))) start();
    state.play = now ? "1" : ""; // a link to what stands does not play
    time.set(now);
    kept.tell();
  }

  function draw() {
    const colours = coloursOf(page);
    for (const panel of panels) drawPanel(panel, colours, frame % 6 === 0 || !time.running);
  }

  function drawPanel(panel, colours, numbersToo) {
    const { plane, run } = panel, visits = panel.visited;
    plane.fit();
    visits.fit();
    if (panel.shown !== run.law || panel.inColour !== colours.ink) { // the ground, once for each law
      const { values, most } = densityOn(run.law, plane.extent, GROUND);
      plane.shade(values.map((v) => (SHADE * v) / most), GROUND, colours.groundParts);
      panel.exact = densityOn(run.law, plane.extent, CELLS);
      Object.assign(panel, { shown: run.law, inColour: colours.ink });
    }
    plane.clear();
    if (run.nSteps === 0) for (const [x, y] of state.start) plane.cross(x, y, colours.ink, 5, 1);
    plane.trails(panel.trail, colours.trail);
    plane.points(run.x, run.n > 1500 ? 2 : 3, colours.found);
    const { K, mx, my } = run.law;
    for (let k = 0; K > 1 && K <= 26 && k < K; k++) plane.text(letter(k), mx[k], my[k], colours.ink);
    if (plane.at) plane.cross(...plane.at, colours.ink);
    if (!numbersToo) return;
    const [left, right, bottom, top] = plane.extent, cell = ((right - left) * (top - bottom)) / CELLS ** 2;
    const expected = nCounted(run) * run.n * cell * panel.exact.most; // where p is largest: the same scale as the ground
    visits.shade(visited(run).map((v) => (expected ? (SHADE * v) / expected : 0)), CELLS, colours.inkParts);
    visits.clear(false);
    const found = weightsOf(run);
    drawBars(panel.bars, run.density.weights, found, colours);
    panel.numbers.textContent = words(run, found);
  }

  // what the pictures show, for those who cannot see them
  function describe() {
    for (const { plane, visited, bars, run, numbers, python, key } of panels) {
      const found = weightsOf(run);
      const which = `${key.toUpperCase()}, ${SAMPLERS[run.sampler].name} on ${laws[state.density].title}`;
      plane.canvas.setAttribute("aria-label", `Chains of sampler ${which}. ${words(run, found)} Arrow keys move a cross, Enter starts all chains there, Space plays.`);
      visited.canvas.setAttribute("aria-label", `Where the chains of ${which} have been from step ${countedFrom(run)} to step ${run.nSteps}.`);
      bars.setAttribute("aria-label", run.density.weights.map((w, k) =>
        `Mode ${letter(k)}: exact ${w.toFixed(3)}${found[k] ? `, found ${withError(found[k], 3)}` : ""}.`).join(" "));
      numbers.textContent = words(run, found);
      python.textContent = pythonLines(run, { ...state, ...laws[state.density] });
    }
  }

  const observer = new ResizeObserver(() => draw());
  const unwatch = watchColours(page, draw);
  for (const { plane, visited } of panels) {
    observer.observe(plane.canvas);
    observer.observe(visited.canvas);
  }
  start();
  if (asked.refused.length) say(`In the address ${asked.refused.join("; ")}. The rest is as asked.`);
  const [opening] = Object.keys(lesson.known);
  if (!address && opening) openLesson(opening);
  if (state.play === "1" && mayMove()) setPlaying(true);
  return {
    panels, setPlaying, state: () => state,
    remove: () => {
      time.set(false);
      kept.close();
      observer.disconnect();
      unwatch();
      page.remove();
    },
  };
}

// weights found; none before anything is counted, and where no chain is left
function weightsOf(run) {
  const found = nCounted(run) ? weights(run) : [];
  return found.every(({ value }) => Number.isFinite(value)) ? found : [];
}

// what a run has found, beside what is exact
function words(run, found) {
  const parts = [`${run.nSteps} step${run.nSteps === 1 ? "" : "s"}${run.since === "the start" ? "" : `, ${run.since}`}`];
  if (SAMPLERS[run.sampler].adjusts && run.nSteps) parts.push(`accepted ${(100 * acceptance(run)).toFixed(1)} %`);
  if (found.length) {
    if (found.length > 1 && found.length <= 3) {
      parts.push(`weights ${found.map((w, k) => `${letter(k)} ${withError(w, 3)} (exact ${run.density.weights[k].toFixed(3)})`).join(", ")}`);
    }
    if (countedFrom(run) > 1) parts.push(`counted since step ${countedFrom(run)}`);
    parts.push(`variance${run.law.K > 1 ? " in a mode" : ""} ${withError(varianceInModes(run), 3)} (exact ${exactVariance(run).toFixed(3)})`);
  }
  const left = nCounted(run) && !found.length ? run.n : nDiverged(run);
  if (left) parts.push(`${left === run.n ? `all ${run.n}` : `${left} of ${run.n}`} chains have left for ever: take a smaller step`);
  return `${parts.join("; ")}.`;
}

// a bar a mode: found, with its error, and the exact weight as a line
function drawBars(canvas, exact, found, colours) {
  const scale = Math.min(window.devicePixelRatio || 1, 2), width = canvas.clientWidth * scale, height = canvas.clientHeight * scale;
  if (!width) return;
  if (canvas.width !== Math.round(width)) canvas.width = Math.round(width);
  if (canvas.height !== Math.round(height)) canvas.height = Math.round(height);
  const context = canvas.getContext("2d"), foot = height - 18 * scale, most = Math.min(1, Math.max(1.6 * Math.max(...exact), ...found.map(({ value }) => value)) + 0.05);
  const at = (w) => foot * (1 - Math.min(w / most, 1)), step = width / exact.length, bar = 0.7 * step;
  context.clearRect(0, 0, width, height);
  context.font = `${12 * scale}px system-ui, sans-serif`;
  context.textAlign = "center";
  exact.forEach((w, k) => {
    const middle = (k + 0.5) * step;
    if (found[k]) {
      const { value, standardError } = found[k];
      context.fillStyle = colours.found;
      context.fillRect(middle - bar / 2, at(value), bar, foot - at(value));
      context.fillStyle = colours.ink;
      context.fillRect(middle - scale, at(value + 2 * standardError), 2 * scale, at(value - 2 * standardError) - at(value + 2 * standardError));
    }
    context.fillStyle = colours.exact;
    context.fillRect(middle - step / 2 + scale, at(w) - 1.5 * scale, step - 2 * scale, 3 * scale);
    context.fillStyle = colours.ink;
    if (exact.length <= 26) context.fillText(letter(k), middle, height - 5 * scale);
  });
  context.fillRect(0, foot, width, scale);
}
