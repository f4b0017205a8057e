// Fully connected layers W_L a(... a(W_1 x + b_1) ...) + b_L and their derivatives by hand: forwards along directions v,
// (grad s)(x) v, and backwards from both to the weights.
export class Layers {
  // sizes: of the input, of each layer; activation: a and a', and a'' if there are to be directions
  constructor(sizes, activation, generator) {
    this.activation = activation;
    this.layers = sizes.slice(1).map((nOut, l) => {
      const nIn = sizes[l], bound = Math.fround(1 / Math.sqrt(nIn)); // drawn in single precision, as by torch
      const draw = (n) => Float64Array.from({ length: n }, () => Math.fround(bound * (2 * generator.uniform32() - 1)));
      return { nIn, nOut, W: draw(nIn * nOut), b: draw(nOut), gW: new Float64Array(nIn * nOut), gb: new Float64Array(nOut) };
    });
  }

  // all numbers that are learned, and their derivatives
  get parameters() { return this.layers.flatMap(({ W, b }) => [W, b]); }
  get gradients() { return this.layers.flatMap(({ gW, gb }) => [gW, gb]); }

  // s(x) [n nOut] of points [n nIn]; with directions v [n nIn] also (grad s) v, in `along`. What `backward` needs is kept.
  forward(x, v = null) {
    const n = x.length / this.layers[0].nIn, { a: value, slope } = this.activation;
    this.seen = [];
    let h = x, t = v;
    this.layers.forEach((layer, l) => {
      const a = times(layer, h, n, layer.b), u = t && times(layer, t, n, null), last = l === this.layers.length - 1;
      this.seen.push({ h, t, a, u });
      if (last) [h, t] = [a, u];
      else {
        h = a.map(value);
        t = u && u.map((one, i) => slope(a[i]) * one);
      }
    });
    this.along = t;
    return h;
  }

  // adds to the gradients those of a loss, from its derivatives by s(x) and by (grad s) v, [n nOut] each
  backward(ds, dAlong = null) {
    const n = ds.length / this.layers.at(-1).nOut, { slope, bend } = this.activation;
    let da = ds, du = dAlong;
    for (let l = this.layers.length - 1; l >= 0; l--) {
      const layer = this.layers[l], { h, t } = this.seen[l];
      addOuter(layer.gW, da, h, n, layer);
      if (du) addOuter(layer.gW, du, t, n, layer);
      for (let i = 0; i < n; i++) for (let o = 0; o < layer.nOut; o++) layer.gb[o] += da[i * layer.nOut + o];
      if (l === 0) return;
      const dh = timesTransposed(layer, da, n), dt = du && timesTransposed(layer, du, n), { a, u } = this.seen[l - 1];
      da = dh.map((one, i) => one * slope(a[i]) + (dt ? dt[i] * u[i] * bend(a[i]) : 0));
      du = dt && dt.map((one, i) => one * slope(a[i]));
    }
  }

  forget() {
    for (const gradient of this.gradients) gradient.fill(0);
  }
}

const logistic = (a) => 1 / (1 + Math.exp(-a));

export const softplus = {
  a: (x) => (x > 30 ? x : Math.log1p(Math.exp(x))),
  slope: logistic,
  bend: (x) => logistic(x) * (1 - logistic(x)),
};

// x logistic(x)
export const silu = {
  a: (x) => x * logistic(x),
  slope: (x) => logistic(x) * (1 + x * (1 - logistic(x))),
};

// A score network s(x) with softplus layers: toylab.networks.ScoreMLP, with the same initial weights for the same seed.
export class ScoreMLP extends Layers {
  constructor(width, depth, generator) {
    super([2, ...Array(depth).fill(width), 2], softplus, generator);
  }
}

// W h + b for each of n points, [n nOut]
function times({ nIn, nOut, W }, h, n, b) {
  const out = new Float64Array(n * nOut);
  for (let i = 0; i < n; i++) {
    for (let o = 0; o < nOut; o++) {
      let sum = b ? b[o] : 0;
      for (let k = 0, w = o * nIn, j = i * nIn; k < nIn; k++) sum += W[w + k] * h[j + k];
      out[i * nOut + o] = sum;
    }
  }
  return out;
}

// W^T d for each of n points, [n nIn]
function timesTransposed({ nIn, nOut, W }, d, n) {
  const out = new Float64Array(n * nIn);
  for (let i = 0; i < n; i++) {
    for (let o = 0; o < nOut; o++) {
      const one = d[i * nOut + o];
      for (let k = 0, w = o * nIn, j = i * nIn; k < nIn; k++) out[j + k] += one * W[w + k];
    }
  }
  return out;
}

// gW += sum over the points of d h^T
function addOuter(gW, d, h, n, { nIn, nOut }) {
  for (let i = 0; i < n; i++) {
    for (let o = 0; o < nOut; o++) {
      const one = d[i * nOut + o];
      for (let k = 0, w = o * nIn, j = i * nIn; k < nIn; k++) gW[w + k] += one * h[j + k];
    }
  }
}
