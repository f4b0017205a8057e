// A sampler while it runs: `advance` makes a step, `count` adds where the chains are to what they have visited.
import { stateAt } from "./accept_reject.js";
import { hmcStep } from "./hmc.js";
import { langevinStep, workspace } from "./langevin.js";
import { malaStep } from "./mala.js";
import { flowStep } from "./probability_flow.js";
import { reverseSdeStep } from "./reverse_sde.js";
import { geometric, uniform } from "./schedules.js";
import { VP } from "./sde.js";

export const LEVELS = geometric(5, 0.1, 10), STEPS_PER_LEVEL = 40; // of annealed Langevin; then it stays at the last
export const LEAPFROGS = 10;
export const CELLS = 50; // per side, of the histogram of what is visited

const levelOf = (step) => LEVELS[Math.min(Math.max(Math.floor(step / STEPS_PER_LEVEL), 0), LEVELS.length - 1)];
const stays = { stage: () => "the start", law: (run) => run.density.noised(0) };
const fallsInTime = {
  fromNoise: true,
  stage: (run) => `t = ${run.times[run.nSteps].toFixed(3)}`,
  law: (run) => run.density.moved(run.sde.alpha(run.times[run.nSteps]), run.sde.sigma(run.times[run.nSteps])),
};

// stage and law: since when the chains should have one law, and which; step: from x to the next. adjusts: it accepts or
// rejects; fromNoise: it runs along times, from N(0, I); temperature: its noise can be turned down
export const SAMPLERS = {
  langevin: {
    name: "Langevin", temperature: true, ...stays,
    step: (run) => langevinStep(run.law, run.x, run.stepSize, run.temperature, run.generator, run.work),
  },
  mala: {
    name: "MALA", adjusts: true, ...stays,
    step: (run) => malaStep(run.law, run.state, run.stepSize, run.generator, run.work),
  },
  hmc: {
    name: `HMC, ${LEAPFROGS} leapfrogs`, adjusts: true, ...stays,
    step: (run) => hmcStep(run.law, run.state, run.stepSize, LEAPFROGS, run.generator, run.work),
  },
  annealed_langevin: {
    name: "annealed Langevin", // alpha = eps (sigma / sigma_L)^2
    stage: (run) => `σ = ${levelOf(run.nSteps - 1).toFixed(2)}`,
    law: (run) => run.density.noised(levelOf(run.nSteps - 1)),
    step: (run) => {
      const sigma = levelOf(run.nSteps), alpha = run.stepSize * (sigma / LEVELS[LEVELS.length - 1]) ** 2;
      langevinStep(run.density.noised(sigma), run.x, alpha, 1, run.generator, run.work);
    },
  },
  reverse_sde: {
    name: "reverse SDE", ...fallsInTime,
    step: (run) => {
      const [t, u] = run.times.slice(run.nSteps, run.nSteps + 2);
      reverseSdeStep(run.sde, run.density, run.x, t, u, run.generator, run.work);
    },
  },
  probability_flow: {
    name: "probability flow", ...fallsInTime,
    step: (run) => {
      const [t, u] = run.times.slice(run.nSteps, run.nSteps + 2);
      flowStep(run.sde, run.density, run.x, t, u, run.work);
    },
  },
};

// A run at step 0. settings: sampler, density, stepSize, nTimes, temperature, generator, extent; x [2n]
export function newRun(settings, x) {
  const run = { ...settings, x, n: x.length / 2, nSteps: 0, accepted: 0, work: workspace(x.length / 2), sde: new VP() };
  run.times = uniform(1, run.sde.tMin, run.nTimes + 1);
  enter(run);
  if (SAMPLERS[run.sampler].adjusts) run.state = stateAt(run.law, x);
  return run;
}

// a diffusion ends at its last time
export const arrived = (run) => SAMPLERS[run.sampler].fromNoise && run.nSteps === run.nTimes;

export function advance(run) {
  if (arrived(run)) return;
  run.accepted += SAMPLERS[run.sampler].step(run) ?? 0; // of samplers that adjust, how many chains went
  run.nSteps += 1;
  if (SAMPLERS[run.sampler].stage(run) !== run.since) enter(run);
}

// begin to count anew, for the law is another one
function enter(run) {
  run.since = SAMPLERS[run.sampler].stage(run);
  run.law = SAMPLERS[run.sampler].law(run);
  run.entered = run.nSteps;
  run.older = run.newer = newCounts(run);
  run.doubled = 1;
}

// from: the step from which on; visited: rows from the bottom; shares: of each chain the posterior of the modes, summed
// over its places; squares: and |x - m_k|^2 under it
function newCounts(run) {
  return {
    from: run.nSteps, n: 0, visited: new Float64Array(CELLS * CELLS), shares: new Float64Array(run.n * run.law.K),
    squares: new Float64Array(run.n),
  };
}

// Add the places of all chains. As often as the steps have doubled, what is older than that is dropped: the chains' way
// from the start is forgotten in time, and what is shown is never empty.
export function count(run) {
  const made = run.nSteps - run.entered;
  if (made >= 2 * run.doubled) {
    run.doubled = 2 ** Math.floor(Math.log2(made));
    run.older = run.newer;
    run.newer = newCounts(run);
  }
  add(run, run.newer);
}

function add(run, counts) {
  const { x, law, extent: [left, right, bottom, top] } = run, K = law.K;
  const across = CELLS / (right - left), up = CELLS / (top - bottom);
  for (let i = 0; i < run.n; i++) {
    const px = x[2 * i], py = x[2 * i + 1];
    const column = Math.floor((px - left) * across), row = Math.floor((py - bottom) * up);
    if (column >= 0 && column < CELLS && row >= 0 && row < CELLS) counts.visited[row * CELLS + column] += 1;
    const most = law.joint(px, py);
    let sum = 0, square = 0;
    for (let k = 0; k < K; k++) sum += law.logs[k] = Math.exp(law.logs[k] - most);
    for (let k = 0; k < K; k++) {
      const share = law.logs[k] / sum;
      counts.shares[i * K + k] += share;
      square += share * ((px - law.mx[k]) ** 2 + (py - law.my[k]) ** 2);
    }
    counts.squares[i] += square;
  }
  counts.n += 1;
}

// the two parts of what is shown
const parts = ({ older, newer }) => (older === newer ? [newer] : [older, newer]);

// places counted of each chain, and the step since which
export const nCounted = (run) => parts(run).reduce((n, counts) => n + counts.n, 0);
export const countedFrom = (run) => parts(run)[0].from;

// how often each cell was visited, by all chains
export function visited(run) {
  const [first, second] = parts(run);
  return second ? first.visited.map((v, cell) => v + second.visited[cell]) : first.visited;
}

// the mean over the chains of what each has found in time, and its standard error: the chains are independent
function overChains(run, name, width, at) {
  const found = parts(run).map((counts) => counts[name]), nTimes = nCounted(run);
  let sum = 0, squares = 0, n = 0;
  for (let i = 0; i < run.n; i++) {
    let value = 0;
    for (const values of found) value += values[i * width + at];
    value /= nTimes;
    if (!Number.isFinite(value)) continue; // a chain that has left for ever
    n += 1;
    sum += value;
    squares += value * value;
  }
  const mean = sum / n;
  return { value: mean, standardError: Math.sqrt(Math.max(squares / n - mean * mean, 0) / (n - 1)) };
}

// weight of each mode: the mean of its posterior, exactly w_k where the chains have the law, however modes overlap
export function weights(run) {
  const K = run.law.K;
  return Array.from({ length: K }, (_, k) => overChains(run, "shares", K, k));
}

// variance per axis within a mode, sum_k r_k(x) |x - m_k|^2 / 2; under the law it is that of `exactVariance`
export function varianceInModes(run) {
  const { value, standardError } = overChains(run, "squares", 1, 0);
  return { value: value / 2, standardError: standardError / 2 };
}

export const exactVariance = ({ law, density }) => density.weights.reduce((sum, w, k) => sum + w * law.halfTrace(k), 0);

// share of the proposals kept, of samplers that adjust
export const acceptance = (run) => run.accepted / (run.n * run.nSteps);

// how many chains have left for ever
export function nDiverged(run) {
  let n = 0;
  for (let i = 0; i < run.n; i++) n += !(Number.isFinite(run.x[2 * i]) && Number.isFinite(run.x[2 * i + 1]));
  return n;
}
