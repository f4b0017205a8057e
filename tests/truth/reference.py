"""log p_sigma, score and divergence of every law of toylab, from the law's definition and in 60 digits.

A law is a nested list that JSON can hold, ``["Banana", 2.0, 0.5, 0.5]`` or ``["scaled", [...], 3.0]``: see
``cases.build``, which makes toylab's object of it. Nothing of toylab's mathematics is used here, and nothing is known
of its peaks and windows.

Every law is a family of Gaussians N(m(u), C(u)) with random u, or a product of two one-dimensional laws with a closed
form. With s_u and d_u the score and the divergence of the Gaussian at u, and E the mean over u given x,

    score = E[s_u],   divergence = E[d_u] + tr Cov(s_u).

Points, mixtures of Gaussians: a sum. Curves, Banana, Funnel, Student's t: one integral (module ``integral``, which
proves that it has seen all of it). Square, Checkerboard, Segment, Laplace, circles: erfc and Bessel functions.
What of a value float64 must lose is told in module ``value``.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import mpmath as mp

from tests.truth import clean_only, closed_forms, latents
from tests.truth.value import DIGITS, Value, mixed
from toylab import densities

Law = list


def evaluate(law: Law, x: tuple[float, float], sigma: float) -> Value:
    """The value at a point, from float64 numbers taken as exact."""
    with mp.workdps(DIGITS):
        return _evaluate(law, mp.mpf(x[0]), mp.mpf(x[1]), mp.mpf(sigma))


def _evaluate(law: Law, x: mp.mpf, y: mp.mpf, sigma: mp.mpf) -> Value:
    name, *arguments = law
    return _LAWS[name](x, y, sigma, *arguments)


# --- moved, noised and mixed ---


def _noised(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, law: Law, std: float) -> Value:
    return _evaluate(law, x, y, mp.hypot(sigma, std))


def _scaled(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, law: Law, factor: float) -> Value:
    f = mp.mpf(factor)
    v, size = _evaluate(law, x / f, y / f, sigma / abs(f)), abs(f)
    return replace(
        v,
        log_p=v.log_p - 2 * mp.log(size), s1=v.s1 / f, s2=v.s2 / f, div=v.div / f**2,
        S=v.S / size, D=v.D / f**2, X=v.X * size + mp.hypot(x, y), V=v.V / f**2, W=v.W / f**2, T=v.T / size**3,
    )  # fmt: skip


def _rotated(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, law: Law, angle: float) -> Value:
    c, s = mp.cos(angle), mp.sin(angle)
    v = _evaluate(law, c * x + s * y, c * y - s * x, sigma)
    return replace(v, s1=c * v.s1 - s * v.s2, s2=s * v.s1 + c * v.s2, X=v.X + mp.hypot(x, y))


def _shifted(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, law: Law, shift: tuple[float, float]) -> Value:
    v = _evaluate(law, x - shift[0], y - shift[1], sigma)
    return replace(v, X=v.X + mp.hypot(*shift) + mp.hypot(x, y))


def _mixture(x: mp.mpf, y: mp.mpf, sigma: mp.mpf, weights: list[float], laws: list[Law]) -> Value:
    total = mp.fsum(weights)
    return mixed([w / total for w in map(mp.mpf, weights)], [_evaluate(law, x, y, sigma) for law in laws])


def _example(name: str) -> Callable[..., Value]:
    """A ready mixture: its parameters are read off toylab's object."""

    @cache
    def parameters(arguments: str) -> tuple[list, list, list]:
        p = getattr(densities, name)(*json.loads(arguments))
        return p.weights.tolist(), p.means.tolist(), p.covariances.tolist()

    return lambda x, y, sigma, *arguments: closed_forms.gaussians(x, y, sigma, *parameters(json.dumps(arguments)))


EXAMPLES = ("isotropic", "ring", "grid", "two_modes", "spiral_of_gaussians", "fractal_tree", "pinwheel")

_LAWS = {name: _example(name) for name in EXAMPLES} | {
    "noised": _noised,
    "scaled": _scaled,
    "rotated": _rotated,
    "shifted": _shifted,
    "Mixture": _mixture,
    "GaussianMixture": closed_forms.gaussians,
    "Points": closed_forms.of_points,
    "Square": closed_forms.square,
    "Checkerboard": closed_forms.checkerboard,
    "Segment": closed_forms.segment,
    "Laplace": closed_forms.laplace,
    "Circle": closed_forms.circle,
    "ConcentricCircles": closed_forms.concentric_circles,
    "TwoMoons": latents.two_moons,
    "Spiral": latents.spiral,
    "Banana": latents.banana,
    "Funnel": latents.funnel,
    "StudentTMixture": latents.student_mixture,
    "from_torch": clean_only.from_torch,
    "from_energy": clean_only.from_energy,
}
