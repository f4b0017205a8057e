"""The picture of the theatre: the learned field, its error, and the exact Fisher divergence so far."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from toylab import plotting
from toylab.densities import Density
from toylab.metrics import Extent, grid_points
from toylab.widgets.known import refusal
from toylab.widgets.stage import empty_field, off_screen
from toylab.widgets.training_task import CELLS

_ARROWS = 17


class TrainingPicture:
    """The learned field over the density, its error, and the exact Fisher divergence so far.

    The divergence is the sum over the cells of the error map, 1/2 sum p |s - s*|^2: for smooth densities that fit the
    square it agrees with ``metrics.fisher_divergence``, in a tenth of the time.

    Args:
        density: the truth.
        extent: the square that is shown.
        n_steps: of a training.
        draws: of a density that is finer than the cells, [n, 2]: the divergence is the mean over them.
    """

    def __init__(self, density: Density, extent: Extent, n_steps: int, draws: Tensor | None = None) -> None:
        cells = grid_points(extent, CELLS, dtype=torch.float64)
        log_p, self.exact = density.log_prob(cells), density.score(cells)
        self.share = torch.softmax(log_p.flatten(), 0).view_as(log_p)  # of the probability, in each cell
        self.cells, self.arrows_at = grid_points(extent, CELLS), grid_points(extent, _ARROWS)
        self.draws = None if draws is None else (draws.to(self.cells.dtype), density.score(draws))
        self.longest = float(self.exact.norm(dim=-1).max())
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.divergences: list[float] = []
        zero, _ = self._divergence(torch.zeros_like, -self.exact)
        self.top, self.floor, self.ceiling = self.longest / 2, -zero, 2 * zero
        with plotting.look():
            self.figure = off_screen(11.5, 4.25)
            field, error, curve = self.figure.subplots(1, 3)
            field.set_position((0.005, 0.01, 0.33, 0.9))
            error.set_position((0.345, 0.01, 0.33, 0.9))
            curve.set_position((0.75, 0.15, 0.23, 0.76))
            # each cell shows about its mean: otherwise a density finer than the cells would fall between them
            smear = 0.5 * max(extent[1] - extent[0], extent[3] - extent[2]) / CELLS
            ground = density if draws is None or refusal(density, smear) else density.noised(smear)
            plotting.density_map(ground, extent, cmap=plotting.GROUND_MAP, n=CELLS, ax=field)
            exact = empty_field(extent, _ARROWS, self.longest, plotting.EXACT, field)
            s = density.score(self.arrows_at.double()).numpy()
            exact.set_UVC(s[..., 0], s[..., 1])
            self.quiver = empty_field(extent, _ARROWS, self.longest, plotting.LEARNED, field)
            (self.dots,) = field.plot([], [], "o", color="black", mec="white", ms=6)
            plotting.error_heat_map(np.zeros((CELLS, CELLS)), extent, vmax=self.top, ax=error)
            self.image = error.images[0]
            for ax in (field, error):
                ax.set(xticks=[], yticks=[])
            # not a logarithm: a loss that is fitted to few data falls through 0, and that is to be seen
            curve.set(xlim=(0, n_steps), ylim=(self.floor, self.ceiling), xlabel="step")
            curve.axhline(0.0, color=plotting.NEUTRAL, lw=0.8)
            curve.set_title("Fisher divergence, loss", fontsize=14)
            curve.axhline(zero, color=plotting.NEUTRAL, lw=1.5, ls="--")
            curve.text(n_steps, 1.05 * zero, "if the score were 0", ha="right", color=plotting.NEUTRAL)
            (self.loss,) = curve.plot([], [], color=plotting.NEUTRAL, lw=2, ls=":")
            (self.line,) = curve.plot([], [], color=plotting.ERROR, lw=2.5)
            self.legend = [
                curve.text(0.03, y, "", color=color, transform=curve.transAxes, fontsize=12)
                for y, color in ((0.13, plotting.ERROR), (0.04, plotting.NEUTRAL))
            ]
            self.titles = [
                ax.text(0.5, 1.02, "", ha="center", transform=ax.transAxes, fontsize=14) for ax in (field, error)
            ]
        self.moving = (self.quiver, self.dots, self.image, self.loss, self.line, *self.legend, *self.titles)

    def restart(self, data: Tensor | None = None) -> None:
        """Forget the curves so far; ``data`` are fixed points that are learned from, [N, 2], to be shown."""
        self.steps.clear()
        self.divergences.clear()
        self.losses.clear()
        self.dots.set_data(*(([], []) if data is None else data.T.tolist()))

    def append(self, network: Callable[[Tensor], Tensor], step: int, loss: float) -> float:
        """Draw the network as it is at this step, and its loss; returns its Fisher divergence."""
        with torch.no_grad():
            s = network(self.arrows_at).double().cpu().numpy()
            error = network(self.cells).double() - self.exact
            divergence, how = self._divergence(network, error)
        self.steps.append(step)
        self.divergences.append(divergence)
        self.losses.append(loss)
        size = np.linalg.norm(s, axis=-1, keepdims=True)
        s = s * np.minimum(1.0, self.longest / np.maximum(size, 1e-12))  # longer ones would cover the picture
        self.quiver.set_UVC(s[..., 0], s[..., 1])
        self.image.set_data(error.norm(dim=-1).cpu().numpy())
        for line, values in ((self.line, self.divergences), (self.loss, self.losses)):
            line.set_data(self.steps, np.clip(values, self.floor, self.ceiling))
        self.legend[0].set_text(f"{how}{self._beyond(divergence)}")
        self.legend[1].set_text("" if np.isnan(loss) else f"loss + constant: {loss:.3g}{self._beyond(loss)}")
        self.titles[0].set_text(f"learned over exact, step {step}")
        self.titles[1].set_text(f"error |s − s*|, shades up to {self.top:.2g}")
        return divergence

    def _divergence(self, network: Callable[[Tensor], Tensor], error: Tensor) -> tuple[float, str]:
        """The Fisher divergence of a network, whose error on the cells is known, and how it is known, in words."""
        if self.draws is None:
            divergence = 0.5 * float((self.share * error.square().sum(-1)).sum())
            return divergence, f"J, exact: {divergence:.3g}"
        x, exact = self.draws
        halves = 0.5 * (network(x).double() - exact).square().sum(-1)
        standard_error = float(halves.std()) / len(x) ** 0.5
        return float(halves.mean()), f"J of {len(x):,} draws: {float(halves.mean()):.3g} ± {standard_error:.2g}"

    def _beyond(self, value: float) -> str:
        """That a value is drawn at the edge of the axis."""
        return " (above)" if value > self.ceiling else " (below)" if value < self.floor else ""
