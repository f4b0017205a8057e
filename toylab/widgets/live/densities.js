// The densities that a page is given: mixtures by their numbers, others by log p on a grid.
import { GridDensity } from "./grid_density.js";
import { GaussianMixture } from "./mixture.js";

// law: as toylab.live gives it
export function densityOf({ weights, means, covariances, grid }) {
  if (!grid) return new GaussianMixture(weights, means, covariances);
  const bytes = Uint8Array.from(atob(grid.logs), (one) => one.charCodeAt(0)); // float32, little-endian
  const view = new DataView(bytes.buffer), logs = Float64Array.from({ length: grid.n ** 2 }, (_, i) => view.getFloat32(4 * i, true));
  return new GridDensity({ ...grid, logs });
}

// what is to be said of how it is known
export const noteOf = ({ grid }) => (grid
  ? `log p is known on ${grid.n} × ${grid.n} nodes, with splines between: the score is within ${(100 * grid.error).toPrecision(1)} % of the exact one, in the root mean square.`
  : "");
