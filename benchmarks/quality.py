"""Time to a Fisher divergence on ``two_modes``: ours beside the reference settings."""

import time
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.measurement import Measurement
from benchmarks.row import Row, worst
from toylab.densities import two_modes
from toylab.experiments.reference_training import train_as_the_reference
from toylab.experiments.setting import generator, scaled_count, spread
from toylab.metrics import fisher_divergence
from toylab.networks import ScoreMLP
from toylab.objectives import Sliced
from toylab.training import fit

REACHED = 0.0114  # half-Fisher divergence of the reference settings after 10,000 steps, as once measured
# (divergence, n_steps, batch_size, share of the reference's time)
GOALS = ((REACHED, 250, 256, 1 / 20), (0.002, 600, 512, 1 / 6))


def rows(share: float) -> Iterator[Measurement[Row]]:
    """Whole trainings in turns, from a fresh network to the returned one, each repeat on a seed of its own.

    The reference takes 10,000 steps. Ours takes as many as bring it to the divergence named, which is then measured.
    """
    n_reference = scaled_count(10_000, share)
    heads = tuple(
        Row(
            f"half-Fisher divergence {divergence:g} on two modes, {scaled_count(n_steps, share)} × {batch_size}",
            f"reference settings, {n_reference:,} × 128",
            goal,
            allowed=divergence,
        )
        for divergence, n_steps, batch_size, goal in GOALS
    )

    def measure() -> Iterator[Row]:
        p = two_modes()
        sides = ("theirs", *(row.work for row in heads))
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        divergences: dict[str, list[float]] = {side: [] for side in sides}
        fit(ScoreMLP(generator=generator(0, 99)), Sliced(), p, n_steps=1, progress=False)
        for seed in range(scaled_count(3, share)):
            for stage, side in enumerate(sides):
                gen = generator(seed, stage)
                start = time.perf_counter()
                if side == "theirs":
                    network = train_as_the_reference(p, n_steps=n_reference, generator=gen, progress=False)
                else:
                    _, n_steps, batch_size, _ = GOALS[stage - 1]
                    network = fit(
                        ScoreMLP(generator=gen), Sliced(), p, n_steps=scaled_count(n_steps, share),
                        batch_size=batch_size, learning_rate=0.02, generator=gen, progress=False,
                    ).network  # fmt: skip
                seconds[side].append(time.perf_counter() - start)
                divergences[side].append(fisher_divergence(network, p))
        theirs = spread(divergences["theirs"])["mean"]
        for row in heads:
            yield replace(
                row,
                ours=tuple(seconds[row.work]),
                theirs=tuple(seconds["theirs"]),
                reached=f"theirs {theirs:.4f}",
                error=worst(divergences[row.work]),
            )

    yield Measurement(heads, measure)
