// Training in the tab: a small network learns a score, beside the exact one and the exact Fisher divergence.
import { number, oneOf, playing, readAddress, whole, writeAddress } from "./address.js";
import { clock, mayMove } from "./clock.js";
import { button, choice, lessonList, make, numberBox, slider, stateOf } from "./controls.js";
import { drawCurves, LINEAR_BELOW } from "./curves.js";
import { keeper } from "./keep.js";
import { roundLevels } from "./levels.js";
import { GaussianMixture } from "./mixture.js";
import { ownRule, withOwn } from "./own_law.js";
import { densityOn, fullLength, gridPoints, Plane, SHADE } from "./plane.js";
import { coloursOf, watchColours } from "./theme.js";
import { TRAINER_LESSONS } from "./trainer_lessons.js";
import { measuring, newTraining, OBJECTIVES, PIECE, trainStep } from "./training_run.js";

const TRAIN_SIGMAS = roundLevels(0.05, 2);
const WIDTHS_OF_LAYERS = [16, 32, 64, 128], RATES = [0.00001, 10], MOST_DATA = 2000, LARGEST = 4294967295;
const BATCH = 128, FIELD = 17, SHADES = 100, ERRORS = 40; // arrows per side, and cells
const EVERY = 20; // steps from one measurement of J to the next
const TIME = 10, MOST_AT_ONCE = 50; // milliseconds of work in a frame of the screen, and steps

// root: where it is shown; laws: as in the playground; address: the state to begin with; onState: told each new one
export function trainer(root, given, address = "", onState = () => {}) {
  const { laws, first: own } = withOwn(given, address);
  const lesson = lessonList(TRAINER_LESSONS, (name) => Object.hasOwn(laws, name), openLesson);
  const rules = {
    lesson: oneOf(Object.keys(lesson.known)), modes: ownRule,
    density: oneOf(Object.keys(laws)), objective: oneOf(Object.keys(OBJECTIVES)), sigma: number(0.05, 2),
    nData: whole(0, MOST_DATA), width: whole(1, 128), rate: number(...RATES), seed: whole(0, LARGEST), play: playing,
  };
  const asked = readAddress(address, rules), first = TRAINER_LESSONS.learns.state;
  const density = Object.hasOwn(laws, first.density) ? first.density : Object.keys(laws)[0];
  let state = stateOf(asked.state, { play: "", ...first, density, ...own }, lesson);
  let run = null;

  const page = make("div", { class: "toylab-live" });
  const said = make("p", { class: "message", role: "status" });
  const say = (text) => { said.textContent = text; };
  const field = new Plane([-5, 5, -5, 5], ""), error = new Plane([-5, 5, -5, 5], "");
  const keys = Object.fromEntries(["field", "error", "curve"].map((name) => [name, make("p", { class: "note" })]));
  const curve = make("canvas", { class: "curve", role: "img" }), numbers = make("p", { class: "numbers" });

  const controls = {
    density: choice("density", Object.fromEntries(Object.entries(laws).map(([name, law]) => [name, law.title])), state.density,
      (density) => change({ density, lesson: "" })),
    objective: choice("loss", Object.fromEntries(Object.entries(OBJECTIVES).map(([name, one]) => [name, one.name])), state.objective,
      (objective) => change({ objective })),
    sigma: slider("noise σ", TRAIN_SIGMAS, state.sigma, (sigma) => change({ sigma })),
    nData: numberBox("data (0: ever new ones)", [0, MOST_DATA], state.nData, (nData) => change({ nData }), { whole: true }),
    width: slider("width", WIDTHS_OF_LAYERS, state.width, (width) => change({ width })),
    rate: numberBox("learning rate", RATES, state.rate, (rate) => change({ rate })),
    seed: numberBox("seed", [0, LARGEST], state.seed, (seed) => change({ seed }), { whole: true }),
  };
  const play = button("train", "or pause", () => setPlaying(!time.running));
  const once = button("step", "one step of Adam", () => { setPlaying(false); trainStep(run); finish(looking()); draw(); });
  const again = button("start again", "the same weights, data and random numbers", start);

  const time = clock(play, ["train", "pause"], tick, describe);
  const kept = keeper(() => onState(writeAddress(state, rules)));

  page.append(
    make("div", { class: "row" }, lesson.element, controls.density.element, controls.objective.element, controls.sigma.element), lesson.asked,
    make("div", { class: "row" }, play, once, again, controls.nData.element, controls.width.element, controls.rate.element, controls.seed.element),
    make("div", { class: "panels columns" }, ...[[field.canvas, "exact and learned score", keys.field],
      [error.canvas, "error of the learned score", keys.error], [curve, "loss and divergence", keys.curve]].map(([canvas, title, key]) =>
      make("section", { class: "panel", "aria-label": title }, make("h2", {}, title), canvas, key))),
    numbers, said,
  );
  root.append(page);

  function change(changed) {
    state = { ...state, ...changed };
    start();
    kept.tell();
  }

  function openLesson(name) {
    time.set(false); // it is to be thought about first
    state = { ...state, ...lesson.known[name]?.state, play: "", lesson: name };
    for (const [key, control] of Object.entries(controls)) control.set(state[key]);
    start();
    kept.tell();
  }

  // the network as it is at step 0
  function start() {
    const { weights, means, covariances, extent } = laws[state.density];
    lesson.set(state.lesson);
    controls.sigma.element.hidden = state.objective !== "denoising"; // sliced matching adds none
    run = newTraining({
      ...state, density: new GaussianMixture(weights, means, covariances), batchSize: BATCH, learningRate: state.rate,
    });
    say("");
    field.extent = error.extent = extent;
    const n = SHADES, { values, most } = densityOn(run.law, extent, n);
    run.shades = values.map((v) => (SHADE * v) / most);
    run.arrows = gridPoints(extent, FIELD);
    run.exactArrows = run.law.score(run.arrows);
    run.full = fullLength(run.exactArrows);
    keys.field.textContent = `Blue is exact, orange learned; an arrow of full length is ${run.full} or more.`;
    keys.error.textContent = `Darkest where it is ${run.full} or more.`;
    run.cells = gridPoints(extent, ERRORS);
    run.exactCells = run.law.score(run.cells);
    run.errors = new Float64Array(ERRORS ** 2);
    finish(looking());
    run.pieces = pieces();
    draw();
  }

  // steps, and what is measured of them at times, by small pieces of work
  function* pieces() {
    for (;;) {
      trainStep(run);
      yield;
      if (run.nSteps % EVERY) continue;
      yield* looking();
      yield;
    }
  }

  // J, and the size of the error on the cells
  function* looking() {
    run.isLooking = true;
    yield* measuring(run);
    const { cells, exactCells: exact, errors } = run;
    for (let from = 0; from < errors.length; from += PIECE) {
      const s = run.network.forward(cells.subarray(2 * from, 2 * (from + PIECE)));
      for (let i = 0, k = from; i < s.length / 2; i++, k++) errors[k] = Math.hypot(s[2 * i] - exact[2 * k], s[2 * i + 1] - exact[2 * k + 1]);
      yield;
    }
    run.isLooking = false;
  }

  function finish(work) {
    do work.next(); while (run.isLooking);
  }

  function setPlaying(now) {
    if (!now && run.isLooking) {
      finish(run.pieces);
      draw();
    }
    state.play = now ? "1" : ""; // a link to what stands does not play
    time.set(now);
    kept.tell();
  }

  function tick() {
    const begun = performance.now(), before = run.nSteps;
    do run.pieces.next(); while (run.nSteps - before < MOST_AT_ONCE && performance.now() - begun < TIME);
    draw();
  }

  function draw() {
    const colours = coloursOf(page);
    field.fit();
    error.fit();
    field.shade(run.shades, SHADES, colours.groundParts);
    field.clear();
    field.arrows(run.arrows, run.exactArrows, run.full, colours.exact);
    field.arrows(run.arrows, run.network.forward(run.arrows), run.full, colours.learned);
    if (run.data) field.points(run.data, 5, colours.ink);
    if (!run.isLooking && (run.drawnAt !== run.divergences.length || run.inColour !== colours.ink)) shadeErrors(colours);
    error.clear(false);
    const isSigned = run.losses.some(([, loss]) => loss < 0);
    keys.curve.textContent = `Over the steps, on an axis that is ${isSigned ? `linear from −${LINEAR_BELOW} to ${LINEAR_BELOW} and logarithmic beyond` : "logarithmic"}.`;
    const lastStep = Math.max(100, run.nSteps);
    drawCurves(curve, [
      { points: run.losses, colour: colours.ink, words: "loss + constant", dash: true },
      { points: run.divergences, colour: colours.error, words: "J, exact" },
    ], colours.ink, { from: [0, "0"], to: [lastStep, `${lastStep} steps`] });
    numbers.textContent = words();
    if (!time.running) describe();
  }

  // as often as J is measured
  function shadeErrors(colours) {
    error.shade(run.errors.map((size) => size / run.full), ERRORS, colours.errorParts);
    Object.assign(run, { drawnAt: run.divergences.length, inColour: colours.ink });
  }

  function words() {
    const [, now] = run.divergences.at(-1), [bestStep, best] = run.divergences.reduce((a, b) => (b[1] < a[1] ? b : a));
    const loss = run.losses.at(-1);
    const of = run.objective === "denoising" ? `p at noise σ = ${run.sigma}` : "p itself";
    return `${run.nSteps} step${run.nSteps === 1 ? "" : "s"}; Fisher divergence J = ½E|s − s*|² from the score of ${of}: ${now.toFixed(4)}`
      + ` (of a score of zero ${(0.5 * run.information).toFixed(3)}; lowest ${best.toFixed(4)} at step ${bestStep})`
      + `${loss ? `; loss + (${run.offset.toFixed(3)}) = ${loss[1].toFixed(4)}, ${run.data ? "on these data alone, and no longer J" : "whose mean is J"}` : ""}.`;
  }

  function describe() {
    field.canvas.setAttribute("aria-label", `The field learned in ${run.nSteps} step${run.nSteps === 1 ? "" : "s"}, over the exact one. An arrow has its full length where |s| is ${run.full} or more.`);
    error.canvas.setAttribute("aria-label", `The size |s − s*| of the error of the learned field: ${Math.sqrt(2 * run.divergences.at(-1)[1]).toFixed(3)} in the root mean square, darkest where it is ${run.full} or more.`);
    curve.setAttribute("aria-label", `Loss and exact Fisher divergence over the steps. ${words()}`);
  }

  const observer = new ResizeObserver(() => draw());
  const unwatch = watchColours(page, draw);
  for (const canvas of [field.canvas, error.canvas, curve]) observer.observe(canvas);
  start();
  if (asked.refused.length) say(`In the address ${asked.refused.join("; ")}. The rest is as asked.`);
  if (!address && lesson.known.learns) openLesson("learns");
  if (state.play === "1" && mayMove()) setPlaying(true);
  return {
    state: () => state, run: () => run,
    remove: () => {
      time.set(false);
      kept.close();
      observer.disconnect();
      unwatch();
      page.remove();
    },
  };
}
