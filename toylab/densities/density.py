"""The base of all densities: what one can ask a law on the plane, and how it is moved and noised.

Names and shapes are those of ``torch.distributions``; two things differ, and both are the point of this package.
Every evaluation takes ``sigma``, so that one object answers for the law of X + sigma Z at every noise level; and
``sample`` takes a ``generator``.

``Noised``, ``Affine``, ``Truncated`` and ``Conditioned`` are in this file too, which makes it long: the base returns
them from ``noised``, ``scaled``, ``shifted``, ``rotated``, ``truncated`` and ``given``, and they are densities
themselves, so that neither can be imported without the other.
"""

import functools
import inspect
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.devices import constant, number, records
from toylab._internal.random import normal_like, uniform
from toylab.densities._mixture import nowhere
from toylab.densities.given import (
    Measurement,
    checked,
    known,
    log_evidence,
    measurement,
    noised,
    parts_given,
    support,
    together,
)
from toylab.densities.parameters import Matrix, Parameters, Vector
from toylab.densities.parts import Parts
from toylab.densities.products import Products
from toylab.densities.truncated import LEAST_MASS, Box, mass_by_quadrature, nodes, nodes_between
from toylab.score import at, divergence, gradient

_Law = TypeVar("_Law", bound="Density")
_Result = TypeVar("_Result")

_ANYWHERE = torch.zeros(2, device="cpu")
_MOST_DRAWS = 1 << 20  # that are made at once to be rejected


class Density(Parameters, ABC):
    """A probability law on the plane: the law of X, and of X + sigma Z with Z ~ N(0, I), for every sigma >= 0.

    Evaluation follows the dtype and device of the points: the library's densities keep their parameters in float64, as
    exactly as they were written, and cast them at every call. Samples come in the density's own ``dtype`` and on its
    own ``device``: those of the tensors it was built from, else torch's default dtype on the CPU; ``to`` changes them.

    A density of one's own only has to define ``log_prob``, as a plain class or as a dataclass. Its parameters are its
    attributes, numbers or tensors: they make its equality, its repr and its copies, and ``to`` moves the tensors.
    Without formulas of their own, ``score`` is the automatic gradient of ``log_prob`` and ``divergence`` the automatic
    divergence of ``score``. A ``log_prob(self, x)`` without ``sigma`` describes the clean law only: then sigma > 0 is
    refused with a ``ValueError``. With a ``sample`` too, networks can be trained on it.

    Raises:
        TypeError: when a class is defined that cannot work: with ``__slots__``, with a ``dtype`` or ``device`` of its
            own, or with a ``sample`` that takes no generator.

    >>> class Logistic(Density):
    ...     def __init__(self, scale):
    ...         self.scale = scale
    ...     def log_prob(self, x):
    ...         z = x / self.scale
    ...         return (-z - 2 * torch.log1p(torch.exp(-z))).sum(-1) - 2 * math.log(self.scale)
    >>> Logistic(2.0), Logistic(2.0) == Logistic(3.0)
    (Logistic(scale=2.0), False)
    >>> Logistic(2.0).shifted((1.0, 0.0)).score(torch.tensor([1.0, 0.0]))
    tensor([0., 0.])
    """

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Complete the ``log_prob`` and the ``sample`` of a class, and check the level of the rest."""
        super().__init_subclass__(**kwargs)
        for name, complete in (
            ("log_prob", _with_sigma),
            ("sample", _with_a_shape),
            ("bounds", _of_a_level),
            ("length_scale", _of_a_level),
        ):
            if inspect.isfunction(own := vars(cls).get(name)):
                setattr(cls, name, complete(cls.__name__, own))

    @property
    def event_shape(self) -> torch.Size:
        """Shape of one draw, as in ``torch.distributions``: [2]."""
        return torch.Size([2])

    @property
    def batch_shape(self) -> torch.Size:
        """Shape of a batch of laws, as in ``torch.distributions``: [], since a density is always one law."""
        return torch.Size()

    @abstractmethod
    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log p_sigma(x), normalised.

        Args:
            x: points, shape [..., 2].
            sigma: standard deviation of the added noise, a number or one level per point (broadcast to x[..., 0]).

        Returns:
            Log-densities, shape [...], in the dtype and on the device of ``x``.

        Raises:
            ValueError: if the last dimension of ``x`` is not 2, if sigma is negative, nan or of another shape, and
                at sigma = 0 if the law has no density of its own (points, curves).
        """

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """grad log p_sigma(x), shape [..., 2]; arguments as for ``log_prob``."""
        sigma = validate.noise_level(sigma, validate.points("x", x))
        return gradient(at(self.log_prob, sigma), x)

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """div grad log p_sigma(x), the Laplacian of log p_sigma, shape [...]; arguments as for ``log_prob``."""
        sigma = validate.noise_level(sigma, validate.points("x", x))
        return divergence(at(self.score, sigma), x)

    def log_prob_and_score(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """log p_sigma(x) [...] and its gradient [..., 2]; for many laws both cost little more than one."""
        return self.log_prob(x, sigma), self.score(x, sigma)

    def posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """P(component k | x) under p_sigma, shape [..., K], for a law that is a mixture of K components."""
        raise TypeError(f"{type(self).__name__} has no posterior(x, sigma): it is not a mixture of components.")

    def log_posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log P(component k | x) under p_sigma, shape [..., K]: finite, with its gradient, where P underflows to 0."""
        raise TypeError(f"{type(self).__name__} has no log_posterior(x, sigma): it is not a mixture of components.")

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Independent draws of X.

        Args:
            sample_shape: shape of the batch of draws.
            generator: source of randomness; None is torch's global stream.

        Returns:
            Points, shape [*sample_shape, 2].

        Raises:
            TypeError: if ``sample_shape`` is a number.
        """
        raise TypeError(f"{type(self).__name__} has no sample. Define it, or build the law by densities.from_energy.")

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """Lower and upper corner, each [2] in float64, of a rectangle outside which p_sigma has mass below 1e-15."""
        raise TypeError(
            f"{type(self).__name__} has no bounds(sigma), which quadrature needs. Define it, or take "
            "from_energy(lambda x: -p.log_prob(x), extent), whose extent are the bounds."
        )

    def length_scale(self, sigma: float = 0.0) -> float:
        """The smallest length over which p_sigma varies: the least standard deviation of its Gaussian parts."""
        raise TypeError(f"{type(self).__name__} has no length_scale(sigma), which quadrature needs. Define it.")

    def noised(self, sigma: float) -> "Density":
        """The law of X + sigma Z, Z ~ N(0, I). Noising twice adds variances."""
        return Noised(self, validate.positive("sigma", sigma))

    def scaled(self, factor: float) -> "Density":
        """The law of factor * X (factor not 0). ``p.scaled(alpha).noised(sigma)`` is the law of alpha X + sigma Z."""
        return Affine(self, factor=factor)

    def shifted(self, shift: Vector) -> "Density":
        """The law of X + shift."""
        return Affine(self, shift=shift)

    def rotated(self, angle: float) -> "Density":
        """The law of X turned about the origin by ``angle`` radians, anticlockwise."""
        return Affine(self, angle=angle)

    def truncated(self, box: Sequence[float]) -> "Truncated":
        """The law of X given that it lies in a box (left, right, bottom, top), whose sides may be infinitely far.

        The half-plane x_1 > 0 is (0, inf, -inf, inf), the positive quadrant (0, inf, 0, inf).

        Raises:
            ValueError: for an empty box, one that holds less than 1e-4 of the mass, or whose mass is not known to 1e-6.
            TypeError: if the law has no ``bounds`` and ``length_scale``, which the quadrature of the mass needs.
        """
        return Truncated(self, validate.extent("box", box, infinite=True))

    def given(self, A: Vector | Matrix, y: Vector | float, noise: float) -> "Density":
        """The law of X given A X + noise Z = y, Z ~ N(0, I): p(x | y) = p(x) N(y; A x, noise^2 I) / p(y).

        Its ``score(x, sigma)`` is that of X + sigma Z' given y: what a guided diffusion needs at every level.

        Args:
            A: one row, shape [2] or [1, 2], or two rows, [2, 2]; it may be singular.
            y: what was measured, shape [m] for m rows, or a number for one.
            noise: the standard deviation of the measurement, > 0.

        Raises:
            ValueError: for an A or a y of another shape or not finite, and a noise that is not positive.
            TypeError: if the law has no ``bounds`` and ``length_scale``, which the quadrature of p(y) needs.
        """
        return Conditioned(self, A, y, noise)

    def log_evidence(self, A: Vector | Matrix, y: Vector | float, noise: float) -> float:
        """log p(y), the log-density of A X + noise Z at y; arguments as for ``given``."""
        return known(self._log_evidence(measurement(A, y, noise))[0])

    def given_class(self, k: int) -> "Density":
        """The law of X given that it came from class k: the k-th component of a mixture, in the order of ``posterior``.

        Raises:
            ValueError: for a k that is no class, 0 .. K - 1.
            TypeError: if the law has no classes, and for a k that is no whole number.
        """
        raise TypeError(f"{type(self).__name__} has no given_class(k): it is not a mixture of components.")

    def _log_evidence(self, of: Measurement) -> tuple[float, float]:
        """log p(y) and an estimate of its error."""
        return log_evidence(self, of)

    def _blurred(self, std: float) -> "Density":
        """The law of X + std Z, with the noise handed on to the parts of the law where it has any."""
        return Noised(self, std)

    def _noised_in(self, box: Box, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log, score and divergence at x [n, 2] of p_sigma cut before it is noised, times its mass; sigma [n] > 0."""
        raise ValueError(
            f"sigma is above 0: of a {type(self).__name__} that is truncated only the clean law is known. Give sigma = "
            "0, or noise before cutting: p.noised(0.1).truncated(box). Under noise cut mixtures of Gaussians, Square, "
            "Checkerboard and Laplace are known, and mixtures of these."
        )

    def _as_gaussians(self, sigma: float) -> Parts | None:
        """A mixture of Gaussians that stands for the law under noise of sigma > 0 or more."""
        return None

    def _as_products(self) -> Products | None:
        """The law as a mixture of laws with independent coordinates, where these are known under noise."""
        return None

    def _smooth_between(self) -> tuple[Sequence[float], Sequence[float]] | None:
        """The lines x = .. and y = .. between which the clean law is smooth, if it has edges or kinks along these."""
        return None

    def _mass_in(self, box: Box) -> tuple[float, float]:
        """P(X in the box) and an estimate of its relative error."""
        low, high = _corners(self, box)
        self.log_prob(low)  # a law without a density raises its own message
        return mass_by_quadrature(self.log_prob, low, high, self.length_scale())


def in_single_precision(cls: type[_Law]) -> type[_Law]:
    """Evaluate a law at points in half precision (float16, bfloat16) in float32; results come in the points' dtype.

    As torch does for its special functions: in half precision itself a log-density would have two digits. It is for
    the library's own classes; a density of one's own sees the points as they are given.
    """
    for name in ("log_prob", "score", "divergence", "log_prob_and_score", "posterior", "log_posterior"):
        if name in vars(cls):
            setattr(cls, name, _widened(vars(cls)[name]))
    return cls


def _widened(method: Callable[..., _Result]) -> Callable[..., _Result]:
    @functools.wraps(method)
    def evaluate(self: Density, x: Tensor, sigma: Tensor | float = 0.0) -> _Result:
        if getattr(x, "dtype", None) not in (torch.float16, torch.bfloat16):
            return method(self, x, sigma)
        result: Any = method(self, x.float(), sigma)
        result = tuple(part.to(x.dtype) for part in result) if isinstance(result, tuple) else result.to(x.dtype)
        return cast(_Result, result)

    return evaluate


def _with_sigma(name: str, log_prob: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A ``log_prob(self, x)`` as one that takes a sigma, which must be 0; any other as it is."""
    if len(inspect.signature(log_prob).parameters) != 2:  # self and x
        return log_prob

    @functools.wraps(log_prob)
    def log_prob_of_clean(self: Density, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        validate.only_clean(sigma, x, name)
        return log_prob(self, x)

    del log_prob_of_clean.__wrapped__  # whose signature has no sigma
    return log_prob_of_clean


def _of_a_level(name: str, method: Callable[..., _Result]) -> Callable[..., _Result]:
    """``bounds`` or ``length_scale``, refusing a sigma that is no noise level."""
    if "sigma" not in inspect.signature(method).parameters:
        raise TypeError(f"{name}.{method.__name__} takes no sigma: write def {method.__name__}(self, sigma=0.0).")

    @functools.wraps(method)
    def of_a_level(self: Density, sigma: float = 0.0) -> _Result:
        if isinstance(sigma, Tensor) and sigma.ndim > 0:
            raise TypeError(f"sigma has shape {list(sigma.shape)}: {method.__name__} is of one level, a number.")
        return method(self, float(validate.noise_level(sigma, _ANYWHERE)))

    return of_a_level


def _with_a_shape(name: str, sample: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """``sample``, refusing a number in place of a shape before it does any work."""
    parameters = inspect.signature(sample).parameters
    if "generator" not in parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise TypeError(
            f"{name}.sample takes no generator, which training hands to it. "
            "Write def sample(self, sample_shape=(), *, generator=None)."
        )

    @functools.wraps(sample)
    def sample_of_shape(
        self: Density, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> Tensor:
        validate.generator(generator)
        x = sample(self, validate.shape("sample_shape", sample_shape), generator=generator)
        if x.shape != (*sample_shape, 2):
            raise ValueError(
                f"{name}.sample gives {list(x.shape)} for the shape {list(sample_shape)}: it must give points, "
                f"{[*sample_shape, 2]}."
            )
        return x

    return sample_of_shape


@in_single_precision
@dataclass(frozen=True, eq=False, repr=False)
class Noised(Density):
    """The law of X + std Z for X from ``density``: p_sigma of it is p_sqrt(std^2 + sigma^2) of the density."""

    density: Density
    std: float

    def __post_init__(self) -> None:
        vars(self).update(density=_density(self.density), std=validate.positive("std", self.std))

    @property
    def weights(self) -> Tensor:
        """The weights of a mixture that is noised."""
        return _weights(self.density)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.log_prob(x, self._total(sigma, x))

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.score(x, self._total(sigma, x))

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.divergence(x, self._total(sigma, x))

    def log_prob_and_score(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:  # noqa: D102
        return self.density.log_prob_and_score(x, self._total(sigma, x))

    def posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.posterior(x, self._total(sigma, x))

    def log_posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.log_posterior(x, self._total(sigma, x))

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:  # noqa: D102
        x = self.density.sample(sample_shape, generator=generator)
        return x + self.std * normal_like(x, generator)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:  # noqa: D102
        return self.density.bounds(math.hypot(self.std, sigma))

    def length_scale(self, sigma: float = 0.0) -> float:  # noqa: D102
        return self.density.length_scale(math.hypot(self.std, sigma))

    def given(self, A: Vector | Matrix, y: Vector | float, noise: float) -> Density:
        """The law of X + std Z given a measurement of it; of a mixture it is a mixture still."""
        law = self._blurred(0.0)
        return super().given(A, y, noise) if isinstance(law, Noised) else law.given(A, y, noise)

    def log_evidence(self, A: Vector | Matrix, y: Vector | float, noise: float) -> float:  # noqa: D102
        law = self._blurred(0.0)
        return super().log_evidence(A, y, noise) if isinstance(law, Noised) else law.log_evidence(A, y, noise)

    def given_class(self, k: int) -> Density:
        """The k-th class, noised."""
        return self.density.given_class(k).noised(self.std)

    def _blurred(self, std: float) -> Density:
        return self.density._blurred(math.hypot(self.std, std))

    def _as_gaussians(self, sigma: float) -> Parts | None:
        known = self.density._as_gaussians(math.hypot(self.std, sigma))
        if known is None:
            return None
        least = math.sqrt(max(known.least**2 - self.std**2, 0.0))
        round_ones = self.std**2 * torch.eye(2, dtype=torch.float64, device="cpu")
        return known._replace(covariances=known.covariances + round_ones, least=least, order=2)

    def _as_products(self) -> Products | None:
        known = self.density._as_products()
        return None if known is None else known.blurred(self.std)

    def __repr__(self) -> str:
        return f"{self.density!r}.noised({self.std!r})"

    def _total(self, sigma: Tensor | float, x: Tensor) -> Tensor | float:
        sigma = validate.noise_level(sigma, validate.points("x", x))
        if isinstance(sigma, Tensor):
            return torch.hypot(sigma, torch.full_like(sigma, self.std))
        return math.hypot(sigma, self.std)


@in_single_precision
@dataclass(frozen=True, eq=False, repr=False)
class Affine(Density):
    """The law of Y = factor * R X + shift, R the rotation by ``angle`` (radians).

    With x = R^T (y - shift) / factor: log p_Y(y) = log p(x) - 2 log |factor|, and noise of standard deviation
    sigma on Y is noise of sigma / |factor| on X.
    """

    density: Density
    factor: float
    angle: float
    shift: tuple[float, float]

    def __init__(self, density: Density, factor: float = 1.0, angle: float = 0.0, shift: Vector = (0.0, 0.0)) -> None:
        vars(self).update(
            density=_density(density),
            factor=validate.nonzero("factor", factor),
            angle=validate.finite("angle", angle),
            shift=validate.pair("shift", shift),
        )

    @property
    def weights(self) -> Tensor:
        """The weights of a mixture that is moved."""
        return _weights(self.density)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return nowhere(x, self.density.log_prob(*self._before(x, sigma)) - 2 * math.log(abs(self.factor)))

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.score(*self._before(x, sigma)) @ self._rotation(x).T / self.factor

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.divergence(*self._before(x, sigma)) / self.factor**2

    def log_prob_and_score(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:  # noqa: D102
        log_p, s = self.density.log_prob_and_score(*self._before(x, sigma))
        return nowhere(x, log_p - 2 * math.log(abs(self.factor))), s @ self._rotation(x).T / self.factor

    def posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.posterior(*self._before(x, sigma))

    def log_posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:  # noqa: D102
        return self.density.log_posterior(*self._before(x, sigma))

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:  # noqa: D102
        return self.forward(self.density.sample(sample_shape, generator=generator))

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:  # noqa: D102
        low, high = self.density.bounds(sigma / abs(self.factor))
        corners = torch.cartesian_prod(*torch.stack([low, high], -1))
        turned = self.factor * corners @ self._rotation(corners).T + constant(self.shift, corners)
        return turned.amin(0), turned.amax(0)

    def length_scale(self, sigma: float = 0.0) -> float:  # noqa: D102
        return abs(self.factor) * self.density.length_scale(sigma / abs(self.factor))

    def given(self, A: Vector | Matrix, y: Vector | float, noise: float) -> Density:
        """The law of Y given A Y + noise Z = y: that of X given (factor A R) X + noise Z = y - A shift, moved."""
        return Affine(self.density.given(*self._measured_before(A, y, noise)), self.factor, self.angle, self.shift)

    def log_evidence(self, A: Vector | Matrix, y: Vector | float, noise: float) -> float:  # noqa: D102
        return self.density.log_evidence(*self._measured_before(A, y, noise))

    def given_class(self, k: int) -> Density:
        """The k-th class, moved."""
        return Affine(self.density.given_class(k), self.factor, self.angle, self.shift)

    def _blurred(self, std: float) -> Density:
        return Affine(self.density._blurred(std / abs(self.factor)), self.factor, self.angle, self.shift)

    def forward(self, x: Tensor) -> Tensor:
        """Where the points x [..., 2] are moved: factor * R x + shift."""
        validate.points("x", x)
        return self.factor * x @ self._rotation(x).T + constant(self.shift, x)

    def _smooth_between(self) -> tuple[Sequence[float], Sequence[float]] | None:
        lines = None if self.angle else self.density._smooth_between()
        if lines is None:
            return None
        first, second = (sorted(self.factor * line + a for line in of) for of, a in zip(lines, self.shift, strict=True))
        return first, second

    def _mass_in(self, box: Box) -> tuple[float, float]:
        return super()._mass_in(box) if self.angle else self.density._mass_in(self._box_before(box))

    def _noised_in(self, box: Box, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.angle:
            return super()._noised_in(box, x, sigma)
        before = (x - constant(self.shift, x)) / self.factor
        log_p, s, div = self.density._noised_in(self._box_before(box), before, sigma / abs(self.factor))
        return log_p - 2 * math.log(abs(self.factor)), s / self.factor, div / self.factor**2

    def _box_before(self, box: Box) -> Box:
        """The box that is moved to this one, of a law that is not turned."""
        left, right, bottom, top = (
            (edge - a) / self.factor for edge, a in zip(box, (self.shift[0],) * 2 + (self.shift[1],) * 2, strict=True)
        )
        return (left, right, bottom, top) if self.factor > 0 else (right, left, top, bottom)

    def _as_gaussians(self, sigma: float) -> Parts | None:
        known = self.density._as_gaussians(sigma / abs(self.factor))
        if known is None:
            return None
        turn = self.factor * self._rotation(known.means)
        means, covariances = self.forward(known.means), turn @ known.covariances @ turn.T
        return known._replace(means=means, covariances=covariances, least=abs(self.factor) * known.least)

    def _as_products(self) -> Products | None:
        known = self.density._as_products()
        return None if known is None else known.moved(self.factor, self.angle, self.shift)

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
        return constant(((c, -s), (s, c)), x)

    def _measured_before(self, A: Vector | Matrix, y: Vector | float, noise: float) -> tuple[Tensor, Tensor, float]:
        rows, values, noise = checked(A, y, noise)
        return self.factor * rows @ self._rotation(rows), values - rows @ constant(self.shift, rows), noise

    def _before(self, y: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor | float]:
        sigma = validate.noise_level(sigma, validate.points("x", y))
        return (y - constant(self.shift, y)) @ self._rotation(y) / self.factor, sigma / abs(self.factor)


@in_single_precision
@dataclass(frozen=True, eq=False, repr=False)
class Truncated(Density):
    """The law of X given that it lies in a box: p(x) / P(X in box) in the box and 0 outside.

    The score is that of p in the box and nan outside, where log p is -inf; a wall belongs to the box. P(X in box) is
    that of normal laws to rounding, for mixtures of Gaussians; of ``Square``, ``Checkerboard`` and ``Laplace`` it is a
    formula, and for other laws it comes by quadrature. Under noise, X + sigma Z given that X lies in the box, it is
    known for all of these, moved or mixed, but not turned: in closed form, or by one integral for correlated Gaussian
    components that are cut along both axes. For other laws, such as ``Banana`` and ``TwoMoons().noised(0.1)``,
    sigma > 0 is refused with a ``ValueError``.

    Its density jumps at the walls, where implicit score matching fails: see ``objectives.BoundedImplicit``.

    Args:
        density: p; its ``bounds`` and ``length_scale`` say where and how finely to integrate.
        box: (left, right, bottom, top), each of which may be infinite; it must hold 1e-4 of the mass or more.

    Attributes:
        log_mass: log P(X in box).
        mass_error: an estimate of the relative error of P(X in box): the distance between two rules of Gauss-Legendre;
            0 where there is a formula.

    >>> from toylab.densities import isotropic
    >>> quarter = isotropic([[0.0, 0.0]], 1.0).truncated((0, math.inf, 0, math.inf))
    >>> round(math.exp(quarter.log_mass), 12)
    0.25
    >>> quarter.score(torch.tensor([[1.0, 2.0], [-1.0, 2.0]]))
    tensor([[-1., -2.],
            [nan, nan]])
    """

    density: Density
    box: Box
    log_mass: float = field(init=False)
    mass_error: float = field(init=False)

    def __post_init__(self) -> None:
        vars(self).update(density=_density(self.density), box=validate.extent("box", self.box, infinite=True))
        mass, error = self.density._mass_in(self.box)
        if not mass >= LEAST_MASS:
            raise ValueError(
                f"box is {self.box} and holds {mass:.2g} of the mass: it must hold {LEAST_MASS:g} or more, "
                "as draws from outside of it are thrown away. Give a larger box, or build the law by "
                "densities.from_energy with the box as its extent."
            )
        vars(self).update(log_mass=math.log(mass), mass_error=error)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Clean, log p(x) - log P(X in box) in the box and -inf outside; shape [...]."""
        return self._evaluate(x, sigma, 0, lambda: self._cut(x, self.density.log_prob(x)))

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Clean, grad log p(x) in the box and nan outside; shape [..., 2]."""
        return self._evaluate(x, sigma, 1, lambda: self._inside(x, self.density.score(x)))

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Clean, div grad log p(x) in the box and nan outside; shape [...]."""
        return self._evaluate(x, sigma, 2, lambda: self._inside(x, self.density.divergence(x)))

    def posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """P(class k | x), shape [..., K]; clean, that of p in the box and nan outside."""
        return self.log_posterior(x, sigma).exp()

    def log_posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Its logarithm."""
        return _log_posterior(
            self.density,
            x,
            sigma,
            lambda: self._inside(x, self.density.log_posterior(x)),
            lambda part, points, levels: part._noised_in(self.box, points, levels)[0],
        )

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Draws of p, of which those outside the box are thrown away: 1 / P(X in box) for each, at most 10,000."""
        mass = math.exp(self.log_mass)
        return _by_rejection(self.density, lambda x: self.contains(x), mass, sample_shape, generator)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """Where the box meets the bounds of p, and nine noise levels around."""
        low, high = _corners(self.density, self.box)
        return low - 9 * sigma, high + 9 * sigma

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level, over which the walls are blurred; of the clean law that of p, which does not see them."""
        return sigma if sigma > 0 else self.density.length_scale()

    def truncated(self, box: Sequence[float]) -> "Truncated":
        """The law in both boxes."""
        left, right, bottom, top = validate.extent("box", box, infinite=True)
        a, b, c, d = self.box
        both = max(left, a), min(right, b), max(bottom, c), min(top, d)
        if not (both[0] < both[1] and both[2] < both[3]):
            raise ValueError(f"box is {box} and does not meet the box {self.box} of the law: give one that does.")
        return Truncated(self.density, both)

    def given(self, A: Vector | Matrix, y: Vector | float, noise: float) -> Density:
        """The law of X given the box and y, that of X given y in the box: 1e-4 of it must lie there."""
        return Truncated(self.density.given(A, y, noise), self.box)

    def log_evidence(self, A: Vector | Matrix, y: Vector | float, noise: float) -> float:
        """log p(y | box) = log p(y) + log P(box | y) - log P(box)."""
        after = Truncated(self.density.given(A, y, noise), self.box)
        return self.density.log_evidence(A, y, noise) + after.log_mass - self.log_mass

    def given_class(self, k: int) -> Density:
        """The k-th class, in the box."""
        return Truncated(self.density.given_class(k), self.box)

    def nodes(self) -> Iterator[tuple[Tensor, Tensor]]:
        """A quadrature of the box, in parts: points [n, 2], and the probability that each stands for, [n].

        sum_i p_i f(x_i) over all parts is E f(X), for f as smooth in the box as p is.
        """
        lines = self._smooth_between()
        found = nodes(*self.bounds(), self.length_scale(), order=12) if lines is None else nodes_between(lines, 4, 12)
        for x, weights in found:
            yield x, weights * self.log_prob(x).exp()

    def _smooth_between(self) -> tuple[Sequence[float], Sequence[float]] | None:
        """The lines of p in the box, and its walls."""
        lines = self.density._smooth_between()
        if lines is None:
            return None
        low, high = (corner.tolist() for corner in self.bounds())
        first, second = (
            [a, *(line for line in along if a < line < b), b] for along, a, b in zip(lines, low, high, strict=True)
        )
        return first, second

    def contains(self, x: Tensor) -> Tensor:
        """Whether the points x [..., 2] lie in the box, shape [...]."""
        left, right, bottom, top = self.box
        x1, x2 = validate.points("x", x).unbind(-1)
        return (x1 >= left) & (x1 <= right) & (x2 >= bottom) & (x2 <= top)

    def __repr__(self) -> str:
        return f"{self.density!r}.truncated({self.box!r})"

    def _evaluate(self, x: Tensor, sigma: Tensor | float, part: int, clean: Callable[[], Tensor]) -> Tensor:
        """Log p, score or divergence (part 0, 1 or 2) under noise, and ``clean()`` where sigma is 0."""

        def under_noise(points: Tensor, levels: Tensor) -> Tensor:
            found = self.density._noised_in(self.box, points, levels)[part]
            return found - self.log_mass if part == 0 else found

        return _in_two_regimes(x, sigma, part, clean, under_noise)

    def _cut(self, x: Tensor, log_p: Tensor) -> Tensor:
        outside = torch.where(x.isnan().any(-1), math.nan, -math.inf).to(x)
        return torch.where(self.contains(x), log_p - self.log_mass, outside)

    def _inside(self, x: Tensor, values: Tensor) -> Tensor:
        inside = self.contains(x)
        return torch.where(inside[..., None] if values.ndim > inside.ndim else inside, values, math.nan)


@in_single_precision
@dataclass(frozen=True, eq=False, repr=False)
class Conditioned(Density):
    """The law of X given A X + noise Z = y, Z ~ N(0, I), for X from ``density``: made by its ``given``.

        log p(x | y) = log p(x) + log N(y; A x, noise^2 I) - log p(y)

    and score and divergence are those of p, plus A^T (y - A x) / noise^2 and -tr A^T A / noise^2. The evidence p(y) is
    one integral along a line of a noised law of p, by the trapezoid rule (module ``given``), and so is the law of
    X + sigma Z' given y at each point: as accurate as the noised laws of p, 1e-9 or better. So a law on a curve or on
    points of no density of its own can be conditioned, too. If p knows its clean law only, the evidence is a
    quadrature of the plane, and sigma > 0 is refused.

    Draws are those of p, thrown away but for a share N(y; A x, noise^2 I) / N(y; y, noise^2 I): exact. Below a share of
    1e-4 on average they are refused.

    Args:
        density: p; its ``bounds`` and ``length_scale`` say where and how finely to integrate.
        A: one row, shape [2] or [1, 2], or two rows, [2, 2].
        y: what was measured, shape [m] for m rows, or a number for one.
        noise: the standard deviation of the measurement, > 0.

    Attributes:
        log_normaliser: log p(y).
        normaliser_error: an estimate of its error: what two rules make of the quadrature.

    >>> from toylab.densities import Circle
    >>> right = Circle().given([1.0, 0.0], 0.8, noise=0.1)  # of the points of a circle those with x_1 about 0.8
    >>> [round(c, 3) for c in right.score(torch.tensor([0.0, 0.5]), 0.2).tolist()]
    [17.243, 5.334]
    """

    density: Density
    A: Tensor
    y: Tensor
    noise: float
    log_normaliser: float
    normaliser_error: float

    def __init__(self, density: Density, A: Vector | Matrix, y: Vector | float, noise: float) -> None:
        rows, values, noise = checked(A, y, noise)
        self._hold(A=rows, y=values)
        vars(self).update(density=_density(density), noise=noise, _dtype=None, _device=None)  # those of the density
        log_normaliser, error = self.density._log_evidence(self._measurement)
        vars(self).update(log_normaliser=known(log_normaliser), normaliser_error=error)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log p_sigma(x | y), shape [...]."""
        return self._evaluate(x, sigma, 0, lambda: self.density.log_prob(x) + self._log_ratio(x))

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """grad log p_sigma(x | y), shape [..., 2]."""
        pull = self._measurement.pull
        return self._evaluate(x, sigma, 1, lambda: self.density.score(x) + pull(x.double()).to(x))

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """div grad log p_sigma(x | y), shape [...]."""
        bend = sum(gain**2 for gain in self._measurement.gains)
        return self._evaluate(x, sigma, 2, lambda: self.density.divergence(x) - bend)

    def posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """P(class k | x), shape [..., K]; clean, that of p, as y then says no more than x."""
        return self.log_posterior(x, sigma).exp()

    def log_posterior(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Its logarithm."""
        return _log_posterior(
            self.density,
            x,
            sigma,
            lambda: self.density.log_posterior(x),
            lambda part, points, levels: noised(part, self._measurement, points, levels, with_divergence=False)[0],
        )

    def given_class(self, k: int) -> Density:
        """The k-th class, given y."""
        return self.density.given_class(k).given(self.A, self.y, self.noise)

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Draws of p that pass for draws given y; ``ValueError`` if fewer than 1e-4 do."""
        of = self._measurement
        share = math.exp(min(self.log_normaliser - of.constant, 0.0))
        if share < LEAST_MASS:
            raise ValueError(
                f"of the draws of the law a share of {share:.2g} would agree with y = {self.y.tolist()}: it must be "
                f"{LEAST_MASS:g} or more, as the others are thrown away. Draw with a sampler that takes the score, as "
                "samplers.mala(p.log_prob, p.score, ...), or give a larger noise."
            )

        def accepted(x: Tensor) -> Tensor:
            u = uniform(x.shape[:-1], dtype=torch.float64, device=x.device, generator=generator)
            return u.log() < of.log_likelihood(x.double()) - of.constant

        return _by_rejection(self.density, accepted, share, sample_shape, generator)

    def given(self, A: Vector | Matrix, y: Vector | float, noise: float) -> Density:
        """The law given both measurements, which are as good as one of two numbers."""
        rows, values, _ = together(self._measurement, measurement(A, y, noise))
        return self.density.given(rows, values, 1.0)

    def log_evidence(self, A: Vector | Matrix, y: Vector | float, noise: float) -> float:
        """log p(y' | y), of another measurement y', as log p(y', y) - log p(y)."""
        rows, values, constant = together(self._measurement, measurement(A, y, noise))
        return constant + self.density.log_evidence(rows, values, 1.0) - self.log_normaliser

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """Where the bounds of p meet the strips in which y is likely, and nine noise levels around."""
        low, high = support(self._measurement, *self.density.bounds(), self.log_normaliser)
        return low - 9 * sigma, high + 9 * sigma

    def length_scale(self, sigma: float = 0.0) -> float:
        """That of p, or the width of the likelihood if that is less; and the noise level."""
        clean = self.density.length_scale()
        return math.hypot(1 / math.hypot(1 / clean, self._measurement.gains[0]) if clean > 0 else 0.0, sigma)

    def _as_gaussians(self, sigma: float) -> Parts | None:
        """Those of p under noise as narrow as sigma and the likelihood together, each after the measurement."""
        known = self.density._as_gaussians(1 / math.hypot(1 / sigma, self._measurement.gains[0]))
        return None if known is None else parts_given(self._measurement, known)

    def __repr__(self) -> str:
        return f"{self.density!r}.given({self.A.tolist()}, {self.y.tolist()}, {self.noise!r})"

    @functools.cached_property
    def _measurement(self) -> Measurement:
        return measurement(self.A, self.y, self.noise)

    def _log_ratio(self, x: Tensor) -> Tensor:
        return (self._measurement.log_likelihood(x.double()) - self.log_normaliser).to(x)

    def _evaluate(self, x: Tensor, sigma: Tensor | float, part: int, clean: Callable[[], Tensor]) -> Tensor:
        """Log p, score or divergence (part 0, 1 or 2) under noise, and ``clean()`` where sigma is 0."""

        def under_noise(points: Tensor, levels: Tensor) -> Tensor:
            found = noised(self.density, self._measurement, points, levels, with_divergence=part == 2)[part]
            return found - self.log_normaliser if part == 0 else found

        return _in_two_regimes(x, sigma, part, clean, under_noise)


def _in_two_regimes(
    x: Tensor,
    sigma: Tensor | float,
    part: int,
    clean: Callable[[], Tensor],
    under_noise: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """``clean()`` where sigma is 0, and ``under_noise`` of x [n, 2] and levels [n] in float64 where it is not."""
    sigma = validate.noise_level(sigma, validate.points("x", x))
    if not isinstance(sigma, Tensor) and sigma == 0:
        return clean()
    levels = number(sigma, x, torch.float64).expand(x.shape[:-1])
    above, readable = levels > 0, validate.readable(levels)  # the levels of a CUDA tensor are not read
    if readable and not bool(above.any()):
        return clean()
    noisy = torch.where(above, levels, 1.0)
    found = under_noise(x.double().reshape(-1, 2), noisy.reshape(-1))
    found = found.reshape(x.shape if part == 1 else x.shape[:-1])
    found = (nowhere(x, found) if part == 0 else found).to(x)
    if not isinstance(sigma, Tensor) or (readable and bool(above.all())):
        return found
    try:
        at_zero = clean()
    except validate.NoDensity:
        if readable:
            raise
        return found
    return torch.where(above[..., None] if part == 1 else above, found, at_zero)


def _log_posterior(
    density: Density,
    x: Tensor,
    sigma: Tensor | float,
    clean: Callable[[], Tensor],
    of_class: Callable[[Density, Tensor, Tensor], Tensor],
) -> Tensor:
    """log P(class k | x_sigma) of a density under a condition, [..., K]: ``clean()`` where sigma is 0.

    Where it is not, log w_k + log p_k(x_sigma, condition) of ``of_class(p_k, x [n, 2], levels [n])``, normalised.
    """
    sigma = validate.noise_level(sigma, validate.points("x", x))
    levels = number(sigma, x, torch.float64).expand(x.shape[:-1])
    above = levels > 0
    if not bool(above.any()):
        return clean()
    points, noisy = x.double().reshape(-1, 2), torch.where(above, levels, 1.0).reshape(-1)
    log_joint = class_log_weights(density).to(points) + torch.stack(
        [of_class(part, points, noisy) for part in _classes(density)], -1
    )
    found = log_joint.log_softmax(-1).reshape(*x.shape[:-1], -1).to(x)
    return found if bool(above.all()) else torch.where(above[..., None], found, clean())


def _classes(density: Density) -> list[Density]:
    low, high = density.bounds()
    n = density.log_posterior((0.5 * (low + high))[None], float((high - low).max())).shape[-1]
    return [density.given_class(k) for k in range(n)]


def class_log_weights(density: Density) -> Tensor:
    """log w_k, [K] in float64, of a law with classes: log P(k | x) - log p_k(x) + log p(x), at any x.

    Raises:
        TypeError: if the law has no classes.
    """
    low, high = density.bounds()
    x, sigma = (0.5 * (low + high))[None], float((high - low).max())  # where no class is negligible
    log_p = density.log_prob(x, sigma)
    of_each = torch.cat([part.log_prob(x, sigma) for part in _classes(density)])
    return (density.log_posterior(x, sigma)[0] - of_each + log_p).log_softmax(-1)


def _by_rejection(
    density: Density,
    accepted: Callable[[Tensor], Tensor],
    share: float,
    sample_shape: Sequence[int],
    generator: torch.Generator | None,
) -> Tensor:
    """Draws of a density that are accepted, of which there is a share, [*sample_shape, 2]."""
    n, found = math.prod(sample_shape), []
    if records(density.device):
        # the first n of so many draws that fewer are accepted once in e^70 times (Chernoff): no value is read
        u = (math.sqrt(140) + math.sqrt(140 + 4 * n)) / 2  # u^2 are expected, and u^2 - u sqrt(2 * 70) is n
        x = density.sample((math.ceil(u**2 / share),), generator=generator)
        return x[(~accepted(x)).long().argsort(stable=True)[:n]].view(*sample_shape, 2)
    while n > 0:
        x = density.sample((min(math.ceil(1.1 * n / share) + 16, _MOST_DRAWS),), generator=generator)
        found.append(x[accepted(x)][:n])
        n -= len(found[-1])
    x = torch.cat(found) if found else torch.empty(0, 2, dtype=density.dtype, device=density.device)
    return x.view(*sample_shape, 2)


def _corners(density: Density, box: Box) -> tuple[Tensor, Tensor]:
    """Where a box meets the bounds of a law: lower and upper corner, [2] each in float64."""
    low, high = density.bounds()
    return (
        torch.maximum(low, torch.tensor(box[0::2], dtype=torch.float64, device="cpu")),
        torch.minimum(high, torch.tensor(box[1::2], dtype=torch.float64, device="cpu")),
    )


def _density(part: object) -> Density:
    if not isinstance(part, Density):
        raise TypeError(f"density is a {type(part).__name__}: give a toylab Density.")
    return part


def _weights(part: Density) -> Tensor:
    """The weights of a mixture; an ``AttributeError``, as for any missing attribute, if it is not one."""
    weights: Tensor = operator.attrgetter("weights")(part)
    return weights
