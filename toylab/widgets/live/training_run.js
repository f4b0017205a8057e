// A training while it runs: a batch, its loss, a step of Adam; and the exact Fisher divergence of what is learned.
import { Adam } from "./adam.js";
import { denoising, denoisingOffset } from "./denoising.js";
import { nodesOf } from "./expectation.js";
import { ScoreMLP } from "./network.js";
import { Generator } from "./random.js";
import { sliced, slicedOffset } from "./sliced.js";

export const PIECE = 400; // points at which a network is evaluated in one go, so that a wide one does not hold up a page

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
// measurement joins the curve. It yields after each small part of the nodes.
export function* measuring(run) {
  const { x, mass, pull, information } = run.nodes;
  let divergence = 0.5 * information;
  for (let from = 0; from < mass.length; from += PIECE) {
    const s = run.network.forward(x.subarray(2 * from, 2 * (from + PIECE)));
    for (let i = 0, k = from; i < s.length / 2; i++, k++) {
      const u = s[2 * i], v = s[2 * i + 1];
      divergence += mass[k] * (0.5 * (u * u + v * v) - u * pull[2 * k] - v * pull[2 * k + 1]);
    }
    yield;
  }
  run.divergences.push([run.nSteps, divergence]);
  if (run.since.n) run.losses.push([run.nSteps, run.since.sum / run.since.n + run.offset]);
  run.since = { sum: 0, n: 0 };
}

// all of it at once: J
export function measure(run) {
  for (const _ of measuring(run));
  return run.divergences.at(-1)[1];
}
