"""The parts of the plane whose shares the playground counts: modes of a mixture, or quarters about the middle."""

from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_uppercase

import torch
from torch import Tensor

from toylab.densities import Density, GaussianMixture

N_DRAWS = 100_000  # from which the shares of quarters are known, to 0.0016


@dataclass(frozen=True, eq=False)
class Regions:
    """Parts of the plane, and what a law has in each.

    Attributes:
        names: one per part, a letter where there are no more than letters.
        places: where the names stand, shape [K, 2].
        shares: of the law, shape [K].
        centres: from which square distances are measured, shape [K, 2].
        variance: mean square distance per axis of the law from the centre of its part.
        part_of: the part of each point [n, 2], shape [n].
        kind: "mode" or "quarter".
        known: how shares and variance are known, in words.
    """

    names: tuple[str, ...]
    places: Tensor
    shares: Tensor
    centres: Tensor
    variance: float
    part_of: Callable[[Tensor], Tensor]
    kind: str
    known: str


def regions_of(density: Density) -> Regions:
    """The modes of a Gaussian mixture, exactly; of another law the quarters about its median, by draws of it."""
    if isinstance(density, GaussianMixture):
        K = len(density.weights)
        variances = density.covariances.diagonal(dim1=-2, dim2=-1).mean(-1)
        return Regions(
            names=tuple(ascii_uppercase[:K]) if 1 < K <= len(ascii_uppercase) else (),
            places=density.means,
            shares=density.weights,
            centres=density.means,
            variance=float(variances @ density.weights),
            part_of=lambda x: density.posterior(x).argmax(-1),
            kind="mode",
            known="exact",
        )
    x = density.sample((N_DRAWS,), generator=torch.Generator().manual_seed(0)).double()
    middle = x.median(0).values  # heavy tails have no mean that is soon known
    spread = (x - middle).abs().median(0).values

    def quarter(x: Tensor) -> Tensor:
        """0 to 3, counter-clockwise from the top right."""
        right, above = x[..., 0] >= middle[0], x[..., 1] >= middle[1]
        return torch.where(above, torch.where(right, 0, 1), torch.where(right, 3, 2))

    corners = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]], dtype=torch.float64, device="cpu")
    return Regions(
        names=("A", "B", "C", "D"),
        places=middle + 1.5 * spread * corners,
        shares=torch.bincount(quarter(x), minlength=4) / N_DRAWS,
        centres=middle.expand(4, 2),
        variance=float((x - middle).square().sum(-1).mean()) / 2,
        part_of=quarter,
        kind="quarter",
        known=f"of {N_DRAWS:,} draws",
    )
