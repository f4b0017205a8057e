// Hamiltonian Monte Carlo: draw v ~ N(0, I), follow the leapfrog of step h = sqrt(eps), keep where it ends with
// probability min(1, e^(H(x, v) - H(y, w))), H = -log p(x) + |v|^2 / 2.
//
// Source: Duane et al. 1987; Neal 2011 (arXiv:1206.1901), section 3.
import { acceptReject } from "./accept_reject.js";

export function hmcStep(law, state, stepSize, nLeapfrog, generator, work) {
  const h = Math.sqrt(stepSize), v = generator.normals(work.normal), y = work.proposal, s = work.there, n = v.length / 2;
  const logRatio = new Float64Array(n), half = (a) => 0.5 * (v[2 * a] ** 2 + v[2 * a + 1] ** 2);
  y.set(state.x);
  s.set(state.score);
  for (let i = 0; i < n; i++) logRatio[i] = half(i) - state.logProb[i];
  for (let k = 0; k < nLeapfrog; k++) {
    for (let j = 0; j < v.length; j++) {
      v[j] += 0.5 * h * s[j];
      y[j] += h * v[j];
    }
    law.score(y, s, work.logProb);
    for (let j = 0; j < v.length; j++) v[j] += 0.5 * h * s[j];
  }
  for (let i = 0; i < n; i++) logRatio[i] += work.logProb[i] - half(i);
  return acceptReject(state, y, s, work.logProb, logRatio, generator, work);
}
