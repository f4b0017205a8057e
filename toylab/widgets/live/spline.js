// A function on a square grid, as a bicubic spline through its values: f and its gradient anywhere on the square.
//
// Source: Unser 1999, "Splines: a perfect fit for signal and image processing", boxes 2 and 3.
const POLE = Math.sqrt(3) - 2;

export class Spline {
  // values [n n], rows from the bottom; at `left + i h` and `bottom + j h`
  constructor(values, n, left, bottom, h) {
    Object.assign(this, { n, left, bottom, h });
    this.c = Float64Array.from(values);
    for (let row = 0; row < n; row++) coefficients(this.c, row * n, 1, n);
    for (let column = 0; column < n; column++) coefficients(this.c, column, n, n);
    this.wx = new Float64Array(8);
    this.wy = new Float64Array(8);
  }

  // f at (x, y); its gradient goes into `slope`, [2]
  at(x, y, slope) {
    const { n, c, wx, wy } = this, column = weigh((x - this.left) / this.h, n, wx), row = weigh((y - this.bottom) / this.h, n, wy);
    let f = 0, fx = 0, fy = 0;
    for (let j = 0; j < 4; j++) {
      const from = mirrored(row + j, n) * n;
      let sum = 0, rising = 0;
      for (let i = 0; i < 4; i++) {
        const value = c[from + mirrored(column + i, n)];
        sum += wx[i] * value;
        rising += wx[4 + i] * value;
      }
      f += wy[j] * sum;
      fx += wy[j] * rising;
      fy += wy[4 + j] * sum;
    }
    slope[0] = fx / this.h;
    slope[1] = fy / this.h;
    return f;
  }
}

// the four cubic weights about u, and their derivatives behind them; the index of the first
function weigh(u, n, w) {
  const i = Math.min(Math.max(Math.floor(u), 0), n - 2), t = u - i, s = 1 - t;
  w[0] = s ** 3 / 6;
  w[1] = 2 / 3 - t * t * (2 - t) / 2;
  w[2] = 2 / 3 - s * s * (2 - s) / 2;
  w[3] = t ** 3 / 6;
  w[4] = -s * s / 2;
  w[5] = t * (1.5 * t - 2);
  w[6] = -s * (1.5 * s - 2);
  w[7] = t * t / 2;
  return i - 1;
}

const mirrored = (i, n) => (i < 0 ? -i : i >= n ? 2 * n - 2 - i : i);

// values along one line of the grid become coefficients of the spline, in place: a filter forth and back
function coefficients(c, from, step, n) {
  const at = (i) => from + i * step;
  let first = 0, power = 1;
  for (let i = 0; i < Math.min(n, 40); i++, power *= POLE) first += power * c[at(i)];
  c[at(0)] = 6 * first;
  for (let i = 1; i < n; i++) c[at(i)] = 6 * c[at(i)] + POLE * c[at(i - 1)];
  c[at(n - 1)] = (POLE / (POLE * POLE - 1)) * (c[at(n - 1)] + POLE * c[at(n - 2)]);
  for (let i = n - 2; i >= 0; i--) c[at(i)] = POLE * (c[at(i + 1)] - c[at(i)]);
}
