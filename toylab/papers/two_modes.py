"""Two modes of weight 0.2 and 0.8: a learned score off the data, and the weights that Langevin dynamics finds."""

from collections.abc import Sequence

import torch

from toylab.densities import two_modes
from toylab.experiments import reference
from toylab.experiments.reference_training import train_as_the_reference
from toylab.experiments.setting import BOX, TRUE_WEIGHT, generator, scaled_count
from toylab.metrics import Estimate, fisher_divergence_by_region, mean_of
from toylab.papers.paper import Line, Paper, differs, exactly, judged, of_ours


def run(*, seed: int = 0, share: float = 1.0, progress: bool = True) -> list[Line]:
    """The error of a learned score where the data are and elsewhere, and the weight of the upper mode."""
    return [_learned(seed, share, progress), *_sampled(seed, share, progress)]


def _learned(seed: int, share: float, progress: bool) -> Line:
    p, n_steps = two_modes(), scaled_count(10_000, share, least=2)
    networks = [
        train_as_the_reference(p, n_steps=n_steps, generator=generator(seed, 1000 + k), progress=progress)
        for k in range(3)
    ]
    found = [fisher_divergence_by_region(network, p, BOX) for network in networks]
    inside, rest = (_mean([getattr(j, part) for j in found]) for part in ("inside", "outside_area"))
    unseen = rest.value / inside.value
    return Line(
        "half the mean squared error where 95 % of the data are",
        "a picture: small near the modes, large elsewhere", inside,
        exactly(0.0), False,
        f"{'right' if differs(rest, inside) else 'not seen'}: averaged over the rest of the square it is {rest:.1f}, "
        f"{unseen:,.0f} times as much",
    )  # fmt: skip


def _sampled(seed: int, share: float, progress: bool) -> list[Line]:
    numbers = reference.run(seed=seed, progress=progress, n_repeats=scaled_count(20, share, least=2)).numbers
    lines = []
    for name, measured in reference.MEASURED.items():
        row = numbers[name]
        ours, law = _mean(row["upper_mode_weight"]["values"]), exactly(row["law"]["upper_mode_weight"])
        lines.append(
            Line(
                f"upper mode's weight, {name}", "its own code: " + ", ".join(f"{value:.3f}" for value in measured),
                ours, law, False,
                f"{judged(_mean(measured), law)}: this is the sampler's own exact law, where the density has "
                f"{TRUE_WEIGHT:g}; {of_ours(ours, law)}",
            )
        )  # fmt: skip
    return lines


def _mean(values: Sequence[float]) -> Estimate:
    return mean_of(torch.tensor(values, dtype=torch.float64, device="cpu"))


PAPER = Paper(
    "Song & Ermon 2019, Generative Modeling by Estimating Gradients of the Data Distribution (arXiv:1907.05600), "
    "figures 2 and 3",
    "Sliced score matching, 10,000 steps of three networks; 20 runs of 1,280 chains with the exact scores, whose "
    "noised form replaces variances as in the original code",
    run,
)
