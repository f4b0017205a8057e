"""Figure 1: densities and their score fields."""

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from toylab import plotting
from toylab._internal import devices
from toylab.densities import Banana, Circle, Density, ring, two_modes
from toylab.densities.quadrature import fisher_information
from toylab.experiments.result import Arrays, Result
from toylab.experiments.setting import BOX, RING_BOX, SMALL_BOX, Numbers
from toylab.metrics import Extent, grid_points

_ARROWS = 16


def targets() -> dict[str, tuple[Density, Extent]]:
    """The four densities of the figure and the square each is shown on."""
    return {
        "two modes": (two_modes(), BOX),
        "ring of 8": (ring(std=0.5), RING_BOX),
        "banana": (Banana(width=0.8, bend=0.25), (-6.0, 6.0, -4.5, 7.5)),
        "noised circle, σ = 0.5": (Circle(3.0).noised(0.5), SMALL_BOX),
    }


def run(*, seed: int = 0, device: torch.device | str = "cpu", progress: bool = True) -> Result:
    """Evaluate densities and scores. Nothing here is random or slow: ``seed`` and ``progress`` are ignored."""
    device = devices.find(device)
    numbers: Numbers = {}
    arrays: Arrays = {}
    for name, (density, extent) in targets().items():
        x = grid_points(extent, 200, dtype=torch.float64)
        arrays[f"{name}/density"] = density.log_prob(x.to(device)).exp().cpu().numpy()
        score = density.score(grid_points(extent, _ARROWS, dtype=torch.float64).to(device)).cpu()
        arrays[f"{name}/score"] = score.numpy()
        numbers[name] = {
            "extent": list(extent),
            "longest_arrow": float(score.norm(dim=-1).max()),
            "half_fisher_information": 0.5 * fisher_information(density),
        }
    return Result("fields", numbers, arrays)


def draw(result: Result) -> Figure:
    """One panel per density: its values in grey, its score as arrows, their scale and 1/2 E|s|^2 below."""
    with plotting.look():
        figure, axes = plt.subplots(
            1, len(result.numbers), figsize=(3.7 * len(result.numbers), 4.9), layout="constrained"
        )
        for ax, (name, panel) in zip(axes, result.numbers.items(), strict=True):
            extent = tuple(panel["extent"])
            plotting.density_map(result.arrays[f"{name}/density"], extent, cmap=plotting.GROUND_MAP, ax=ax)
            plotting.score_field(result.arrays[f"{name}/score"], extent, longest=panel["longest_arrow"], ax=ax)
            ax.set_title(name)
            ax.set(xticks=[-5, 0, 5], yticks=[-5, 0, 5])
            ax.set(xlim=extent[:2], ylim=extent[2:])
            ax.set_xlabel(
                f"longest arrow: |s| = {panel['longest_arrow']:.1f}\n½ E|s|² = {panel['half_fisher_information']:.3f}",
                fontsize=15,
            )
        figure.suptitle("Densities (grey) and their score fields ∇ log p (arrows, all exact)")
    return figure
