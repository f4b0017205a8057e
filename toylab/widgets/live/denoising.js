// Denoising score matching: 1/2 |s(x + sigma z) + z / sigma|^2, whose minimiser is the score of the noised law.
//
// Source: Vincent 2011, eq. 11; Song & Ermon 2019 (arXiv:1907.05600), eq. 5.

// the mean loss of points x [2n]; its derivatives by the weights are added to those of the network
export function denoising(network, x, sigma, generator) {
  const n = x.length / 2, z = generator.normals(new Float64Array(2 * n));
  const r = network.forward(x.map((v, i) => v + sigma * z[i])).map((s, i) => s + z[i] / sigma);
  network.backward(r.map((one) => one / n));
  return r.reduce((sum, one) => sum + one * one, 0) / (2 * n);
}

// what is added to the mean loss to make it the Fisher divergence: 1/2 E|s*|^2 - 1 / sigma^2
export const denoisingOffset = (fisherInformation, sigma) => 0.5 * fisherInformation - 1 / sigma ** 2;
