"""Every objective on every density of the catalogue: what share of the score five networks have not learned."""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import torch
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional

from toylab import plotting
from toylab._internal import validate
from toylab._internal.random import normal_like
from toylab.densities import (
    Affine,
    Banana,
    Checkerboard,
    Density,
    Funnel,
    GaussianMixture,
    Points,
    Spiral,
    Square,
    StudentTMixture,
    TwoMoons,
    bandwidth,
    catalogue,
)
from toylab.densities.quadrature import fisher_information
from toylab.densities.walls import ends_at_a_wall
from toylab.experiments.trained_objectives import score_of_velocity
from toylab.metrics import fisher_divergence
from toylab.networks import EnergyMLP, NoiseConditionalEnergyMLP, NoiseConditionalMLP, ScoreMLP, VelocityMLP
from toylab.objectives import (
    BoundedImplicit,
    ClassConditional,
    ContrastiveDivergence,
    Denoising,
    Explicit,
    FiniteDifferenceSliced,
    FlowMatching,
    Implicit,
    LogUniform,
    MaximumLikelihood,
    MultiscaleDenoising,
    NoiseConditional,
    NoiseConditionalExplicit,
    NoiseContrastive,
    NoisePrediction,
    Objective,
    PersistentContrastiveDivergence,
    Sliced,
    WallDistance,
)
from toylab.paths import Linear
from toylab.samplers import langevin_step
from toylab.schedules import geometric
from toylab.score import NoiseConditionalScore, Score, at
from toylab.training import Spread, TrainingDiverged, fit

if TYPE_CHECKING:
    import pandas

N_NETWORKS, BATCH_SIZE, WIDTH = 5, 512, 64
SIGMA = 0.1  # at which objectives that add noise are measured
_N_DATA, _N_CHAINS, _N_CELLS = 1000, 256, 16
_MOST_NODES, _N_POINTS = 100_000, 5000
_COARSEST = 0.6  # distance of its nodes up to which a normaliser is trusted
_LEVELS = geometric(8.0, SIGMA, 20)
NO_SCORE, NO_WALLS, NO_CLASSES, NO_BOX = "no score", "no walls", "no classes", "no box"
_COLUMNS = 7  # of one table
_NOTHING = 0.001  # the percentage below which it does not matter
_LEAST, _DARK = 0.1, 0.25  # the percentage of the brightest colour; the share from which on text is white
TOO_SLOW, DIVERGED, BIASED = "too slow", "diverged", "biased"
_SLOW = (Banana, Funnel, StudentTMixture, TwoMoons, Spiral)
"""Whose noised score is a quadrature at each point: a training on it takes an hour."""


@dataclass(frozen=True)
class Recipe:
    """An objective made for one density, with what it trains and how that is measured.

    Attributes:
        objective: made for the density.
        network: where the first training starts.
        sigma: its target is the score of p_sigma.
        score: of a trained network, a function of x alone.
        best: the field of least loss, where that is not the target.
        words: what there is to say of the number.
    """

    objective: Objective[Any]
    network: nn.Module
    sigma: float = 0.0
    score: Callable[[Any], Score] = lambda network: network
    best: Score | None = None
    words: str = ""


Made = Recipe | str
"""A recipe, or in words why there is none."""


def cell(objective: str, density: Density, n_steps: int, generator: torch.Generator) -> dict[str, Any]:
    """Train five networks, and measure J = 1/2 E|s - grad log p_sigma|^2 of each, in units of that of s = 0."""
    made = OBJECTIVES[objective](density, generator)
    if isinstance(made, str):
        return {"words": made}

    def loss(score: Score, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        return made.objective(score, x, generator=generator)  # without the offset, which may take longer than all steps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the table says what is biased, and what is no better than s = 0
            networks = fit(
                made.network, loss, density, n_steps=n_steps, batch_size=BATCH_SIZE, learning_rate=0.01,
                n_seeds=N_NETWORKS, generator=generator, progress=False,
            ).networks  # fmt: skip
    except TrainingDiverged:
        return {"sigma": made.sigma, "words": DIVERGED}
    shares = [_share_of_network(made, network, density, generator) for network in networks]
    found = {f"share_{k}": share for k, share in enumerate(shares)}
    if made.best is not None:
        found["floor"] = _share(made, made.best, density, generator)
    return {"sigma": made.sigma, **found, "words": made.words}


def _share(made: Recipe, score: Score, density: Density, generator: torch.Generator) -> float:
    """J of a field in units of that of s = 0: by quadrature, or where that takes long from points of its own.

    A uniform law has the score 0 within its walls; its unit is that of p_0.1.
    """
    if _is_small(density, made.sigma):
        return fisher_divergence(score, density, made.sigma) / (0.5 * fisher_information(density, made.sigma))
    x, truth = _points(density, made.sigma, generator)
    unit = _points(density, SIGMA, generator)[1] if made.sigma == 0 and ends_at_a_wall(density) else truth
    return float((score(x) - truth).square().sum() / unit.square().sum())


def _share_of_network(made: Recipe, network: Any, density: Density, generator: torch.Generator) -> float:  # noqa: ANN401
    """The same of a trained network; with classes sum_k w_k J_k, in units of that of s = 0."""
    if not isinstance(made.objective, ClassConditional):
        return _share(made, made.score(network), density, generator)
    x = density.sample((_N_POINTS,), generator=generator)
    label = replace(made.objective, dropout=0.0).draw(x, generator=generator)
    x = x + made.sigma * normal_like(x, generator)
    truth = torch.empty_like(x)
    for k in label.unique().tolist():
        truth[label == k] = density.given_class(k).score(x[label == k], made.sigma)
    return float((network(x, made.sigma, label) - truth).square().sum() / truth.square().sum())


def _points(density: Density, sigma: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points of p_sigma and their scores."""
    x = (density.noised(sigma) if sigma > 0 else density).sample((_N_POINTS,), generator=generator)
    return x, density.score(x, sigma)


def _is_small(density: Density, sigma: float) -> bool:
    """Whether a grid that resolves the law has few nodes."""
    low, high = density.bounds(sigma)
    step = density.length_scale(sigma) / 6
    return step > 0 and math.prod(float(side) / step for side in high - low) < _MOST_NODES


def _has_score(density: Density) -> bool:
    """Whether the clean law has a density."""
    try:
        density.log_prob(torch.zeros(1, 2, device="cpu"))
    except validate.NoDensity:
        return False
    return True


def _network(generator: torch.Generator) -> nn.Module:
    return ScoreMLP(WIDTH, activation=functional.silu, generator=generator)


def _smooth(generator: torch.Generator) -> nn.Module:
    """For losses that differentiate the network, as energies are."""
    return ScoreMLP(WIDTH, generator=generator)


def _lowest(network: NoiseConditionalScore) -> Score:
    return at(network, SIGMA)


def _by_parts(objective: Objective[Any], density: Density, generator: torch.Generator) -> Made:
    """Implicit matching and what stands for it."""
    if not _has_score(density):
        return NO_SCORE
    return Recipe(objective, _smooth(generator), words=BIASED if ends_at_a_wall(density) else "")


def _bounded(density: Density, generator: torch.Generator) -> Made:
    if not _has_score(density):
        return NO_SCORE
    if isinstance(density, Square):
        (left, bottom), (right, top) = (corner.tolist() for corner in density.bounds(0.0))
        return Recipe(BoundedImplicit(WallDistance((left, right, bottom, top))), _smooth(generator))
    if isinstance(density, Checkerboard):
        return Recipe(BoundedImplicit(_off_the_lines), _smooth(generator))
    return NO_WALLS


def _off_the_lines(x: Tensor) -> Tensor:
    """0 at all lines between squares of side 2."""
    return (0.5 * math.pi * x).sin().square()


def _explicit(density: Density, generator: torch.Generator) -> Made:
    return Recipe(Explicit(density.score), _network(generator)) if _has_score(density) else NO_SCORE


def _kernel_estimate(density: Density, generator: torch.Generator) -> Made:
    if not _has_score(density):
        return NO_SCORE
    data = density.sample((_N_DATA,), generator=generator)
    estimate = Points(data).noised(bandwidth.leave_one_out(data))
    return Recipe(Explicit(estimate.score), _network(generator), best=estimate.score)


def _energy(
    objective: Callable[[Density, Tensor], Objective[Any] | str], density: Density, generator: torch.Generator
) -> Made:
    """Objectives of an energy, made from the density and some of its points."""
    if not _has_score(density):
        return NO_SCORE
    x = density.sample((_N_DATA,), generator=generator)
    made = objective(density, x)
    if isinstance(made, str):
        return made
    return Recipe(made, EnergyMLP(WIDTH, generator=generator).with_chains(x[:_N_CHAINS]))


def _likelihood(density: Density, _: Tensor) -> Objective[Any] | str:
    (left, bottom), (right, top) = (corner.tolist() for corner in density.bounds(0.0))
    too_wide = max(right - left, top - bottom) > 4 * _N_CELLS * _COARSEST
    return NO_BOX if too_wide else MaximumLikelihood((left, right, bottom, top), _N_CELLS)


def _contrastive(density: Density, _: Tensor) -> Objective[Any]:
    return ContrastiveDivergence(_step(density), 5)


def _persistent(density: Density, _: Tensor) -> Objective[Any]:
    return PersistentContrastiveDivergence(_step(density), 5)


def _step(density: Density) -> Callable[..., Tensor]:
    return partial(langevin_step, step_size=0.5 * density.length_scale(SIGMA) ** 2)


def _noise_contrastive(_: Density, x: Tensor) -> Objective[Any]:
    exact = x.double()  # their moments, whatever the order in which a machine adds them
    return NoiseContrastive(GaussianMixture([1.0], exact.mean(0, keepdim=True), exact.mT.cov()[None]).to(x), 4)


def _noised(objective: Objective[Any], _: Density, generator: torch.Generator) -> Made:
    return Recipe(objective, _network(generator), SIGMA)


def _noise_prediction(_: Density, generator: torch.Generator) -> Made:
    objective = NoisePrediction(SIGMA)
    return Recipe(objective, _network(generator), SIGMA, objective.score)


def _multiscale(density: Density, generator: torch.Generator) -> Made:
    objective = MultiscaleDenoising(geometric(4 * SIGMA, SIGMA / 4, 9), SIGMA)
    return Recipe(objective, _network(generator), SIGMA, best=objective.minimiser(density))


def _conditional(objective: Objective[Any], _: Density, generator: torch.Generator) -> Made:
    return Recipe(objective, NoiseConditionalMLP(WIDTH, gain=3.0, generator=generator), SIGMA, _lowest)


def _conditional_explicit(density: Density, generator: torch.Generator) -> Made:
    inner = density
    while isinstance(inner, Affine):
        inner = inner.density
    if isinstance(inner, _SLOW):
        return TOO_SLOW
    return _conditional(NoiseConditionalExplicit(density.score, _LEVELS), density, generator)


def _conditional_energy(_: Density, generator: torch.Generator) -> Made:
    network = NoiseConditionalEnergyMLP(WIDTH, gain=3.0, generator=generator)
    return Recipe(NoiseConditional(_LEVELS, antithetic=True), network, SIGMA, _lowest)


def _class_conditional(density: Density, generator: torch.Generator) -> Made:
    try:
        n_classes = density.log_posterior(torch.zeros(2, device="cpu"), SIGMA).shape[-1]
    except TypeError:
        return NO_CLASSES
    labels = density if _has_score(density) else partial(_nearest_class, density)
    objective = ClassConditional(NoiseConditional(_LEVELS, antithetic=True), labels)
    return Recipe(objective, NoiseConditionalMLP(WIDTH, gain=3.0, n_classes=n_classes, generator=generator), SIGMA)


def _nearest_class(density: Density, x: Tensor) -> Tensor:
    """Of a law on points, which has no density to tell the classes by."""
    return density.log_posterior(x, SIGMA).argmax(-1)


def _flow_matching(_: Density, generator: torch.Generator) -> Made:
    def of_velocity(network: nn.Module) -> Score:
        return partial(score_of_velocity, network, SIGMA)

    return Recipe(FlowMatching(Linear()), VelocityMLP(WIDTH, generator=generator), SIGMA, of_velocity)


OBJECTIVES: dict[str, Callable[[Density, torch.Generator], Made]] = {
    "explicit": _explicit,
    "explicit, kernel estimate": _kernel_estimate,
    "implicit": partial(_by_parts, Implicit()),
    "implicit, bounded": _bounded,
    "sliced": partial(_by_parts, Sliced()),
    "sliced, plain": partial(_by_parts, Sliced(variance_reduced=False)),
    "sliced, finite differences": partial(_by_parts, FiniteDifferenceSliced()),
    "maximum likelihood": partial(_energy, _likelihood),
    "contrastive divergence": partial(_energy, _contrastive),
    "persistent chains": partial(_energy, _persistent),
    "noise-contrastive": partial(_energy, _noise_contrastive),
    "denoising": partial(_noised, Denoising(SIGMA)),
    "denoising, antithetic": partial(_noised, Denoising(SIGMA, antithetic=True)),
    "denoising, control variate": partial(_noised, Denoising(SIGMA, control_variate=True)),
    "noise prediction": _noise_prediction,
    "multiscale denoising": _multiscale,
    "noise-conditional": partial(_conditional, NoiseConditional(_LEVELS, antithetic=True)),
    "noise-conditional, log-uniform": partial(_conditional, NoiseConditional(LogUniform(SIGMA, 8.0), antithetic=True)),
    "noise-conditional explicit": _conditional_explicit,
    "noise-conditional energy": _conditional_energy,
    "class-conditional": _class_conditional,
    "flow matching": _flow_matching,
}
"""How each is made for a density, by its name in the table."""

CLEAN = tuple(OBJECTIVES)[: list(OBJECTIVES).index("denoising")]
"""Those that learn the score of the clean law."""

grid: Mapping[str, Any] = {
    "objective": list(OBJECTIVES),
    "density": {name: example.density for name, example in catalogue().items()},
    "n_steps": [1000],
}


def tables(table: "pandas.DataFrame") -> str:
    """Markdown, a row per objective and a column per density: what is not learned in percent, and its standard error.

    Where an objective has its least loss at another field than its target, the row below says how far off that is.
    """
    cells = _cells(table)
    densities = list(dict.fromkeys(table["density"]))
    parts = []
    for k in range(0, len(densities), _COLUMNS):
        columns = densities[k : k + _COLUMNS]
        parts.append("| % | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
        for objective in dict.fromkeys(table["objective"]):
            row = [cells[objective, density] for density in columns]
            parts[-1] += f"\n| {objective} | " + " | ".join(map(_text, row)) + " |"
            if any(one.floor is not None for one in row):
                parts[-1] += "\n| *its minimiser* | " + " | ".join(map(_floor, row)) + " |"
    return "\n\n".join(parts)


@dataclass(frozen=True)
class _Cell:
    """What the table says of one objective on one density.

    Attributes:
        share: what is not learned, by each network; none where there is no number.
        floor: the same of the field of least loss.
        words: instead of a number, or beside it.
    """

    share: Spread | None
    floor: float | None
    words: str


def _cells(table: "pandas.DataFrame") -> dict[tuple[str, str], _Cell]:
    found = {}
    for row in table.to_dict("records"):
        shares = [row.get(f"share_{k}", math.nan) for k in range(N_NETWORKS)]
        floor, words = row.get("floor", math.nan), row["words"]
        found[row["objective"], row["density"]] = _Cell(
            None if math.isnan(shares[0]) else Spread(tuple(shares)),
            None if math.isnan(floor) else floor,
            words if isinstance(words, str) else "",  # an empty one that was written to a file
        )
    return found


def _text(one: _Cell) -> str:
    if one.share is None:
        return one.words
    mean, error = 100 * one.share.mean, 100 * one.share.std / math.sqrt(N_NETWORKS)
    digits = max(0, _digits(error) - 1)
    seen = f"{mean:.{digits}f} ± {error:.{digits}f}" if mean >= _NOTHING else _short(mean)
    return seen + (f" ({one.words})" if one.words else "")


def _floor(one: _Cell) -> str:
    return "" if one.floor is None else f"{100 * one.floor:.{_digits(100 * one.floor)}f}"


def _digits(percent: float) -> int:
    """Decimals with which two digits of a number are seen."""
    return max(0, 1 - math.floor(math.log10(percent))) if percent > 0 else 0


def draw(table: "pandas.DataFrame") -> Figure:
    """The same as a heat map, the darker the less is learned, with words where there is no number."""
    cells = _cells(table)
    objectives, densities = (list(dict.fromkeys(table[name])) for name in ("objective", "density"))
    with plotting.look():
        figure, ax = plt.subplots(
            figsize=(3.5 + 0.92 * len(densities), 2.4 + 0.5 * len(objectives)), layout="constrained"
        )
        percent = torch.full((len(objectives), len(densities)), math.nan, device="cpu")
        for (objective, density), one in cells.items():
            i, j = objectives.index(objective), densities.index(density)
            if one.share is not None:
                percent[i, j] = 100 * one.share.mean
            seen = one.words if one.share is None else _short(100 * one.share.mean) + ("*" if one.words else "")
            dark = one.share is not None and one.share.mean > _DARK
            ax.text(
                j, i, seen.replace(" ", "\n"), ha="center", va="center", linespacing=0.95,
                size=10 if one.share is None else 13,
                color=plotting.NEUTRAL if one.share is None else "white" if dark else "black",
            )  # fmt: skip
        image = ax.imshow(percent.numpy(), cmap=plotting.ERROR_MAP, norm=LogNorm(_LEAST, 100.0), aspect="auto")
        ax.set_xticks(range(len(densities)), [name.replace("_", " ") for name in densities], rotation=40, ha="right")
        ax.set_yticks(range(len(objectives)), objectives)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_xticks([j - 0.5 for j in range(1, len(densities))], minor=True)
        ax.set_yticks([i - 0.5 for i in range(1, len(objectives))], minor=True)
        ax.grid(which="minor", color="white", lw=2)
        ax.tick_params(which="minor", length=0)
        bar = figure.colorbar(image, ax=ax, extend="both", pad=0.01, ticks=[0.1, 1, 10, 100])
        bar.ax.set_yticklabels(["0.1", "1", "10", "100"])
        bar.set_label("% of the Fisher information not learned; 100 is s = 0")
        if (n_clean := sum(objective in CLEAN for objective in objectives)) < len(objectives):
            ax.axhline(n_clean - 0.5, color=plotting.NEUTRAL, lw=2.5)
        ax.set_title(
            f"What {N_NETWORKS} networks have not learned of the clean score (above the line) and of that at noise "
            f"{SIGMA:g} (below); *: {BIASED}"
        )
    return figure


def _short(percent: float) -> str:
    if percent < _NOTHING:
        return f"<{_NOTHING:g}"
    if percent >= 1000:
        return f"{percent:.0e}".replace("e+0", "e")
    return f"{percent:.{_digits(percent)}f}"
