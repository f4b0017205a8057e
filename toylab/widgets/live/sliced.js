// Sliced score matching: v^T grad s(x) v + 1/2 |s(x)|^2 along random directions v of +1 and -1, from points alone.
//
// Source: Song et al. 2019 (arXiv:1905.07088), eq. 8.

// the mean loss of points x [2n]; its derivatives by the weights are added to those of the network
export function sliced(network, x, generator) {
  const n = x.length / 2, v = Float64Array.from(x, () => (generator.uniform() < 0.5 ? -1 : 1));
  const s = network.forward(x, v), along = network.along;
  network.backward(s.map((one) => one / n), v.map((one) => one / n));
  return s.reduce((sum, one, i) => sum + v[i] * along[i] + 0.5 * one * one, 0) / n;
}

// what is added to the mean loss to make it the Fisher divergence: 1/2 E|s*|^2
export const slicedOffset = (fisherInformation) => 0.5 * fisherInformation;
