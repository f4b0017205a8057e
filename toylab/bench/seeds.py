"""Eight networks trained side by side beside eight single trainings, 2-128-128-2."""

from collections.abc import Iterator

from toylab.bench.row import Row, interleaved, some
from toylab.bench.step import SIGMA
from toylab.densities import two_modes
from toylab.experiments.result import generator
from toylab.networks import ScoreMLP
from toylab.objectives import Denoising, Explicit, Implicit, Sliced
from toylab.training import fit

N_SEEDS, BATCH = 8, 128


def rows(share: float) -> Iterator[Row]:
    """The seconds of the steps alone, set-up left out on both sides."""
    p, n_steps = two_modes(), some(40, share, least=2)
    objectives = {
        "explicit": Explicit(p.score), "denoising": Denoising(SIGMA), "sliced": Sliced(), "implicit": Implicit()
    }  # fmt: skip
    for name, objective in objectives.items():

        def seconds(n_seeds: int, seed: int = 0, objective=objective) -> float:  # noqa: ANN001
            gen = generator(seed, n_seeds)
            result = fit(
                ScoreMLP(generator=gen), objective, p, n_steps=n_steps, batch_size=BATCH, n_seeds=n_seeds,
                generator=gen, progress=False,
            )  # fmt: skip
            return float(result.history.seconds[-1])

        times = interleaved(
            lambda seconds=seconds: seconds(N_SEEDS),
            lambda seconds=seconds: sum(seconds(1, seed) for seed in range(N_SEEDS)),
            repeats=some(15, share, least=2),
        )
        work = f"{N_SEEDS} networks at once, {name}, batch {BATCH}"
        yield Row(work, f"{N_SEEDS} single trainings", 3 / 8, *times, f"{n_steps} steps each")
