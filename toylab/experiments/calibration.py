"""Whether a sampler's error bars are right, over many measurements and over many runs."""

import math

import torch
from torch import Tensor
from tqdm.auto import tqdm

from toylab._internal.random import normal, permutation
from toylab.densities import GaussianMixture
from toylab.experiments.measured_samplers import METHODS, NOISE, SDE, SMC, A, Y, times
from toylab.experiments.setting import Numbers, generator
from toylab.guidance import tmpd
from toylab.samplers import smc
from toylab.score import NoiseConditionalScore

ACROSS = (-A[1], A[0])
DRAWS, LEVEL = 19, 0.9  # draws beside each true point, whose rank has 20 values; of credible sets
PARTICLES = 50  # per measurement, of which as many are drawn
POPULATIONS, FEW = 20, 20  # of SMC in one run with an error bar, and the particles in each
INTERVAL = 0.95
LIKELY = 0.01  # a mode of more weight has an error bar worth having

QUANTITIES = ("density", "along A", "across A")


def calibration(
    p: GaussianMixture,
    scores: dict[str, list[NoiseConditionalScore]],
    budgets: tuple[int, ...],
    *,
    n_repeats: int,
    seed: int,
    device: torch.device | str,
    progress: bool,
) -> Numbers:
    """Simulation-based calibration: of each method, kind of score and number of steps, the ranks of the truth.

    A point x is drawn from the prior and measured, y = A x + noise z; then x is one more draw of the posterior given
    y. Its rank among 19 draws is uniform on 0, .., 19 if those are of the posterior too, whatever is ranked: the
    posterior density, or the coordinate along A or across it. The measurements are parted among the scores of a kind.

    ``covered`` is the share of true points in the 90 % set: that of highest density, or the central interval;
    ``p`` what chi-squared with 19 degrees of freedom leaves above that of the ranks.

    Source: Talts et al. 2018, Validating Bayesian inference algorithms with simulation-based calibration
    (arXiv:1804.06788).
    """
    g = generator(seed, 3, device)
    truth = p.sample((n_repeats,), generator=g)
    along, across = truth.new_tensor(A), truth.new_tensor(ACROSS)
    z = normal((n_repeats,), dtype=truth.dtype, device=truth.device, generator=g)
    y = (truth @ along + NOISE * z)[:, None]

    def ranked(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of x [repeats, draws, 2]: log of the posterior density, up to a constant of each y, and two coordinates."""
        return p.log_prob(x) - (y - x @ along).square() / (2 * NOISE**2), x @ along, x @ across

    def tally(draws: Tensor) -> Numbers:
        pairs = zip(QUANTITIES, ranked(draws), ranked(truth[:, None]), strict=True)
        return {name: calibrated((of_draws < of_truth).sum(-1), name) for name, of_draws, of_truth in pairs}

    posteriors = [p.given(A, one, NOISE) for one in y[:, 0].tolist()]
    found: Numbers = {
        "measurements": n_repeats, "level": LEVEL, "draws": DRAWS, "standard error": _binomial_error(LEVEL, n_repeats),
        "posterior": tally(torch.stack([one.sample((DRAWS,), generator=g) for one in posteriors])),
    }  # fmt: skip
    jobs = [(kind, name, n) for kind in scores for name in METHODS for n in budgets]
    for kind, name, n in tqdm(jobs, desc="calibration", unit="method", disable=not progress):
        g = generator(seed, 4, device)
        per = PARTICLES if name == SMC else DRAWS
        parts = zip(scores[kind], y.tensor_split(len(scores[kind])), strict=True)
        points = torch.cat([
            METHODS[name].points(score, len(some) * per, some.repeat_interleave(per, 0), n, per, g)
            for score, some in parts if len(some)
        ]).view(n_repeats, per, 2)  # fmt: skip
        some = permutation(per, device=points.device, generator=g)[:DRAWS]  # resampled particles stand beside their own
        found.setdefault(kind, {}).setdefault(name, {})[str(n)] = tally(points[:, some])
    return found


def calibrated(ranks: Tensor, quantity: str) -> Numbers:
    """The histogram of ranks [n] among 19 draws, how many lie in the 90 % set, and the p-value of the ranks."""
    from scipy.stats import chi2  # slow to load

    outside = round((1 - LEVEL) * (DRAWS + 1))  # ranks: the lowest of a density, as many below as above of the others
    low = outside if quantity == "density" else outside // 2
    high = DRAWS - (outside - low)
    counts = torch.bincount(ranks.cpu(), minlength=DRAWS + 1)
    expected = len(ranks) / (DRAWS + 1)
    statistic = float((counts - expected).square().sum() / expected)
    return {
        "covered": float(((ranks >= low) & (ranks <= high)).double().mean()),
        "p": float(chi2.sf(statistic, DRAWS)),
        "ranks": counts.tolist(),
    }


def error_bars(
    p: GaussianMixture, truth: Numbers, budgets: tuple[int, ...], *, n_runs: int, seed: int, device: torch.device | str
) -> Numbers:
    """How often SMC's 95 % intervals hold the truth, of its weights of modes, mean and evidence, per number of steps.

    A run has 20 populations of 20 particles with the exact score. With Z the evidence that a population finds and f a
    weighted mean over it, sum Z f / sum Z estimates E[f | y], and mean Z the evidence; the interval is Student's, from
    the spread of Z (f - estimate) over the populations.
    """
    weights = torch.tensor(truth["weights"], dtype=torch.float64, device="cpu")
    likely = (weights > LIKELY).nonzero()[:, 0]
    of_posterior = torch.cat([weights[likely], torch.tensor(truth["mean"], dtype=torch.float64, device="cpu")])
    of_evidence = torch.tensor(math.exp(truth["log evidence"]), dtype=torch.float64, device="cpu")
    found: Numbers = {
        "runs": n_runs, "populations": POPULATIONS, "particles": FEW, "level": INTERVAL,
        "standard error": _binomial_error(INTERVAL, n_runs),
    }  # fmt: skip
    guided = tmpd(p.score, A, Y, NOISE)
    for n in budgets:
        g = generator(seed, 5, device)
        start = SDE.prior.to(g.device).sample((n_runs * POPULATIONS * FEW,), generator=g)
        of_all = smc(SDE, guided, start, times(n), n_populations=n_runs * POPULATIONS, generator=g, progress=False)
        points, w = of_all.points.cpu().double(), of_all.weights.cpu().double()
        shares = (p.to("cpu").posterior(points).argmax(-1)[:, None] == likely).double()
        f = (w[:, None] * torch.cat([shares, points], -1)).view(n_runs, POPULATIONS, FEW, -1).sum(2)
        Z = of_all.log_evidence.cpu().exp().view(n_runs, POPULATIONS, 1)
        held = _held(*ratio(Z * f, Z), of_posterior)
        evidence = _held(Z.mean(1), Z.std(1) / math.sqrt(POPULATIONS), of_evidence)
        found[str(n)] = {
            "weights": float(held[:, : len(likely)].mean()), "mean": float(held[:, len(likely) :].mean()),
            "evidence": float(evidence.mean()),
        }  # fmt: skip
    return found


def ratio(top: Tensor, bottom: Tensor) -> tuple[Tensor, Tensor]:
    """sum top / sum bottom over the independent terms [runs, n, k], and its standard error to first order in 1/n."""
    value = top.sum(1) / bottom.sum(1)
    off = (top - value[:, None] * bottom) / bottom.mean(1, keepdim=True)
    return value, off.std(1) / math.sqrt(top.shape[1])


def _held(value: Tensor, error: Tensor, truth: Tensor) -> Tensor:
    """1 where Student's interval about a value of 20 populations holds the truth, 0 elsewhere."""
    from scipy.stats import t  # slow to load

    quantile = float(t.ppf(0.5 * (1 + INTERVAL), POPULATIONS - 1))
    return ((value - truth).abs() <= quantile * error).double()


def _binomial_error(share: float, n: int) -> float:
    return math.sqrt(share * (1 - share) / n)
