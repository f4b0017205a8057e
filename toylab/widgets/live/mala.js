// The Metropolis-adjusted Langevin algorithm: propose y ~ q(. | x) = N(x + eps/2 s(x), eps I), keep it with probability
// min(1, p(y) q(x|y) / (p(x) q(y|x))), so that p is exactly invariant at any step size.
//
// Source: Roberts & Tweedie 1996, section 1.4.
import { acceptReject } from "./accept_reject.js";

export function malaStep(law, state, stepSize, generator, work) {
  const { x, score } = state, root = Math.sqrt(stepSize), y = work.proposal, z = generator.normals(work.normal);
  for (let i = 0; i < x.length; i++) y[i] = x[i] + root * (z[i] + 0.5 * root * score[i]);
  law.score(y, work.there, work.logProb);
  const logRatio = new Float64Array(x.length / 2);
  for (let i = 0; i < logRatio.length; i++) {
    let dot = 0; // log q(x|y) - log q(y|x) = -h . (z + h/2), with h = root/2 (s(x) + s(y))
    for (const j of [2 * i, 2 * i + 1]) {
      const both = score[j] + work.there[j];
      dot += both * (z[j] + 0.25 * root * both);
    }
    logRatio[i] = work.logProb[i] - state.logProb[i] - 0.5 * root * dot;
  }
  return acceptReject(state, y, work.there, work.logProb, logRatio, generator, work);
}
