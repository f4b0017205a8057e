"""The base of all densities: what a law on the plane can be asked, and how it moves and blurs.

Names and shapes are those of ``torch.distributions``; two things differ, and both are the point of this package.
Every evaluation takes ``sigma``, so that one object answers for the law of X + sigma Z at every noise level; and
``sample`` takes a ``generator``.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from toylab import checks
from toylab.draws import normal_like
from toylab.score import at, divergence, gradient


@dataclass(frozen=True, eq=False)
class Density(ABC):
    """A probability law on the plane: the law of X, and of X + sigma Z with Z ~ N(0, I), for every sigma >= 0.

    Its parameters are held in float64, as exactly as they were written, and cast to the dtype and device of the
    points at every call: evaluation follows ``x``. Samples come in the density's own ``dtype`` and on its own
    ``device``: those of the tensors it was built from, else torch's default dtype on the CPU; ``to`` changes them.

    A subclass gives ``log_prob`` and ``sample``. Without a formula of its own, ``score`` is the automatic gradient
    of ``log_prob`` and ``divergence`` the automatic divergence of ``score``.
    """

    dtype: torch.dtype = field(default=None, kw_only=True, repr=False)
    device: torch.device = field(default=None, kw_only=True, repr=False)

    @abstractmethod
    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log p_sigma(x), normalised.

        Args:
            x: points, shape [..., 2].
            sigma: standard deviation of the added noise, a number or one level a point (broadcast to x[..., 0]).

        Returns:
            Log-densities, shape [...], in the dtype and on the device of ``x``.

        Raises:
            ValueError: if the last dimension of ``x`` is not 2, if sigma is negative, nan or of another shape, and
                at sigma = 0 if the law has no density of its own (points, curves).
        """

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """grad log p_sigma(x), shape [..., 2]; arguments as for ``log_prob``."""
        return gradient(at(self.log_prob, sigma), checks.points("x", x))

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """div grad log p_sigma(x), the Laplacian of log p_sigma, shape [...]; arguments as for ``log_prob``."""
        return divergence(at(self.score, sigma), checks.points("x", x))

    @abstractmethod
    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Independent draws of X.

        Args:
            sample_shape: shape of the batch of draws.
            generator: source of randomness; None is torch's global stream.

        Returns:
            Points, shape [*sample_shape, 2].
        """

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """Lower and upper corner, each [2] in float64, of a rectangle outside which p_sigma has mass below 1e-15."""
        raise TypeError(f"{type(self).__name__} gives no bounds(sigma), which quadrature needs. Define it.")

    def length_scale(self, sigma: float = 0.0) -> float:
        """The smallest length over which p_sigma varies: the least standard deviation of its Gaussian parts."""
        raise TypeError(f"{type(self).__name__} gives no length_scale(sigma), which quadrature needs. Define it.")

    def noised(self, sigma: float) -> "Density":
        """The law of X + sigma Z, Z ~ N(0, I). Noising twice adds variances."""
        return Noised(self, checks.positive("sigma", sigma))

    def scaled(self, factor: float) -> "Density":
        """The law of factor * X (factor not 0). ``p.scaled(alpha).noised(sigma)`` is the law of alpha X + sigma Z."""
        return Moved(self, factor=factor)

    def shifted(self, shift: Sequence[float]) -> "Density":
        """The law of X + shift."""
        return Moved(self, shift=tuple(float(s) for s in shift))

    def rotated(self, angle: float) -> "Density":
        """The law of X turned about the origin by ``angle`` radians, anticlockwise."""
        return Moved(self, angle=angle)

    def to(self, *args: torch.dtype | torch.device | str | Tensor, **kwargs: torch.dtype | torch.device) -> "Density":
        """The same law, sampling in another dtype or on another device; arguments as for ``Tensor.to``."""
        like = torch.empty(0, dtype=self.dtype, device=self.device).to(*args, **kwargs)
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {name: part.to(like) for name, part in parts.items() if isinstance(part, Density)}
        return replace(self, **moved, dtype=like.dtype, device=like.device)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        pairs = [(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)]
        return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in pairs)

    def __hash__(self) -> int:
        return hash(
            (
                type(self),
                *(getattr(self, f.name) for f in fields(self) if not isinstance(getattr(self, f.name), Tensor)),
            )
        )

    def _hold(self, **parameters: Tensor | Sequence | float) -> None:
        """Store tensor parameters in float64 on the CPU, and settle ``dtype`` and ``device``; for __post_init__."""
        given = [value for value in parameters.values() if isinstance(value, Tensor)]
        floating = [value.dtype for value in given if value.is_floating_point()]
        dtype = self.dtype or (_promoted(floating) if floating else torch.get_default_dtype())
        if not dtype.is_floating_point:
            raise TypeError(f"dtype is {dtype}: samples are floating point. Give torch.float32 or torch.float64.")
        device = self.device or (given[0].device if given else torch.device("cpu"))
        for name, value in parameters.items():
            try:
                held = torch.as_tensor(value, dtype=torch.float64).detach().to("cpu", copy=True)
            except (TypeError, ValueError) as error:
                raise TypeError(f"{name} is {value!r}: it must be numbers ({error}).") from None
            if not held.isfinite().all():
                raise ValueError(f"{name} is {held.tolist()}: every entry must be finite.")
            object.__setattr__(self, name, held)
        object.__setattr__(self, "dtype", dtype)
        object.__setattr__(self, "device", torch.device(device))

    def _cast(self, like: Tensor, make: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """The tensors that ``make`` builds in float64, cast to the dtype and device of ``like``; kept once cast."""
        kept = self.__dict__.setdefault("_kept", {})
        key = (like.dtype, like.device)
        if key not in kept:
            with torch.inference_mode(False), torch.no_grad():  # what is kept must serve in every mode
                kept[key] = tuple(part.to(dtype=like.dtype, device=like.device) for part in make())
        return kept[key]

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)


@dataclass(frozen=True, eq=False)
class Noised(Density):
    """The law of X + std Z for X from ``density``: p_sigma of it is p_sqrt(std^2 + sigma^2) of the density."""

    density: Density
    std: float

    def __post_init__(self) -> None:
        _like_its_part(self, self.density)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.log_prob(x, self._total(sigma, x))

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.score(x, self._total(sigma, x))

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.divergence(x, self._total(sigma, x))

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:  # noqa: D102
        x = self.density.sample(sample_shape, generator=generator)
        return x + self.std * normal_like(x, generator)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:  # noqa: D102
        return self.density.bounds(math.hypot(self.std, sigma))

    def length_scale(self, sigma: float = 0.0) -> float:  # noqa: D102
        return self.density.length_scale(math.hypot(self.std, sigma))

    def _total(self, sigma: Tensor | float, x: Tensor) -> Tensor | float:
        sigma = checks.noise_level(sigma, checks.points("x", x))
        if isinstance(sigma, Tensor):
            return torch.hypot(sigma, torch.full_like(sigma, self.std))
        return math.hypot(sigma, self.std)


@dataclass(frozen=True, eq=False)
class Moved(Density):
    """The law of Y = factor * R X + shift, R the rotation by ``angle`` (radians).

    With x = R^T (y - shift) / factor: log p_Y(y) = log p(x) - 2 log |factor|, and noise of standard deviation
    sigma on Y is noise of sigma / |factor| on X.
    """

    density: Density
    factor: float = 1.0
    angle: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        checks.positive("abs(factor)", abs(checks.finite("factor", self.factor)), "Give a factor other than 0")
        checks.finite("angle", self.angle)
        if len(self.shift) != 2:
            raise ValueError(f"shift has {len(self.shift)} entries: give 2, one a coordinate.")
        for entry in self.shift:
            checks.finite("shift", entry)
        _like_its_part(self, self.density)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.log_prob(*self._before(x, sigma)) - 2 * math.log(abs(self.factor))

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.score(*self._before(x, sigma)) @ self._rotation(x).T / self.factor

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.divergence(*self._before(x, sigma)) / self.factor**2

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:  # noqa: D102
        x = self.density.sample(sample_shape, generator=generator)
        return self.factor * x @ self._rotation(x).T + x.new_tensor(self.shift)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:  # noqa: D102
        low, high = self.density.bounds(sigma / abs(self.factor))
        corners = torch.cartesian_prod(*torch.stack([low, high], -1))
        turned = self.factor * corners @ self._rotation(corners).T + corners.new_tensor(self.shift)
        return turned.amin(0), turned.amax(0)

    def length_scale(self, sigma: float = 0.0) -> float:  # noqa: D102
        return abs(self.factor) * self.density.length_scale(sigma / abs(self.factor))

    def _rotation(self, x: Tensor) -> Tensor:
        c, s = math.cos(self.angle), math.sin(self.angle)
        return x.new_tensor([[c, -s], [s, c]])

    def _before(self, y: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor | float]:
        sigma = checks.noise_level(sigma, checks.points("x", y))
        return (y - y.new_tensor(self.shift)) @ self._rotation(y) / self.factor, sigma / abs(self.factor)


def mixture(log_joint: Tensor, scores: Tensor, divergences: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log p, score and divergence of p = sum_k w_k p_k from those of its components.

    With l_k = log(w_k p_k(x)) and r = softmax(l):  log p = logsumexp(l),  s = sum_k r_k s_k  and
    div s = sum_k r_k div s_k + sum_k r_k |s_k - s|^2. The last sum, the "between" form, is not written
    sum r_k |s_k|^2 - |s|^2, which loses everything in float32.

    Args:
        log_joint: l_k, shape [..., K].
        scores: s_k, shape [..., K, 2].
        divergences: div s_k, shape [..., K].

    Returns:
        log p [...], s [..., 2] and div s [...].
    """
    r = log_joint.softmax(-1)
    # relative to the heaviest component, so that equal components of a huge score cancel exactly
    heaviest = log_joint.argmax(-1)[..., None, None].expand(*log_joint.shape[:-1], 1, 2)
    reference = scores.gather(-2, heaviest)
    spread = scores - reference
    mean = (r[..., None] * spread).sum(-2, keepdim=True)
    between = (r * (spread - mean).square().sum(-1)).sum(-1)
    return log_joint.logsumexp(-1), (reference + mean)[..., 0, :], (r * divergences).sum(-1) + between


def _promoted(dtypes: list[torch.dtype]) -> torch.dtype:
    result = dtypes[0]
    for dtype in dtypes[1:]:
        result = torch.promote_types(result, dtype)
    return result


def _like_its_part(density: Density, part: Density) -> None:
    if not isinstance(part, Density):
        raise TypeError(f"density is a {type(part).__name__}: give a toylab Density.")
    object.__setattr__(density, "dtype", part.dtype)
    object.__setattr__(density, "device", part.device)
