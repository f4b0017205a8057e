"""Gaussians seen through a smooth map of the plane."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.random import integers, normal
from toylab.densities import _gaussians, latent
from toylab.densities.density import TwoRegimeDensity, mixture


@dataclass(frozen=True, eq=False, repr=False)
class Banana(TwoRegimeDensity):
    """X_1 ~ N(0, scale^2) and X_2 = bend (X_1^2 - scale^2) + width Z: a Gaussian bent along a parabola.

    The map has determinant one, so that log p(x) = -log(2 pi scale width) - x_1^2/(2 scale^2) - v^2/(2 width^2)
    with v = x_2 - bend (x_1^2 - scale^2). Noised, it is a Gaussian given X_1: one integral over X_1, done by
    quadrature (module ``latent``) in float64.

    Args:
        scale: standard deviation of X_1.
        width: standard deviation across the parabola.
        bend: curvature of the parabola; X_2 has mean 0 and variance 2 bend^2 scale^4 + width^2.
    """

    scale: float = 2.0
    width: float = 0.5
    bend: float = 0.5

    def __post_init__(self) -> None:
        validate.positive("scale", self.scale)
        validate.positive("width", self.width)
        validate.finite("bend", self.bend)
        self._hold()

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """The map applied to normal numbers."""
        z = normal((*sample_shape, 2), dtype=self.dtype, device=self.device, generator=generator)
        x1 = self.scale * z[..., 0]
        return torch.stack([x1, self.bend * (x1**2 - self.scale**2) + self.width * z[..., 1]], -1)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """Nine standard deviations of each of its three normal numbers."""
        reach, across = 9 * math.hypot(self.scale, sigma), 9 * math.hypot(self.width, sigma)
        bottom, top = -self.bend * self.scale**2, 80 * self.bend * self.scale**2
        low = [-reach, min(bottom, top) - across]
        high = [reach, max(bottom, top) + across]
        return torch.tensor(low, dtype=torch.float64), torch.tensor(high, dtype=torch.float64)

    def length_scale(self, sigma: float = 0.0) -> float:
        """The least standard deviation of its parts, narrowed by the slope of the parabola at two scales."""
        slope = 4 * abs(self.bend) * self.scale
        return math.hypot(min(self.scale, self.width / math.hypot(1, slope)), sigma)

    def _clean(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x1, x2 = x.unbind(-1)
        v = (x2 - self.bend * (x1**2 - self.scale**2)) / self.width
        pull, slope = v / self.width, 2 * self.bend * x1  # pull = v / width^2 in the formula's v
        log_p = -math.log(2 * math.pi * self.scale * self.width) - 0.5 * ((x1 / self.scale) ** 2 + v**2)
        s = torch.stack([-x1 / self.scale**2 + slope * pull, -pull], -1)
        div = -1 / self.scale**2 + 2 * self.bend * pull - (1 + slope**2) / self.width**2
        return log_p, s, div

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Over t = X_1 - x_1, which keeps its digits when sigma is small."""
        s2, bend = self.scale**2, self.bend

        def integrand(x1: Tensor, x2: Tensor, sigma: Tensor) -> latent.Integrand:
            noise, across = sigma**2, self.width**2 + sigma**2
            constant = -0.5 * (s2 * noise * across).log() - 1.5 * math.log(2 * math.pi)

            def miss(t: Tensor) -> Tensor:
                return x2 - bend * ((x1 + t) ** 2 - s2)

            def log_joint(t: Tensor) -> Tensor:
                return constant - 0.5 * ((x1 + t) ** 2 / s2 + t**2 / noise + miss(t) ** 2 / across)

            def change(t: Tensor, step: Tensor) -> Tensor:
                twice = 2 * (x1 + t) + step
                less = -bend * step * twice  # change of the miss
                return -0.5 * (step * (twice / s2 + (2 * t + step) / noise) + less * (2 * miss(t) + less) / across)

            def components(t: Tensor) -> tuple[Tensor, Tensor]:
                return torch.stack([t / noise, -miss(t) / across], -1), -1 / noise - 1 / across

            return latent.Integrand(log_joint, change, components)

        x1, x2 = x.unbind(-1)
        # Without its last factor the integrand is Gaussian in t, and that factor moves it no further than it costs.
        mean = -x1 * sigma**2 / (s2 + sigma**2)
        std = self.scale * sigma / (s2 + sigma**2).sqrt()
        cost = 0.5 * (x2 - bend * ((x1 + mean) ** 2 - s2)) ** 2 / (self.width**2 + sigma**2)
        reach = std * (2 * (cost + 60)).sqrt()
        return latent.evaluate(integrand, (x1, x2, sigma), mean - reach, mean + reach, n_peaks=2)


@dataclass(frozen=True, eq=False, repr=False)
class Funnel(TwoRegimeDensity):
    """Neal's funnel: V ~ N(0, scale^2) and Y given V of variance e^V; a point is x = (v, y).

    log p = -log(2 pi scale) - v^2/(2 scale^2) - v/2 - y^2 e^-v / 2. Noised, it is Gaussian given V: one integral over
    V, done by quadrature (module ``latent``) in float64. Source: Neal 2003, Slice sampling, section 8.

    Args:
        scale: standard deviation of V; 3 in the source.
    """

    scale: float = 3.0

    def __post_init__(self) -> None:
        validate.positive("scale", self.scale)
        self._hold()

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """V, then Y given V."""
        z = normal((*sample_shape, 2), dtype=self.dtype, device=self.device, generator=generator)
        v = self.scale * z[..., 0]
        return torch.stack([v, (v / 2).exp() * z[..., 1]], -1)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """Nine standard deviations of V, and nine of Y at the largest V of these."""
        v = 9 * math.hypot(self.scale, sigma)
        y = 9 * math.hypot(math.exp(4.5 * self.scale), sigma)
        return torch.tensor([-v, -y], dtype=torch.float64), torch.tensor([v, y], dtype=torch.float64)

    def length_scale(self, sigma: float = 0.0) -> float:
        """The standard deviation of Y at the least V that matters, or the noise level."""
        return math.hypot(math.exp(-4.5 * self.scale), sigma)

    def _clean(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        v, y = x.unbind(-1)
        s2, size = self.scale**2, y.abs().log()
        q = (2 * size - v).exp()  # y^2 e^-v, which neither of its factors may overflow
        log_p = -math.log(2 * math.pi * self.scale) - v**2 / (2 * s2) - 0.5 * (v + q)
        s = torch.stack([-v / s2 + 0.5 * (q - 1), -y.sign() * (size - v).exp()], -1)
        return log_p, s, -1 / s2 - 0.5 * q - (-v).exp()

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Over t = V - x_1, with log w = log(e^V + sigma^2) the log-variance of x_2."""
        s2 = self.scale**2

        def integrand(x1: Tensor, y: Tensor, sigma: Tensor) -> latent.Integrand:
            noise, level, size = sigma**2, 2 * sigma.log(), 2 * y.abs().log()
            constant = -0.5 * (s2 * noise).log() - 1.5 * math.log(2 * math.pi)

            def log_w(t: Tensor) -> Tensor:
                return torch.logaddexp(x1 + t, level)

            def log_joint(t: Tensor) -> Tensor:
                quadratic = (x1 + t) ** 2 / s2 + t**2 / noise
                return constant - 0.5 * (quadratic + log_w(t) + (size - log_w(t)).exp())

            def change(t: Tensor, step: Tensor) -> Tensor:
                quadratic = step * ((2 * (x1 + t) + step) / s2 + (2 * t + step) / noise)
                more = (x1 + t - level).sigmoid() * step.expm1()  # w(t + step) / w(t) - 1
                return -0.5 * (quadratic + more.log1p() - (size - log_w(t)).exp() * more / (1 + more))

            def components(t: Tensor) -> tuple[Tensor, Tensor]:
                inverse = (-log_w(t)).exp()
                return torch.stack([t / noise, -y * inverse], -1), -1 / noise - inverse

            return latent.Integrand(log_joint, change, components)

        v, y = x.unbind(-1)
        # Without N(y; 0, w) the integrand is a Gaussian in t. That factor is largest where w = max(y^2, sigma^2): it
        # can draw the integrand up no further than to V = log y^2, and down no further than to that w, give or take 2.
        mean = -v * sigma**2 / (s2 + sigma**2)
        std = self.scale * sigma / (s2 + sigma**2).sqrt()
        up = (2 * y.abs().log() - v - mean).clamp(min=0)
        down = (v + mean - 2 * torch.maximum(y.abs(), sigma).log()).clamp(min=0)
        low, high = (torch.hypot(far, math.sqrt(124) * std) for far in (down, up))
        return latent.evaluate(integrand, (v, y, sigma), mean - low, mean + high, n_peaks=2, scale=1.0)


@dataclass(frozen=True, eq=False, repr=False)
class Pinwheel(TwoRegimeDensity):
    """Arms that wind up: x = scale * Rot(2 pi k / n_arms + rate * e^rho) (rho, tau), k uniform on 0..n_arms - 1.

    rho ~ N(1, radial_std^2) runs along an arm and tau ~ N(0, tangential_std^2) across it. The map folds, so that the
    clean density has no closed form: sigma = 0 is refused, as for curves. Noised, it is Gaussian given rho and k: one
    integral an arm over rho, by quadrature in float64. Under strong noise all points share a fixed set of nodes; under
    weak noise each has its own (module ``latent``). Very far out the arms are wound so often that their angle is
    uniform to all digits; there the integral over rho is done in closed form and the one over that angle by quadrature.

    Source: the pinwheel of Johnson et al. 2016, Composing graphical models with neural networks (arXiv:1603.06277).

    Args:
        n_arms: number of arms.
        radial_std: standard deviation of rho.
        tangential_std: standard deviation of tau.
        rate: winding.
        scale: distance of the middle of an arm from the origin.
    """

    n_arms: int = 5
    radial_std: float = 0.3
    tangential_std: float = 0.1
    rate: float = 0.25
    scale: float = 2.0

    def __post_init__(self) -> None:
        validate.count("n_arms", self.n_arms)
        for name in ("radial_std", "tangential_std", "rate", "scale"):
            validate.positive(name, getattr(self, name))
        self._hold()

    def sample(self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """An arm, then a place on it."""
        k = integers(self.n_arms, sample_shape, device=self.device, generator=generator)
        z = normal((*sample_shape, 2), dtype=self.dtype, device=self.device, generator=generator)
        rho, tau = 1 + self.radial_std * z[..., 0], self.tangential_std * z[..., 1]
        angle = 2 * math.pi / self.n_arms * k + self.rate * rho.exp()
        c, s = angle.cos(), angle.sin()
        return self.scale * torch.stack([rho * c - tau * s, rho * s + tau * c], -1)

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """Nine standard deviations of rho and of tau, all the way round."""
        reach = self.scale * math.hypot(1 + 9 * self.radial_std, 9 * self.tangential_std) + 9 * sigma
        return torch.full((2,), -reach, dtype=torch.float64), torch.full((2,), reach, dtype=torch.float64)

    def length_scale(self, sigma: float = 0.0) -> float:
        """The noise level: the folds of the clean law are sharp."""
        return sigma

    def _noised(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        inner = _REACH * self.radial_std * torch.ones_like(sigma)
        near = self._unwound(x, sigma, 1 - inner, 1 + inner)
        # Beyond |rho - 1| = 11 radial_std lies at most e^-60 of the largest density that a Gaussian part can have.
        across = (self.scale * self.tangential_std) ** 2 + sigma**2
        depth = -math.log(2 * math.pi) - (sigma.log() + 0.5 * across.log() + near[0]).detach()
        far = (depth > 25).nonzero()[:, 0]
        if len(far) == 0:
            return near
        results = [part.clone() for part in near]
        for index, window in self._by_winding(far, x, sigma, depth):
            part = (
                self._wound(x[index], sigma[index])
                if window is None
                else self._unwound(x[index], sigma[index], *window)
            )
            for result, values in zip(results, part, strict=True):
                result[index] = values
        return tuple(results)

    def _unwound(self, x: Tensor, sigma: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """By quadrature over rho from low to high."""
        shared = self._shared_nodes(x, sigma, float(low.min()), float(high.max())) if len(x) else None
        return self._own_nodes(x, sigma, low, high) if shared is None else _gaussians.evaluate(x, sigma, shared)

    def _shared_nodes(self, x: Tensor, sigma: Tensor, low: float, high: float) -> _gaussians.Gaussians | None:
        """The law as finitely many Gaussians, by the trapezoid rule in rho, exact to rounding; None if too many.

        Nodes are no more than 0.2 radial_std apart in rho, and 0.45 of the least noise level in the plane as seen from
        the furthest point, which the winding arm sweeps past at the speed |x| * rate * e^rho.
        """
        least, furthest = float(sigma.detach().min()), float(x.detach().norm(dim=-1).max())
        along = 1 / (0.2 * self.radial_std) + self.scale / (0.45 * least)
        turning = furthest * self.rate / (0.45 * least)
        first, last = (along * rho + turning * math.exp(rho) for rho in (low, high))
        if (last - first) * self.n_arms > _MOST_SHARED:
            return None
        place = torch.arange(math.ceil(first), math.floor(last) + 1, dtype=torch.float64, device=x.device)
        rho = torch.full_like(place, low)
        lower, upper = torch.full_like(place, low), torch.full_like(place, high)
        for _ in range(60):  # bisection, then Newton's steps to the last digit
            rho = 0.5 * (lower + upper)
            below = along * rho + turning * rho.exp() < place
            lower, upper = torch.where(below, rho, lower), torch.where(below, upper, rho)
        density = -0.5 * ((rho - 1) / self.radial_std) ** 2 - math.log(math.sqrt(2 * math.pi) * self.radial_std)
        log_weights = density - (along + turning * rho.exp()).log() - math.log(self.n_arms)
        arms = 2 * math.pi / self.n_arms * torch.arange(self.n_arms, dtype=torch.float64, device=x.device)
        angle = (self.rate * rho.exp() + arms[:, None]).flatten()
        out = torch.stack([angle.cos(), angle.sin()], -1)
        round_ = torch.stack([-angle.sin(), angle.cos()], -1) * (self.scale * self.tangential_std)
        means = self.scale * rho.repeat(self.n_arms)[:, None] * out
        covariances = round_[:, :, None] * round_[:, None, :]
        return _gaussians.Gaussians.of(log_weights.repeat(self.n_arms), means, covariances)

    def _own_nodes(self, x: Tensor, sigma: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Each point by itself, by the module ``latent``."""
        n, K = len(x), self.n_arms
        s2, width2 = self.radial_std**2, (self.scale * self.tangential_std) ** 2
        r = torch.linalg.vector_norm(x, dim=-1)
        arms = 2 * math.pi / K * torch.arange(K, dtype=x.dtype, device=x.device)
        direction = (torch.atan2(x[:, 1], x[:, 0])[:, None] - arms).flatten()  # seen from each arm

        def integrand(r: Tensor, direction: Tensor, sigma: Tensor) -> latent.Integrand:
            noise, across = sigma**2, width2 + sigma**2
            constant = -0.5 * (s2 * noise * across).log() - 1.5 * math.log(2 * math.pi)

            def misses(rho: Tensor) -> tuple[Tensor, Tensor, Tensor]:
                """x in the frame of the arm at rho, from the arm on; and the angle that it makes with the arm."""
                angle = direction - self.rate * rho.exp()
                return r * angle.cos() - self.scale * rho, r * angle.sin(), angle

            def log_joint(rho: Tensor) -> Tensor:
                out, round_, _ = misses(rho)
                return constant - 0.5 * ((rho - 1) ** 2 / s2 + out**2 / noise + round_**2 / across)

            def change(rho: Tensor, step: Tensor) -> Tensor:
                out, round_, angle = misses(rho)
                half = -0.5 * self.rate * rho.exp() * step.expm1()  # of the change of the angle
                chord = 2 * r * half.sin()
                more_out = -chord * (angle + half).sin() - self.scale * step
                more_round = chord * (angle + half).cos()
                total = step * (2 * (rho - 1) + step) / s2 + more_out * (2 * out + more_out) / noise
                return -0.5 * (total + more_round * (2 * round_ + more_round) / across)

            def components(rho: Tensor) -> tuple[Tensor, Tensor]:
                out, round_, angle = misses(rho)
                return _turned(-out / noise, -round_ / across, direction - angle), -1 / noise - 1 / across

            return latent.Integrand(log_joint, change, components)

        turns = math.ceil(float((self.rate * (high.exp() - low.exp())).max()) / (2 * math.pi)) if n else 1
        rows = (r.repeat_interleave(K), direction, sigma.repeat_interleave(K))
        log_p, s, div = latent.evaluate(
            integrand,
            rows,
            low.repeat_interleave(K),
            high.repeat_interleave(K),
            n_peaks=2 * turns + 3,
            n_scan=257 + 96 * turns,
        )
        s = _turned(*s.view(n, K, 2).unbind(-1), arms)
        return mixture(log_p.view(n, K) - math.log(K), s, div.view(n, K))

    def _by_winding(
        self, far: Tensor, x: Tensor, sigma: Tensor, depth: Tensor
    ) -> Iterator[tuple[Tensor, tuple[Tensor, Tensor] | None]]:
        """Those of the far points at which the arms' angle is uniform to all digits, and the others with their window.

        The m-th harmonic of the angle enters with the mean of e^(i m n_arms rate e^rho) over rho given x. It is below
        e^-35 where, over all rho that matter, the spread of that angle is large enough.
        """
        r, level = torch.linalg.vector_norm(x[far].detach(), dim=-1)[:, None], sigma[far].detach()[:, None]
        noise, across = level**2, (self.scale * self.tangential_std) ** 2 + level**2
        precision = 1 / self.radial_std**2 + self.scale**2 / noise
        middle, std = (1 / self.radial_std**2 + self.scale * r / noise) / precision, precision.rsqrt()

        def envelope(rho: Tensor) -> Tensor:
            """The log-integrand at the best angle, of cosine u."""
            u = (self.scale * rho / r * across / (across - noise)).clamp(-1, 1)
            misses = (r * u - self.scale * rho) ** 2 / noise + r**2 * (1 - u**2) / across
            return -0.5 * (((rho - 1) / self.radial_std) ** 2 + misses)

        reach = (2 * (depth[far][:, None] + 35)).sqrt() * self.radial_std  # of a rho that may matter at all
        grid = torch.linspace(0, 1, 513, dtype=x.dtype, device=x.device)
        below, above = middle - (middle - 1 + reach) * grid, middle + 16 * std * grid
        rho = torch.cat([below, above], -1)
        log_envelope = envelope(rho)
        coherence = -0.5 * (self.n_arms * self.rate * rho.exp() * std) ** 2
        wound = (log_envelope + coherence).amax(-1) < log_envelope.amax(-1) - 35
        if bool(wound.any()):
            yield far[wound], None
        if bool(wound.all()):
            return
        # An arm passes the best angle within one part in n_arms of a turn from the middle, on either side; so much
        # lower than the envelope the integrand may be, and what is e^-75 below that does not matter.
        turn = 2 * math.pi / (self.n_arms * self.rate * middle.exp())
        best = torch.maximum(envelope(middle - turn), envelope(middle + turn))
        matters = log_envelope > torch.minimum(best, log_envelope.amax(-1, keepdim=True)) - 75
        low = torch.where(matters, rho, math.inf).amin(-1) - (below[:, 0] - below[:, 1])
        high = torch.where(matters, rho, -math.inf).amax(-1) + (above[:, 1] - above[:, 0])
        low, high = torch.maximum(low, 1 - reach[:, 0]), torch.minimum(high, 1 + reach[:, 0])
        yield far[~wound], (low[~wound], high[~wound])

    def _wound(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """With the angle of the arm uniform: over it, relative to x, rho being integrated out."""

        def integrand(r: Tensor, direction: Tensor, sigma: Tensor) -> latent.Integrand:
            along, across = ((self.scale * std) ** 2 + sigma**2 for std in (self.radial_std, self.tangential_std))
            constant = -0.5 * (along * across).log() - 2 * math.log(2 * math.pi)

            def misses(angle: Tensor) -> tuple[Tensor, Tensor]:
                return r * angle.cos() - self.scale, -r * angle.sin()

            def log_joint(angle: Tensor) -> Tensor:
                out, round_ = misses(angle)
                return constant - 0.5 * (out**2 / along + round_**2 / across)

            def change(angle: Tensor, step: Tensor) -> Tensor:
                out, round_ = misses(angle)
                chord = 2 * r * (0.5 * step).sin()
                more_out, more_round = -chord * (angle + 0.5 * step).sin(), -chord * (angle + 0.5 * step).cos()
                return -0.5 * (
                    more_out * (2 * out + more_out) / along + more_round * (2 * round_ + more_round) / across
                )

            def components(angle: Tensor) -> tuple[Tensor, Tensor]:
                out, round_ = misses(angle)
                return _turned(-out / along, -round_ / across, direction + angle), -1 / along - 1 / across

            return latent.Integrand(log_joint, change, components)

        points = (torch.linalg.vector_norm(x, dim=-1), torch.atan2(x[:, 1], x[:, 0]), sigma)
        half_turn = torch.full_like(sigma, math.pi)
        return latent.evaluate(integrand, points, -half_turn, half_turn, n_peaks=4, n_scan=257)


_REACH = 11.0  # of rho, in radial_std: e^-60 at its ends
_MOST_SHARED = 40_000  # nodes


def _turned(out: Tensor, round_: Tensor, angle: Tensor) -> Tensor:
    """The vector with these two coordinates in axes turned by ``angle``."""
    c, s = angle.cos(), angle.sin()
    return torch.stack([out * c - round_ * s, out * s + round_ * c], -1)
