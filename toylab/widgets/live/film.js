// The diffusion film: points that move through time under the exact score, that of a data set, and a learned one.
import { number, oneOf, playing, readAddress, whole, writeAddress } from "./address.js";
import { clock, mayMove } from "./clock.js";
import { button, choice, lessonList, make, numberBox, slider, stateOf } from "./controls.js";
import { drawCurves } from "./curves.js";
import { toItsError } from "./estimate.js";
import { FILM_LESSONS } from "./film_lessons.js";
import { filmPython } from "./film_python.js";
import { errorAt, making, N_FRAMES, nearestDatum, newFilm, WAYS, weightsAt } from "./film_run.js";
import { keeper } from "./keep.js";
import { GaussianMixture } from "./mixture.js";
import { ownRule, withOwn } from "./own_law.js";
import { densityOn, gridPoints, letter, Plane, SHADE } from "./plane.js";
import { coloursOf, watchColours } from "./theme.js";

const RATES_OF_FRAMES = [0.1, 0.2, 0.5, 1, 2]; // frames of the film per frame of the screen
const FRAMES = Array.from({ length: N_FRAMES + 1 }, (_, k) => k);
const MOST_POINTS_DATA = 200, MOST_MOVING = 2000, MOST_STEPS = 20000, LARGEST_FILM_SEED = 4294967293; // two streams more
const SHARE = 12, LOOK_EVERY = 10; // milliseconds of making in a frame of the screen; and frames between two looks at it
const FIELD_ARROWS = 15, LONG_ARROW = 2; // per side; and the size of sigma s from which on an arrow has its full length
const FILM_CELLS = 80, FILM_WORK = 4e5; // of the density drawn: cells per side, and Gaussians evaluated
const FILM_TRAILS = 24, FILM_TRAIL = 15; // points that leave a trail, and its frames
const TITLES = { exact: "the exact score", empirical: "the score of the data", learned: "a learned score" };

// root: where it is shown; laws: as in the playground; address: the state to begin with; onState: told each new one
export function film(root, given, address = "", onState = () => {}) {
  const { laws, first: own } = withOwn(given, address);
  const lesson = lessonList(FILM_LESSONS, (name) => Object.hasOwn(laws, name), openLesson);
  const rules = {
    lesson: oneOf(Object.keys(lesson.known)), modes: ownRule,
    density: oneOf(Object.keys(laws)), way: oneOf(Object.keys(WAYS)), nData: whole(1, MOST_POINTS_DATA), n: whole(1, MOST_MOVING),
    train: whole(0, MOST_STEPS), seed: whole(0, LARGEST_FILM_SEED), speed: number(RATES_OF_FRAMES[0], RATES_OF_FRAMES.at(-1)),
    frame: whole(0, N_FRAMES), play: playing,
  };
  const asked = readAddress(address, rules), first = FILM_LESSONS.copies.state;
  const density = Object.hasOwn(laws, first.density) ? first.density : Object.keys(laws)[0];
  let state = stateOf(asked.state, { play: "", ...first, density, ...own }, lesson);
  let made = null, work = null, request = 0, looks = 0, at = state.frame;

  const page = make("div", { class: "toylab-live" });
  const said = make("p", { class: "message", role: "status" });
  const time = make("p", { class: "numbers" }), python = make("pre", { tabindex: 0 });
  const curve = make("canvas", { class: "curve", role: "img" });
  const panels = Object.entries(TITLES).map(([name, title]) => {
    const plane = new Plane([-5, 5, -5, 5], ""), numbers = make("p", { class: "numbers" });
    const element = make("section", { class: "panel", "aria-label": title }, make("h2", {}, title), plane.canvas, numbers);
    return { name, title, plane, numbers, element };
  });
  const errors = make("section", { class: "panel", "aria-label": "how far the scores are from the exact one" },
    make("h2", {}, "σ²J, from the exact score"), curve, make("p", { class: "numbers" }, "J = ½E|s − s*|², over the same 500 draws of x₀ and z at each t."));

  const controls = {
    density: choice("density", Object.fromEntries(Object.entries(laws).map(([name, law]) => [name, law.title])), state.density,
      (density) => change({ density, lesson: "" })),
    way: choice("points move", Object.fromEntries(Object.entries(WAYS).map(([name, way]) => [name, way.name])), state.way,
      (way) => change({ way, frame: 0 })),
    frame: slider("time t", FRAMES, state.frame, (frame) => { setPlaying(false); seek(frame); }, (frame) => timeOf(frame)),
    speed: slider("speed", RATES_OF_FRAMES, state.speed, (speed) => { state.speed = speed; kept.tell(); }),
    nData: numberBox("data", [1, MOST_POINTS_DATA], state.nData, (nData) => change({ nData }), { whole: true }),
    train: numberBox("steps of training", [0, MOST_STEPS], state.train, (train) => change({ train }), { whole: true }),
    n: numberBox("points", [1, MOST_MOVING], state.n, (n) => change({ n }), { whole: true }),
    seed: numberBox("seed", [0, LARGEST_FILM_SEED], state.seed, (seed) => change({ seed }), { whole: true }),
  };
  const play = button("play", "from where it is", () => setPlaying(!clockOfFilm.running));
  const back = button("to the start", "the first time of the film", () => { setPlaying(false); seek(0); });
  const clockOfFilm = clock(play, ["play", "pause"], tick, describe);
  const kept = keeper(() => onState(writeAddress(state, rules)));

  page.append(
    make("div", { class: "row" }, lesson.element, controls.density.element, controls.way.element),
    lesson.asked,
    make("div", { class: "row player" }, play, back, controls.frame.element, controls.speed.element),
    make("div", { class: "row" }, controls.nData.element, controls.train.element, controls.n.element, controls.seed.element),
    time,
    make("div", { class: "panels columns" }, ...panels.map((panel) => panel.element), errors),
    said, make("details", {}, make("summary", {}, "the same points in Python"), python),
  );
  root.append(page);

  function timeOf(frame) { return made ? made.times[frame].toPrecision(3) : ""; }

  function change(changed) {
    state = { ...state, ...changed };
    said.textContent = "";
    begin();
    kept.tell();
  }

  function openLesson(name) {
    clockOfFilm.set(false); // it is to be thought about first
    state = { ...state, ...lesson.known[name]?.state, play: "", lesson: name };
    said.textContent = "";
    begin();
    kept.tell();
  }

  // the film of the state: its network is kept where nothing else is to be learned
  function begin() {
    const { weights, means, covariances, extent } = laws[state.density], before = made;
    const density = before?.name === state.density ? before.density : new GaussianMixture(weights, means, covariances);
    made = { ...newFilm({ ...state, density }, before), name: state.density };
    work = making(made);
    lesson.set(state.lesson);
    at = state.frame;
    for (const [name, control] of Object.entries(controls)) control.set(state[name]);
    for (const { plane } of panels) plane.extent = extent;
    cancelAnimationFrame(request);
    request = requestAnimationFrame(goOn);
    draw();
    describe();
  }

  // makes a part of the film in each frame of the screen, until there is no more to be made
  function goOn() {
    const begun = performance.now();
    let done = false;
    while (!done && performance.now() - begun < SHARE) ({ done } = work.next());
    looks += 1;
    if (done || (!clockOfFilm.running && looks % LOOK_EVERY === 0)) draw();
    if (done) describe();
    else request = requestAnimationFrame(goOn);
  }

  function seek(frame) {
    at = frame;
    state.frame = Math.floor(frame);
    controls.frame.set(state.frame);
    draw();
    if (!clockOfFilm.running) {
      describe();
      kept.tell();
    }
  }

  function setPlaying(now) {
    if (now && state.frame === N_FRAMES) seek(0);
    state.play = now ? "1" : ""; // a link to what has stopped does not play
    clockOfFilm.set(now);
    kept.tell();
  }

  // all three side by side: it waits for the one that is not made so far
  function tick() {
    const ready = Math.max(0, Math.min(...panels.map(({ name }) => made.columns[name].path.length - 1)));
    seek(Math.max(at, Math.min(at + state.speed, ready)));
    if (state.frame === N_FRAMES) setPlaying(false);
  }

  function draw() {
    const colours = coloursOf(page), { frame } = state, t = made.times[frame];
    const alpha = made.sde.alpha(t), sigma = made.sde.sigma(t), { most } = densityOn(made.density.moved(alpha, sigma), panels[0].plane.extent, 40);
    for (const { name, plane, numbers } of panels) {
      const column = made.columns[name], law = column.law.moved(alpha, sigma);
      plane.fit();
      const cells = Math.max(30, Math.min(FILM_CELLS, Math.floor(Math.sqrt(FILM_WORK / law.K))));
      plane.shade(densityOn(law, plane.extent, cells).values.map((v) => (SHADE * v) / most), cells, colours.groundParts);
      plane.clear();
      const x = gridPoints(plane.extent, FIELD_ARROWS), s = column.score.moved(alpha, sigma).score(x);
      plane.arrows(x, s.map((v) => sigma * v), LONG_ARROW, colours[name]);
      if (name !== "exact") plane.points(made.data.map((v) => alpha * v), 6, colours.empirical);
      const shown = Math.min(frame, column.path.length - 1);
      if (shown === frame) {
        plane.trails(column.path.slice(Math.max(0, frame - FILM_TRAIL), frame + 1).map((one) => one.slice(0, 2 * FILM_TRAILS)), colours.trail);
        plane.points(column.path[frame], state.n > 1500 ? 2 : 3, colours.found);
      }
      const { means } = made.density;
      for (let k = 0; means.length > 1 && means.length <= 26 && k < means.length; k++) {
        plane.text(letter(k), alpha * means[k][0], alpha * means[k][1], colours.ink);
      }
      numbers.textContent = words(name, column);
    }
    time.textContent = `t = ${timeOf(frame)}: x = αx₀ + σz with α = ${alpha.toPrecision(3)}, σ = ${sigma.toPrecision(3)}. An arrow is σs, of full length where it is ${LONG_ARROW} or more. The shading is the law at t; a learned score has none, so the third column shows the exact one.`;
    drawErrors(colours, t);
  }

  // over the root of t, as the film runs
  function drawErrors(colours, t) {
    const curves = !made.errors ? [] : [["empirical", "of the data", true], ["learned", "learned", false]].map(([name, words, dash]) => (
      { points: made.errors[name].map((one) => [Math.sqrt(one.t), one.value]), colour: colours[name], words, dash }));
    const [left, right] = [made.times[0], made.times[N_FRAMES]];
    drawCurves(curve, curves, colours.ink, { from: [Math.sqrt(left), `t = ${left.toPrecision(1)}`], to: [Math.sqrt(right), `t = ${right.toPrecision(1)}`] }, Math.sqrt(t));
  }

  function words(name, column) {
    if (name === "learned" && made.nLearned < state.train) return `learning: ${made.nLearned} of ${state.train} steps.`;
    if (column.path.length <= state.frame) return "on its way here…";
    const parts = [], { density } = made;
    if (density.weights.length <= 3) {
      parts.push(`weights ${weightsAt(made, column, state.frame).map((w, k) =>
        `${letter(k)} ${toItsError(w)} (exact ${density.weights[k].toFixed(3)}${name === "exact" ? "" : `, data ${made.shares[k].toFixed(3)}`})`).join(", ")}`);
    }
    const t = made.times[state.frame], error = errorAt(made, name, state.frame);
    if (made.sde.sigma(t) < made.sde.alpha(t)) parts.push(`to the nearest datum, in the median: ${nearestDatum(made, column, state.frame).toPrecision(2)}`);
    if (error) parts.push(`σ²J = ${toItsError(error)}`);
    return parts.length ? `${parts.join("; ")}.` : "";
  }

  // what the pictures show, for those who cannot see them
  function describe() {
    const t = timeOf(state.frame);
    for (const { name, title, plane, numbers } of panels) {
      plane.canvas.setAttribute("aria-label", `Points at t = ${t} under ${title}, ${WAYS[state.way].name}. ${numbers.textContent}`);
    }
    const [empirical, learned] = ["empirical", "learned"].map((name) => errorAt(made, name, state.frame));
    const now = learned ? `At t = ${t} of the data ${toItsError(empirical)}, learned ${toItsError(learned)}` : "Not measured yet";
    curve.setAttribute("aria-label", `σ²J of the score of the data and of the learned one over time. ${now}.`);
    python.textContent = filmPython(state, laws[state.density].python);
  }

  const observer = new ResizeObserver(() => draw());
  const unwatch = watchColours(page, draw);
  for (const canvas of [...panels.map(({ plane }) => plane.canvas), curve]) observer.observe(canvas);
  begin();
  if (asked.refused.length) said.textContent = `In the address ${asked.refused.join("; ")}. The rest is as asked.`;
  if (!address && lesson.known.copies) openLesson("copies");
  if (state.play === "1" && mayMove()) setPlaying(true);
  return {
    state: () => state, film: () => made,
    remove: () => {
      clockOfFilm.set(false);
      kept.close();
      cancelAnimationFrame(request);
      observer.disconnect();
      unwatch();
      page.remove();
    },
  };
}
