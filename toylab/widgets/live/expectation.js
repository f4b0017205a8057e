// Expectations under a Gaussian mixture, in the coordinates of each of its modes: as exact for narrow and distant modes as
// for wide ones.
//
// E_p f = sum_k w_k E f(m_k + R_k z) with z normal, by the trapezoid rule on a lattice of z: for smooth f it converges
// exponentially.
import { GaussianMixture } from "./mixture.js";

const LATTICE_REACH = 5.5, SPACINGS = [0.75, 1.2]; // in standard deviations: how far a lattice goes, and from node to node
const MANY_NODES = 2400; // of so many modes that they would have more, nodes are up to 1.2 apart
const MOST_NODES = 4000, FINEST = 0.05; // where narrower modes lie in a wide one its nodes are closer, as far as these let them
const MEET = 30; // squared deviations between two modes that share any place

// {x [2n], mass [n], pull [2n]: C_k^-1 (m_k - x) of the node's own mode, information: E|s*|^2}
//
// The gradient of p is p s* = sum_k w_k N_k pull_k, so that E s . s* = E s . pull. In E|s*|^2 alone stands the law's own score:
// the modes are added one by one, from the widest on, and what each changes is summed over its own nodes.
export function nodesOf({ weights, means, covariances }) {
  const modes = covariances.map((C, k) => ({ weight: weights[k], mean: means[k], C, ...axesOf(C) }))
    .sort((one, other) => other.lengths[1] - one.lengths[1]);
  const step = Math.min(Math.max(SPACINGS[0], Math.sqrt((modes.length * Math.PI * LATTICE_REACH ** 2) / MANY_NODES)), SPACINGS[1]);
  const asked = modes.map((mode) => mode.axes.map((axis, a) => step * finenessAlong(mode, axis, mode.lengths[a], modes)));
  const steps = (wider) => asked.map((both) => both.map((one) => Math.min(step, one * wider)));
  const count = (all) => all.reduce((sum, [h, l]) => sum + (Math.PI * LATTICE_REACH ** 2) / (h * l), 0);
  let wider = 1;
  while (wider < 1 / FINEST && count(steps(wider)) > MOST_NODES) wider *= 1.1;
  const x = [], mass = [], pull = [];
  let information = 0;
  modes.forEach((mode, k) => {
    const mine = latticeOf(mode, steps(wider)[k]);
    information += squaresOf(modes.slice(0, k + 1), mine) - squaresOf(modes.slice(0, k), mine);
    for (let i = 0; i < mine.mass.length; i++) {
      x.push(mine.x[2 * i], mine.x[2 * i + 1]);
      mass.push(mine.mass[i]);
      pull.push(mine.pull[2 * i], mine.pull[2 * i + 1]);
    }
  });
  return { x: Float64Array.from(x), mass: Float64Array.from(mass), pull: Float64Array.from(pull), information };
}

// standard deviations of a covariance [xx, xy, yy], and the directions that they have
function axesOf([a, b, c]) {
  const turned = 0.5 * Math.atan2(2 * b, a - c), [u, v] = [Math.cos(turned), Math.sin(turned)];
  const half = 0.5 * (a + c), gap = Math.hypot(0.5 * (a - c), b), most = half + gap;
  return { axes: [[u, v], [-v, u]], lengths: [Math.sqrt(most), Math.sqrt((a * c - b * b) / most)] };
}

// how much closer the nodes of a mode should be along one of its axes, for the narrowest mode that it meets
function finenessAlong(mode, [u, v], length, modes) {
  const widths = modes.filter((other) => apart(mode, other) < MEET).map(({ C: [a, b, c] }) =>
    Math.sqrt((a * c - b * b) / (c * u * u - 2 * b * u * v + a * v * v)));
  return Math.max(FINEST, Math.min(1, ...widths.map((width) => width / length)));
}

// (m - m')^T (C + C')^-1 (m - m')
function apart(one, other) {
  const [a, b, c] = one.C.map((v, i) => v + other.C[i]), u = one.mean[0] - other.mean[0], v = one.mean[1] - other.mean[1];
  return (c * u * u - 2 * b * u * v + a * v * v) / (a * c - b * b);
}

// the nodes of one mode, and the area of the plane that each stands for
function latticeOf({ weight, mean, axes, lengths }, steps) {
  const x = [], mass = [], pull = [], [n, m] = steps.map((step) => Math.floor(LATTICE_REACH / step));
  for (let j = -m; j <= m; j++) {
    for (let i = -n; i <= n; i++) {
      const z = [i * steps[0], j * steps[1]], square = z[0] ** 2 + z[1] ** 2;
      if (square > LATTICE_REACH ** 2) continue;
      for (const axis of [0, 1]) {
        x.push(mean[axis] + z[0] * lengths[0] * axes[0][axis] + z[1] * lengths[1] * axes[1][axis]);
        pull.push(-(z[0] / lengths[0]) * axes[0][axis] - (z[1] / lengths[1]) * axes[1][axis]);
      }
      mass.push(Math.exp(-0.5 * square));
    }
  }
  const total = mass.reduce((sum, one) => sum + one, 0);
  return { x: Float64Array.from(x), pull, mass: mass.map((one) => (weight * one) / total), cell: steps[0] * steps[1] * lengths[0] * lengths[1] };
}

// the integral of |grad p|^2 / p for the p of some of the modes, which need not be all, over the nodes of one
function squaresOf(modes, { x, cell }) {
  if (modes.length === 0) return 0;
  const total = modes.reduce((sum, { weight }) => sum + weight, 0);
  const law = new GaussianMixture(modes.map(({ weight }) => weight), modes.map(({ mean }) => mean), modes.map(({ C }) => C)).noised(0);
  const logs = new Float64Array(x.length / 2), s = law.score(x, undefined, logs);
  return total * cell * logs.reduce((sum, log, i) => sum + Math.exp(log) * (s[2 * i] ** 2 + s[2 * i + 1] ** 2), 0);
}
