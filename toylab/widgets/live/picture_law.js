// A picture as a law: a point in the middle of each of its cells, its weight the darkness there.
export const CELLS_ACROSS = 40;

// cells [across, down] of a picture of some size: as many as may be along its longer side, in its own proportions
export function cellsOf({ width, height }) {
  const longer = Math.max(width, height);
  return [width, height].map((side) => Math.max(1, Math.round((CELLS_ACROSS * side) / longer)));
}

// rgba: of cells [across, down] from the top left, as from a canvas; half: of the longer side, about the middle
// undefined if all cells are of one shade: then nothing is drawn on it
export function darkPoints(rgba, [across, down], half) {
  const cell = (2 * half) / Math.max(across, down);
  const dark = Array.from({ length: across * down }, (_, i) => {
    const [r, g, b, a] = rgba.slice(4 * i, 4 * i + 4);
    return (a / 255) * (1 - (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255);
  });
  const least = Math.min(...dark), most = Math.max(...dark);
  if (most - least < 0.02) return undefined;
  const points = [], weights = [];
  dark.forEach((value, i) => {
    const weight = (value - least) / (most - least);
    if (weight < 0.05) return; // paper
    points.push([((i % across) + 0.5 - across / 2) * cell, (down / 2 - Math.floor(i / across) - 0.5) * cell].map((v) => Number(v.toFixed(3))));
    weights.push(weight);
  });
  return { points, weights };
}
