// Adam, with torch's own settings.
//
// Source: Kingma & Ba 2015 (arXiv:1412.6980), algorithm 1.
export class Adam {
  constructor(parameters, learningRate) {
    this.parameters = parameters;
    this.learningRate = learningRate;
    this.m = parameters.map((p) => new Float64Array(p.length));
    this.v = parameters.map((p) => new Float64Array(p.length));
    this.n = 0;
  }

  step(gradients) {
    this.n += 1;
    const first = 1 - 0.9 ** this.n, second = 1 - 0.999 ** this.n;
    this.parameters.forEach((p, k) => {
      const m = this.m[k], v = this.v[k], g = gradients[k];
      for (let i = 0; i < p.length; i++) {
        m[i] = 0.9 * m[i] + 0.1 * g[i];
        v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
        p[i] -= (this.learningRate * (m[i] / first)) / (Math.sqrt(v[i] / second) + 1e-8);
      }
    });
  }
}
