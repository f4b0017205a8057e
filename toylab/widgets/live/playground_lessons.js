// Lessons of the playground: what is set, the question, and the number that answers it.
const everywhere = [];
const base = { sigma: 0, n: 1000, seed: 0, speed: 1, start: everywhere };
const langevin = (stepSize, temperature = 1) => ({ sampler: "langevin", stepSize, nTimes: 200, temperature });
const other = (sampler, stepSize) => ({ sampler, stepSize, nTimes: 200, temperature: 1 });

export const LESSONS = {
  weights: {
    title: "Two far modes: can Langevin move the weights?",
    question: "The chains start everywhere, half of them nearer to either mode. Which share ends at A? The law says 0.2.",
    state: { ...base, density: "two_far_modes", a: langevin(0.05), b: other("annealed_langevin", 0.01) },
  },
  wide: {
    title: "A step too large: which variance has Langevin?",
    question: "One Gaussian of variance 1, step size ε = 2. Langevin’s own law has the variance 1 / (1 − ε/4) = 2. And MALA’s?",
    state: { ...base, density: "gaussian", a: langevin(2), b: other("mala", 2) },
  },
  near: {
    title: "All start in the lesser mode: who gets out?",
    question: "Two near modes, all chains at A. How long until a share of 0.8 is at B?",
    state: { ...base, density: "two_near_modes", start: [[-1, -1]], a: langevin(0.1), b: other("hmc", 0.1) },
  },
  cold: {
    title: "Without noise: what does ascent find?",
    question: "At temperature 0 a step only climbs log p. What is the variance in a mode then? The law has 0.09.",
    state: { ...base, density: "ring", a: langevin(0.05, 0), b: langevin(0.05) },
  },
  diffusion: {
    title: "From noise to data: with noise or without",
    question: "Both start from N(0, I) and use the exact score. One path is rough, one is smooth; are the shares the same?",
    state: { ...base, density: "two_far_modes", a: other("reverse_sde", 0.1), b: other("probability_flow", 0.1) },
  },
};
