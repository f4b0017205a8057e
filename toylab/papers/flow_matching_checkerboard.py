"""The loss of the field's flow-matching example: it stands still from early on, and nobody says where it must."""

import torch

from toylab.densities import Checkerboard
from toylab.experiments.setting import generator, scaled_count
from toylab.metrics import Estimate, mean_of
from toylab.networks import VelocityMLP
from toylab.objectives import FlowMatching
from toylab.papers.paper import Line, Paper, exactly, gap
from toylab.paths import Linear
from toylab.training import fit

BOARD = Checkerboard().scaled(0.5 / 0.45)  # of side 4 / 0.45
PUBLISHED = Estimate(3.746, 0.025)  # mean and standard deviation of the printed losses


def run(*, seed: int = 0, share: float = 1.0, progress: bool = True) -> list[Line]:
    """The mean loss of three networks, and the least there is."""
    objective = FlowMatching(Linear())
    floor = exactly(-objective.offset(BOARD))
    networks = fit(
        VelocityMLP(generator=generator(seed, 0)), objective, BOARD, n_steps=scaled_count(2000, share, least=2),
        batch_size=4096, n_seeds=3, generator=generator(seed, 1), progress=progress,
    ).networks  # fmt: skip
    x = BOARD.sample((scaled_count(500_000, share, least=1000),), generator=generator(seed, 2))
    with torch.no_grad():
        losses = torch.stack([objective(n, x, generator=generator(seed, 3 + k)) for k, n in enumerate(networks)])
    ours = mean_of(losses.mean(0))
    excess = ours.value - floor.value
    of_the_published = (
        "the printed loss is the floor" if abs(gap(PUBLISHED, floor)) < 1 else "the printed loss is not the floor"
    )
    return [
        Line(
            "mean loss", f"{PUBLISHED.value} ± {PUBLISHED.standard_error}", ours, floor, True,
            f"{of_the_published}: it cannot fall, and does not tell how good a network is; the {excess:.3f} by which "
            "ours is above it does",
        )
    ]  # fmt: skip


PAPER = Paper(
    "Lipman et al. 2024, Flow Matching Guide and Code (arXiv:2412.06264), its example in two dimensions",
    "Checkerboard of side 4 / 0.45, x_t = (1 - t) x_0 + t x_1, squared error averaged over both coordinates, batches "
    "of 4,096; ours: 2,000 steps of three networks",
    run,
)
