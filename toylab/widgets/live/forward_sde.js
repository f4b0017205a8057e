// From data to noise: x' = x + f x h + g sqrt(h) z, from time t to u = t + h (Euler-Maruyama).
//
// Source: Song et al. 2021 (arXiv:2011.13456), eq. 5.
export function forwardSdeStep(sde, x, t, u, generator, work) {
  const h = u - t, z = generator.normals(work.normal), f = sde.drift(t), a = sde.diffusion(t) * Math.sqrt(h);
  for (let i = 0; i < x.length; i++) x[i] = x[i] + h * f * x[i] + a * z[i];
}
