// Langevin dynamics: x' = x + eps/2 s(x) + sqrt(T eps) z. Its law is not quite p: on N(m, v) it is N(m, v / (1 - eps/(4v))).
//
// Source: Song & Ermon 2019 (arXiv:1907.05600), eq. 4.
export function langevinStep(law, x, stepSize, temperature, generator, work) {
  const s = law.score(x, work.score), z = generator.normals(work.normal);
  const a = 0.5 * stepSize, b = Math.sqrt(temperature * stepSize);
  for (let i = 0; i < x.length; i++) x[i] = x[i] + a * s[i] + b * z[i];
}

// room for the scores and random numbers of n points, so that a step makes no garbage
export function workspace(n) {
  const array = (length) => new Float64Array(length);
  return {
    score: array(2 * n), normal: array(2 * n), uniform: array(n), proposal: array(2 * n), there: array(2 * n),
    logProb: array(n), velocity: array(2 * n), flow: array(2 * n),
  };
}
