"""log p and its score beside ``MixtureSameFamily`` with autograd."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.distributions import MixtureSameFamily

from toylab.bench.row import Row, interleaved, some
from toylab.densities import GaussianMixture, fractal_tree, ring

N_POINTS, _AT_ONCE = 100_000, 10_000


def rows(share: float) -> Iterator[Row]:
    """Eight round components and 1,016 correlated ones at 10^5 points."""
    n = some(N_POINTS, share, least=100)
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(0))
    for p, points, repeats in ((ring(), 4 * x, 15), (fractal_tree(), x / 2, 3)):
        peer = p.to_torch()
        times = interleaved(
            lambda p=p, x=points: ours(p, x),
            lambda peer=peer, x=points: theirs(peer, x),
            repeats=some(repeats, share, least=2),
        )
        gaps = [
            float((a - b).abs().max() / b.abs().max())
            for a, b in zip(ours(p, points), theirs(peer, points), strict=True)
        ]
        said = "largest gap {:.0e} of log p, {:.0e} of the score".format(*gaps)
        work = f"log p and score, K = {len(p.weights):,}, {n:,} points"
        yield Row(work, "MixtureSameFamily, autograd", 1 / 5, *times, said)


@torch.no_grad()
def ours(p: GaussianMixture, x: Tensor) -> tuple[Tensor, Tensor]:
    """log p [n] and its score [n, 2]."""
    return p.log_prob_and_score(x)


def theirs(peer: MixtureSameFamily, x: Tensor) -> tuple[Tensor, Tensor]:
    """The same by autograd, in parts, for all pairs at once would not fit into memory: so they are faster, too."""
    parts = []
    for part in x.split(_AT_ONCE):
        y = part.clone().requires_grad_()
        log_p = peer.log_prob(y)
        parts.append((log_p.detach(), torch.autograd.grad(log_p.sum(), y)[0]))
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))
