// From noise to data: x' = x - h [f x - g^2 s_t(x)] + g sqrt(h) z, from time t back to u = t - h (Euler-Maruyama).
//
// Source: Anderson 1982; Song et al. 2021 (arXiv:2011.13456), eq. 6.
export function reverseSdeStep(sde, density, x, t, u, generator, work) {
  const s = density.moved(sde.alpha(t), sde.sigma(t)).score(x, work.score), z = generator.normals(work.normal);
  const h = t - u, f = sde.drift(t), g = sde.diffusion(t), a = g * Math.sqrt(h);
  for (let i = 0; i < x.length; i++) x[i] = x[i] - h * (f * x[i] - g * g * s[i]) + a * z[i];
}
