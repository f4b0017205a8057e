"""The bug museum as a wall of pictures: published samplers that look right, and the number that shows they are not."""

from collections.abc import Callable

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm.auto import tqdm

from toylab import museum, plotting
from toylab.densities import Noised, two_modes
from toylab.experiments.result import Arrays, Result
from toylab.experiments.setting import BOX, TRUE_WEIGHT, Numbers, generator, in_the_upper_mode
from toylab.metrics import (
    Estimate,
    Extent,
    annealed_langevin_law,
    grid_points,
    histogram,
    langevin_law,
    mean_of,
    mode_weights,
)
from toylab.samplers import annealed_langevin, uniform_start
from toylab.schedules import geometric

EXTENT: Extent = (-11.0, 11.0, -11.0, 11.0)
SIGMAS = geometric(20.0, 1.0, 10)
SEEN_AT = 5.0  # standard errors: a false alarm in 1.7 million
_CELLS = 55

PANELS = {
    "variances replaced": museum.score_replacing_variances,
    "one noise for all levels": museum.annealed_with_one_noise,
    "rand for randn": museum.langevin_with_uniform_noise,
    "half missing": museum.langevin_with_half_missing,
    "MALA of two kernels": museum.mala_of_two_kernels,
    "MALA without a choice": museum.mala_without_a_choice,
    "flow without its half": museum.flow_without_the_half,
}
"""The samplers and the score of ``museum`` that are run on ``two_modes``, by a short name."""

Sampler = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor | None]]  # last points, and acceptance if any


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_chains: int = 8000,
    n_steps: int = 1000,
) -> Result:
    """Run each on ``two_modes`` from a uniform start and compare its moments with those of the right sampler.

    These are taken from its exact law: annealed Langevin with 100 steps at ten levels, Langevin with eps = 0.1,
    MALA with the weights of Langevin at its step and the variance of the density, the flow from p noised by 10.

    Args:
        seed: of the whole experiment.
        device: where it runs.
        progress: show a progress bar.
        n_chains: chains per sampler.
        n_steps: steps of Langevin and MALA; annealed Langevin takes a tenth of them at each level.
    """
    p = two_modes().to(device)
    eps_annealed, n_steps_per_level = 0.1, max(1, n_steps // 10)
    flow_levels = geometric(10.0, 0.01, 2000)

    def exact_law(eps: float) -> tuple[float, float]:
        found = langevin_law(two_modes(), step_size=eps, n_steps=n_steps, extent=BOX)
        return float(found.mode_weights[-1, 1]), float(found.variances[-1, 1])

    right_annealed = annealed_langevin_law(
        two_modes(), SIGMAS, step_size=eps_annealed, n_steps=n_steps_per_level, extent=BOX
    )
    of_annealed = float(right_annealed.mode_weights[-1, 1]), float(right_annealed.variances[-1, 1])
    right = {
        "variances replaced": of_annealed,
        "one noise for all levels": of_annealed,
        "rand for randn": exact_law(0.1),
        "half missing": exact_law(0.1),
        "MALA of two kernels": (exact_law(0.3)[0], 1.0),
        "MALA without a choice": (exact_law(0.5)[0], 1.0),
        "flow without its half": (TRUE_WEIGHT, 1.0),
    }

    def plain(bug: Callable[..., Tensor]) -> Sampler:
        return lambda x, g: (bug(p.score, x, step_size=0.1, n_steps=n_steps, generator=g), None)

    def adjusted(bug: Callable[..., tuple[Tensor, Tensor]], eps: float) -> Sampler:
        return lambda x, g: bug(p.log_prob, p.score, x, step_size=eps, n_steps=n_steps, generator=g)

    def replaced(x: Tensor, g: torch.Generator) -> tuple[Tensor, None]:
        chains = annealed_langevin(
            museum.score_replacing_variances(p), x, SIGMAS, step_size=eps_annealed, n_steps=n_steps_per_level,
            generator=g, progress=False,
        )  # fmt: skip
        return chains.samples, None

    def one_noise(x: Tensor, g: torch.Generator) -> tuple[Tensor, None]:
        samples = museum.annealed_with_one_noise(
            p.score, x, SIGMAS, step_size=eps_annealed, n_steps=n_steps_per_level, generator=g
        )
        return samples, None

    def flow(x: Tensor, g: torch.Generator) -> tuple[Tensor, None]:
        return museum.flow_without_the_half(p.score, Noised(p, 10.0).sample((len(x),), generator=g), flow_levels), None

    samplers: dict[str, Sampler] = {
        "variances replaced": replaced,
        "one noise for all levels": one_noise,
        "rand for randn": plain(museum.langevin_with_uniform_noise),
        "half missing": plain(museum.langevin_with_half_missing),
        "MALA of two kernels": adjusted(museum.mala_of_two_kernels, 0.3),
        "MALA without a choice": adjusted(museum.mala_without_a_choice, 0.5),
        "flow without its half": flow,
    }
    numbers: Numbers = {"chains": n_chains}
    arrays: Arrays = {"density": p.log_prob(grid_points(EXTENT, _CELLS).to(device)).exp().cpu().numpy()}
    for stage, name in enumerate(tqdm(PANELS, desc="bugs", unit="sampler", disable=not progress)):
        gen = generator(seed, stage, device)
        samples, acceptance = samplers[name](uniform_start(n_chains, BOX, device=device, generator=gen), gen)
        weight = mode_weights(samples, p)[1]
        in_upper = in_the_upper_mode(samples, p)
        mean = mean_of(in_upper.mean(1))
        variance = mean_of((in_upper - in_upper.mean(0)).square().mean(1))
        numbers[name] = {
            "weight": _compare(weight, right[name][0]),
            "mean": _compare(mean, 5.0),
            "variance": _compare(variance, right[name][1]),
        }
        if acceptance is not None:
            numbers[name]["acceptance"] = float(acceptance.mean())
        arrays[name] = histogram(samples, EXTENT, _CELLS)
    return Result("bugs", numbers, arrays)


def _compare(found: Estimate, right: float) -> Numbers:
    z = (found.value - right) / max(found.standard_error, 1e-12)
    return {"value": found.value, "standard_error": found.standard_error, "right": right, "seen": abs(z) > SEEN_AT}


def draw(result: Result) -> Figure:
    """The density and each sampler's histogram on its colours; below, what reveals it in the colour of errors."""
    with plotting.look():
        figure, axes = plt.subplots(4, 4, figsize=(16, 11.6), layout="constrained", height_ratios=(1, 0.36, 1, 0.36))
        pictures, texts = [*axes[0], *axes[2]], [*axes[1], *axes[3]]
        top = float(result.arrays["density"].max())
        for ax, text, name in zip(pictures, texts, ("density", *PANELS), strict=True):
            plotting.density_map(result.arrays[name], EXTENT, vmax=top, ax=ax)
            ax.set(xticks=[-5, 5], yticks=[-5, 5])
            ax.set_title("the density" if name == "density" else name, fontweight="bold")
            text.set_axis_off()
            for k, (line, seen) in enumerate(_lines(result, name)):
                text.text(
                    0.02, 1.0 - 0.26 * k, line, transform=text.transAxes, va="top", fontsize=15,
                    color=plotting.ERROR if seen else plotting.NEUTRAL, fontweight="bold" if seen else "normal",
                )  # fmt: skip
    return figure


def _lines(result: Result, name: str) -> list[tuple[str, bool]]:
    """What is written under a panel, and whether it gives the bug away."""
    if name == "density":
        return [
            (f"{result.numbers['chains']:,} chains each;", False),
            ("in brackets: the right sampler;", False),
            (f"wine: over {SEEN_AT:.0f} standard errors off", False),
        ]
    numbers = result.numbers[name]
    lines = [
        (f"{what} {row['value']:.3g} ± {row['standard_error']:.1g} ({row['right']:.3g})", row["seen"])
        for what, row in numbers.items()
        if isinstance(row, dict)
    ]
    if "acceptance" in numbers:
        lines.append((f"accepted {100 * numbers['acceptance']:.0f} %", False))
    return lines
