// A film: points that follow a diffusion through time under three scores. The exact one; that of N data, which is exact for
// the law of these N points; and the one that a network has learned from them.
import { fit } from "./fit.js";
import { forwardSdeStep } from "./forward_sde.js";
import { workspace } from "./langevin.js";
import { GaussianMixture } from "./mixture.js";
import { noiseConditional } from "./noise_conditional.js";
import { NoiseConditionalMLP } from "./noise_network.js";
import { flowStep } from "./probability_flow.js";
import { Generator } from "./random.js";
import { reverseSdeStep } from "./reverse_sde.js";
import { uniform } from "./schedules.js";
import { VP } from "./sde.js";
import { gaussianStart } from "./starts.js";

export const N_FRAMES = 100; // steps in time, so that there are N_FRAMES + 1 pictures
export const FILM_WIDTH = 64, FILM_DEPTH = 3, FILM_BATCH = 128; // of the network, and of its training
const N_TESTED = 500; // points at which a score is held against the exact one, at each frame

// from 1 to t_min, evenly in the root of t: the end is seen slowly
const timesBack = (sde) => uniform(1, Math.sqrt(sde.tMin), N_FRAMES + 1).map((root) => root * root);

// step: of the points under a score, from time t to u; forth: from data to noise
export const WAYS = {
  flow: { name: "back by the probability flow", step: (film, score, x, t, u) => flowStep(film.sde, score, x, t, u, film.work) },
  sde: {
    name: "back by the reverse SDE",
    step: (film, score, x, t, u, generator) => reverseSdeStep(film.sde, score, x, t, u, generator, film.work),
  },
  flow_forth: {
    name: "forth by the probability flow", forth: true,
    step: (film, score, x, t, u) => flowStep(film.sde, score, x, t, u, film.work),
  },
  sde_forth: {
    name: "forth by the SDE", forth: true,
    step: (film, score, x, t, u, generator) => forwardSdeStep(film.sde, x, t, u, generator, film.work),
  },
};

// What a network has learned on plain noise, at the times of an SDE: s_t(x) = s(x / alpha, sigma / alpha) / alpha
class Learned {
  constructor(network) {
    this.network = network;
  }
  moved(alpha, sigma) {
    const level = sigma / alpha;
    return {
      score: (x, out = new Float64Array(x.length)) => {
        const s = this.network.forward(x.map((v) => v / alpha), new Float64Array(x.length / 2).fill(level));
        for (let j = 0; j < x.length; j++) out[j] = s[j] / alpha;
        return out;
      },
    };
  }
}

// settings: density, way, nData, n (points that move), train (steps), seed; before: a film whose network is kept if it is the same
export function newFilm(settings, before = null) {
  const { density, nData, n, seed, way } = settings, sde = new VP();
  const film = { ...settings, sde, work: workspace(n), nLearned: 0, errors: null };
  if (before && ["density", "nData", "train", "seed"].every((name) => before[name] === settings[name])) {
    const { data, network, learning, nLearned, errors } = before;
    Object.assign(film, { data, network, learning, nLearned, errors });
  } else {
    const generator = new Generator(seed);
    film.data = density.sample(nData, generator);
    film.network = new NoiseConditionalMLP(FILM_WIDTH, FILM_DEPTH, generator);
    film.learning = learn(film, generator);
  }
  film.times = timesBack(sde);
  if (WAYS[way].forth) film.times.reverse();
  const points = Array.from({ length: nData }, (_, i) => [film.data[2 * i], film.data[2 * i + 1]]);
  const empirical = new GaussianMixture(points.map(() => 1), points, points.map(() => [0, 0, 0]));
  const draw = (generator) => density.sample(n, generator), drawData = (generator) => batchOf(film, n, generator);
  film.columns = {
    exact: { score: density, law: density, draw, path: [] },
    empirical: { score: empirical, law: empirical, draw: drawData, path: [] },
    learned: { score: new Learned(film.network), law: density, draw, path: [] }, // it has no density of its own
  };
  return film;
}

// Makes the film by small pieces of work, and yields after each.
export function* making(film) {
  yield* follow(film, film.columns.exact);
  yield* follow(film, film.columns.empirical);
  for (let step = film.learning.next(); !step.done; step = film.learning.next()) { // a training goes on where it was left
    film.nLearned = step.value;
    yield;
  }
  yield* follow(film, film.columns.learned);
  if (!film.errors) yield* measureErrors(film);
}

// n of the data [2n], each as likely
function batchOf({ data, nData }, n, generator) {
  const x = new Float64Array(2 * n);
  for (let i = 0; i < n; i++) {
    const k = generator.integer(nData);
    x.set(data.subarray(2 * k, 2 * k + 2), 2 * i);
  }
  return x;
}

// the training of the network on batches of the data
function learn(film, generator) {
  const { sde, network, train } = film, batch = () => batchOf(film, FILM_BATCH, generator);
  if (train > 0) batch(); // toylab.training.fit looks at one before it begins
  return fit(network, (s, x) => noiseConditional(s, x, sde, generator), batch, train);
}

// the path [frame] of points [2n] of a column, all from the same start with the same random numbers
function* follow(film, column) {
  const { times, n, seed, way, sde } = film, generator = new Generator(seed + 1), { forth, step } = WAYS[way];
  const x = forth ? startForth(film, column, generator) : gaussianStart(n, 1, generator);
  column.path = [x.slice()];
  for (let k = 0; k < N_FRAMES; k++) {
    step(film, column.score, x, times[k], times[k + 1], generator);
    column.path.push(x.slice());
    yield;
  }
}

// draws of the column's law, noised as at the first time
function startForth({ n, sde, times }, column, generator) {
  const x = column.draw(generator), z = generator.normals(new Float64Array(2 * n));
  const alpha = sde.alpha(times[0]), sigma = sde.sigma(times[0]);
  return x.map((v, j) => alpha * v + sigma * z[j]);
}

// how far the other two scores are from the exact one, sigma^2 / 2 E|s - s*|^2 over draws of x_t: at each of the times back
function* measureErrors(film) {
  const { density, sde, seed, columns } = film, generator = new Generator(seed + 2), found = { empirical: [], learned: [] };
  const x0 = density.sample(N_TESTED, generator), z = generator.normals(new Float64Array(2 * N_TESTED));
  for (const t of timesBack(sde)) {
    const alpha = sde.alpha(t), sigma = sde.sigma(t), x = x0.map((v, j) => alpha * v + sigma * z[j]);
    const exact = density.moved(alpha, sigma).score(x);
    for (const [name, points] of Object.entries(found)) {
      const s = columns[name].score.moved(alpha, sigma).score(x);
      const squares = Float64Array.from({ length: N_TESTED }, (_, i) => 0.5 * sigma ** 2
        * ((s[2 * i] - exact[2 * i]) ** 2 + (s[2 * i + 1] - exact[2 * i + 1]) ** 2));
      points.push({ t, ...meanOf(squares) });
    }
    yield;
  }
  film.errors = found;
}

// of one of the scores at a frame; undefined until it is measured
export const errorAt = ({ errors, way }, name, frame) => errors?.[name]?.[WAYS[way].forth ? N_FRAMES - frame : frame];

// a mean and its standard error
function meanOf(values) {
  const n = values.length, mean = values.reduce((sum, v) => sum + v, 0) / n;
  return { value: mean, standardError: Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (n * (n - 1))) };
}

// weight of each mode at a frame: the mean over the points of their posterior under the exact law at that time
export function weightsAt(film, column, frame) {
  const { sde, density, n } = film, t = film.times[frame], law = density.moved(sde.alpha(t), sde.sigma(t)), x = column.path[frame];
  const shares = Array.from({ length: law.K }, () => new Float64Array(n));
  for (let i = 0; i < n; i++) {
    const most = law.joint(x[2 * i], x[2 * i + 1]), sum = law.logs.reduce((all, log) => all + Math.exp(log - most), 0);
    shares.forEach((share, k) => { share[i] = Math.exp(law.logs[k] - most) / sum; });
  }
  return shares.map(meanOf);
}

// the median over the points of the distance to the nearest of the data, at the scale of the data: |x / alpha - x_i|
export function nearestDatum(film, column, frame) {
  const { sde, data, nData, n } = film, alpha = sde.alpha(film.times[frame]), x = column.path[frame];
  const distances = Float64Array.from({ length: n }, (_, i) => {
    let least = Infinity;
    for (let k = 0; k < nData; k++) {
      least = Math.min(least, (x[2 * i] / alpha - data[2 * k]) ** 2 + (x[2 * i + 1] / alpha - data[2 * k + 1]) ** 2);
    }
    return Math.sqrt(least);
  }).sort();
  return n % 2 ? distances[(n - 1) / 2] : 0.5 * (distances[n / 2 - 1] + distances[n / 2]);
}
