"""The base of all densities: what a law on the plane can be asked, and how it moves and blurs.

Names and shapes are those of ``torch.distributions``; two things differ, and both are the point of this package.
Every evaluation takes ``sigma``, so that one object answers for the law of X + sigma Z at every noise level; and
``sample`` takes a ``generator``.
"""

import functools
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import categorical, normal_like, uniform
from toylab.score import at, divergence, gradient

_MOST_PRINTED = 64  # entries of a tensor in a repr
_CHUNK = 1 << 18  # points at which an energy is evaluated at once


@dataclass(frozen=True, eq=False, repr=False)
class Density(ABC):
    """A probability law on the plane: the law of X, and of X + sigma Z with Z ~ N(0, I), for every sigma >= 0.

    Its parameters are held in float64, as exactly as they were written, and cast to the dtype and device of the
    points at every call: evaluation follows ``x``. Samples come in the density's own ``dtype`` and on its own
    ``device``: those of the tensors it was built from, else torch's default dtype on the CPU; ``to`` changes them.

    A subclass needs ``log_prob`` alone. Without formulas of their own, ``score`` is the automatic gradient of
    ``log_prob`` and ``divergence`` the automatic divergence of ``score``. A ``log_prob(self, x)`` without ``sigma``
    is that of the clean law, which says nothing of the noised one: then sigma > 0 is refused with a ``ValueError``.
    A subclass that gives ``sample`` too can be trained on.

    >>> class Logistic(Density):
    ...     def log_prob(self, x):
    ...         return (-x - 2 * torch.log1p(torch.exp(-x))).sum(-1)
    >>> Logistic().score(torch.zeros(2))
    tensor([0., 0.])
    """

    dtype: torch.dtype = field(default=None, kw_only=True, repr=False)
    device: torch.device = field(default=None, kw_only=True, repr=False)

    def __init_subclass__(cls, **kwargs: object) -> None:
        """A ``log_prob`` without ``sigma`` is given one that may only be 0."""
        super().__init_subclass__(**kwargs)
        clean = cls.__dict__.get("log_prob")
        if clean is None or len(inspect.signature(clean).parameters) != 2:  # self and x
            return

        @functools.wraps(clean)
        def log_prob(self: Density, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
            validate.only_clean(sigma, x, type(self).__name__)
            return clean(self, x)

        cls.log_prob = log_prob

    def __post_init__(self) -> None:
        self._hold()

    @property
    def event_shape(self) -> torch.Size:
        """Shape of one draw, as in ``torch.distributions``: [2]."""
        return torch.Size([2])

    @property
    def batch_shape(self) -> torch.Size:
        """Shape of a batch of laws, as in ``torch.distributions``: [], for a density is always one law."""
        return torch.Size()

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
        sigma = validate.noise_level(sigma, validate.points("x", x))
        return _graph_as_of(x, gradient(at(self.log_prob, sigma), x))

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """div grad log p_sigma(x), the Laplacian of log p_sigma, shape [...]; arguments as for ``log_prob``."""
        sigma = validate.noise_level(sigma, validate.points("x", x))
        return _graph_as_of(x, divergence(at(self.score, sigma), x))

    def log_prob_and_score(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """log p_sigma(x) [...] and its gradient [..., 2]; for many laws both cost little more than one."""
        return self.log_prob(x, sigma), self.score(x, sigma)

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Independent draws of X.

        Args:
            sample_shape: shape of the batch of draws.
            generator: source of randomness; None is torch's global stream.

        Returns:
            Points, shape [*sample_shape, 2].
        """
        raise TypeError(f"{type(self).__name__} gives no sample. Define it, or build the law by Density.from_energy.")

    @staticmethod
    def from_energy(
        energy: Callable[[Tensor], Tensor],
        extent: Sequence[float],
        *,
        n_cells: int = 256,
        dtype: torch.dtype | None = None,
    ) -> "Density":
        """The law exp(-E(x)) / Z on a box, with Z by quadrature.

        The result says how accurate it is: ``normaliser_error`` of ``log_normaliser``, and ``sampling_error``, the
        total variation distance between p and the law that ``sample`` draws from. Its clean law alone is known.

        Args:
            energy: E, maps points [..., 2] to energies [...]; log p = -E - log Z.
            extent: the box, outside which p is 0: x_low, x_high, y_low, y_high.
            n_cells: cells along each axis of the grid on which Z is summed and draws are made.
            dtype: of the draws.

        Raises:
            ValueError: for an empty box, or an energy that is nan or of the wrong shape on it.

        >>> p = Density.from_energy(lambda x: x.square().sum(-1) / 2, (-9, 9, -9, 9))
        >>> round(p.log_normaliser, 9) == round(math.log(2 * math.pi), 9), p.sampling_error < 2e-3
        (True, True)
        """
        return FromEnergy(energy, tuple(extent), n_cells, dtype=dtype)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """Lower and upper corner, each [2] in float64, of a rectangle outside which p_sigma has mass below 1e-15."""
        raise TypeError(f"{type(self).__name__} gives no bounds(sigma), which quadrature needs. Define it.")

    def length_scale(self, sigma: float = 0.0) -> float:
        """The smallest length over which p_sigma varies: the least standard deviation of its Gaussian parts."""
        raise TypeError(f"{type(self).__name__} gives no length_scale(sigma), which quadrature needs. Define it.")

    def noised(self, sigma: float) -> "Density":
        """The law of X + sigma Z, Z ~ N(0, I). Noising twice adds variances."""
        return Noised(self, validate.positive("sigma", sigma))

    def scaled(self, factor: float) -> "Density":
        """The law of factor * X (factor not 0). ``p.scaled(alpha).noised(sigma)`` is the law of alpha X + sigma Z."""
        return Affine(self, factor=factor)

    def shifted(self, shift: Sequence[float]) -> "Density":
        """The law of X + shift."""
        return Affine(self, shift=validate.pair("shift", shift))

    def rotated(self, angle: float) -> "Density":
        """The law of X turned about the origin by ``angle`` radians, anticlockwise."""
        return Affine(self, angle=angle)

    def to(self, *args: torch.dtype | torch.device | str | Tensor, **kwargs: torch.dtype | torch.device) -> "Density":
        """The same law, sampling in another dtype or on another device; arguments as for ``Tensor.to``."""
        like = torch.empty(0, dtype=self.dtype, device=self.device).to(*args, **kwargs)
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {name: part.to(like) for name, part in parts.items() if isinstance(part, Density)}
        moved |= {
            name: tuple(member.to(like) for member in part)
            for name, part in parts.items()
            if isinstance(part, tuple) and part and isinstance(part[0], Density)
        }
        return replace(self, **moved, dtype=like.dtype, device=like.device)

    def __repr__(self) -> str:
        """As it is built; tensors as lists, long ones by their shape."""
        arguments = []
        for f in fields(self):
            value = getattr(self, f.name)
            if not f.init:
                continue
            if f.name == "device":
                said = repr(str(value)) if value.type != "cpu" else None
            elif f.name == "dtype":
                said = repr(value) if value != torch.get_default_dtype() else None
            elif isinstance(value, Tensor):
                said = repr(value.tolist()) if value.numel() <= _MOST_PRINTED else f"<tensor {list(value.shape)}>"
            else:
                said = repr(value)
            arguments += [] if said is None else [f"{f.name}={said}"]
        return f"{type(self).__name__}({', '.join(arguments)})"

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
        if self.dtype is not None and not isinstance(self.dtype, torch.dtype):
            raise TypeError(f"dtype is {self.dtype!r}: give a torch dtype, as torch.float64.")
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

    def _cast(self, like: Tensor, make: Callable[[], tuple[Tensor, ...]], use: str = "points") -> tuple[Tensor, ...]:
        """What ``make`` builds in float64, cast to the dtype and device of ``like``; kept once cast."""
        kept = self.__dict__.setdefault("_kept", {})
        key = (use, like.dtype, like.device)
        if key not in kept:
            with torch.inference_mode(False), torch.no_grad():  # what is kept must serve in every mode
                kept[key] = tuple(
                    part.to(like) if isinstance(part, Tensor) and part.is_floating_point() else part for part in make()
                )
        return kept[key]

    def _on_its_device(self, name: str) -> Tensor:
        """The parameter of that name in float64 where samples are drawn; kept, for a copy at every draw is slow."""
        like = torch.empty(0, dtype=torch.float64, device=self.device)
        return self._cast(like, lambda: (getattr(self, name),), name)[0]

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)


class TwoRegimeDensity(Density):
    """A density with one formula for its clean law and another, evaluated in float64, for the noised one.

    The latter may look at its values to choose how to go on, and so cannot be traced by ``torch.func.vmap``. A
    subclass gives ``_noised``, and ``_clean`` unless its law lies on points or on curves.
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
        """log p [...], score [..., 2] and divergence [...] of the clean law at x [..., 2]."""
        raise validate.NoDensity

    @abstractmethod
    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log p [n], score [n, 2] and divergence [n] at x [n, 2] and levels sigma [n] > 0, all float64."""

    def _evaluate(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        sigma = validate.noise_level(sigma, validate.points("x", x))
        if not isinstance(sigma, Tensor) and sigma == 0:
            return self._clean(x)
        levels = torch.as_tensor(sigma, dtype=torch.float64, device=x.device).expand(x.shape[:-1])
        # A clean level has its own formula, and 1 stands in for it here; on a CUDA device levels are not looked at
        some_clean = isinstance(sigma, Tensor) and (sigma.device.type != "cpu" or bool((sigma == 0).any()))
        noisy = torch.where(levels > 0, levels, 1.0) if some_clean else levels
        log_p, s, div = self._noised(x.double().reshape(-1, 2), noisy.reshape(-1))
        noised = (log_p.reshape(x.shape[:-1]).to(x), s.reshape(x.shape).to(x), div.reshape(x.shape[:-1]).to(x))
        if not some_clean or (sigma.device.type != "cpu" and type(self)._clean is TwoRegimeDensity._clean):
            return noised
        log_p, s, div = self._clean(x)
        above = levels > 0
        return (
            torch.where(above, noised[0], log_p),
            torch.where(above[..., None], noised[1], s),
            torch.where(above, noised[2], div),
        )


@dataclass(frozen=True, eq=False, repr=False)
class Noised(Density):
    """The law of X + std Z for X from ``density``: p_sigma of it is p_sqrt(std^2 + sigma^2) of the density."""

    density: Density
    std: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "std", validate.positive("std", self.std))
        _like_its_part(self, self.density)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.log_prob(x, self._total(sigma, x))

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.score(x, self._total(sigma, x))

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.divergence(x, self._total(sigma, x))

    def log_prob_and_score(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:  # noqa: D102
        return self.density.log_prob_and_score(x, self._total(sigma, x))

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:  # noqa: D102
        x = self.density.sample(sample_shape, generator=generator)
        return x + self.std * normal_like(x, generator)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:  # noqa: D102
        return self.density.bounds(math.hypot(self.std, sigma))

    def length_scale(self, sigma: float = 0.0) -> float:  # noqa: D102
        return self.density.length_scale(math.hypot(self.std, sigma))

    def __repr__(self) -> str:
        return f"{self.density!r}.noised({self.std!r})"

    def _total(self, sigma: Tensor | float, x: Tensor) -> Tensor | float:
        sigma = validate.noise_level(sigma, validate.points("x", x))
        if isinstance(sigma, Tensor):
            return torch.hypot(sigma, torch.full_like(sigma, self.std))
        return math.hypot(sigma, self.std)


@dataclass(frozen=True, eq=False, repr=False)
class Affine(Density):
    """The law of Y = factor * R X + shift, R the rotation by ``angle`` (radians).

    With x = R^T (y - shift) / factor: log p_Y(y) = log p(x) - 2 log |factor|, and noise of standard deviation
    sigma on Y is noise of sigma / |factor| on X.
    """

    density: Density
    factor: float = 1.0
    angle: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        validate.positive("abs(factor)", abs(validate.finite("factor", self.factor)), "Give a factor other than 0")
        validate.finite("angle", self.angle)
        object.__setattr__(self, "shift", validate.pair("shift", self.shift))
        _like_its_part(self, self.density)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.log_prob(*self._before(x, sigma)) - 2 * math.log(abs(self.factor))

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.score(*self._before(x, sigma)) @ self._rotation(x).T / self.factor

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.divergence(*self._before(x, sigma)) / self.factor**2

    def log_prob_and_score(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:  # noqa: D102
        log_p, s = self.density.log_prob_and_score(*self._before(x, sigma))
        return log_p - 2 * math.log(abs(self.factor)), s @ self._rotation(x).T / self.factor

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

    def __repr__(self) -> str:
        motions = {
            f".scaled({self.factor!r})": self.factor != 1,
            f".rotated({self.angle!r})": self.angle != 0,
            f".shifted({self.shift!r})": self.shift != (0.0, 0.0),
        }
        made = [text for text, moved in motions.items() if moved]
        if len(made) == 1:
            return f"{self.density!r}{made[0]}"
        return f"Affine({self.density!r}, factor={self.factor!r}, angle={self.angle!r}, shift={self.shift!r})"

    def _rotation(self, x: Tensor) -> Tensor:
        c, s = math.cos(self.angle), math.sin(self.angle)
        return x.new_tensor([[c, -s], [s, c]])

    def _before(self, y: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor | float]:
        sigma = validate.noise_level(sigma, validate.points("x", y))
        return (y - y.new_tensor(self.shift)) @ self._rotation(y) / self.factor, sigma / abs(self.factor)


@dataclass(frozen=True, eq=False, repr=False)
class FromEnergy(Density):
    """p(x) = exp(-E(x)) / Z on a box and 0 outside, Z by quadrature; made by ``Density.from_energy``.

    Z is summed over ``n_cells`` x ``n_cells`` cells with 4 x 4 Gauss-Legendre nodes each. A draw is a cell by its mass,
    then a point in it by the inverse CDF of the bilinear interpolant of p. Only the clean law is known: sigma > 0 is
    refused with a ``ValueError``. Score and divergence come by automatic differentiation of E.

    Attributes:
        energy: E, maps points [..., 2] to energies [...].
        extent: the box: x_low, x_high, y_low, y_high.
        n_cells: cells along each axis.
        log_normaliser: log Z.
        normaliser_error: distance of log Z from its value with 3 x 3 nodes: an upper guess of its error.
        sampling_error: total variation distance between the law of the draws and p, by the same quadrature.
    """

    energy: Callable[[Tensor], Tensor]
    extent: tuple[float, float, float, float]
    n_cells: int = 256
    log_normaliser: float = field(init=False)
    normaliser_error: float = field(init=False)
    sampling_error: float = field(init=False)

    def __post_init__(self) -> None:
        validate.function("energy", self.energy, "lambda x: x.square().sum(-1) / 2")
        validate.count("n_cells", self.n_cells, least=2)
        extent = tuple(validate.finite("extent", entry) for entry in self.extent)
        if len(extent) != 4 or not (extent[0] < extent[1] and extent[2] < extent[3]):
            raise ValueError(f"extent is {self.extent}: give x_low, x_high, y_low, y_high, each low below its high.")
        object.__setattr__(self, "extent", extent)
        self._hold()
        x, weights = self._nodes(4)
        log_terms = self._log_heights(x) + weights.log()
        log_z = float(log_terms.flatten().logsumexp(0))
        coarse, its_weights = self._nodes(3)
        rough = float((self._log_heights(coarse) + its_weights.log()).flatten().logsumexp(0))
        masses = (log_terms - log_z).exp().sum((-2, -1))  # [n_cells, n_cells]
        corners = self._corners(log_z)
        for name, value in {
            "log_normaliser": log_z,
            "normaliser_error": abs(log_z - rough),
            "sampling_error": self._distance(corners, masses, (log_terms - log_z).exp()),
            "_masses": masses,
            "_corner_heights": corners,
        }.items():
            object.__setattr__(self, name, value)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """-E(x) - log Z in the box and -inf outside, shape [...]; ``ValueError`` for sigma > 0."""
        validate.only_clean(sigma, x, "a law given by its energy")
        return torch.where(self._inside(x), -self.energy(x) - self.log_normaliser, -math.inf)

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """-grad E(x) in the box and nan outside, shape [..., 2]; ``ValueError`` for sigma > 0."""
        return torch.where(self._inside(validate.points("x", x))[..., None], super().score(x, sigma), math.nan)

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """-div grad E(x) in the box and nan outside, shape [...]; ``ValueError`` for sigma > 0."""
        return torch.where(self._inside(validate.points("x", x)), super().divergence(x, sigma), math.nan)

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """By inverse CDF on the grid; ``sampling_error`` says how far from p."""
        n = self.n_cells
        cell = categorical(self._on_its_device("_masses").flatten(), sample_shape, generator=generator)
        i, j = (cell // n).cpu(), (cell % n).cpu()
        u = uniform((*sample_shape, 2), dtype=torch.float64, device=torch.device("cpu"), generator=generator)
        f00, f01, f10, f11 = self._corner_heights[:, i, j]
        s = _ramp(u[..., 0], f00 + f01, f10 + f11)
        t = _ramp(u[..., 1], f00 + s * (f10 - f00), f01 + s * (f11 - f01))
        left, right, bottom, top = self.extent
        x = torch.stack([left + (right - left) * (i + s) / n, bottom + (top - bottom) * (j + t) / n], -1)
        return x.to(dtype=self.dtype, device=self.device)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """The box; ``ValueError`` for sigma > 0."""
        low, high = (torch.tensor(self.extent[k::2], dtype=torch.float64) for k in (0, 1))
        validate.only_clean(sigma, low, "a law given by its energy")
        return low, high

    def length_scale(self, sigma: float = 0.0) -> float:
        """Three sides of a cell: the law is taken to vary no faster than its own grid can tell."""
        low, high = self.bounds(sigma)
        return 3 * float((high - low).min()) / self.n_cells

    def _inside(self, x: Tensor) -> Tensor:
        left, right, bottom, top = self.extent
        x1, x2 = x.unbind(-1)
        return (x1 >= left) & (x1 <= right) & (x2 >= bottom) & (x2 <= top)

    def _nodes(self, order: int) -> tuple[Tensor, Tensor]:
        """Gauss-Legendre nodes [n_cells, n_cells, order, order, 2] of the cells, and their weights [order, order]."""
        t, w = (torch.as_tensor(part) for part in np.polynomial.legendre.leggauss(order))
        place = (torch.arange(self.n_cells)[:, None] + 0.5 * (t + 1)) / self.n_cells
        (left, bottom), (right, top) = (corner.tolist() for corner in self.bounds())
        first, second = left + (right - left) * place, bottom + (top - bottom) * place
        shape = (self.n_cells, self.n_cells, order, order)
        x = torch.stack([first[:, None, :, None].expand(shape), second[None, :, None, :].expand(shape)], -1)
        return x, w[:, None] * w * ((right - left) * (top - bottom) / (2 * self.n_cells) ** 2)

    def _log_heights(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            heights = -torch.cat([self.energy(part) for part in x.reshape(-1, 2).split(_CHUNK)])
        if not heights.dtype.is_floating_point or heights.shape != (x.numel() // 2,):
            raise ValueError(
                f"energy gave shape {list(heights.shape)}, dtype {heights.dtype} for {x.numel() // 2} points: it must "
                "map points [n, 2] to energies [n]."
            )
        if bool(heights.isnan().any()) or not bool((heights < math.inf).all()):
            raise ValueError("energy is nan or -inf somewhere on extent: it must be a number, or +inf where p is 0.")
        if not bool(heights.isfinite().any()):
            raise ValueError("energy is +inf all over extent: there is no mass on the box. Choose another extent.")
        return heights.double().reshape(x.shape[:-1])

    def _corners(self, log_z: float) -> Tensor:
        """Heights of p at the corners of each cell [4, n_cells, n_cells], in the order 00, 01, 10, 11."""
        low, high = self.bounds()
        steps = torch.arange(self.n_cells + 1, dtype=torch.float64)[:, None] / self.n_cells
        first, second = (low + (high - low) * steps).unbind(-1)
        heights = (self._log_heights(torch.stack(torch.meshgrid(first, second, indexing="ij"), -1)) - log_z).exp()
        heights = heights.clamp(min=torch.finfo(heights.dtype).tiny)
        return torch.stack([heights[i : i + self.n_cells, j : j + self.n_cells] for i in (0, 1) for j in (0, 1)])

    @staticmethod
    def _distance(corners: Tensor, masses: Tensor, terms: Tensor) -> float:
        """1/2 sum |p - q| over the nodes, for the law q of the draws; terms are p times the weights."""
        t, w = (torch.as_tensor(part) for part in np.polynomial.legendre.leggauss(4))
        t = 0.5 * (t + 1)
        f00, f01, f10, f11 = corners[..., None, None]
        s = t[:, None]
        interpolant = (1 - s) * ((1 - t) * f00 + t * f01) + s * ((1 - t) * f10 + t * f11)
        law = interpolant * (w[:, None] * w / 4) / corners.mean(0)[..., None, None] * masses[..., None, None]
        return 0.5 * float((law - terms).abs().sum())


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
    # where a component has no mass its score means nothing, and may be nan
    scores = torch.where((log_joint == -math.inf)[..., None], 0.0, scores)
    divergences = torch.where(log_joint == -math.inf, 0.0, divergences)
    # relative to the heaviest component, so that equal components of a huge score cancel exactly
    heaviest = log_joint.argmax(-1)[..., None, None].expand(*log_joint.shape[:-1], 1, 2)
    reference = scores.gather(-2, heaviest)
    spread = scores - reference
    mean = (r[..., None] * spread).sum(-2, keepdim=True)
    between = (r * (spread - mean).square().sum(-1)).sum(-1)
    return log_joint.logsumexp(-1), (reference + mean)[..., 0, :], (r * divergences).sum(-1) + between


def _graph_as_of(x: Tensor, result: Tensor) -> Tensor:
    """The result as a formula would give it: without a graph if x carries none, backwards or forwards."""
    plain = not x.requires_grad and forward_ad.unpack_dual(x).tangent is None
    return result.detach() if plain else result


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


def _ramp(u: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Inverse CDF at u of the law on [0, 1] whose density runs straight from a to b (times a constant)."""
    return u * (a + b) / (a + (a**2 + u * (b**2 - a**2)).clamp(min=0).sqrt())
