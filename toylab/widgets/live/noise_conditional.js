// Denoising at many noise levels at once: sigma^2 / 2 |s(x + sigma z, sigma) + z / sigma|^2, a level drawn for each point.
//
// Source: Song & Ermon 2019 (arXiv:1907.05600), eq. 6; with levels at uniform times Ho et al. 2020 (arXiv:2006.11239), eq. 14.

// levels sigma(t) / alpha(t) at n times uniform on [t_min, 1]
export function levelsAtUniformTimes(sde, n, generator) {
  return generator.uniforms(new Float64Array(n)).map((u) => {
    const t = sde.tMin + (1 - sde.tMin) * u;
    return sde.sigma(t) / sde.alpha(t);
  });
}

// the mean loss of points x [2n]; its derivatives by the weights are added to those of the network
export function noiseConditional(network, x, sde, generator) {
  const n = x.length / 2, sigma = levelsAtUniformTimes(sde, n, generator), z = generator.normals(new Float64Array(2 * n));
  const s = network.forward(x.map((v, j) => v + sigma[j >> 1] * z[j]), sigma);
  const r = s.map((one, j) => one + z[j] / sigma[j >> 1]);
  network.backward(r.map((one, j) => (sigma[j >> 1] ** 2 * one) / n));
  return r.reduce((sum, one, j) => sum + (sigma[j >> 1] * one) ** 2, 0) / (2 * n);
}
