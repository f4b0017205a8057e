// A law of one's own: Gaussian modes that can be moved and stretched, or points; as text in an address, and as Python.
import { readAddress, readNumber } from "./address.js";
import { GaussianMixture } from "./mixture.js";

export const MOST_MODES = 12, MOST_POINTS = 400;
export const EXTENT = [-6, 6, -6, 6];
export const WIDTHS = [0.05, 5], WEIGHTS = [0.001, 1000], PLACES = [-20, 20];
const FULL_TURN = [-360, 360];

const digits = (v) => Number(v.toPrecision(12)); // 0.01 and not 0.010000000000000002, where it is written and where it is used

// covariance [xx, xy, yy] of a mode with standard deviations s1 along the angle (in degrees) and s2 across it
export function covarianceOf({ s1, s2, angle }) {
  const c = Math.cos((angle * Math.PI) / 180), s = Math.sin((angle * Math.PI) / 180), u = s1 * s1, v = s2 * s2;
  return [u * c * c + v * s * s, (u - v) * c * s, u * s * s + v * c * c].map(digits);
}

// law: {modes: [{weight, x, y, s1, s2, angle}], points: [[x, y]], weights of the points}; points where there are any
export function mixtureOf({ modes, points, weights }) {
  if (points.length) return new GaussianMixture(weights ?? points.map(() => 1), points, points.map(() => [0, 0, 0]));
  return new GaussianMixture(modes.map((mode) => mode.weight), modes.map(({ x, y }) => [x, y]), modes.map(covarianceOf));
}

// modes in an address, "weight,x,y,s1,s2,angle;..."
export const modesRule = {
  read: (text) => {
    const ranges = [WEIGHTS, PLACES, PLACES, WIDTHS, WIDTHS, FULL_TURN], names = ["weight", "x", "y", "s1", "s2", "angle"];
    const found = text.split(";").map((mode) => mode.split(",").map((part, k) => readNumber(part, ...(ranges[k] ?? [1, 0]))));
    if (found.length > MOST_MODES || found.some((mode) => mode.length !== 6 || mode.includes(undefined))) return undefined;
    return found.map((mode) => Object.fromEntries(names.map((name, k) => [name, mode[k]])));
  },
  write: (modes) => modes.map((m) => [m.weight, m.x, m.y, m.s1, m.s2, m.angle].join(",")).join(";"),
  wanted: `1 to ${MOST_MODES} modes such as 1,0,0,1,0.5,30: a weight from ${WEIGHTS[0]} to ${WEIGHTS[1]}, x and y from ${PLACES[0]} to ${PLACES[1]}, two widths from ${WIDTHS[0]} to ${WIDTHS[1]}, an angle from ${FULL_TURN[0]} to ${FULL_TURN[1]}`,
};

// the same rule where modes may be missing: with them the state has a law of its own
export const ownRule = { ...modesRule, write: (modes) => (modes ? modesRule.write(modes) : "") };

// the laws with that of the modes in an address, if there are any; first: what is to be shown of it, unless the address says else
export function withOwn(laws, address) {
  const { modes } = readAddress(address, { modes: ownRule }).state;
  if (!modes) return { laws, first: {} };
  const { weights, means, covariances } = mixtureOf({ modes, points: [] });
  const python = pythonOf({ modes, points: [] });
  const half = Math.max(...modes.map(({ x, y, s1, s2 }) => Math.max(Math.abs(x), Math.abs(y)) + 4 * Math.max(s1, s2)));
  const shown = Math.ceil(2 * half) / 2; // to a half, so that it is a number to read
  const own = { title: "your own", weights, means, covariances, python, extent: [-shown, shown, -shown, shown] };
  return { laws: { ...laws, own }, first: { density: "own" } };
}

export const rounded = (v) => Number(v.toFixed(3));

// the line of Python that makes the law, of the very same numbers
export function pythonOf(law) {
  const list = (values) => `[${values.join(", ")}]`, p = mixtureOf(law), w = list(p.weights), means = list(p.means.map(list));
  if (law.points.length) return law.weights ? `Points(${means}, ${w})` : `Points(${means})`;
  return `GaussianMixture(${w}, ${means}, ${list(p.covariances.map(([a, b, c]) => `[[${a}, ${b}], [${b}, ${c}]]`))})`;
}
