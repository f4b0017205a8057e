"""Densities with one formula for the clean law and another for the noised one."""

from abc import abstractmethod

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.devices import number
from toylab.densities._mixture import nowhere
from toylab.densities.density import Density, in_single_precision


@in_single_precision
class TwoRegimeDensity(Density):
    """A density with one formula for its clean law and another for the noised one, both evaluated in float64.

    The latter may branch on its values, and then refuses tensors batched by ``torch.func.vmap``. A subclass defines
    ``_noised``, and ``_clean`` unless its law lies on points or on curves.
    """

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log p_sigma(x), shape [...]; see the class for its formula."""
        return self._evaluate(x, sigma)[0]

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """grad log p_sigma(x), shape [..., 2]; see the class for what is special about it."""
        return self._evaluate(x, sigma)[1]

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """div grad log p_sigma(x), shape [...]."""
        return self._evaluate(x, sigma)[2]

    def log_prob_and_score(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """log p_sigma(x) [...] and its gradient [..., 2]."""
        return self._evaluate(x, sigma)[:2]

    def _clean(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log p [...], score [..., 2] and divergence [...] of the clean law at x [..., 2], all float64."""
        raise validate.NoDensity

    @abstractmethod
    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log p [n], score [n, 2] and divergence [n] at x [n, 2] and levels sigma [n] > 0, all float64."""

    def _evaluate(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        sigma = validate.noise_level(sigma, validate.points("x", x))
        if not isinstance(sigma, Tensor) and sigma == 0:
            return _like(x, self._clean(x.double()))
        levels = number(sigma, x, torch.float64).expand(x.shape[:-1])
        # A clean level has its own formula, and is replaced by 1 here; the levels of a CUDA tensor are not read, and
        # those of a batched one cannot be
        readable = validate.readable(levels)
        some_clean = isinstance(sigma, Tensor) and (not readable or bool((sigma == 0).any()))
        noisy = torch.where(levels > 0, levels, 1.0) if some_clean else levels
        noised = self._noised(x.double().reshape(-1, 2), noisy.reshape(-1))
        noised = (
            nowhere(x, noised[0].reshape(x.shape[:-1])),
            noised[1].reshape(x.shape),
            noised[2].reshape(x.shape[:-1]),
        )
        if not some_clean or (not readable and type(self)._clean is TwoRegimeDensity._clean):
            return _like(x, noised)
        clean, above = self._clean(x.double()), levels > 0
        masks = (above, above[..., None], above)
        log_p, s, div = (torch.where(mask, a, b) for mask, a, b in zip(masks, noised, clean, strict=True))
        return _like(x, (log_p, s, div))


def _like(x: Tensor, values: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    log_p, s, div = values
    return log_p.to(x), s.to(x), div.to(x)
