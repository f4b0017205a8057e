"""A mixture of any densities."""

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.devices import at_hand
from toylab._internal.random import categorical
from toylab.densities._mixture import mixture, too_far
from toylab.densities.density import Density, in_single_precision
from toylab.densities.given import class_label, evidence, normalised
from toylab.densities.parameters import Matrix, Vector
from toylab.densities.parts import Parts
from toylab.densities.products import Products
from toylab.densities.truncated import Box


@in_single_precision
@dataclass(frozen=True, eq=False, repr=False)
class Mixture(Density):
    """p(x) = sum_k w_k p_k(x) of any densities p_k, exact wherever all of them are.

    log p = logsumexp(l), s = sum_k r_k s_k and div s = sum_k r_k (div s_k + |s_k - s|^2), with l_k = log(w_k p_k) and
    r = softmax(l). Noise acts on each part.

    Args:
        weights: w, shape [K], positive, summing to one.
        densities: the K parts. Samples come in the dtype and on the device of the first.
    """

    weights: Tensor
    densities: tuple[Density, ...]

    _log_weights: Tensor = field(init=False)  # log(w / sum w), [K]
    _noted: ClassVar = Density._noted | {"_log_weights"}

    def __init__(self, weights: Vector, densities: Sequence[Density]) -> None:
        if isinstance(densities, Density):
            raise TypeError("densities is one density: give a list of them.")
        if not isinstance(densities, Iterable) or (isinstance(densities, Tensor) and densities.ndim == 0):
            raise TypeError(f"densities is a {type(densities).__name__}: give a list of toylab densities.")
        parts = tuple(densities)
        for part in parts:
            if not isinstance(part, Density):
                raise TypeError(f"densities holds a {type(part).__name__}: give toylab densities.")
        if not parts:
            raise ValueError("densities is empty: give at least one.")
        self._hold(weights=weights)
        if len(validate.simplex("weights", self.weights)) != len(parts):
            raise ValueError(
                f"weights has {len(self.weights)} entries for {len(parts)} densities: give one per density."
            )
        dtype, device = parts[0].dtype, parts[0].device
        parts = tuple(
            part if (part.dtype, part.device) == (dtype, device) else part.to(device, dtype) for part in parts
        )
        vars(self).update(_log_weights=self.weights.log() - math.log(float(self.weights.sum())))
        vars(self).update(densities=parts, _dtype=None, _device=None)  # those of the parts, not of the weights

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """logsumexp_k log(w_k p_k(x)), shape [...]."""
        log_joint = self._log_joint(x, sigma)
        return log_joint.logsumexp(-1).to(x.dtype)

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """sum_k r_k s_k, shape [..., 2]."""
        return self.log_prob_and_score(x, sigma)[1]

    def log_prob_and_score(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Both from one evaluation of each part."""
        log_joint, scores = self._parts_at(x, sigma)
        log_p, s, _ = mixture(log_joint, scores, torch.zeros_like(log_joint))
        return log_p.to(x.dtype), s.to(x.dtype)

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """sum_k r_k (div s_k + |s_k - s|^2), shape [...]."""
        log_joint, scores = self._parts_at(x, sigma)
        divergences = torch.stack([part.divergence(x.to(log_joint), sigma) for part in self.densities], -1)
        return mixture(log_joint, scores, divergences)[2].to(x.dtype)

    def posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """r_k(x) = P(part k | x), shape [..., K]."""
        return self._log_joint(x, sigma).softmax(-1).to(x.dtype)

    def log_posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log r_k(x), shape [..., K], where r_k itself may underflow."""
        return self._log_joint(x, sigma).log_softmax(-1).to(x.dtype)

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """A part k with probability w_k, then a draw of it; on a GPU a draw of each part, as no count is read there."""
        k = categorical(self._on_its_device("weights"), sample_shape, generator=generator)
        if not at_hand(self.device):
            draws = torch.stack([part.sample(sample_shape, generator=generator) for part in self.densities])
            return draws.gather(0, k[None, ..., None].expand(1, *k.shape, 2))[0]
        x = torch.empty((*k.shape, 2), dtype=self.dtype, device=self.device)
        for index, part in enumerate(self.densities):
            chosen = k == index
            x[chosen] = part.sample((int(chosen.sum()),), generator=generator)
        return x

    def given(self, A: Vector | Matrix, y: Vector | float, noise: float) -> "Mixture":
        """The parts given y, in their order, with weights w_k p_k(y) / p(y).

        So ``posterior`` has the same classes. ``weights`` shows one that underflows as 2e-308; its logarithm is kept.
        """
        after = Mixture(self.weights, [part.given(A, y, noise) for part in self.densities])
        vars(after).update(normalised(self._log_joint_evidence(A, y, noise)))
        return after

    def log_evidence(self, A: Vector | Matrix, y: Vector | float, noise: float) -> float:
        """log sum_k w_k p_k(y), of the law of A X + noise Z."""
        return evidence(self._log_joint_evidence(A, y, noise))

    def given_class(self, k: int) -> Density:
        """The k-th part."""
        return self.densities[class_label(k, len(self.densities))]

    def _blurred(self, std: float) -> "Mixture":
        blurred = Mixture(self.weights, [part._blurred(std) for part in self.densities])
        vars(blurred).update(_log_weights=self._log_weights)
        return blurred

    def _log_joint_evidence(self, A: Vector | Matrix, y: Vector | float, noise: float) -> Tensor:
        """log(w_k p_k(y)), [K]."""
        log_evidences = [part.log_evidence(A, y, noise) for part in self.densities]
        return self._log_weights + torch.tensor(log_evidences, dtype=torch.float64, device="cpu")

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """The rectangle around those of all parts."""
        lows, highs = zip(*(part.bounds(sigma) for part in self.densities), strict=True)
        return torch.stack(lows).amin(0), torch.stack(highs).amax(0)

    def length_scale(self, sigma: float = 0.0) -> float:
        """The least of all parts."""
        return min(part.length_scale(sigma) for part in self.densities)

    def _smooth_between(self) -> tuple[Sequence[float], Sequence[float]] | None:
        """Where every part says so, the lines of all."""
        known = [lines for part in self.densities if (lines := part._smooth_between()) is not None]
        if len(known) < len(self.densities):
            return None
        first, second = (sorted({line for lines in along for line in lines}) for along in zip(*known, strict=True))
        return first, second

    def _mass_in(self, box: Box) -> tuple[float, float]:
        """The mean of those of the parts."""
        masses, errors = zip(*(part._mass_in(box) for part in self.densities), strict=True)
        shares = self._log_weights.exp().tolist()
        mass = sum(map(operator.mul, shares, masses))
        wrong = sum(map(math.prod, zip(shares, masses, errors, strict=True)))
        return mass, wrong / mass if mass > 0 else 0.0

    def _noised_in(self, box: Box, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The mixture of the parts that have a mass in the box."""
        inside = [k for k, part in enumerate(self.densities) if part._mass_in(box)[0] > 0]
        found = [self.densities[k]._noised_in(box, x, sigma) for k in inside]
        log_p, scores, divergences = (torch.stack(column, 1) for column in zip(*found, strict=True))
        return mixture(log_p + self._log_weights_as(x)[inside], scores, divergences)

    def _as_gaussians(self, sigma: float) -> Parts | None:
        known = [parts for part in self.densities if (parts := part._as_gaussians(sigma)) is not None]
        if len(known) < len(self.densities):
            return None
        weights, means, covariances, leasts, orders = zip(*known, strict=True)
        shares = [share * own for share, own in zip(self._log_weights.exp(), weights, strict=True)]
        return Parts(torch.cat(shares), torch.cat(means), torch.cat(covariances), max(leasts), min(orders))

    def _as_products(self) -> Products | None:
        known = [products for part in self.densities if (products := part._as_products()) is not None]
        if len(known) < len(self.densities) or len({products.angle for products in known}) > 1:
            return None
        shares = [share * products.weights for share, products in zip(self._log_weights.exp(), known, strict=True)]
        return Products(torch.cat(shares), sum((products.axes for products in known), ()), known[0].angle)

    def _log_weights_as(self, like: Tensor) -> Tensor:
        log_weights: Tensor = self._cast(like, lambda: (self._log_weights,), "log_weights")[0]
        return log_weights

    def _log_joint(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """log(w_k p_k) [..., K]; in float64 where float32, which loses eps |log p| of a weight, will not do."""
        log_joint = torch.stack([part.log_prob(x, sigma) for part in self.densities], -1) + self._log_weights_as(x)
        return self._log_joint(x.double(), sigma) if x.dtype == torch.float32 and too_far(log_joint, -1) else log_joint

    def _parts_at(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor]:
        """The same, and the scores of the parts [..., K, 2]."""
        log_probs, scores = zip(*(part.log_prob_and_score(x, sigma) for part in self.densities), strict=True)
        log_joint = torch.stack(log_probs, -1) + self._log_weights_as(x)
        if x.dtype == torch.float32 and too_far(log_joint, -1):
            return self._parts_at(x.double(), sigma)
        return log_joint, torch.stack(scores, -2)
