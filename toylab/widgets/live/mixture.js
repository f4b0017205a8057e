// Mixtures of Gaussians, p_sigma(x) = sum_k w_k N(x; m_k, C_k + sigma^2 I): log p, score and divergence in closed form.
//
// Points are kept in one array, [x_0, y_0, x_1, y_1, ...], the layout of a tensor [n, 2].
export class GaussianMixture {
  // weights [K], positive; means [K][2]; covariances [K] of [xx, xy, yy], which may be zero: points
  constructor(weights, means, covariances) {
    const total = weights.reduce((sum, w) => sum + w, 0);
    this.weights = weights.map((w) => w / total);
    this.means = means;
    this.covariances = covariances;
  }

  // the law of X + sigma Z, ready to be evaluated
  noised(sigma) {
    return this.moved(1, sigma);
  }

  // the law of alpha X + sigma Z
  moved(alpha, sigma) {
    return new Law(this.weights,
      this.means.map(([x, y]) => [alpha * x, alpha * y]),
      this.covariances.map(([a, b, c]) => [alpha ** 2 * a + sigma ** 2, alpha ** 2 * b, alpha ** 2 * c + sigma ** 2]));
  }

  // n draws: components by uniform numbers, then normal ones
  sample(n, generator, sigma = 0) {
    const x = new Float64Array(2 * n), which = generator.uniforms(new Float64Array(n));
    const z = generator.normals(new Float64Array(2 * n)), edges = [];
    this.weights.reduce((sum, w, k) => (edges[k] = sum + w), 0);
    const roots = this.covariances.map(([a, b, c]) => root(a + sigma ** 2, b, c + sigma ** 2));
    for (let i = 0; i < n; i++) {
      let k = 0;
      while (k < edges.length - 1 && edges[k] <= which[i] * edges[edges.length - 1]) k++;
      const [p, q, r] = roots[k];
      x[2 * i] = this.means[k][0] + p * z[2 * i];
      x[2 * i + 1] = this.means[k][1] + q * z[2 * i] + r * z[2 * i + 1];
    }
    return x;
  }

  // the mixture of X + sigma Z, to be noised further
  blurred(sigma) {
    return new GaussianMixture(this.weights, this.means, this.covariances.map(([a, b, c]) => [a + sigma ** 2, b, c + sigma ** 2]));
  }
}

// the lower root [p, q, r] of a covariance, [[p, 0], [q, r]]
function root(a, b, c) {
  const p = Math.sqrt(a), q = p > 0 ? b / p : 0;
  return [p, q, Math.sqrt(Math.max(c - q * q, 0))];
}

// A mixture at one noise level, with what does not depend on the point computed once.
export class Law {
  constructor(weights, means, covariances) {
    const K = weights.length;
    this.K = K;
    this.mx = Float64Array.from(means, (m) => m[0]);
    this.my = Float64Array.from(means, (m) => m[1]);
    this.a = new Float64Array(K); // the inverse of C_k, [[a, b], [b, c]]
    this.b = new Float64Array(K);
    this.c = new Float64Array(K);
    this.top = new Float64Array(K); // log w_k + log N(m_k; m_k, C_k)
    covariances.forEach(([xx, xy, yy], k) => {
      const det = xx * yy - xy * xy;
      this.a[k] = yy / det;
      this.b[k] = -xy / det;
      this.c[k] = xx / det;
      this.top[k] = Math.log(weights[k]) - Math.log(2 * Math.PI) - 0.5 * Math.log(det);
    });
    this.logs = new Float64Array(K);
  }

  // half the trace of C_k
  halfTrace(k) {
    return (0.5 * (this.a[k] + this.c[k])) / (this.a[k] * this.c[k] - this.b[k] ** 2);
  }

  // log w_k N(x; m_k, C_k) for each k into `logs`; their largest
  joint(x, y) {
    let most = -Infinity;
    for (let k = 0; k < this.K; k++) {
      const u = x - this.mx[k], v = y - this.my[k];
      const log = this.top[k] - 0.5 * (this.a[k] * u * u + 2 * this.b[k] * u * v + this.c[k] * v * v);
      this.logs[k] = log;
      if (log > most) most = log;
    }
    return most;
  }

  // log p [n] of points [2n]
  logProb(x, out = new Float64Array(x.length / 2)) {
    for (let i = 0; i < out.length; i++) {
      const most = this.joint(x[2 * i], x[2 * i + 1]);
      let sum = 0;
      for (let k = 0; k < this.K; k++) sum += Math.exp(this.logs[k] - most);
      out[i] = most + Math.log(sum);
    }
    return out;
  }

  // score [2n]; log p [n] too, where an array is given for it
  score(x, out = new Float64Array(x.length), logProb = null) {
    for (let i = 0; i < x.length / 2; i++) {
      const px = x[2 * i], py = x[2 * i + 1], most = this.joint(px, py);
      let sum = 0, sx = 0, sy = 0;
      for (let k = 0; k < this.K; k++) {
        const share = Math.exp(this.logs[k] - most), u = this.mx[k] - px, v = this.my[k] - py;
        sum += share;
        sx += share * (this.a[k] * u + this.b[k] * v);
        sy += share * (this.b[k] * u + this.c[k] * v);
      }
      out[2 * i] = sx / sum;
      out[2 * i + 1] = sy / sum;
      if (logProb) logProb[i] = most + Math.log(sum);
    }
    return out;
  }

  // the divergence of the score, [n]: sum_k r_k (|u_k - s|^2 - tr C_k^-1), with u_k = C_k^-1 (m_k - x)
  divergence(x) {
    const out = new Float64Array(x.length / 2), s = this.score(x), { K, a, b, c, logs } = this;
    for (let i = 0; i < out.length; i++) {
      const px = x[2 * i], py = x[2 * i + 1], most = this.joint(px, py);
      let sum = 0, curved = 0;
      for (let k = 0; k < K; k++) {
        const share = Math.exp(logs[k] - most), u = this.mx[k] - px, v = this.my[k] - py;
        sum += share;
        curved += share * ((a[k] * u + b[k] * v - s[2 * i]) ** 2 + (b[k] * u + c[k] * v - s[2 * i + 1]) ** 2 - a[k] - c[k]);
      }
      out[i] = curved / sum;
    }
    return out;
  }
}
