// A picture as a law: a point in the middle of each of its cells, its weight the darkness there.
export const CELLS_ACROSS = 40;

// rgba: of n x n cells from the top left, as from a canvas; extent: where the picture is put
// undefined if all cells are of one shade: then nothing is drawn on it
export function darkPoints(rgba, n, [left, right, bottom, top]) {
  const dark = Array.from({ length: n * n }, (_, i) => {
    const [r, g, b, a] = rgba.slice(4 * i, 4 * i + 4);
    return (a / 255) * (1 - (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255);
  });
  const least = Math.min(...dark), most = Math.max(...dark);
  if (most - least < 0.02) return undefined;
  const points = [], weights = [];
  dark.forEach((value, i) => {
    const weight = (value - least) / (most - least);
    if (weight < 0.05) return; // paper
    points.push([left + (((i % n) + 0.5) * (right - left)) / n, top - ((Math.floor(i / n) + 0.5) * (top - bottom)) / n]);
    weights.push(weight);
  });
  return { points, weights };
}
