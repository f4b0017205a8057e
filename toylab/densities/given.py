"""What conditioning on a measurement is made with: the law of X given A X + noise Z = y, Z ~ N(0, I).

By Bayes' rule its density is p(x) N(y; A x, noise^2 I) / p(y), where p(y), the evidence, is the density of
A X + noise Z at y. The class itself, ``Conditioned``, is in ``density``, as ``Density.given`` returns it.

For a law p whose noised laws are known, one integral along a line gives all of it. In the singular axes v_i of A, the
likelihood and further noise sigma together are a Gaussian about X, of variances S_i = sigma^2 / (1 + sigma^2 b_i^2)
along v_i, b_i = d_i / noise. That is noise of the least of them, S_1, in all directions, which p knows how to take,
and more of it along v_2:

    p(x_sigma | y) p(y) = N(y; A x, noise^2 I + sigma^2 A A^T) int N(t; 0, S_2 - S_1) p_sqrt(S_1)(m + t v_2) dt,

with v_i . m = (v_i . x + sigma^2 b_i z_i) / (1 + sigma^2 b_i^2); and the evidence is the same with sigma = inf. The
integrand is a mixture of Gaussians in t, none of them narrower than the ``length_scale`` of the law allows, so that the
trapezoid rule integrates it to rounding of itself, however far out: its nodes are ``_nodes``.
"""

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from toylab._internal import validate
from toylab._internal.devices import constant
from toylab._internal.torch_private import is_batched
from toylab._internal.warn import warn
from toylab.densities import _gaussians
from toylab.densities._mixture import mixture
from toylab.densities.parameters import Matrix, Vector
from toylab.densities.parts import Parts
from toylab.densities.truncated import panels

_DEPTH = 30.0  # a block of nodes is left out where all of it is proved to be below e^-30 = 1e-13 of another node
_SETTLED = 1e-6  # by which the sums over every second node may differ: that over all nodes is off by its square
_MOST_HALVINGS = 8
_BRANCH, _MOST_UNSEARCHED = 8, 128  # parts of a block; nodes of a line that are taken without a search
_MOST_TOGETHER, _MOST_IN_THE_PLANE = 2**18, 2**23  # nodes of lines that are done together; of a clean law
_MOST_WIDENINGS, _MOST_DROP = 12, 1e12
_TELLS_NOTHING = 1e-150  # gains whose squares are no numbers: all points agree with y as well as each other
_TOO_FAR = 1e8  # noises from y to anything that the law can give
_NO_PART, _PER_WIDTH = (
    1e-16,
    4.0,
)  # of the heaviest Gaussian; least noise levels of a curve to the width of the likelihood
_LEFT_OUT = 37.0  # e^-37 = 1e-16 of the mass may lie out of bounds


class Law(Protocol):
    """What the quadratures ask of a density."""

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log p_sigma(x)."""

    def log_prob_and_score(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Both."""

    def divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """That of the score."""

    def bounds(self, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
        """Lower and upper corner."""

    def length_scale(self, sigma: float = 0.0) -> float:
        """The least length over which p_sigma varies."""


class Measurement(NamedTuple):
    """y = A x + noise Z in the singular axes of A = d_1 u_1 v_1^T + d_2 u_2 v_2^T, d_1 >= |d_2|.

    log N(y; A x, noise^2 I) = constant - (z_1 - b_1 v_1 . x)^2 / 2 - (z_2 - b_2 v_2 . x)^2 / 2.
    """

    axes: tuple[tuple[float, float], tuple[float, float]]
    """v_1 and v_2."""
    gains: tuple[float, float]
    """b_i = d_i / noise; b_2 is 0 of a single row."""
    values: tuple[float, float]
    """z_i = u_i . y / noise; z_2 is 0 of a single row."""
    constant: float

    def log_likelihood(self, x: Tensor) -> Tensor:
        """log N(y; A x, noise^2 I) [...] at points [..., 2]."""
        return self.constant - 0.5 * self._misses(x).square().sum(-1)

    def pull(self, x: Tensor) -> Tensor:
        """Its gradient A^T (y - A x) / noise^2, [..., 2]."""
        return self._misses(x) * constant(self.gains, x) @ constant(self.axes, x)

    def _misses(self, x: Tensor) -> Tensor:
        """z_i - b_i v_i . x, [..., 2]."""
        return constant(self.values, x) - constant(self.gains, x) * (x @ constant(self.axes, x).mT)


def together(first: Measurement, second: Measurement) -> tuple[Tensor, Tensor, float]:
    """Two measurements as one, A [2, 2], y [2] and c: the product of their likelihoods is e^c N(y; A x, I)."""
    rows = torch.tensor(
        [
            [gain * entry for entry in axis]
            for of in (first, second)
            for gain, axis in zip(of.gains, of.axes, strict=True)
        ],
        dtype=torch.float64,
        device="cpu",
    )
    values = torch.tensor([*first.values, *second.values], dtype=torch.float64, device="cpu")
    q, r = torch.linalg.qr(rows)
    y = q.mT @ values
    left = float((values - q @ y).square().sum())
    return r, y, first.constant + second.constant - 0.5 * left + math.log(2 * math.pi)


class Updated(NamedTuple):
    """Gaussians after a measurement, and what they said of it before."""

    log_evidences: Tensor
    """log N(y; A m, A C A^T + noise^2 I) - common, [K]."""
    common: float
    means: Tensor
    """[K, 2]."""
    covariances: Tensor
    """[K, 2, 2]."""
    roots: Tensor
    """L, L L^T = C, lower triangular, [K, 2, 2]."""


def measurement(A: Vector | Matrix, y: Vector | float, noise: float) -> Measurement:
    """The arguments of ``given`` as a ``Measurement``, or an error that says what is wrong with them."""
    return _in_axes(*checked(A, y, noise))


def checked(A: Vector | Matrix, y: Vector | float, noise: float) -> tuple[Tensor, Tensor, float]:
    """A [m, 2] and y [m] in float64 and noise, or an error that says what is wrong with them."""
    rows, values, noise = validate.measurement(A, y, noise)
    if values.ndim > 1:
        raise ValueError(f"y has shape {list(values.shape)}: give shape [{len(rows)}]. One measurement at a time.")
    return rows, values, noise


def _in_axes(A: Tensor, y: Tensor, noise: float) -> Measurement:
    """The measurement in the singular axes of A [m, 2], m = 1 or 2, found in a way that keeps the digits of d_2."""
    log_scale = -len(y) * (math.log(noise) + 0.5 * math.log(2 * math.pi))
    size = float(A.abs().max()) or 1.0
    (a, b), (c, d) = (torch.cat([A, A.new_zeros(2 - len(y), 2)]) / size).tolist()
    angle = 0.5 * math.atan2(2 * (a * b + c * d), a**2 + c**2 - b**2 - d**2)
    v1, v2 = math.cos(angle), math.sin(angle)
    image = a * v1 + b * v2, c * v1 + d * v2  # d_1 u_1 / size
    length = math.hypot(*image)
    u1, u2 = (part / length for part in image) if length > 0 else (1.0, 0.0)
    gains = [length * size / noise, 0.0]
    if len(y) == 2 and length > 0:
        gains[1] = float(_gaussians.determinant(*A.flatten())) / length / size / noise
    y1, y2 = torch.cat([y, y.new_zeros(2 - len(y))]).tolist()
    values = (u1 * y1 + u2 * y2) / noise, (u1 * y2 - u2 * y1) / noise
    first, second = (gain if abs(gain) >= _TELLS_NOTHING else 0.0 for gain in gains)
    second = min(max(second, -first), first)  # rounding may have turned two that are alike round
    return Measurement(((v1, v2), (-v2, v1)), (first, second), values, log_scale)


def updated(of: Measurement, means: Tensor, covariances: Tensor, roots: Tensor) -> Updated:
    """The Gaussians N(m_k, C_k) after a measurement: the Kalman update, in a form without cancellation.

    With q_i = b_i L^T v_i, L L^T = C, r_i = z_i - b_i v_i . m and

        D = |noise^-2 (A C A^T + noise^2 I)| = 1 + |q_1|^2 + |q_2|^2 + b_1^2 b_2^2 det C,

    the new mean and covariance are

        m + (C (b_1 r_1 v_1 + b_2 r_2 v_2) + det(C) b_1 b_2 (b_2 r_1 v_1 + b_1 r_2 v_2)) / D,
        (C + det(C) (b_2^2 v_1 v_1^T + b_1^2 v_2 v_2^T)) / D,

    sums where the usual C - C A^T S^-1 A C subtracts. The new determinant is det(C) / D, and the evidence is
    exp(constant - heat / 2) / sqrt D, heat = (r_1^2 + r_2^2 + |r_2 q_1 - r_1 q_2|^2) / D. If A is nearly singular,
    r_2 may be huge and the same for all k: its square is left out of each heat, whose differences keep their digits.

    Args:
        of: the measurement.
        means: m, shape [K, 2], float64.
        covariances: C, shape [K, 2, 2].
        roots: L, shape [K, 2, 2].

    Raises:
        ValueError: if what comes of it has no place in float64.
    """
    (v1, v2), (b1, b2), (z1, z2) = means.new_tensor(of.axes), means.new_tensor(of.gains), of.values
    q1, q2 = b1 * (v1 @ roots), b2 * (v2 @ roots)  # [K, 2]
    r1, r2 = z1 - b1 * (means @ v1), z2 - b2 * (means @ v2)
    det, g22 = _gaussians.determinants(roots), q2.square().sum(-1)
    D = 1 + q1.square().sum(-1) + g22 + det * (b1 * b2) ** 2
    crossed = det * b1 * b2
    push = (b1 * r1)[:, None] * v1 + (b2 * r2)[:, None] * v2
    swapped = (b2 * r1)[:, None] * v1 + (b1 * r2)[:, None] * v2
    means_after = means + (torch.einsum("kij,kj->ki", covariances, push) + crossed[:, None] * swapped) / D[:, None]
    ridge = b2**2 * torch.outer(v1, v1) + b1**2 * torch.outer(v2, v2)
    covariances_after = (covariances + det[:, None, None] * ridge) / D[:, None, None]
    if float(g22.max()) < 1:  # the second axis hardly tells the components apart
        nearest = int(r2.abs().argmin())
        c, apart = float(r2[nearest]), b2 * ((means[nearest] - means) @ v2)  # r2 - c
        inner = r1**2 * (1 + g22) - r2**2 * (g22 + det * (b1 * b2) ** 2) - 2 * r1 * r2 * (q1 * q2).sum(-1)
        heat = apart * (r2 + c) + inner / D
    else:
        c = 0.0
        heat = (r1**2 + r2**2 + (r2[:, None] * q1 - r1[:, None] * q2).square().sum(-1)) / D
    log_evidences, det_after = -0.5 * (heat + D.log()), det / D
    after = _gaussians.triangular(covariances_after, det_after)
    found = Updated(log_evidences, of.constant - 0.5 * c**2, means_after, covariances_after, after)
    tensors = (log_evidences, means_after, covariances_after, after)
    if not (all(bool(t.isfinite().all()) for t in tensors) and bool((det_after > 0).all())):
        known(math.nan)
    return found


def parts_given(of: Measurement, parts: Parts) -> Parts | None:
    """The Gaussians N(m, C) that stand for a law after a measurement, also those of no width, without negligible ones.

    With B the rows b_i v_i: C' = (I + C B^T B)^-1 C, m' = m + C' B^T (z - B m), and the evidence is N(z; B m, I +
    B C B^T), whose determinant is |I + C B^T B|. A curve is then smooth over lengths of the likelihood only.
    """
    B = constant(of.gains, parts.means)[:, None] * constant(of.axes, parts.means)
    miss = constant(of.values, parts.means) - parts.means @ B.mT
    A = torch.eye(2, dtype=torch.float64, device="cpu") + parts.covariances @ (B.mT @ B)
    after = torch.linalg.solve(A, parts.covariances)
    step = (after @ (miss @ B)[..., None])[..., 0]
    heat = (miss * (miss - step @ B.mT)).sum(-1)
    weights = (parts.weights.log() - 0.5 * heat - 0.5 * torch.linalg.det(A).log()).softmax(0)
    if not bool(weights.isfinite().all()):
        return None  # tails so wide that they leave float64
    kept = weights > _NO_PART * float(weights.max())
    least = 1 / math.hypot(1 / parts.least, _PER_WIDTH * of.gains[0]) if parts.least > 0 else 0.0
    return Parts(
        weights[kept] / weights[kept].sum(),
        (parts.means + step)[kept],
        0.5 * (after + after.mT)[kept],
        least,
        parts.order,
    )


def normalised(log_joint: Tensor) -> dict[str, Tensor]:
    """The weights of K classes from log(w_k p_k(y)), and their logarithms, as attributes of a law.

    A weight that underflows is shown as the smallest normal number, 2e-308, and its logarithm is kept.
    """
    log_weights = log_joint - evidence(log_joint)
    return {"weights": log_weights.exp().clamp(min=torch.finfo(log_joint.dtype).tiny), "_log_weights": log_weights}


def evidence(log_joint: Tensor) -> float:
    """log p(y) from log(w_k p_k(y)) [K], or an error if float64 has no such number."""
    return known(float(log_joint.logsumexp(0)))


def known(log_evidence: float) -> float:
    """Return log p(y), or raise ``ValueError`` unless it is a number."""
    if not math.isfinite(log_evidence):
        raise ValueError(
            f"log p(y) comes out as {log_evidence}: A, y and noise leave float64 together with the law. Give a larger "
            "noise, or a y that the law can give."
        )
    return log_evidence


def class_label(k: int, n_classes: int) -> int:
    """Return ``k``, or raise unless it is the number of one of the classes, 0 .. n_classes - 1."""
    if validate.count("k", k, least=0) >= n_classes:
        raise ValueError(f"k is {k}: the law has {n_classes} classes. Give one from 0 to {n_classes - 1}.")
    return k


def log_evidence(p: Law, of: Measurement) -> tuple[float, float]:
    """log p(y), and an estimate of its error; the law must have ``bounds`` and a ``length_scale``."""
    try:
        return _log_evidence(p, of)
    except _TooMany:
        raise ValueError(
            "the integral over the points that agree with y needs too many nodes: noise is narrow against the extent "
            "of the law, or y is far from all that the law can give. Give a larger noise, or another y."
        ) from None


def _log_evidence(p: Law, of: Measurement) -> tuple[float, float]:
    (b1, b2), (z1, z2) = of.gains, of.values
    if b1 == 0:
        return of.constant - 0.5 * (z1**2 + z2**2), 0.0
    scale, rest = 1 / b1, (1 - abs(b2) / b1) * (1 + abs(b2) / b1)
    low, high = p.bounds(scale)
    try:
        p.log_prob(low, scale)
    except validate.OnlyClean:
        return _log_evidence_of_a_clean_law(p, of)
    log_z = of.constant + 0.5 * math.log(2 * math.pi) - math.log(b1)
    axes = low.new_tensor(of.axes)
    start, direction = z1 / b1 * axes[:1], axes[1]
    if rest == 0:
        there = float(p.log_prob(start + z2 / b2 * direction, scale))
        return log_z + 0.5 * math.log(2 * math.pi) - math.log(abs(b2)) + there, 0.0
    corners = torch.cartesian_prod(*torch.stack([low, high], -1)) @ axes.mT
    (nearest, first), (farthest, last) = corners.amin(0).tolist(), corners.amax(0).tolist()
    if not max(nearest - z1 / b1, z1 / b1 - farthest) < _TOO_FAR * scale:
        raise _TooMany
    steep, peak = b2**2 / rest, z2 / b2 if b2 != 0 else 0.0
    reference = min(max(peak, first), last)  # where the weight is 1: it may be far from its peak
    line = _Line(
        start + reference * direction, direction, *(start.new_tensor([t]) for t in (scale, steep, peak - reference))
    )
    middle, reach = 0.5 * (first + last) - reference, 0.5 * (last - first)
    for _ in range(_MOST_WIDENINGS):
        reach *= 4
        low, high = (start.new_tensor([middle + side * reach]) for side in (-1, 1))
        found = _integrate(p, line, low, high)
        if found.ends_in_nothing:
            break
    log_z -= 0.5 * (z2 - b2 * reference) ** 2 / rest + 0.5 * math.log(rest)
    return log_z + float(found.log_integral), found.error


def noised(
    p: Law, of: Measurement, x: Tensor, sigma: Tensor, *, with_divergence: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """log p(x_sigma, y), its score in x and, if asked for, the divergence of that, at x [n, 2], sigma [n] > 0, float64.

    With g_i = 1 / (1 + sigma^2 b_i^2), r_i = z_i - b_i v_i . x, and s and t at the nodes of the line, the score is
    sum_i g_i (b_i r_i + E[v_i . s]) v_i, and its divergence

        -sum_i g_i b_i^2 + g_1^2 (E[div s] + E|s - E s|^2) + (g_1 + g_2) Cov(t, v_2 . s) / sigma^2.
    """
    if is_batched(x) or is_batched(sigma):
        raise TypeError(
            "x or sigma is batched by torch.func.vmap, and the nodes of this law's integral depend on their values: "
            "densities treat each point by itself, so give the whole batch [n, 2] at once."
        )
    finite = x.isfinite().all(-1)
    n_lost, parts, chunks = 0, [], [(torch.where(finite[:, None], x, 0.0), sigma)]
    while chunks:
        points, levels = chunks.pop()
        n = len(points)
        try:
            parts.append(_noised_in_a_chunk(p, of, points, levels, with_divergence))
        except _TooMany:
            if n > 1:
                chunks += [(points[n // 2 :], levels[n // 2 :]), (points[: n // 2], levels[: n // 2])]
            else:
                lost = points + math.nan
                parts.append((lost[:, 0], lost, lost[:, 0]))
                n_lost += 1
    if n_lost:
        warn(
            f"{n_lost} of {len(x)} points are nan: their integrals need too many nodes. Take points nearer to the "
            "mass, a larger sigma, or a law that was measured with more noise."
        )
    log_p, s, div = (torch.cat(column) for column in zip(*parts, strict=True))
    missing = torch.where(finite, 0.0, math.nan).to(x)
    return log_p + missing, s + missing[:, None], div + missing


def _noised_in_a_chunk(
    p: Law, of: Measurement, x: Tensor, sigma: Tensor, with_divergence: bool
) -> tuple[Tensor, Tensor, Tensor]:
    axes, (b1, b2), (z1, z2) = constant(of.axes, x), of.gains, of.values
    noise = sigma**2
    g1, g2 = 1 / (1 + noise * b1**2), 1 / (1 + noise * b2**2)
    x1, x2 = _along(axes, x)
    r1, r2 = z1 - b1 * x1, z2 - b2 * x2
    log_p = of.constant - 0.5 * (g1 * r1**2 + g2 * r2**2 - g1.log() - g2.log())
    pull, div = torch.stack([g1 * b1 * r1, g2 * b2 * r2], -1), -g1 * b1**2 - g2 * b2**2
    start = torch.stack([g1 * (x1 + noise * b1 * z1), g2 * (x2 + noise * b2 * z2)], -1) @ axes
    scale, spread = sigma * g1.sqrt(), noise**2 * ((b1 - abs(b2)) * (b1 + abs(b2))) * g1 * g2
    if b1 == abs(b2):
        found, s = p.log_prob_and_score(start, scale)
        if with_divergence:
            div = div + g1**2 * p.divergence(start, scale)
    else:
        line = _Line(start, axes[1], scale, 1 / spread, torch.zeros_like(scale))
        with torch.no_grad():
            probes = spread.sqrt()[:, None] * x.new_tensor([0.0, -1.0, 1.0, -3.0, 3.0, -9.0, 9.0])
            least = line.log_joint(p, probes, torch.arange(len(x), device=x.device)).amax(-1)
            drop = -(2 * math.pi * scale**2).log() - least + _DEPTH  # from the most that p_scale is anywhere
            reach = (2 * spread * drop.nan_to_num(_DEPTH, _MOST_DROP).clamp(max=_MOST_DROP)).sqrt()
        on = _integrate(p, line, -reach, reach, with_score=True, with_divergence=with_divergence)
        found, s = on.log_integral - 0.5 * (2 * math.pi * spread).log(), on.score
        div = div + g1**2 * on.divergence + (g1 + g2) * on.covariance / noise
    s1, s2 = _along(axes, s)
    return log_p + found, (pull + torch.stack([g1 * s1, g2 * s2], -1)) @ axes, div


def _along(axes: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """v_1 . x and v_2 . x, [...] each."""
    first, second = (x @ axes.mT).unbind(-1)
    return first, second


class _Line(NamedTuple):
    """n functions p_scale(start + t direction) exp(-steep (t^2 / 2 - t peak)) of t."""

    start: Tensor
    """[n, 2]."""
    direction: Tensor
    """[2], the same for all."""
    scale: Tensor
    """[n], as the rest."""
    steep: Tensor
    peak: Tensor

    def log_weight(self, t: Tensor, owner: Tensor) -> Tensor:
        """The exponent at t [c] or [c, k], which belong to the lines ``owner`` [c]."""
        steep, peak = (part.index_select(0, owner).view(-1, *(1,) * (t.ndim - 1)) for part in (self.steep, self.peak))
        return -0.5 * steep * t * (t - 2 * peak)

    def points(self, t: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
        """The points of the plane [..., 2] and their levels [...]."""
        start, scale = self.start.index_select(0, owner), self.scale.index_select(0, owner)
        if t.ndim == 2:
            start, scale = start[:, None], scale[:, None].expand(t.shape)
        return start + t[..., None] * self.direction, scale

    def log_joint(self, p: Law, t: Tensor, owner: Tensor) -> Tensor:
        """The logarithm of the function itself."""
        return p.log_prob(*self.points(t, owner)) + self.log_weight(t, owner)


class _Integral(NamedTuple):
    """Of n lines: the logarithm of the integral over t, and under the integrand as a law of t the rest, [n]."""

    log_integral: Tensor
    error: float
    """The greatest, of log_integral, by estimate."""
    ends_in_nothing: bool
    """Whether all integrands are negligible at both ends."""
    score: Tensor
    """E s, [n, 2]."""
    divergence: Tensor
    """E div s + E|s - E s|^2."""
    covariance: Tensor
    """Cov(t, direction . s)."""


def _integrate(
    p: Law, line: _Line, low: Tensor, high: Tensor, *, with_score: bool = False, with_divergence: bool = False
) -> _Integral:
    """By the trapezoid rule, of steps that are halved until two rules agree; score and divergence if asked for."""
    scales, of_each = line.scale.detach().unique(return_inverse=True)
    lengths = torch.tensor(
        [max(p.length_scale(scale), scale) for scale in scales.tolist()], dtype=torch.float64, device="cpu"
    )
    step = 0.5 / (lengths.to(low)[of_each] ** -2 + line.steep.detach()).sqrt()
    for _ in range(_MOST_HALVINGS):
        with torch.no_grad():  # where the nodes lie does not change the integral
            first, count = (low / step).floor().long()[:, None], ((high - low) / step).ceil().long()[:, None] + 2
            index, inside = _nodes(p, _Line(*(part.detach() for part in line)), first, count, step)
        owner = inside.nonzero()[:, 0]
        t = (index * step[:, None])[inside]
        places, levels = line.points(t, owner)
        scores, divergences = torch.zeros_like(places), torch.zeros_like(t)
        if with_score:
            values, scores = p.log_prob_and_score(places, levels)
        else:
            values = p.log_prob(places, levels)
        if with_divergence:
            divergences = p.divergence(places, levels)
        place = (inside.flatten().cumsum(0) - 1).clamp(min=0)
        log_joint, t, divergences, scores = (
            part.index_select(0, place).unflatten(0, inside.shape)
            for part in (values + line.log_weight(t, owner), t, divergences, scores)
        )
        log_joint = torch.where(inside, log_joint, -math.inf)
        with torch.no_grad():
            even, odd = (log_joint.where(index % 2 == k, -math.inf).logsumexp(-1) for k in (0, 1))
            apart = (even - odd).abs()
            unsettled = apart > _SETTLED  # nan is settled
        if not bool(unsettled.any()):
            break
        step = torch.where(unsettled, 0.5 * step, step)
    else:
        warn(f"an integral is known to {float(apart.max()):.1g} of itself only: the law varies faster than it says.")
    log_integral, score, divergence = mixture(log_joint, scores, divergences)
    covariance = (log_joint.softmax(-1) * t * ((scores - score[:, None]) @ line.direction)).sum(-1)
    ends = log_joint.where((index == first) | (index == first + count - 1), -math.inf).amax(-1)
    in_nothing = bool((ends < log_joint.amax(-1) - _DEPTH).all())
    error = float(apart.max()) ** 2
    return _Integral(log_integral + step.log(), error, in_nothing, score, divergence, covariance)


class _TooMany(Exception):
    """The nodes of some lines together are too many; caught in this module."""


def _nodes(p: Law, line: _Line, start: Tensor, count: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Of the nodes index * step, start <= index < start + count [n, 1], those that matter [n, K], and which are meant.

    Blocks of nodes are cut, and left out where they are proved to be negligible. On a block of centre c and half
    length h, all of p_scale is at most (S / scale)^2 exp(h^2 / (2 (S^2 - scale^2))) p_S(c) for any S > scale, since

        N(c + t; u, scale^2) <= (S / scale)^2 exp(h^2 / (2 (S^2 - scale^2))) N(c; u, S^2)  for |t| <= h and every u.

    With S^2 = scale^2 + h^2 this is 2 h^2 / scale^2 times too much or so; at a distance D > 2 h scale of all mass, as
    p_scale(c) tells it, (S / scale)^2 = 1 + h / D is better.
    """
    n, most, end = len(step), int(count.max()) if len(count) else 1, start + count
    if most <= _MOST_UNSEARCHED:
        _refuse_too_many(most * n)
        index = start + torch.arange(most, device=step.device)
        return index, index < end
    size = _BRANCH ** math.ceil(math.log(most, _BRANCH))
    owner, first = torch.arange(n, device=step.device), start[:, 0]
    children = torch.arange(_BRANCH, device=step.device)
    shortfall = (1 / ((line.scale**-2 + line.steep).sqrt() * step)).clamp(max=1).log()  # of a sum from one of its terms
    half_width = 0.5 * (count - 1) * step[:, None]
    powers = 4.0 ** -torch.arange(math.ceil(math.log(most, 4)) + 1, dtype=step.dtype, device=step.device)
    probes = (start * step[:, None] + half_width) + half_width * torch.cat([powers, -powers])
    at_probes = line.log_joint(p, probes, owner).nan_to_num(-math.inf)
    best = at_probes.amax(-1) + shortfall
    while size > _BRANCH:
        size //= _BRANCH
        first = (first[:, None] + size * children).flatten()
        owner = owner.repeat_interleave(_BRANCH)
        there = first < end[owner, 0]
        first, owner = first[there], owner[there]
        _refuse_too_many(len(owner))
        scale, half = line.scale[owner], 0.5 * size * step[owner]
        centre = (first + 0.5 * (size - 1)) * step[owner]
        place, _ = line.points(centre, owner)
        at_centre = p.log_prob(place, scale)
        value = at_centre + line.log_weight(centre, owner) + shortfall[owner]
        best = best.scatter_reduce(0, owner, value.nan_to_num(-math.inf), "amax")
        h = half / scale
        away = (-2 * (at_centre + (2 * math.pi * scale**2).log())).clamp(min=0).sqrt()  # D
        more = torch.where(away > 2 * h, torch.minimum(h / away, h**2), h**2)  # S^2 / scale^2 - 1
        blurred = p.log_prob(place, scale * (1 + more).sqrt()) + more.log1p() + 0.5 * h**2 / more
        peak = line.peak[owner].clamp(centre - half, centre + half)
        top = blurred + line.log_weight(peak, owner) + math.log(size)
        matters = ~(top < best[owner] - _DEPTH)
        first, owner = first[matters], owner[matters]
    _refuse_too_many(_BRANCH * len(owner))
    order = owner.argsort(stable=True)
    first, owner = first[order], owner[order]
    n_blocks = torch.zeros_like(end[:, 0]).index_add_(0, owner, torch.ones_like(owner))
    rank = torch.arange(len(owner), device=step.device) - (n_blocks.cumsum(0) - n_blocks)[owner]
    _refuse_too_many(_BRANCH * int(n_blocks.max()) * n)
    blocks = end.expand(n, int(n_blocks.max())).clone()
    blocks[owner, rank] = first
    index = (blocks[:, :, None] + children).flatten(1)
    return index, index < end


def _refuse_too_many(n: int) -> None:
    if n > _MOST_TOGETHER:
        raise _TooMany


def _log_evidence_of_a_clean_law(p: Law, of: Measurement) -> tuple[float, float]:
    """By Gauss-Legendre panels in the axes of the measurement, of 8 nodes; the error by comparison with 6."""
    (low, high), length = p.bounds(), p.length_scale()
    corners = torch.cartesian_prod(*torch.stack([low, high], -1)) @ low.new_tensor(of.axes).mT
    sides = list(zip(corners.amin(0).tolist(), corners.amax(0).tolist(), strict=True))
    if length == 0:
        raise ValueError(
            "the law has jumps or kinks (its length_scale is 0), and only its clean law is known: no quadrature finds "
            "its evidence. Build it by densities.from_energy."
        )
    counts = [
        math.ceil((last - first) * math.hypot(1 / length, gain))
        for (first, last), gain in zip(sides, of.gains, strict=True)
    ]
    if 64 * math.prod(counts) > _MOST_IN_THE_PLANE:
        raise ValueError(
            f"the evidence would need {64 * math.prod(counts):.2g} nodes: only the clean law is known, and noise is "
            "narrow against its extent. Give a larger noise."
        )
    fine, coarse = (_on_panels(p, of, sides, counts, order) for order in (8, 6))
    return fine, abs(fine - coarse)


def _on_panels(p: Law, of: Measurement, sides: list[tuple[float, float]], counts: list[int], order: int) -> float:
    (a, wa), (b, wb) = (panels(first, last - first, n, order) for (first, last), n in zip(sides, counts, strict=True))
    total = -math.inf
    for part, weights in zip(a.split(64), wa.split(64), strict=True):
        x = torch.cartesian_prod(part, b) @ a.new_tensor(of.axes)
        log_joint = p.log_prob(x) + of.log_likelihood(x) + torch.outer(weights, wb).flatten().log()
        total = float(torch.logaddexp(log_joint.new_tensor(total), log_joint.logsumexp(0)))
    return total


def support(of: Measurement, low: Tensor, high: Tensor, log_normaliser: float) -> tuple[Tensor, Tensor]:
    """A rectangle with all but 1e-16 of the law on the rectangle from low to high, given the measurement.

    Where |z_i - b_i v_i . x| > r the likelihood is below exp(constant - r^2 / 2), which is at most e^-37 of the
    evidence for r^2 / 2 = 37 + constant - log_normaliser. The rectangle is cut to the strips where it is not.
    """
    reach = math.sqrt(2 * max(_LEFT_OUT + of.constant - log_normaliser, _LEFT_OUT))
    (x1, y1), (x2, y2) = low.tolist(), high.tolist()
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    for axis, gain, value in zip(of.axes, of.gains, of.values, strict=True):
        for side in (-1, 1):
            corners = _clipped(corners, (side * gain * axis[0], side * gain * axis[1]), side * value + reach)
    if not corners:
        return low, high
    kept = torch.tensor(corners, dtype=torch.float64, device="cpu")
    return kept.amin(0), kept.amax(0)


def _clipped(
    corners: list[tuple[float, float]], normal: tuple[float, float], limit: float
) -> list[tuple[float, float]]:
    """The part of a convex polygon where normal . x <= limit."""
    kept: list[tuple[float, float]] = []
    heights = [normal[0] * x + normal[1] * y - limit for x, y in corners]
    for k, (here, height) in enumerate(zip(corners, heights, strict=True)):
        before, its_height = corners[k - 1], heights[k - 1]
        if (height <= 0) != (its_height <= 0):
            part = its_height / (its_height - height)
            kept.append((before[0] + part * (here[0] - before[0]), before[1] + part * (here[1] - before[1])))
        if height <= 0:
            kept.append(here)
    return kept
