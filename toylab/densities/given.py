"""What conditioning on a measurement is made with: the law of X given A X + noise Z = y, Z ~ N(0, I).

By Bayes' rule its density is p(x) N(y; A x, noise^2 I) / p(y), where p(y), the evidence, is the density of
A X + noise Z at y.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.densities import _gaussians
from toylab.densities.parameters import Matrix, Vector


class Measurement(NamedTuple):
    """y = A x + noise Z in the singular axes of A = d_1 u_1 v_1^T + d_2 u_2 v_2^T, d_1 >= |d_2|.

    log N(y; A x, noise^2 I) = constant - (z_1 - b_1 v_1 . x)^2 / 2 - (z_2 - b_2 v_2 . x)^2 / 2.
    """

    axes: Tensor
    """Rows v_1 and v_2, [2, 2], float64."""
    gains: tuple[float, float]
    """b_i = d_i / noise; b_2 is 0 of a single row."""
    values: tuple[float, float]
    """z_i = u_i . y / noise; z_2 is 0 of a single row."""
    constant: float


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
    rows, values, noise = validate.measurement(A, y, noise)
    if values.ndim > 1:
        raise ValueError(f"y has shape {list(values.shape)}: give shape [{len(rows)}]. One measurement at a time.")
    return _in_axes(rows, values, noise)


def _in_axes(A: Tensor, y: Tensor, noise: float) -> Measurement:
    """The measurement in the singular axes of A [m, 2], m = 1 or 2, found in a way that keeps the digits of d_2."""
    constant = -len(y) * (math.log(noise) + 0.5 * math.log(2 * math.pi))
    size = float(A.abs().max()) or 1.0
    (a, b), (c, d) = (torch.cat([A, A.new_zeros(2 - len(y), 2)]) / size).tolist()
    angle = 0.5 * math.atan2(2 * (a * b + c * d), a**2 + c**2 - b**2 - d**2)
    v1, v2 = math.cos(angle), math.sin(angle)
    axes = torch.tensor([[v1, v2], [-v2, v1]], dtype=torch.float64)
    image = a * v1 + b * v2, c * v1 + d * v2  # d_1 u_1 / size
    length = math.hypot(*image)
    u1, u2 = (part / length for part in image) if length > 0 else (1.0, 0.0)
    gains = [length * size / noise, 0.0]
    if len(y) == 2 and length > 0:
        gains[1] = float(_gaussians.determinant(*A.flatten())) / length / size / noise
    y1, y2 = torch.cat([y, y.new_zeros(2 - len(y))]).tolist()
    values = (u1 * y1 + u2 * y2) / noise, (u1 * y2 - u2 * y1) / noise
    return Measurement(axes, (gains[0], gains[1]), values, constant)


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
    (v1, v2), (b1, b2), (z1, z2) = of.axes, torch.tensor(of.gains, dtype=torch.float64), of.values
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
        raise ValueError(
            "A, y and noise leave float64 together with the law: what is measured and its noise are too many powers of "
            "ten apart. Give a larger noise."
        )
    return found


def reweighted(log_weights: Tensor) -> Tensor:
    """exp(log_weights) over their sum; what underflows is kept at the smallest normal number, 2e-308."""
    return log_weights.softmax(-1).clamp(min=torch.finfo(log_weights.dtype).tiny)


def class_label(k: int, n_classes: int) -> int:
    """Return ``k``, or raise unless it is the number of one of the classes, 0 .. n_classes - 1."""
    if validate.count("k", k, least=0) >= n_classes:
        raise ValueError(f"k is {k}: the law has {n_classes} classes. Give one from 0 to {n_classes - 1}.")
    return k
