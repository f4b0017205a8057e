// The lines of Python that give the points of a film: the same random numbers, the same formulas, the same training.
import { FILM_BATCH, FILM_WIDTH, N_FRAMES, WAYS } from "./film_run.js";

const LAST = {
  flow: "probability_flow(VP(), score, x, times)",
  sde: "reverse_sde(VP(), score, x, times, generator=g)",
  flow_forth: "probability_flow(VP(), score, x, times)",
  sde_forth: "forward_sde(VP(), x, times, generator=g)",
};

// film: as from newFilm; python: the density in Python
export function filmPython({ way, nData, n, train, seed }, python) {
  const made = python.split("(")[0], sampler = LAST[way].split("(")[0], { forth } = WAYS[way];
  const names = [made, "Points"].sort().join(", ");
  const network = [`network = NoiseConditionalMLP(${FILM_WIDTH}, generator=g).double()`];
  if (train > 0) {
    network.push("objective = NoiseConditional(UniformTimes(VP()))");
    network.push(`network = fit(network, objective, data, n_steps=${train}, batch_size=${FILM_BATCH}, generator=g).network`);
  }
  const start = forth
    ? [`    x = law.sample((${n},), generator=g)`, `    z = torch.randn(${n}, 2, dtype=torch.float64, generator=g)`,
      "    x = VP().alpha(times[0]) * x + VP().sigma(times[0]) * z"]
    : [`    x = gaussian_start(${n}, 1.0, dtype=torch.float64, generator=g)`];
  return [
    "import torch",
    `from toylab.densities import ${names}`,
    "from toylab.networks import NoiseConditionalMLP",
    ...(train > 0 ? ["from toylab.objectives import NoiseConditional, UniformTimes"] : []),
    `from toylab.samplers import ${forth ? sampler : `gaussian_start, ${sampler}`}`,
    "from toylab.sde import VP",
    ...(train > 0 ? ["from toylab.training import fit"] : []),
    "",
    `p = ${python}.to(torch.float64)`,
    `g = torch.Generator().manual_seed(${seed})`,
    `data = p.sample((${nData},), generator=g)`,
    ...network,
    `times = torch.linspace(1.0, VP().t_min**0.5, ${N_FRAMES + 1}, dtype=torch.float64)${forth ? ".flip(0)" : ""} ** 2`,
    "ends = {}",
    "for name, score, law in [",
    '    ("exact", p.score, p), ("empirical", Points(data).score, Points(data)), ("learned", network, p)',
    "]:",
    `    g = torch.Generator().manual_seed(${seed + 1})`,
    ...start,
    `    ends[name] = ${LAST[way]}.samples`,
  ].join("\n");
}
