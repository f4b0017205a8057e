"""Random cases for the search: a law of any parameters, moved and mixed, noise levels, and points that try it.

A law is written as a nested list: see ``reference``. ``build`` makes toylab's object of it.

The region that is searched, and for which docs/densities.md makes its claim:

- lengths of a law (scales, widths, radii, distances of its parts) from 0.01 to 100, ratios of them up to 1e4; the
  bend of a banana times its scale up to 300; funnels of scale up to 6; degrees of freedom from 0.3 to 1e10; the
  parameters of torch distributions and of an energy from 0.1 to 10, clean;
  condition numbers of covariances up to 1e6;
- the law moved: scaled by 1e-3 to 1e3, turned, shifted, noised, two of these deep, and mixtures of up to three;
- levels from 1e-3 to 1e2, and 0 where there is a clean density;
- points: draws of the noised law; far out, up to 50 spreads of it (a spread is 1.5 times the median distance of draws
  from their middle, or the level where that is more); and within as many, the places where formulas break: centres of
  curvature, ridges, axes, corners, between modes, the wrong side of a bend, each exactly and a little beside.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from tests.truth.reference import EXAMPLES, Law
from toylab import densities

FAMILIES = (
    "GaussianMixture", "examples", "Points", "Segment", "Circle", "ConcentricCircles", "TwoMoons", "Spiral", "Square",
    "Checkerboard", "Banana", "Funnel", "StudentTMixture", "Laplace", "from_torch", "from_energy", "Mixture",
)  # fmt: skip
WITHOUT_DENSITY = ("Points", "Segment", "Circle", "ConcentricCircles", "TwoMoons", "Spiral")
CLEAN_ONLY = ("from_torch", "from_energy")
MOTIONS = ("scaled", "rotated", "shifted", "noised")
POINTS_PER_BATCH = 10


class Batch(NamedTuple):
    """Points that are evaluated together."""

    family: str
    law: Law
    x: np.ndarray  # [n, 2]
    sigma: np.ndarray  # [n]
    dtype: str


def build(law: Law) -> densities.Density:
    """toylab's object."""
    name, *arguments = law
    if name in MOTIONS:
        return getattr(build(arguments[0]), name)(*arguments[1:])
    if name == "from_torch":
        law_of_one = getattr(torch.distributions, arguments[0])
        parameters = [torch.tensor(each, dtype=torch.float64) for each in arguments[1:]]
        return densities.from_torch(torch.distributions.Independent(law_of_one(*parameters), 1))
    if name == "from_energy":
        return _double_well(*arguments[:3], *arguments[3])
    if name == "Mixture":
        return densities.Mixture(arguments[0], [build(part) for part in arguments[1]])
    return getattr(densities, name)(*arguments)


@cache
def _double_well(wells: float, stiff: float, tilt: float, across: float, up: float) -> densities.Density:
    def energy(x: torch.Tensor) -> torch.Tensor:
        first, second = x.unbind(-1)
        return wells * (first**2 - 1) ** 2 + 0.5 * stiff * second**2 + tilt * first * second

    return densities.from_energy(energy, (-across, across, -up, up)).to(torch.float64)


def draw(rng: np.random.Generator, family: str) -> Batch:
    """A law of the family, perhaps moved, and points."""
    law = draw_law(rng, family)
    motions = MOTIONS[:3] if family in CLEAN_ONLY else MOTIONS
    for _ in range(rng.choice([0, 0, 1, 2])):
        law = moved(rng, law, motions)
    dtype = "float32" if rng.random() < 0.15 and family not in CLEAN_ONLY else "float64"
    n = POINTS_PER_BATCH
    sigma = 10 ** rng.uniform(-3, 2, n)
    if rng.random() < 0.3:
        sigma[:] = sigma[0]
    if family in CLEAN_ONLY:
        sigma[:] = 0.0
    elif has_density(law):
        sigma[rng.random(n) < 0.15] = 0.0
    draws = sample(law, 64, rng)
    center = np.median(draws, 0)
    spread = max(1.5 * float(np.median(np.linalg.norm(draws - center, axis=-1))), 1e-12)
    x = np.stack([_point(rng, law, draws, center, spread, level) for level in sigma])
    # clean laws jump at edges and have kinks: what holds exactly there is a convention, not a value
    clean = sigma == 0
    x[clean] += 1e-6 * spread * rng.standard_normal((int(clean.sum()), 2))
    kind = np.dtype(dtype)
    return Batch(family, law, x.astype(kind).astype(float), sigma.astype(kind).astype(float), dtype)


def sample(law: Law, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draws of the clean law, finite ones."""
    density = build(law).to(torch.float64)
    x = density.sample((n,), generator=torch.Generator().manual_seed(int(rng.integers(2**40)))).numpy()
    return x[(np.abs(x) < 1e12).all(-1)]


def _point(
    rng: np.random.Generator, law: Law, draws: np.ndarray, center: np.ndarray, spread: float, sigma: float
) -> np.ndarray:
    some, other = draws[rng.integers(len(draws), size=2)]
    kinds = ["bulk", "far", "far of a draw", "landmark", "between", "wrong side"]
    kind = rng.choice(kinds, p=[0.2, 0.2, 0.1, 0.3, 0.1, 0.1])
    if kind == "bulk":
        return some + sigma * rng.standard_normal(2)
    if kind == "far":
        return center + (spread + sigma * rng.integers(2)) * _power(rng, 0, math.log10(50)) * _direction(rng)
    if kind == "far of a draw":
        return some + spread * _power(rng, -2, math.log10(50)) * _direction(rng)
    if kind == "landmark":
        beside = rng.choice([0.0, 0.0, 1e-8, 1e-3, 1.0])
        place = landmark(rng, law)
        far = float(np.linalg.norm(place - center)) / (50 * (spread + sigma))
        place = place if far < 1 else center + (place - center) / far
        return place + beside * (sigma or 0.1 * spread) * rng.standard_normal(2)
    if kind == "between":
        return 0.5 * (some + other)
    return center - _power(rng, 0, 1) * (some - center)


def _power(rng: np.random.Generator, low: float, high: float) -> float:
    return float(10 ** rng.uniform(low, high))


def _direction(rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.5:  # along an axis
        return np.array([(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)][rng.integers(4)])
    angle = rng.uniform(0, 2 * math.pi)
    return np.array([math.cos(angle), math.sin(angle)])


# --- laws ---


def has_density(law: Law) -> bool:
    """Whether the clean law has one."""
    name, *arguments = law
    if name == "noised":
        return True
    if name in MOTIONS:
        return has_density(arguments[0])
    return all(map(has_density, arguments[1])) if name == "Mixture" else name not in WITHOUT_DENSITY


def moved(rng: np.random.Generator, law: Law, motions: tuple[str, ...] = MOTIONS) -> Law:
    """Scaled, turned, shifted or noised."""
    match rng.choice(motions):
        case "scaled":
            return ["scaled", law, _power(rng, -3, 3) * float(rng.choice([-1, 1]))]
        case "rotated":
            return ["rotated", law, float(rng.choice([math.pi / 2, math.pi, rng.uniform(-4, 4)]))]
        case "shifted":
            return ["shifted", law, (_power(rng, -2, 2) * rng.standard_normal(2)).tolist()]
        case _:
            return ["noised", law, _power(rng, -3, 1)]


def draw_law(rng: np.random.Generator, family: str) -> Law:
    """A law with random parameters, which is not moved."""
    match family:
        case "GaussianMixture":
            K, size = int(rng.integers(1, 7)), _power(rng, -1, 1)
            covariances = [_matrix(rng, size * _power(rng, -2, 0.5)) for _ in range(K)]
            return [family, _weights(rng, K), (size * rng.standard_normal((K, 2))).tolist(), covariances]
        case "examples":
            return _example(rng)
        case "Points":
            return [family, (_power(rng, -2, 2) * rng.standard_normal((rng.integers(1, 13), 2))).tolist()]
        case "Segment":
            start = _power(rng, -2, 2) * rng.standard_normal(2)
            end = start + _power(rng, -2, 2) * _direction(rng)
            return [family, start.tolist(), end.tolist()]
        case "Circle":
            return [
                family,
                _power(rng, -2, 2),
                (_power(rng, -2, 2) * rng.standard_normal(2) * rng.integers(2)).tolist(),
            ]
        case "ConcentricCircles":
            K = int(rng.integers(1, 5))
            return [family, (10 ** rng.uniform(-2, 2, K)).tolist(), _weights(rng, K)]
        case "Spiral":
            start = float(rng.choice([0.0, _power(rng, -1, 1)]))
            return [family, _power(rng, -2, 1), start, start + _power(rng, -1, 1.7)]
        case "Square":
            low = float(rng.choice([-1, 1])) * _power(rng, -2, 2)
            return [family, low, low + _power(rng, -2, 2)]
        case "Banana":
            scale = _power(rng, -1, 1)
            return [family, scale, _power(rng, -2, 1), float(rng.choice([-1, 1])) * _power(rng, -2, 2.5) / scale]
        case "Funnel":
            return [family, _power(rng, -1, 0.8)]
        case "StudentTMixture":
            K, size = int(rng.integers(1, 4)), _power(rng, -1, 1)
            scales = [_matrix(rng, size * _power(rng, -1, 0.5), 4) for _ in range(K)]
            dfs = (10 ** np.where(rng.random(K) < 0.8, rng.uniform(-0.5, 2, K), rng.uniform(2, 10, K))).tolist()
            return [family, _weights(rng, K), (size * rng.standard_normal((K, 2))).tolist(), scales, dfs]
        case "Laplace":
            return [family, (10 ** rng.uniform(-2, 2, 2)).tolist()]
        case "from_torch":
            name = str(rng.choice(["Normal", "Uniform", "Gamma", "Beta", "LogNormal"]))
            first, second = 10 ** rng.uniform(-1, 1, 2), 10 ** rng.uniform(-1, 1, 2)
            if name == "Uniform":
                second = first + second
            if name == "LogNormal":
                first, second = np.log(first), np.minimum(second, 2)
            return [family, name, first.tolist(), second.tolist()]
        case "from_energy":
            wells, stiff, tilt = _power(rng, -1, 1), _power(rng, -1, 1), rng.normal()
            # all but e^-40 of its mass: (x^2 - 1)^2 >= r^2 and k x^2 outside x^2 = 1 + r
            k = tilt**2 / (2 * stiff)
            across = math.sqrt(1 + (k + math.sqrt(k**2 + 4 * wells * (k + 40))) / (2 * wells))
            return [family, wells, stiff, tilt, [across, abs(tilt) * across / stiff + 9 / math.sqrt(stiff)]]
        case "Mixture":
            K = int(rng.integers(2, 4))
            parts = [draw_law(rng, str(rng.choice(FAMILIES[:-3]))) for _ in range(K)]
            return [family, _weights(rng, K), [moved(rng, part) if rng.random() < 0.5 else part for part in parts]]
        case _:
            return [family]


def _weights(rng: np.random.Generator, K: int) -> list[float]:
    w = rng.dirichlet(np.full(K, rng.choice([0.3, 1.0, 10.0]))) + 1e-12
    w = w / w.sum()
    w[-1] = 1 - w[:-1].sum() if K > 1 and w[:-1].sum() < 1 else w[-1]
    return w.tolist()


def _matrix(rng: np.random.Generator, std: float, most: float = 6) -> list[list[float]]:
    """Symmetric, of the least standard deviation ``std`` or of that of the other axis."""
    condition = 10 ** rng.uniform(0, most) if rng.random() < 0.7 else 1.0
    angle = rng.uniform(0, math.pi) if rng.random() < 0.7 else 0.0
    c, s = math.cos(angle), math.sin(angle)
    big, small = std**2, std**2 / condition
    off = c * s * (big - small)
    return [[c * c * big + s * s * small, off], [off, s * s * big + c * c * small]]


def _example(rng: np.random.Generator) -> Law:
    match rng.choice(EXAMPLES):
        case "isotropic":
            return ["isotropic", rng.standard_normal((int(rng.integers(1, 6)), 2)).tolist(), _power(rng, -2, 1)]
        case "ring":
            return ["ring", int(rng.integers(1, 20)), _power(rng, -1, 1), _power(rng, -2, 0)]
        case "grid":
            return ["grid", int(rng.integers(1, 7)), _power(rng, -1, 1), _power(rng, -2, 0)]
        case "spiral_of_gaussians":
            return ["spiral_of_gaussians", int(rng.integers(2, 30)), 1.5, 0.8, 4.0, _power(rng, -2, 0)]
        case "pinwheel":
            return [
                "pinwheel",
                int(rng.integers(1, 6)),
                *(10 ** rng.uniform([-1, -1.5, -1.5], [-0.5, -0.3, -0.3])).tolist(),
            ]
        case "fractal_tree":
            return ["fractal_tree", int(rng.integers(2))]
        case name:
            return [str(name)]


# --- places where formulas break ---


def landmark(rng: np.random.Generator, law: Law) -> np.ndarray:
    """A special place of the law."""
    name, *arguments = law
    match name:
        case "scaled":
            return landmark(rng, arguments[0]) * arguments[1]
        case "rotated":
            c, s = math.cos(arguments[1]), math.sin(arguments[1])
            return np.array([[c, -s], [s, c]]) @ landmark(rng, arguments[0])
        case "shifted":
            return landmark(rng, arguments[0]) + np.array(arguments[1])
        case "noised":
            return landmark(rng, arguments[0])
        case "Mixture":
            weight = rng.random()
            places = [landmark(rng, arguments[1][k]) for k in rng.integers(len(arguments[1]), size=2)]
            return places[0] if weight < 0.5 else 0.5 * (places[0] + places[1])
        case "GaussianMixture" | "StudentTMixture":
            return _of_cloud(rng, np.array(arguments[1]))
        case "Points" | "isotropic":
            return _of_cloud(rng, np.array(arguments[0]))
        case "Segment":
            start, end = np.array(arguments[0]), np.array(arguments[1])
            across = np.array([start[1] - end[1], end[0] - start[0]])
            return start + rng.choice([0.0, 0.5, 1.0]) * (end - start) + rng.choice([0.0, 1.0]) * rng.normal() * across
        case "Circle":
            radius = rng.choice([0.0, 0.0, 1.0, 2.0, 1e-6]) * arguments[0]
            return np.array(arguments[1]) + radius * _direction(rng)
        case "ConcentricCircles":
            radii = rng.choice(arguments[0], 2)
            return rng.choice([0.0, radii[0], radii.mean()]) * _direction(rng)
        case "TwoMoons":
            center = np.array([(0.0, 0.0), (1.0, 0.5), (0.5, 0.25), (0.0, 0.5), (1.0, 0.0)][rng.integers(5)])
            return center + rng.choice([0.0, 1.0, 1e-6, 2.0]) * _direction(rng)
        case "Spiral":
            rate, start, end = arguments
            t = rng.choice([start, end, rng.uniform(start, end)])
            c, s = math.cos(t), math.sin(t)
            tangent = np.array([c - t * s, s + t * c])
            normal = np.array([-tangent[1], tangent[0]]) * (1 + t * t) / (2 + t * t)  # to the centre of curvature
            return rng.choice([0.0, 1.0]) * rate * (np.array([t * c, t * s]) + rng.choice([0.0, 1.0, 0.5]) * normal)
        case "Square":
            low, high = arguments
            return rng.choice([low, high, 0.5 * (low + high), 2 * high - low, rng.uniform(low, high)], 2)
        case "Checkerboard":
            return rng.choice([-5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0], 2)
        case "Banana":
            scale, width, bend = arguments
            u = scale * rng.choice([0.0, rng.normal(), 3 * rng.normal()])
            ridge = np.array([u, bend * (u**2 - scale**2)])
            center = np.array([-4 * bend**2 * u**3, ridge[1] + (1 + 4 * bend**2 * u**2) / (2 * bend)])
            axis = np.array([0.0, bend * scale**2 * rng.uniform(-3, 30)])
            return [ridge, center, axis, ridge * [1, -1]][rng.integers(4)]
        case "Funnel":
            v = arguments[0] * rng.choice([0.0, rng.normal(), 3 * rng.normal()])
            return np.array([v, rng.choice([0.0, 1.0, 3.0, -10.0]) * math.exp(min(0.5 * v, 50))])
        case "from_torch":
            return np.array([(0.0, 0.0), (1.0, 0.5), (0.0, 1.0), (-1.0, 1.0), arguments[2]][rng.integers(5)])
        case "from_energy":
            return np.array([rng.choice([-1.0, 0.0, 1.0]), rng.choice([0.0, 1.0])])
        case "Laplace":
            return np.array(arguments[0]) * rng.choice([0.0, 0.0, 1.0, 10.0], 2) * rng.choice([-1, 1], 2)
        case _:  # ready mixtures
            return _of_cloud(rng, build(law).means.numpy())


def _of_cloud(rng: np.random.Generator, means: np.ndarray) -> np.ndarray:
    a, b, c = means[rng.integers(len(means), size=3)]
    tie = 0.5 * (a + b) + _power(rng, -1, 1.5) * np.array([a[1] - b[1], b[0] - a[0]])  # on their bisector, far out
    return [a, 0.5 * (a + b), (a + b + c) / 3, means.mean(0), 2 * a - b, np.zeros(2), tie, tie][rng.integers(8)]
