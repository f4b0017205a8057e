"""Time to a Fisher divergence on ``two_modes``: ours beside the reference settings."""

import time
from collections.abc import Iterator

from benchmarks.row import Row
from toylab.densities import two_modes
from toylab.experiments.reference_training import train_as_the_reference
from toylab.experiments.setting import generator, scaled_count, spread
from toylab.metrics import fisher_divergence
from toylab.networks import ScoreMLP
from toylab.objectives import Sliced
from toylab.training import fit

REACHED = 0.0114  # half-Fisher divergence of the reference settings after 10,000 steps, as once measured
# (divergence, n_steps, batch_size, share of the reference's time)
GOALS = ((REACHED, 200, 256, 1 / 20), (0.002, 600, 512, 1 / 6))


def rows(share: float) -> Iterator[Row]:
    """Whole trainings in turns, from a fresh network to the returned one, each repeat on a seed of its own.

    The reference takes 10,000 steps. Ours takes as many as bring it to the divergence named, which is then measured.
    """
    p = two_modes()
    names = ["theirs", *(f"{goal:g}" for goal, *_ in GOALS)]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    divergences: dict[str, list[float]] = {name: [] for name in names}
    fit(ScoreMLP(generator=generator(0, 99)), Sliced(), p, n_steps=1, progress=False)
    for seed in range(scaled_count(3, share)):
        for stage, name in enumerate(names):
            gen = generator(seed, stage)
            start = time.perf_counter()
            if name == "theirs":
                network = train_as_the_reference(p, n_steps=scaled_count(10_000, share), generator=gen, progress=False)
            else:
                _, n_steps, batch_size, _ = GOALS[stage - 1]
                network = fit(
                    ScoreMLP(generator=gen), Sliced(), p, n_steps=scaled_count(n_steps, share), batch_size=batch_size,
                    learning_rate=0.02, generator=gen, progress=False,
                ).network  # fmt: skip
            seconds[name].append(time.perf_counter() - start)
            divergences[name].append(fisher_divergence(network, p))
    theirs = spread(divergences["theirs"])["mean"]
    for name, (divergence, n_steps, batch_size, goal) in zip(names[1:], GOALS, strict=True):
        yield Row(
            f"half-Fisher divergence {divergence:g} on two modes, {scaled_count(n_steps, share)} × {batch_size}",
            f"reference settings, {scaled_count(10_000, share):,} × 128",
            goal,
            tuple(seconds[name]),
            tuple(seconds["theirs"]),
            f"at most {max(divergences[name]):.4f}; theirs {theirs:.4f}",
        )
