// A law that is no mixture, by its log p on a grid: splines of log p between the nodes, and noise by sums over them.
import { Spline } from "./spline.js";

const FINE = 0.9; // noise of less than so many cells is averaged over: sums would see the nodes
const REACH = 6; // deviations of the noise beyond the square, as far as the noised law is known
const HERMITE = [
  [0, 0.45714285714285724], [1.1544053947399682, 0.2401231786050127], [2.366759410734541, 0.03075712396758652],
  [3.7504397177257425, 0.000548268855972217],
];
const NODES = HERMITE.flatMap(([x, w]) => (x ? [[-x, w], [x, w]] : [[x, w]])); // E f(Z) = sum w f(x), to degree 13
const KEPT = 32; // noised laws that are not computed again

export class GridDensity {
  // logs [n n], rows from the bottom, on the square [left, right, bottom, top], its ends included; mean [2]; variance per axis
  constructor({ logs, n, square, mean, variance }, noise = 0, laws = new Map()) {
    Object.assign(this, { logs, n, square, mean, variance, noise, laws, weights: [1] });
  }

  noised(sigma) {
    return this.moved(1, sigma);
  }

  // the law of X + sigma Z, to be noised further
  blurred(sigma) {
    return new GridDensity(this, Math.hypot(this.noise, sigma), this.laws);
  }

  // the law of alpha X + sigma Z
  moved(alpha, sigma) {
    const level = Math.hypot(this.noise, sigma / alpha);
    if (!this.laws.has(level)) {
      if (this.laws.size === KEPT) this.laws.delete(this.laws.keys().next().value);
      this.laws.set(level, this.splineAt(level));
    }
    return new GridLaw(this.laws.get(level), alpha, this.mean, this.variance + level ** 2);
  }

  // log of the law of X + sigma Z, a spline
  splineAt(sigma) {
    const { logs, n, square: [left, right, bottom] } = this, h = (right - left) / (n - 1);
    const clean = new Spline(logs, n, left, bottom, h);
    if (sigma === 0) return clean;
    if (sigma < FINE * h) return new Spline(averaged(clean, logs, sigma), n, left, bottom, h);
    const wide = (right - left + 2 * REACH * sigma) / (n - 1), far = REACH * sigma;
    return new Spline(summed(logs, n, h, wide, far, sigma), n, left - far, bottom - far, wide);
  }
}

// log E p(x + sigma Z) at the nodes of the grid, by Gauss-Hermite
function averaged(clean, logs, sigma) {
  const { n, left, bottom, h } = clean, slope = [0, 0], end = (n - 1) * h;
  const inside = (v, from) => Math.min(Math.max(v, from), from + end);
  return logs.map((log, k) => {
    const x = left + (k % n) * h, y = bottom + Math.floor(k / n) * h;
    let sum = 0;
    for (const [u, wu] of NODES) {
      for (const [v, wv] of NODES) {
        sum += wu * wv * Math.exp(clean.at(inside(x + sigma * u, left), inside(y + sigma * v, bottom), slope) - log);
      }
    }
    return log + Math.log(sum);
  });
}

// log of h^2 sum_y N(x; y, sigma^2 I) p(y) at n x n nodes, `wide` apart, from `far` beyond the square: two products of matrices
function summed(logs, n, h, wide, far, sigma) {
  const kernel = new Float64Array(n * n), p = logs.map(Math.exp), half = new Float64Array(n * n), out = new Float64Array(n * n);
  for (let a = 0; a < n; a++) {
    for (let i = 0; i < n; i++) {
      kernel[a * n + i] = (h * Math.exp(-0.5 * ((a * wide - far - i * h) / sigma) ** 2)) / (Math.sqrt(2 * Math.PI) * sigma);
    }
  }
  for (let j = 0; j < n; j++) {
    for (let a = 0; a < n; a++) {
      let sum = 0;
      for (let i = 0; i < n; i++) sum += kernel[a * n + i] * p[j * n + i];
      half[a * n + j] = sum;
    }
  }
  for (let b = 0; b < n; b++) {
    for (let a = 0; a < n; a++) {
      let sum = 0;
      for (let j = 0; j < n; j++) sum += kernel[b * n + j] * half[a * n + j];
      out[b * n + a] = Math.log(sum);
    }
  }
  return out;
}

// The law of alpha X, by the spline of log p of X; beyond its square log p falls off as that of a Gaussian of its variance.
// There the score is nearly its gradient, not quite: samplers that adjust are right with any drift, and hardly come there.
// It has one mode as far as weights are counted.
class GridLaw {
  constructor(spline, alpha, [x, y], variance) {
    Object.assign(this, { spline, alpha, variance, K: 1, mx: [alpha * x], my: [alpha * y], logs: [0], slope: [0, 0] });
  }

  // variance per axis
  halfTrace() {
    return this.alpha ** 2 * this.variance;
  }

  // log p at (x, y); its gradient is then in `slope`
  evaluate(x, y) {
    const { spline, alpha, slope, variance } = this, { left, bottom, h, n } = spline, end = (n - 1) * h;
    const u = x / alpha, v = y / alpha, cu = Math.min(Math.max(u, left), left + end), cv = Math.min(Math.max(v, bottom), bottom + end);
    let log = spline.at(cu, cv, slope);
    if (u !== cu || v !== cv) {
      const du = u - cu, dv = v - cv;
      log += slope[0] * du + slope[1] * dv - (0.5 * (du * du + dv * dv)) / variance;
      slope[0] -= du / variance;
      slope[1] -= dv / variance;
    }
    slope[0] /= alpha;
    slope[1] /= alpha;
    return log - 2 * Math.log(alpha);
  }

  joint(x, y) {
    this.logs[0] = Number.isFinite(x + y) ? this.evaluate(x, y) : NaN; // a chain that has left for ever
    return this.logs[0];
  }

  logProb(x, out = new Float64Array(x.length / 2)) {
    for (let i = 0; i < out.length; i++) out[i] = this.joint(x[2 * i], x[2 * i + 1]);
    return out;
  }

  score(x, out = new Float64Array(x.length), logProb = null) {
    for (let i = 0; i < x.length / 2; i++) {
      const log = this.joint(x[2 * i], x[2 * i + 1]), gone = Number.isNaN(log);
      out[2 * i] = gone ? NaN : this.slope[0];
      out[2 * i + 1] = gone ? NaN : this.slope[1];
      if (logProb) logProb[i] = log;
    }
    return out;
  }
}
