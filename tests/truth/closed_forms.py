"""Laws in closed form: sums of Gaussians, straight pieces by erfc, circles by Bessel functions."""

import mpmath as mp
import numpy as np

from tests.truth.value import DIGITS, Value, mixed, needs_noise, outside

# --- sums of Gaussians ---


def gaussians(
    x: mp.mpf, y: mp.mpf, sigma: mp.mpf, weights: list[float], means: list[list[float]], covariances: list
) -> Value:
    """Of a mixture of Gaussians; the components too small for sixty digits are left out by a float64 bound."""
    w, m, C = np.array(weights), np.array(means), np.array(covariances)
    C = np.broadcast_to(C, (len(w), 2, 2))
    a, b, c = C[:, 0, 0] + float(sigma) ** 2, C[:, 0, 1], C[:, 1, 1] + float(sigma) ** 2
    d1, d2 = float(x) - m[:, 0], float(y) - m[:, 1]
    # between the quadratic forms with the least and with the greatest eigenvalue
    spread = np.hypot(a - c, 2 * b)
    greatest = 0.5 * (a + c + spread)
    least = np.maximum((a * c - b * b) / greatest, 0)
    det = least * greatest
    exact = np.where(det > 1e-6 * greatest**2, (c * d1**2 - 2 * b * d1 * d2 + a * d2**2) / np.maximum(det, 1e-300), 0)
    far = np.maximum((d1**2 + d2**2) / greatest, 0.999 * exact)
    with np.errstate(divide="ignore"):
        upper = np.log(w) - 0.5 * far - 0.5 * np.log(np.maximum(det, 1e-300) * 0.5)
        tight = np.where(det > 1e-6 * greatest**2, np.log(w) - 0.5 * 1.001 * exact - 0.5 * np.log(det * 2), -np.inf)
    keep = np.flatnonzero(upper >= tight.max() - 120) if np.isfinite(tight.max()) else range(len(w))
    total = mp.fsum(weights)
    parts = [_gaussian(x, y, sigma, m[k].tolist(), C[k].tolist()) for k in keep]
    return mixed([mp.mpf(float(w[k])) / total for k in keep], parts)


def _gaussian(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, mean: list[float], covariance: list[list[float]]) -> Value:
    (a, b), (b_, c) = covariance
    a, b, c = a + sigma**2, (mp.mpf(b) + b_) / 2, c + sigma**2
    det = a * c - b * b
    d1, d2 = mean[0] - x, mean[1] - y
    s1, s2, div = (c * d1 - b * d2) / det, (a * d2 - b * d1) / det, -(a + c) / det
    log_p = -(s1 * d1 + s2 * d2) / 2 - mp.log(det) / 2 - mp.log(2 * mp.pi)
    greatest = (a + c + mp.hypot(a - c, 2 * b)) / 2
    return Value(log_p, s1, s2, div, mp.hypot(s1, s2), -div, mp.hypot(x, y) + mp.hypot(*mean), greatest**2 / det)


def of_points(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, points: list[list[float]]) -> Value:
    needs_noise(sigma)
    zero = [[0.0, 0.0], [0.0, 0.0]]
    return mixed([mp.mpf(1) / len(points)] * len(points), [_gaussian(x, y, sigma, point, zero) for point in points])


# --- straight pieces: one-dimensional laws in closed form, as log p, (log p)', (log p)'' ---


def _interval(t: mp.mpf, low: mp.mpf, high: mp.mpf, sigma: mp.mpf) -> tuple[mp.mpf, mp.mpf, mp.mpf]:
    """U + sigma Z for U uniform on [low, high]: p = (Phi(b) - Phi(a)) / (high - low), and its derivatives."""
    low, high = mp.mpf(low), mp.mpf(high)
    if 2 * t < low + high:  # mirrored, so that the difference is one of upper tails
        log_p, slope, curvature = _interval(-t, -high, -low, sigma)
        return log_p, -slope, curvature
    a, b = (t - high) / sigma, (t - low) / sigma
    mass = (mp.erfc(a / mp.sqrt(2)) - mp.erfc(b / mp.sqrt(2))) / 2
    normal_a, normal_b = mp.npdf(a), mp.npdf(b)
    slope = (normal_b - normal_a) / (sigma * mass)
    curvature = (a * normal_a - b * normal_b) / (sigma**2 * mass) - slope**2
    return mp.log(mass) - mp.log(high - low), slope, curvature


def square(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, low: float, high: float) -> Value:
    X = mp.hypot(x, y) + max(abs(low), abs(high))
    if sigma == 0:
        inside = low <= x <= high and low <= y <= high
        return _flat(2 * mp.log(mp.mpf(high) - low), X) if inside else outside(X)
    (l1, s1, c1), (l2, s2, c2) = _interval(x, low, high, sigma), _interval(y, low, high, sigma)
    return Value.of_noise(l1 + l2, s1, s2, c1 + c2, sigma, X)


def checkerboard(x: mp.mpf, y: mp.mpf, sigma: mp.mpf) -> Value:
    X = mp.hypot(x, y) + 4
    cells = [(i, j) for i in range(4) for j in range(4) if (i + j) % 2 == 0]
    edges = [-4, -2, 0, 2]
    if sigma == 0:
        inside = any(edges[i] <= x < edges[i] + 2 and edges[j] <= y < edges[j] + 2 for i, j in cells)
        return _flat(mp.log(32), X) if inside else outside(X)
    across, up = ([_interval(t, low, low + 2, sigma) for low in edges] for t in (x, y))
    parts = [
        Value.of_noise(across[i][0] + up[j][0], across[i][1], up[j][1], across[i][2] + up[j][2], sigma, X)
        for i, j in cells
    ]
    return mixed([mp.mpf(1) / 8] * 8, parts)


def _flat(log_area: mp.mpf, X: mp.mpf) -> Value:
    zero = mp.mpf(0)
    return Value(-log_area, zero, zero, zero, zero, zero, X)


def segment(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, start: list[float], end: list[float]) -> Value:
    needs_noise(sigma)
    d1, d2 = mp.mpf(end[0]) - start[0], mp.mpf(end[1]) - start[1]
    length = mp.hypot(d1, d2)
    d1, d2 = d1 / length, d2 / length
    along, across = (x - start[0]) * d1 + (y - start[1]) * d2, (y - start[1]) * d1 - (x - start[0]) * d2
    log_p, slope, curvature = _interval(along, mp.mpf(0), length, sigma)
    pull = -across / sigma**2
    return Value.of_noise(
        log_p - across**2 / (2 * sigma**2) - mp.log(sigma) - mp.log(2 * mp.pi) / 2,
        slope * d1 - pull * d2, slope * d2 + pull * d1, curvature - 1 / sigma**2, sigma,
        mp.hypot(x, y) + mp.hypot(*start) + mp.hypot(*end),
    )  # fmt: skip


def laplace(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, scales: list[float]) -> Value:
    X, (b1, b2) = mp.hypot(x, y), map(mp.mpf, scales)
    if sigma == 0:
        log_p = -abs(x) / b1 - abs(y) / b2 - mp.log(4 * b1 * b2)
        S = 1 / b1 + 1 / b2
        return Value(log_p, -mp.sign(x) / b1, -mp.sign(y) / b2, mp.mpf(0), S, S**2, X)
    (l1, s1, c1), (l2, s2, c2) = _laplace_1d(x, b1, sigma), _laplace_1d(y, b2, sigma)
    return Value.of_noise(l1 + l2, s1, s2, c1 + c2, sigma, X)


def _laplace_1d(t: mp.mpf, b: mp.mpf, sigma: mp.mpf) -> tuple[mp.mpf, mp.mpf, mp.mpf]:
    """p = (A + B) / 2b, A and B the shares of the positive and of the negative half; p - b^2 p'' = N(t; 0, sigma^2)."""
    with mp.workdps(2 * DIGITS):  # far above b, p'' is the small difference of near-equal numbers
        ratio, z = sigma / b, t / sigma
        A = mp.exp(ratio**2 / 2 - t / b) * mp.erfc((ratio - z) / mp.sqrt(2)) / 2
        B = mp.exp(ratio**2 / 2 + t / b) * mp.erfc((ratio + z) / mp.sqrt(2)) / 2
        p = (A + B) / (2 * b)
        slope = (B - A) / (2 * b**2 * p)
        return mp.log(p), slope, (1 - mp.npdf(t, 0, sigma) / p) / b**2 - slope**2


# --- circles: Bessel functions ---


def circle(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, radius: float, center: list[float]) -> Value:
    needs_noise(sigma)
    d1, d2, R = x - center[0], y - center[1], mp.mpf(radius)
    r = mp.hypot(d1, d2)
    kappa = r * R / sigma**2
    log_i0, A = bessel(kappa)
    log_p = -((r - R) ** 2) / (2 * sigma**2) + log_i0 - mp.log(2 * mp.pi * sigma**2)
    radial = (R * A - r) / (sigma**2 * r) if r else mp.mpf(0)
    div = -2 / sigma**2 + (R / sigma**2) ** 2 * (1 - A**2)
    return Value.of_noise(log_p, radial * d1, radial * d2, div, sigma, mp.hypot(x, y) + mp.hypot(*center) + R)


def bessel(kappa: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
    """log(e^-kappa I_0(kappa)) and I_1 / I_0; from 300 on by Hankel's series, summed to its least term."""
    if kappa < 300:
        i0 = mp.besseli(0, kappa)
        return mp.log(i0) - kappa, mp.besseli(1, kappa) / i0
    sums = []
    for order in (0, 1):
        term = total = mp.mpf(1)
        for k in range(1, 400):
            term *= -mp.mpf(4 * order**2 - (2 * k - 1) ** 2) / (8 * k * kappa)
            total += term
            if abs(term) < mp.mpf(10) ** (-DIGITS - 5):
                break
        sums.append(total)
    return mp.log(sums[0]) - mp.log(2 * mp.pi * kappa) / 2, sums[1] / sums[0]


def concentric_circles(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, radii: list[float], weights: list[float]) -> Value:
    total = mp.fsum(weights)
    return mixed([mp.mpf(w) / total for w in weights], [circle(x, y, sigma, r, [0.0, 0.0]) for r in radii])
