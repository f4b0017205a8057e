// The probability flow dx/dt = f x - 1/2 g^2 s_t(x): points that move without noise and have the law of x_t at each time.
//
// Source: Song et al. 2021 (arXiv:2011.13456), eq. 13.
export function flowVelocity(sde, density, x, t, out) {
  const s = density.moved(sde.alpha(t), sde.sigma(t)).score(x, out), f = sde.drift(t), half = 0.5 * sde.diffusion(t) ** 2;
  for (let i = 0; i < x.length; i++) out[i] = f * x[i] - half * s[i];
  return out;
}

// a step of Heun's method from time t to u
export function flowStep(sde, density, x, t, u, work) {
  const h = u - t, v = flowVelocity(sde, density, x, t, work.velocity), y = work.proposal;
  for (let i = 0; i < x.length; i++) y[i] = x[i] + h * v[i];
  const w = flowVelocity(sde, density, y, u, work.flow);
  for (let i = 0; i < x.length; i++) x[i] += 0.5 * h * (v[i] + w[i]);
}
