"""The picture of the theatre: the learned field, its error, and the exact Fisher divergence so far."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from toylab import plotting
from toylab.densities import Density
from toylab.metrics import Extent, grid_points
from toylab.widgets.stage import empty_field, off_screen

CELLS = 80
_ARROWS, _FLOOR = 17, 1e-4


class TrainingPicture:
    """The learned field over the density, its error, and the exact Fisher divergence so far.

    The divergence is the sum over the cells of the error map, 1/2 sum p |s - s*|^2: for smooth densities that fit the
    square it agrees with ``metrics.fisher_divergence``, in a tenth of the time.
    """

    def __init__(self, density: Density, extent: Extent, n_steps: int) -> None:
        cells = grid_points(extent, CELLS, dtype=torch.float64)
        log_p, self.exact = density.log_prob(cells), density.score(cells)
        self.share = torch.softmax(log_p.flatten(), 0).view_as(log_p)  # of the probability, in each cell
        self.cells, self.arrows_at = grid_points(extent, CELLS), grid_points(extent, _ARROWS)
        self.longest = float(self.exact.norm(dim=-1).max())
        self.steps: list[int] = []
        self.divergences: list[float] = []
        zero = 0.5 * float((self.share * self.exact.square().sum(-1)).sum())
        self.top, self.ceiling = self.longest / 2, 100 * zero
        with plotting.look():
            self.figure = off_screen(11.5, 4.25)
            field, error, curve = self.figure.subplots(1, 3)
            field.set_position((0.005, 0.01, 0.33, 0.9))
            error.set_position((0.345, 0.01, 0.33, 0.9))
            curve.set_position((0.75, 0.15, 0.23, 0.76))
            plotting.density_map(density, extent, cmap=plotting.GROUND_MAP, n=CELLS, ax=field)
            self.quiver = empty_field(extent, _ARROWS, self.longest, plotting.LEARNED, field)
            plotting.error_heat_map(np.zeros((CELLS, CELLS)), extent, vmax=self.top, ax=error)
            self.image = error.images[0]
            for ax in (field, error):
                ax.set(xticks=[], yticks=[])
            curve.set(xlim=(0, n_steps), ylim=(_FLOOR, self.ceiling), yscale="log", xlabel="step")
            curve.set_title("Fisher divergence, exact", fontsize=14)
            curve.axhline(zero, color=plotting.NEUTRAL, lw=1.5, ls="--")
            curve.text(n_steps, 1.2 * zero, "if the score were 0", ha="right", color=plotting.NEUTRAL)
            (self.line,) = curve.plot([], [], color=plotting.LEARNED, lw=2.5)
            self.titles = [
                ax.text(0.5, 1.02, "", ha="center", transform=ax.transAxes, fontsize=14) for ax in (field, error)
            ]
            self.number = curve.text(0.97, 0.05, "", ha="right", transform=curve.transAxes, fontsize=15, weight="bold")
        self.moving = (self.quiver, self.image, self.line, *self.titles, self.number)

    def restart(self) -> None:
        """Forget the curve so far."""
        self.steps.clear()
        self.divergences.clear()

    def append(self, network: Callable[[Tensor], Tensor], step: int) -> float:
        """Draw the network as it is at this step; returns its Fisher divergence."""
        with torch.no_grad():
            s = network(self.arrows_at).double().cpu().numpy()
            error = network(self.cells).double() - self.exact
        divergence = 0.5 * float((self.share * error.square().sum(-1)).sum())
        self.steps.append(step)
        self.divergences.append(divergence)
        size = np.linalg.norm(s, axis=-1, keepdims=True)
        s = s * np.minimum(1.0, self.longest / np.maximum(size, 1e-12))  # longer ones would cover the picture
        self.quiver.set_UVC(s[..., 0], s[..., 1])
        self.image.set_data(error.norm(dim=-1).cpu().numpy())
        self.line.set_data(self.steps, np.clip(self.divergences, _FLOOR, self.ceiling))
        self.titles[0].set_text(f"learned field, step {step}")
        self.titles[1].set_text(f"error |s − s*|, dark: {self.top:.2g} or more")
        self.number.set_text(f"{divergence:.3g}")
        return divergence
