// A noise-conditional score network, scaled so that one serves sigma from 0.01 to 20:
// s(x, sigma) = -x / t^2 + sd / (sigma t) F(gain x / t, log(sigma) / 2), t^2 = sigma^2 + sd^2, F of silu layers.
//
// The same as toylab.networks.NoiseConditionalMLP, with the same initial weights for the same seed.
// Source: the scaling is that of Karras et al. 2022 (arXiv:2206.00364), section 5.
import { Layers, silu } from "./network.js";

const DATA_STD = 4, GAIN = 2;

export class NoiseConditionalMLP {
  constructor(width, depth, generator) {
    this.inside = new Layers([3, ...Array(depth).fill(width), 2], silu, generator);
  }

  get parameters() { return this.inside.parameters; }
  get gradients() { return this.inside.gradients; }

  // s [2n] at points x [2n] and levels sigma [n]
  forward(x, sigma) {
    const n = sigma.length, features = new Float64Array(3 * n);
    this.scale = new Float64Array(n); // sd / (sigma t), for `backward`
    for (let i = 0; i < n; i++) {
      const t = Math.hypot(sigma[i], DATA_STD);
      features.set([(GAIN * x[2 * i]) / t, (GAIN * x[2 * i + 1]) / t, Math.log(sigma[i]) / 2], 3 * i);
      this.scale[i] = DATA_STD / (sigma[i] * t);
    }
    return this.inside.forward(features).map((f, j) => {
      const i = j >> 1;
      return this.scale[i] * f - x[j] / (sigma[i] ** 2 + DATA_STD ** 2);
    });
  }

  // adds to the gradients those of a loss, from its derivatives by s, [2n]
  backward(ds) {
    this.inside.backward(ds.map((one, j) => one * this.scale[j >> 1]));
  }

  forget() { this.inside.forget(); }
}
