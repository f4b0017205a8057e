// The lines of Python that give the chains of a run: the same stream of random numbers, the same formulas.
import { LEAPFROGS, LEVELS, SAMPLERS, STEPS_PER_LEVEL } from "./playground_run.js";

const last = LEVELS.length - 1;
const ladder = `sigmas = geometric(${LEVELS[0].toFixed(1)}, ${LEVELS[last].toFixed(1)}, ${LEVELS.length}).tolist()`;

const CALLS = {
  langevin: ({ stepSize, temperature, nSteps }) => [["samplers", "langevin"],
    `x = langevin(p.score, x, step_size=${stepSize}, n_steps=${nSteps}, temperature=${temperature}, generator=g).samples`],
  mala: ({ stepSize, nSteps }) => [["samplers", "mala"],
    `x = mala(p.log_prob, p.score, x, step_size=${stepSize}, n_steps=${nSteps}, generator=g).samples`],
  hmc: ({ stepSize, nSteps }) => [["samplers", "hmc"],
    `x = hmc(p.log_prob, p.score, x, step_size=${stepSize}, n_leapfrog=${LEAPFROGS}, n_steps=${nSteps}, generator=g).samples`],
  annealed_langevin: ({ stepSize, nSteps }) => [["samplers", "langevin_step"], ["schedules", "geometric"], ["score", "at"],
    `${ladder}\nfor k in range(${nSteps}):\n    sigma = sigmas[min(k // ${STEPS_PER_LEVEL}, ${last})]\n`
    + `    x = langevin_step(at(p.score, sigma), x, ${stepSize} * (sigma / sigmas[${last}]) ** 2, generator=g)`],
  reverse_sde: ({ nTimes, nSteps }) => [["samplers", "reverse_sde"], ["sde", "VP"],
    `times = torch.linspace(1.0, VP().t_min, ${nTimes + 1}, dtype=torch.float64)[:${nSteps + 1}]\n`
    + "x = reverse_sde(VP(), p.score, x, times, generator=g).samples"],
  probability_flow: ({ nTimes, nSteps }) => [["samplers", "probability_flow"], ["sde", "VP"],
    `times = torch.linspace(1.0, VP().t_min, ${nTimes + 1}, dtype=torch.float64)[:${nSteps + 1}]\n`
    + "x = probability_flow(VP(), p.score, x, times).samples"],
};

// run: as from newRun; start: the places it began from, none for everywhere; python: the density in Python; sigma: its noise; seed
export function pythonLines(run, { start, python, seed, sigma, extent, grid }) {
  const imports = [["densities", python.split("(")[0]]], lines = [`p = ${python}${sigma > 0 ? `.noised(${sigma})` : ""}`];
  lines.push(`g = torch.Generator().manual_seed(${seed})`);
  if (start.length) {
    const places = `torch.tensor([${start.map(([x, y]) => `[${x}, ${y}]`).join(", ")}], dtype=torch.float64)`;
    lines.push(`x = ${places}.repeat(${Math.ceil(run.n / start.length)}, 1)[:${run.n}]`);
  } else if (SAMPLERS[run.sampler].fromNoise) {
    imports.push(["samplers", "gaussian_start"]);
    lines.push(`x = gaussian_start(${run.n}, 1.0, dtype=torch.float64, generator=g)`);
  } else {
    imports.push(["samplers", "uniform_start"]);
    lines.push(`x = uniform_start(${run.n}, (${extent.join(", ")}), dtype=torch.float64, generator=g)`);
  }
  if (run.nSteps > 0) {
    const call = CALLS[run.sampler](run);
    lines.push(call.pop());
    imports.push(...call);
  }
  const rooms = [...new Set(imports.map(([room]) => room))].sort();
  const from = rooms.map((room) => {
    const names = imports.filter(([one]) => one === room).map(([, name]) => name).sort();
    return `from toylab.${room} import ${names.join(", ")}`;
  });
  const near = grid ? ["# The page interpolates log p on a grid: its chains are near these, and not the same"] : [];
  return [...near, "import torch", ...from, "", ...lines].join("\n");
}
