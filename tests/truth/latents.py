"""Laws that are one integral over a latent u: the module ``integral`` proves that no peak of it is missed.

Each law gives g(u), the logarithm of the integrand, with g' and a bound of |g''| on a cell; a window outside which the
integral is negligible, by an inequality; and the Gaussian at u.
"""

import math
from dataclasses import replace

import mpmath as mp
import numpy as np

from tests.truth.integral import Screen, cells, moments
from tests.truth.value import Value, mixed, needs_noise


def two_moons(x: mp.mpf, y: mp.mpf, sigma: mp.mpf) -> Value:
    needs_noise(sigma)
    half = mp.mpf(1) / 2
    X = mp.hypot(x, y) + 2
    return mixed([half, half], [_arc(x, y, sigma, 0, 1, X), _arc(x - 1, y - half, sigma, 1, 2, X)])


def _arc(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, start: int, end: int, X: mp.mpf) -> Value:
    """The unit circle from start pi to end pi, uniform; in the angle t - start pi."""
    x, y = (x, y) if start == 0 else (-x, -y)
    fx, fy, noise = float(x), float(y), float(sigma) ** 2
    r = math.hypot(fx, fy)

    def screen(m: np.ndarray, a: np.ndarray, b: np.ndarray) -> Screen:
        del a, b
        d1, d2 = np.cos(m) - fx, np.sin(m) - fy
        slope = (d1 * np.sin(m) - d2 * np.cos(m)) / noise
        value = -0.5 * (d1**2 + d2**2) / noise
        return Screen(value, slope, np.full_like(m, r / noise), -value + (1 + r) * np.sqrt(-2 * value / noise))

    def node(t: mp.mpf) -> tuple[mp.mpf, ...]:
        c, s = mp.cos_sin(t)
        d1, d2 = c - x, s - y
        return -(d1 * d1 + d2 * d2) * over / 2, d1 * over, d2 * over, -2 * over

    over = 1 / sigma**2
    m = moments(node, _below(mp.pi, cells(screen, 0.0, math.pi)))
    turn = 1 if start == 0 else -1
    s1, s2 = turn * m.mean[0], turn * m.mean[1]
    log_p = m.log_integral - mp.log(2 * mp.pi**2 * sigma**2)
    return Value.of_noise(log_p, s1, s2, m.variance - 2 * over, sigma, X)


def _below(end: mp.mpf, where: list[tuple[float, float, float]]) -> list[tuple]:
    """Cells whose last base is a rounded number: counted from the number itself."""
    rounded = float(end)
    return [(end if base == rounded else base, first, last) for base, first, last in where]


def spiral(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, rate: float, start: float, end: float) -> Value:
    """(rate t cos t, rate t sin t), t uniform; g'' = -(rate^2 - x . curve'') / sigma^2."""
    needs_noise(sigma)
    fx, fy, noise = float(x), float(y), float(sigma) ** 2
    r = math.hypot(fx, fy)

    def screen(m: np.ndarray, a: np.ndarray, b: np.ndarray) -> Screen:
        del a
        c, s = np.cos(m), np.sin(m)
        d1, d2 = rate * m * c - fx, rate * m * s - fy
        slope = -(d1 * rate * (c - m * s) + d2 * rate * (s + m * c)) / noise
        curvature = (rate**2 + r * rate * np.sqrt(b**2 + 4)) / noise
        value = -0.5 * (d1**2 + d2**2) / noise
        size = -value + (rate * m + r) * np.sqrt(-2 * value / noise)
        return Screen(value, slope, curvature, size)

    def node(t: mp.mpf) -> tuple[mp.mpf, ...]:
        c, s = mp.cos_sin(t)
        d1, d2 = rate * t * c - x, rate * t * s - y
        return -(d1 * d1 + d2 * d2) * over / 2, d1 * over, d2 * over, -2 * over

    over, rate_ = 1 / sigma**2, mp.mpf(rate)
    m = moments(node, cells(screen, start, end))
    log_p = m.log_integral - mp.log(2 * mp.pi * sigma**2 * (mp.mpf(end) - start))
    return Value.of_noise(log_p, *m.mean, m.variance - 2 * over, sigma, mp.hypot(x, y) + rate_ * end)


def banana(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, scale: float, width: float, bend: float) -> Value:
    """X_1 = u ~ N(0, scale^2), X_2 = bend (u^2 - scale^2) + width Z."""
    s2, w2, b = mp.mpf(scale) ** 2, mp.mpf(width) ** 2, mp.mpf(bend)
    if sigma == 0:
        X = mp.hypot(x, y) + abs(b) * (x**2 + s2)
        v, slope = (y - b * (x**2 - s2)) / w2, 2 * b * x
        log_p = -mp.log(2 * mp.pi * scale * width) - x**2 / (2 * s2) - v**2 * w2 / 2
        S = abs(x) / s2 + abs(slope * v) + abs(v)
        steep = (1 + slope**2) / w2
        bent = 2 * b * v
        D, T = 1 / s2 + abs(bent) + steep, abs(2 * b) * (1 + 3 * abs(slope)) / w2
        return Value(log_p, -x / s2 + slope * v, -v, -1 / s2 + bent - steep, S, D, X, T=T)
    noise = sigma**2
    across = w2 + noise
    fx, fy, fs2, fb, fn, fa = map(float, (x, y, s2, b, noise, across))

    def screen(m: np.ndarray, a: np.ndarray, b_: np.ndarray) -> Screen:
        miss = fy - fb * (m**2 - fs2)
        terms = m**2 / fs2, (fx - m) ** 2 / fn, miss**2 / fa
        value = -0.5 * sum(terms)
        slope = -m / fs2 + (fx - m) / fn + 2 * fb * m * miss / fa
        most = np.maximum(np.abs(a), np.abs(b_))  # of |u|
        least = np.where(a * b_ <= 0, 0.0, np.minimum(np.abs(a), np.abs(b_)))
        off = np.maximum(np.abs(fy - fb * (most**2 - fs2)), np.abs(fy - fb * (least**2 - fs2)))
        curvature = 1 / fs2 + 1 / fn + (4 * fb**2 * most**2 + 2 * abs(fb) * off) / fa
        lost = np.abs(fx - m) / fn * abs(fx) + np.abs(miss) / fa * (abs(fy) + abs(fb) * (m**2 + fs2))
        return Screen(value, slope, curvature, -value + lost)

    def node(u: mp.mpf) -> tuple[mp.mpf, ...]:
        t, miss = x - u, y - b * (u * u - s2)
        return -(u * u / s2 + t * t / noise + miss * miss / across) / 2, -t / noise, -miss / across, both

    both = -1 / noise - 1 / across
    # without the last factor, at most 1, the integrand is Gaussian: no more than e^-DEPTH of it lies outside
    mean, std = fx * fs2 / (fs2 + fn), math.sqrt(fs2 * fn / (fs2 + fn))
    least = _least(screen, mean, std) + 0.5 * fx**2 / (fs2 + fn)
    reach = std * math.sqrt(2 * (_MARGIN - least + math.log(std)))
    m = moments(node, cells(screen, mean - reach, mean + reach))
    log_p = m.log_integral - mp.log(s2 * noise * across) / 2 - mp.log(2 * mp.pi) * 3 / 2
    square = (x + noise * m.mean[0]) ** 2 + noise**2 * m.variance  # at least E u^2
    X = mp.hypot(x, y) + abs(b) * (square + s2)
    return Value.of_latent(log_p, m.mean, m.d, m.variance, X)


_MARGIN = 70.0


def _least(screen: object, middle: float, width: float) -> float:
    """A lower bound on the logarithm of the integral, from a cell about the middle."""
    m = np.array([middle])
    for _ in range(400):
        h = np.array([width])
        g = screen(m, m - h / 2, m + h / 2)
        if g.curvature[0] * width**2 / 8 < 2:
            break
        width /= 2
    return float(g.value[0] - 2 - 64 * np.finfo(float).eps * g.size[0] + math.log(width))


def funnel(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, scale: float) -> Value:
    """V = u ~ N(0, scale^2), Y given V of variance e^V."""
    s2, X = mp.mpf(scale) ** 2, mp.hypot(x, y)
    if sigma == 0:
        q, inverse = y**2 * mp.exp(-x), mp.exp(-x)
        log_p = -mp.log(2 * mp.pi * scale) - x**2 / (2 * s2) - x / 2 - q / 2
        S = abs(x) / s2 + (q + 1) / 2 + abs(y) * inverse
        D, T = 1 / s2 + q / 2 + inverse, q / 2 + (1 + abs(y)) * inverse
        return Value(log_p, -x / s2 + (q - 1) / 2, -y * inverse, -D, S, D, X, T=T)
    noise = sigma**2
    fx, fy2, fs2, fn = map(float, (x, y**2, s2, noise))
    log_noise = math.log(fn)

    def screen(m: np.ndarray, a: np.ndarray, b: np.ndarray) -> Screen:
        log_w = np.logaddexp(m, log_noise)
        q = np.exp(m - log_w)
        pull = fy2 * np.exp(-log_w)
        value = -0.5 * (m**2 / fs2 + (fx - m) ** 2 / fn + log_w + pull)
        slope = -m / fs2 + (fx - m) / fn - 0.5 * q + 0.5 * pull * q
        top = np.clip(log_noise, a, b)  # e^u / (e^u + noise)^2 is greatest at e^u = noise
        curvature = 1 / fs2 + 1 / fn + 0.125 + 0.5 * fy2 * np.exp(top - 2 * np.logaddexp(top, log_noise))
        size = 0.5 * (m**2 / fs2 + np.abs(log_w) + pull * (1 + np.abs(log_w))) + np.abs(fx - m) / fn * abs(fx)
        return Screen(value, slope, curvature, size - value)

    def node(u: mp.mpf) -> tuple[mp.mpf, ...]:
        w, t = mp.exp(u) + noise, x - u
        pull = y / w
        return -(u * u / s2 + t * t / noise + mp.log(w) + y * pull) / 2, -t / noise, -pull, -1 / noise - 1 / w

    # -(log w + y^2 / w) / 2 is at most its value at w = max(y^2, noise); the rest is Gaussian
    mean, std = fx * fs2 / (fs2 + fn), math.sqrt(fs2 * fn / (fs2 + fn))
    best = max(fy2, fn)
    most = -0.5 * (math.log(best) + fy2 / best) - 0.5 * fx**2 / (fs2 + fn)
    reach = std * math.sqrt(2 * max(_MARGIN + most + math.log(std) - _least(screen, mean, std), 50))
    m = moments(node, cells(screen, mean - reach, mean + reach))
    log_p = m.log_integral - mp.log(s2 * noise) / 2 - mp.log(2 * mp.pi) * 3 / 2
    return Value.of_latent(log_p, m.mean, m.d, m.variance, X, W=2 * (m.variance - m.d))


def student_mixture(
    x: mp.mpf, y: mp.mpf, sigma: mp.mpf, weights: list[float], locations: list, scales: list, dfs: list[float]
) -> Value:
    scales = scales if isinstance(scales[0][0], list) else [scales] * len(weights)
    total = mp.fsum(weights)
    parts = [_student(x, y, sigma, *each) for each in zip(locations, scales, dfs, strict=True)]
    return mixed([mp.mpf(w) / total for w in weights], parts)


def _student(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, location: list[float], scale: list[list[float]], df: float) -> Value:
    """Location + Z / sqrt(lambda), Z ~ N(0, S), lambda ~ Gamma(df / 2, rate df / 2); over u = log lambda."""
    (a, b), (b_, c) = scale
    a, b, c, nu = mp.mpf(a), (mp.mpf(b) + b_) / 2, mp.mpf(c), mp.mpf(df)
    d1, d2 = location[0] - x, location[1] - y
    X = mp.hypot(x, y) + mp.hypot(*location)
    # axes of S
    apart = mp.hypot(a - c, 2 * b)
    big = (a + c + apart) / 2
    small = (a * c - b * b) / big
    angle = mp.atan2(2 * b, a - c) / 2
    ca, sa = mp.cos_sin(angle)
    o1, o2 = ca * d1 + sa * d2, ca * d2 - sa * d1
    K = big / small
    if sigma == 0:
        q = o1**2 / big + o2**2 / small
        factor = (nu + 2) / (nu + q)
        s1, s2 = factor * o1 / big, factor * o2 / small
        heat, bent = o1**2 / big**2 + o2**2 / small**2, 1 / big + 1 / small
        log_p = -mp.log(2 * mp.pi) - mp.log(big * small) / 2 - (nu + 2) / 2 * mp.log1p(q / nu)
        div = factor * (2 * heat / (nu + q) - bent)
        D = factor * (2 * heat / (nu + q) + bent)
        S = mp.hypot(s1, s2)
        return Value(log_p, ca * s1 - sa * s2, sa * s1 + ca * s2, div, S, D, X, K, T=D * mp.sqrt(D))
    noise, half = sigma**2, nu / 2
    v, o = np.array([[float(big)], [float(small)]]), np.array([[float(o1) ** 2], [float(o2) ** 2]])
    fn, fh = float(noise), float(half)
    log_v, log_n = np.log(v), math.log(fn)

    def screen(m: np.ndarray, a: np.ndarray, b: np.ndarray) -> Screen:
        log_w = np.logaddexp(log_v - m, log_n)
        q, pull = np.exp(log_v - m - log_w), o * np.exp(-log_w)
        # half (u - e^u + 1), without the cancellation about u = 0
        gamma = -fh * (np.expm1(m) - m)
        value = gamma - 0.5 * (log_w + pull).sum(0)
        slope = -fh * np.expm1(m) + 0.5 * (q - pull * q).sum(0)
        top = np.clip(log_v - log_n, a, b)  # q / w is greatest at S e^-u = noise
        peak = np.exp(log_v - top - 2 * np.logaddexp(log_v - top, log_n))
        curvature = fh * np.exp(b) + 0.25 + 0.5 * (o * peak).sum(0)
        size = np.abs(gamma) + fh * (np.abs(m) + np.exp(m)) + 0.5 * (np.abs(log_w) * (1 + pull) + pull).sum(0)
        return Screen(value, slope, curvature, size)

    def node(u: mp.mpf) -> tuple[mp.mpf, ...]:
        e = mp.exp(u)
        w1, w2 = big / e + noise, small / e + noise
        p1, p2 = o1 / w1, o2 / w2
        return half * (u - e + 1) - (mp.log(w1 * w2) + o1 * p1 + o2 * p2) / 2, p1, p2, -1 / w1 - 1 / w2

    grid = np.concatenate([-np.geomspace(300, 1e-9, 240), [0.0], np.geomspace(1e-9, 5, 200)])
    width, g = np.diff(grid), screen(0.5 * (grid[:-1] + grid[1:]), grid[:-1], grid[1:])
    least = float((g.value - g.curvature * width**2 / 8 - 1e-14 * g.size + np.log(width)).max())
    # -log w / 2 <= u / 2 - log S / 2 and <= -log noise / 2: the tails of what bounds the integrand
    left = (least - _MARGIN - fh + 0.5 * float(log_v.sum()) + math.log(fh + 1)) / (fh + 1)
    right, budget = 1e-3, _MARGIN - log_n - least
    while fh * (math.expm1(right) - right) < budget + 40:
        right *= 1.5
    m = moments(node, cells(screen, min(left, -1.0), right))
    constant = half * mp.log(half) - half - mp.loggamma(half) - mp.log(2 * mp.pi)
    s1, s2 = m.mean
    turned, W = (ca * s1 - sa * s2, sa * s1 + ca * s2), 2 * (m.variance - m.d)
    return replace(Value.of_latent(m.log_integral + constant, turned, m.d, m.variance, X, W=W), K=K)
