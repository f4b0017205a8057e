// A training while it runs: a batch, its loss, a step of Adam; and the exact Fisher divergence of what is learned.
import { Adam } from "./adam.js";
import { denoising, denoisingOffset } from "./denoising.js";
import { nodesOf } from "./expectation.js";
import { ScoreMLP } from "./network.js";
import { Generator } from "./random.js";
import { sliced, slicedOffset } from "./sliced.js";

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

// settings: density, objective, sigma, nData (0: fresh points each step), width, batchSize, learningRate, seed
export function newTraining(settings) {
  const generator = new Generator(settings.seed), network = new ScoreMLP(settings.width, 2, generator);
  const run = { ...settings, generator, network, adam: new Adam(network.parameters, settings.learningRate), nSteps: 0 };
  run.data = settings.nData > 0 ? settings.density.sample(settings.nData, generator) : null;
  const learned = settings.density.blurred(OBJECTIVES[settings.objective].learns(settings.sigma));
  Object.assign(run, { law: learned.noised(0), nodes: nodesOf(learned) });
  run.information = run.nodes.information;
  run.offset = OBJECTIVES[settings.objective].offset(run);
  run.losses = []; // [step, mean loss since the last one, plus the offset]
  run.divergences = []; // [step, J]
  run.since = { sum: 0, n: 0 };
  return run;
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

// J = 1/2 E|s - s*|^2 = 1/2 E|s|^2 - E s . s* + 1/2 E|s*|^2 under the law whose score s* is learned; the loss since the last
// measurement joins the curve
export function measure(run) {
  const { x, mass, pull } = run.nodes, s = run.network.forward(x);
  let divergence = 0.5 * run.information;
  for (let i = 0; i < mass.length; i++) {
    const u = s[2 * i], v = s[2 * i + 1];
    divergence += mass[i] * (0.5 * (u * u + v * v) - u * pull[2 * i] - v * pull[2 * i + 1]);
  }
  run.divergences.push([run.nSteps, divergence]);
  if (run.since.n) run.losses.push([run.nSteps, run.since.sum / run.since.n + run.offset]);
  run.since = { sum: 0, n: 0 };
  return divergence;
}
