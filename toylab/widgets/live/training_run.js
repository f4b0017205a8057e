// A training while it runs: a batch, its loss, a step of Adam; and the exact Fisher divergence of what is learned.
import { Adam } from "./adam.js";
import { denoising, denoisingOffset } from "./denoising.js";
import { ScoreMLP } from "./network.js";
import { gridPoints } from "./plane.js";
import { Generator } from "./random.js";
import { sliced, slicedOffset } from "./sliced.js";

const GRID = 48; // cells per side of the quadrature

// learns: the noise level of the law whose score is the minimiser
export const OBJECTIVES = {
  denoising: {
    name: "denoising", learns: (sigma) => sigma, loss: (run, x) => denoising(run.network, x, run.sigma, run.generator),
    offset: (run) => denoisingOffset(run.information, run.sigma),
  },
  sliced: {
    name: "sliced", learns: () => 0, loss: (run, x) => sliced(run.network, x, run.generator), offset: (run) => slicedOffset(run.information),
  },
};

// settings: density, objective, sigma, nData (0: fresh points each step), width, batchSize, learningRate, seed, extent
export function newTraining(settings) {
  const generator = new Generator(settings.seed), network = new ScoreMLP(settings.width, 2, generator);
  const run = { ...settings, generator, network, adam: new Adam(network.parameters, settings.learningRate), nSteps: 0 };
  run.data = settings.nData > 0 ? settings.density.sample(settings.nData, generator) : null;
  run.law = settings.density.noised(OBJECTIVES[settings.objective].learns(settings.sigma));
  run.grid = gridPoints(settings.extent, GRID);
  const [left, right, bottom, top] = settings.extent, cell = ((right - left) * (top - bottom)) / GRID ** 2;
  run.mass = run.law.logProb(run.grid).map((log) => cell * Math.exp(log));
  run.exact = run.law.score(run.grid);
  run.information = meanSquare(run, run.exact);
  run.offset = OBJECTIVES[settings.objective].offset(run);
  run.losses = []; // [step, mean loss since the last one, plus the offset]
  run.divergences = []; // [step, J]
  run.since = { sum: 0, n: 0 };
  return run;
}

// E|v|^2 under the law, by the grid
function meanSquare(run, v) {
  return run.mass.reduce((sum, mass, i) => sum + mass * (v[2 * i] ** 2 + v[2 * i + 1] ** 2), 0);
}

export function trainStep(run) {
  run.network.forget();
  run.since.sum += OBJECTIVES[run.objective].loss(run, batch(run));
  run.since.n += 1;
  run.adam.step(run.network.gradients);
  run.nSteps += 1;
}

function batch({ density, data, batchSize, generator, nData }) {
  if (!data) return density.sample(batchSize, generator);
  const x = new Float64Array(2 * batchSize);
  for (let i = 0; i < batchSize; i++) {
    const k = Math.floor(nData * generator.uniform());
    x[2 * i] = data[2 * k];
    x[2 * i + 1] = data[2 * k + 1];
  }
  return x;
}

// J = 1/2 E|s - s*|^2 under the law whose score is learned; the loss since the last measurement joins the curve
export function measure(run) {
  const s = run.network.forward(run.grid);
  const divergence = 0.5 * meanSquare(run, s.map((one, i) => one - run.exact[i]));
  run.divergences.push([run.nSteps, divergence]);
  if (run.since.n) run.losses.push([run.nSteps, run.since.sum / run.since.n + run.offset]);
  run.since = { sum: 0, n: 0 };
  return divergence;
}
