// A whole training, as toylab.training.fit does it by default: Adam, a rate that rises and falls once, averaged weights.
import { Adam } from "./adam.js";

const PEAK = 0.005, WARM_UP = 0.1, LONGEST = 0.99; // rate, share of the steps in which it rises, and decay of the average

const cosine = (t) => 0.5 * (1 + Math.cos(Math.PI * t));

// Up a cosine from 1/25 to 1, then down a cosine to 0, for t from 0 to 1.
//
// Source: Smith & Topin 2018 (arXiv:1708.07120).
export function oneCycle(t) {
  return t < WARM_UP ? 1 - (1 - 1 / 25) * cosine(t / WARM_UP) : cosine((t - WARM_UP) / (1 - WARM_UP));
}

// Yields after each of the steps; at the end the network has the averaged weights.
// batch: () -> points; loss: (network, points) -> mean loss, which adds its derivatives
export function* fit(network, loss, batch, nSteps) {
  const adam = new Adam(network.parameters, PEAK), means = network.parameters.map((w) => w.slice());
  for (let k = 0; k < nSteps; k++) {
    adam.learningRate = PEAK * oneCycle(k / nSteps);
    network.forget();
    loss(network, batch());
    adam.step(network.gradients);
    const share = Math.max(10 / (k + 10), 1 - LONGEST);
    means.forEach((mean, j) => {
      const latest = adam.parameters[j];
      for (let i = 0; i < mean.length; i++) mean[i] += share * (latest[i] - mean[i]);
    });
    yield k + 1;
  }
  network.parameters.forEach((w, j) => w.set(means[j]));
}
