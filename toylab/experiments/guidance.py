"""What guidance does to a class whose support is known: one of the fractal tree, by exact and by learned scores."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from toylab import plotting
from toylab.densities import Mixture, fractal_tree
from toylab.experiments.result import Arrays, Result
from toylab.experiments.setting import Numbers, generator
from toylab.guidance import autoguidance, classifier_free, on_interval
from toylab.metrics import Extent, energy_distance, grid_points, mean_of
from toylab.networks import NoiseConditionalMLP
from toylab.objectives import ClassConditional, LogUniform, NoiseConditional
from toylab.samplers import probability_flow
from toylab.schedules import karras
from toylab.score import NoiseConditionalScore
from toylab.sde import VE
from toylab.training import fit

CLASS = 0
INTERVAL = (0.02, 0.2)  # noise levels
AUTOGUIDED = 2.0
BLUR, OUTSIDE = 0.02, 0.01  # the support: where the class, with that noise, is denser than at this share of itself

TRUTH = "the class itself"
EXACT = ("exact scores, w = 1", "exact scores, w = 2", "exact scores, w = 4", "exact scores, w = 4 on an interval")
LEARNED = (
    "learned, w = 1", "learned, w = 4", "learned, autoguided", "learned, w = 4 on an interval",
)  # fmt: skip

_BOX: Extent = (-0.9, 1.7, -0.8, 1.8)
_SDE, _N_STEPS = VE(0.002, 5.0), 32  # as in the source of the tree
_N_DATA = 100_000  # drawn once: of fresh points the offset would be known, by a quadrature that takes minutes


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_chains: int = 1000,
    n_networks: int = 3,
    n_training_steps: int = 1500,
    n_cells: int = 300,
) -> Result:
    """Sample one class of the fractal tree by the probability flow, under eight scores.

    The networks know both classes; the one that they are autoguided by has half of their width and a sixth of their
    steps. Each panel is measured once per network, or as often with the exact scores, from the same starts.

    Args:
        seed: of the whole experiment.
        device: where it runs.
        progress: show progress bars.
        n_chains: points per measurement.
        n_networks: of each kind.
        n_training_steps: optimiser steps.
        n_cells: cells per side, on which the support is drawn.
    """
    both = Mixture([0.5, 0.5], [fractal_tree(0), fractal_tree(1)]).to(device)
    p = fractal_tree(CLASS).to(device)
    good, bad = (
        _networks(both, width, max(2, n_training_steps // part), n_networks, generator(seed, stage, device), progress)
        for stage, (width, part) in enumerate(((64, 1), (32, 6)))
    )
    edge = float(p.log_prob(p.sample((20_000,), generator=generator(seed, 2, device)), BLUR).quantile(OUTSIDE))
    start = _SDE.prior.to(device).sample((n_networks, n_chains), generator=generator(seed, 3, device))
    fresh = p.sample((2, n_networks, n_chains), generator=generator(seed, 4, device))

    numbers: Numbers = {"chains": n_chains, "networks": n_networks, "panels": {}}
    arrays: Arrays = {
        "log_p": p.log_prob(grid_points(_BOX, n_cells).to(device), BLUR).cpu().numpy(),
        "edge": np.array(edge),
    }

    def measure(name: str, ends: list[Tensor]) -> None:
        distances = [energy_distance(end, own, n_permutations=0).value for end, own in zip(ends, fresh[0], strict=True)]
        outside = [float((p.log_prob(end, BLUR) < edge).double().mean()) for end in ends]
        numbers["panels"][name] = {"energy_distance": _estimate(distances), "outside": _estimate(outside)}
        arrays[name] = ends[0].cpu().numpy()

    measure(TRUTH, list(fresh[1]))
    for name, scores in _scores(
        both, [n.of_class(CLASS) for n in good], good, [n.of_class(CLASS) for n in bad]
    ).items():
        if progress:
            tqdm.write(f"guidance: {name}")
        measure(name, [_flow(score, x) for score, x in zip(scores, start, strict=True)])
    return Result("guidance", numbers, arrays)


def _scores(
    both: Mixture,
    conditional: list[NoiseConditionalScore],
    unconditional: tuple[NoiseConditionalMLP, ...],
    bad: list[NoiseConditionalScore],
) -> dict[str, list[NoiseConditionalScore]]:
    """Of each panel, one for each network."""
    s_c, s_u = both.densities[CLASS].score, both.score
    four = classifier_free(s_c, s_u, 4.0)
    exact = (s_c, classifier_free(s_c, s_u, 2.0), four, on_interval(four, s_c, *INTERVAL))
    found: dict[str, list[NoiseConditionalScore]] = {
        name: [score] * len(conditional) for name, score in zip(EXACT, exact, strict=True)
    }
    for name in LEARNED:
        found[name] = []
    for own, network, worse in zip(conditional, unconditional, bad, strict=True):
        four = classifier_free(own, network, 4.0)
        learned = (own, four, autoguidance(own, worse, AUTOGUIDED), on_interval(four, own, *INTERVAL))
        for name, score in zip(LEARNED, learned, strict=True):
            found[name].append(score)
    return found


def _networks(
    both: Mixture, width: int, n_steps: int, n_networks: int, stream: torch.Generator, progress: bool
) -> tuple[NoiseConditionalMLP, ...]:
    """Networks of both classes, side by side."""
    if progress:
        tqdm.write(f"guidance: networks of width {width}")
    network = NoiseConditionalMLP(
        width, 4, data_std=0.5, gain=10.0, sigma_unit=0.125, n_classes=2, generator=stream
    )  # fmt: skip
    objective = ClassConditional(NoiseConditional(LogUniform(0.005, 5.0), antithetic=True), both)
    return fit(
        network, objective, both.sample((_N_DATA,), generator=stream), n_steps=n_steps, batch_size=256,
        n_seeds=n_networks, generator=stream, device=both.device, progress=progress,
    ).networks  # fmt: skip


def _flow(score: NoiseConditionalScore, x: Tensor) -> Tensor:
    times = _SDE.time_of(karras(_SDE.sigma_max, _SDE.sigma_min, _N_STEPS + 1))
    return probability_flow(_SDE, score, x, times, progress=False).samples


def _estimate(values: list[float]) -> Numbers:
    found = mean_of(torch.tensor(values, device="cpu"))
    return {"value": found.value, "standard_error": found.standard_error, "values": values}


def draw(result: Result) -> Figure:
    """The clouds on the support of the class, exact scores above and learned ones below, each with its numbers."""
    with plotting.look():
        figure, axes = plt.subplots(2, 4, figsize=(20, 13), layout="constrained")
        for row, (names, color) in enumerate(((EXACT, plotting.EXACT), (LEARNED, plotting.LEARNED))):
            for ax, name in zip(axes[row], names, strict=True):
                _draw_cloud(ax, result, name, color)
        truth = result.numbers["panels"][TRUTH]
        figure.suptitle(
            f"One class of the fractal tree, its support in grey. {result.numbers['chains']:,} draws of the class "
            f"itself: {_said(truth)}".replace("\n", " "),
            fontsize=20,
        )
    return figure


def _draw_cloud(ax: Axes, result: Result, name: str, color: str) -> None:
    log_p: NDArray[Any] = result.arrays["log_p"]
    inside = np.where(log_p >= float(result.arrays["edge"]), 1.0, np.nan)
    ax.imshow(inside, extent=_BOX, origin="lower", cmap=plotting.GROUND_MAP, vmin=0.0, vmax=1.6)
    x = result.arrays[name]
    ax.scatter(x[:, 0], x[:, 1], s=8, color=color, linewidths=0)
    ax.set(xlim=_BOX[:2], ylim=_BOX[2:], xticks=[], yticks=[], aspect="equal")
    title = f"{name}{f', w = {AUTOGUIDED:g}' if name == LEARNED[2] else ''}"
    title = title.replace(" on an interval", f",\nat {INTERVAL[0]:g} ≤ σ ≤ {INTERVAL[1]:g} alone")
    ax.set_title(title, color=color, fontsize=20, fontweight="bold")
    ax.set_xlabel(_said(result.numbers["panels"][name]), fontsize=18)


def _said(panel: Numbers) -> str:
    distance, outside = panel["energy_distance"], panel["outside"]
    return (
        f"energy distance {distance['value']:.4f} ± {distance['standard_error']:.4f},\n"
        f"outside {100 * outside['value']:.1f} ± {100 * outside['standard_error']:.1f} %"
    )
