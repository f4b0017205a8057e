"""Any distribution of torch as a density."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution

from toylab._internal import validate
from toylab.densities.density import Density


@dataclass(frozen=True, eq=False, repr=False)
class FromTorch(Density):
    """A 2-D distribution of ``torch.distributions``; its score and divergence come by automatic differentiation.

    Only its clean law is known: sigma > 0 is refused with a ``ValueError``.

    Args:
        distribution: of event shape [2] and batch shape [].
    """

    distribution: Distribution

    def __post_init__(self) -> None:
        if not isinstance(self.distribution, Distribution):
            raise TypeError(f"distribution is a {type(self.distribution).__name__}: give a torch Distribution.")
        event, batch = tuple(self.distribution.event_shape), tuple(self.distribution.batch_shape)
        if event != (2,) or batch != ():
            raise ValueError(
                f"distribution has event shape {list(event)} and batch shape {list(batch)}: one law on the plane has "
                "[2] and []. Two independent coordinates? Wrap them in torch.distributions.Independent(d, 1)."
            )
        with torch.random.fork_rng(devices=[]):  # this draw only shows dtype and device
            like = self.distribution.sample()
        vars(self).update(_dtype=like.dtype, _device=like.device)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """That of the distribution, which decides what dtype and device it takes; ``ValueError`` for sigma > 0."""
        validate.only_clean(sigma, x, "a wrapped torch distribution")
        return self.distribution.log_prob(x)

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Draws of the distribution, from torch's global stream, which the generator replaces during this call."""
        if generator is None:
            return self.distribution.sample(torch.Size(sample_shape)).to(dtype=self.dtype, device=self.device)
        on_cpu = generator.device.type == "cpu"
        swap, read = (
            (torch.set_rng_state, torch.get_rng_state)
            if on_cpu
            else (
                lambda state: torch.cuda.set_rng_state(state, generator.device),
                lambda: torch.cuda.get_rng_state(generator.device),
            )
        )
        with torch.random.fork_rng(devices=[] if on_cpu else [generator.device]):
            swap(generator.get_state())
            x = self.distribution.sample(torch.Size(sample_shape))
            generator.set_state(read())
        return x.to(dtype=self.dtype, device=self.device)


def from_torch(distribution: Distribution) -> FromTorch:
    """Wrap any 2-D ``torch.distributions`` object: its log_prob and draws, and the score by autograd.

    For a mixture of Gaussians take ``GaussianMixture.from_torch``, which knows the noised laws too.

    Raises:
        ValueError: unless its event shape is [2] and its batch shape [].
    """
    return FromTorch(distribution)
