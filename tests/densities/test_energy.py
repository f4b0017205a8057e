"""Densities given by an energy."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch.distributions import MultivariateNormal

from toylab.densities import FromEnergy, from_energy
from toylab.metrics import expectation, fisher_divergence, fisher_divergence_monte_carlo

METHODS = ["log_prob", "score", "divergence"]


def generator(seed):
    return torch.Generator().manual_seed(seed)


def points(n, seed=0):
    return 3 * torch.randn(n, 2, dtype=torch.float64, generator=generator(seed))


def bowl(x):
    """A correlated Gaussian: precision [[2, -1], [-1, 3]], so log Z = log 2 pi - log(5) / 2."""
    return x[..., 0] ** 2 + 1.5 * x[..., 1] ** 2 - x[..., 0] * x[..., 1]


def wells(x):
    """Two wells, and a box that cuts through the law."""
    return (x[..., 0] ** 2 - 1) ** 2 + 0.25 * x[..., 1] ** 4 + 0.5 * x[..., 0] * x[..., 1]


WELLS = (-2.0, 1.5, -1.0, 2.5)


def test_the_normaliser_of_a_gaussian_energy():
    p, x = from_energy(bowl, (-9.0, 9.0, -8.0, 8.0), n_cells=64), points(30)
    assert p.log_normaliser == pytest.approx(math.log(2 * math.pi) - 0.5 * math.log(5), abs=1e-12)
    distribution = MultivariateNormal(
        torch.zeros(2).double(), precision_matrix=torch.tensor([[2.0, -1.0], [-1.0, 3.0]]).double()
    )
    x = x.clamp(-8, 8)
    torch.testing.assert_close(p.log_prob(x), distribution.log_prob(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(p.score(x), -x @ distribution.precision_matrix, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(p.divergence(x), torch.full((30,), -5.0, dtype=torch.float64))


def by_dblquad(energy, extent):
    """log Z, to 1e-11."""
    left, right, bottom, top = extent

    def height(y, x):
        return math.exp(-float(energy(torch.tensor([x, y], dtype=torch.float64))))

    return math.log(scipy.integrate.dblquad(height, left, right, bottom, top, epsabs=1e-11, epsrel=1e-11)[0])


@pytest.mark.parametrize("n_cells", [4, 12, 64])
def test_the_normaliser_of_another_energy_and_the_error_that_it_owns_up_to(n_cells):
    p = from_energy(wells, WELLS, n_cells=n_cells)
    error = abs(p.log_normaliser - by_dblquad(wells, WELLS))
    assert error < 1e-3
    assert error <= p.normaliser_error + 1e-11
    x = torch.tensor([[0.5, 1.0], [-1.0, -0.5]], dtype=torch.float64)
    torch.testing.assert_close(p.log_prob(x), -wells(x) - p.log_normaliser, rtol=1e-14, atol=0)


@pytest.mark.parametrize("n_cells", [2, 16, 61])
def test_the_normaliser_error_is_honest_about_a_kink(n_cells):
    """E = 2 |x_1| + |x_2|: Z by hand, and panels of the grid that the kink cuts."""
    extent = (-1.0, 2.0, -0.7, 1.5)
    mass = (2 - math.exp(-2) - math.exp(-4)) / 2 * (2 - math.exp(-0.7) - math.exp(-1.5))
    p = from_energy(lambda x: 2 * x[..., 0].abs() + x[..., 1].abs(), extent, n_cells=n_cells)
    assert abs(p.log_normaliser - math.log(mass)) <= p.normaliser_error + 1e-14


def cell_masses(energy, extent, n, inner=12):
    """Exact masses of n x n cells, by Gauss-Legendre in each: independent of the grid of the density."""
    left, right, bottom, top = extent
    t, w = np.polynomial.legendre.leggauss(inner)
    place = torch.as_tensor((np.arange(n)[:, None] + (t + 1) / 2) / n).flatten()
    x = torch.cartesian_prod(left + (right - left) * place, bottom + (top - bottom) * place)
    heights = (-energy(x)).exp().view(n, inner, n, inner)
    masses = torch.einsum("iajb,a,b->ij", heights, torch.as_tensor(w), torch.as_tensor(w))
    return masses / masses.sum()


def test_draws_by_energy_have_the_masses_of_all_cells():
    """Chi-square of 1e5 draws on 23 x 23 cells, across those of the grid, p > 1e-6."""
    p, n = from_energy(wells, WELLS, n_cells=128).to(torch.float64), 100_000
    x = p.sample((100, 1000), generator=generator(2))
    assert (x.shape, x.dtype) == ((100, 1000, 2), torch.float64)
    edges = [np.linspace(*WELLS[2 * k : 2 * k + 2], 24) for k in (0, 1)]
    counts = np.histogram2d(*x.view(-1, 2).T.numpy(), bins=edges)[0].ravel()
    assert counts.sum() == n
    expected = n * cell_masses(wells, WELLS, 23).numpy().ravel()
    full = expected > 10
    counts, expected = (np.append(part[full], part[~full].sum()) for part in (counts, expected))
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-6
    # two laws at total variation distance d are told apart by some 1 / d^2 draws
    assert p.sampling_error < 1 / math.sqrt(n)


def test_the_sampling_error_is_the_distance_to_the_law_of_the_draws():
    """On a grid so coarse that it shows.

    The law q of the draws, rebuilt: in a cell, its mass times the bilinear interpolant of the corners, normalised. Half
    the integral of |p - q| is P(A) - Q(A) for A = {p > q}, and 1e5 draws fall into A with frequency Q(A), to 5 standard
    errors.
    """
    extent, cells, inner, n = (-3.0, 3.0, -3.0, 3.0), 5, 40, 100_000
    p = from_energy(bowl, extent, n_cells=cells).to(torch.float64)
    masses = cell_masses(bowl, extent, cells)

    def density_of_draws(x):
        place = (x + 3) / 6 * cells
        i, j = place.floor().clamp(0, cells - 1).long().unbind(-1)
        s, t = (place - torch.stack([i, j], -1)).unbind(-1)

        def height(a, b):
            return (-bowl(torch.stack([i + a, j + b], -1) * (6 / cells) - 3)).exp()

        f00, f01, f10, f11 = height(0, 0), height(0, 1), height(1, 0), height(1, 1)
        interpolant = (1 - s) * ((1 - t) * f00 + t * f01) + s * ((1 - t) * f10 + t * f11)
        return masses[i, j] * interpolant / ((f00 + f01 + f10 + f11) / 4) / (6 / cells) ** 2

    middle = torch.as_tensor((np.arange(cells * inner) + 0.5) / (cells * inner) * 6 - 3)
    grid, area = torch.cartesian_prod(middle, middle), (6 / (cells * inner)) ** 2
    density, drawn = p.log_prob(grid).exp(), density_of_draws(grid)
    assert float(drawn.sum()) * area == pytest.approx(1, abs=1e-3)  # midpoints, 1600 a cell
    distance = 0.5 * float((density - drawn).abs().sum()) * area
    assert distance > 0.03
    assert p.sampling_error == pytest.approx(distance, rel=0.1)  # its own sum has 16 nodes a cell and a kink at p = q
    x = p.sample((n,), generator=generator(3))
    frequency = float((p.log_prob(x).exp() > density_of_draws(x)).double().mean())
    above = density > drawn
    expected = float(drawn[above].sum() / drawn.sum())
    assert abs(frequency - expected) < 5 * math.sqrt(expected * (1 - expected) / n) + 1e-3
    assert abs(float(density[above].sum()) * area - frequency - p.sampling_error) < 0.1 * p.sampling_error + 0.01


def test_an_energy_may_be_infinite_where_there_is_no_mass():
    """Half a normal law: Z = pi, and not one draw on the other side."""

    def half(x):
        return torch.where(x[..., 0] > 0, 0.5 * x.square().sum(-1), math.inf)

    p = from_energy(half, (-9.0, 9.0, -9.0, 9.0), n_cells=128)
    assert p.log_normaliser == pytest.approx(math.log(math.pi), abs=1e-9)
    x = torch.tensor([[-1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    assert p.log_prob(x).tolist() == pytest.approx([-math.inf, -0.5 - math.log(math.pi)])
    draws = p.sample((100_000,), generator=generator(4))
    assert float(draws[:, 0].min()) >= 0
    assert scipy.stats.kstest(draws[:, 1].numpy(), "norm").pvalue > 1e-6


def test_outside_its_box_an_energy_law_has_no_density():
    p = from_energy(wells, WELLS, n_cells=16)
    x = torch.tensor([[1.6, 0.0], [-2.1, 0.0], [0.0, 2.6], [0.0, -1.1], [50.0, 50.0]])
    assert p.log_prob(x).tolist() == [-math.inf] * 5
    corners = torch.tensor([[-2.0, -1.0], [1.5, 2.5], [-2.0, 2.5]])
    assert p.log_prob(corners).isfinite().all()
    low, high = p.bounds()
    assert (low.tolist(), high.tolist()) == ([-2.0, -1.0], [1.5, 2.5])
    draws = p.sample((10_000,), generator=generator(5)).double()
    assert bool(((draws >= low) & (draws <= high)).all())


@pytest.mark.parametrize("method", [*METHODS, "bounds", "length_scale"])
def test_an_energy_law_knows_its_clean_law_alone(method):
    p = from_energy(wells, WELLS, n_cells=8)
    arguments = () if method in ("bounds", "length_scale") else (torch.zeros(3, 2),)
    with pytest.raises(ValueError, match="sigma is 0.1: only the clean law of a density given by its energy is known"):
        getattr(p, method)(*arguments, 0.1)


@pytest.mark.parametrize(
    ("energy", "said"),
    [
        (lambda x: x[..., 0] * math.nan, "energy is nan or -inf somewhere on extent"),
        (lambda x: torch.where(x[..., 0] > 0.5, math.nan, x[..., 0]), "energy is nan or -inf somewhere on extent"),
        (lambda x: torch.where(x[..., 0] > 0.5, -math.inf, x[..., 0]), "energy is nan or -inf somewhere on extent"),
        (lambda x: x[..., 0] + math.inf, r"energy is \+inf all over extent: there is no mass on the box"),
        (lambda x: x, r"energy gave shape \[256, 2\], .* it must map points \[n, 2\] to energies \[n\]"),
        (lambda x: x.sum(-1, keepdim=True), r"energy gave shape \[256, 1\]"),
        (lambda x: x[..., 0].long(), "energy gave shape .*, dtype torch.int64"),
    ],
    ids=["nan", "nan in part", "-inf in part", "inf all over", "pairs", "a column", "whole numbers"],
)
def test_an_energy_that_is_none_is_refused(energy, said):
    with pytest.raises(ValueError, match=said):
        from_energy(energy, (-1.0, 1.0, -1.0, 1.0), n_cells=4)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"energy": 3.0}, TypeError, "energy is a float: give a function, for example lambda x: "),
        ({"n_cells": 1}, ValueError, "n_cells is 1: it must be at least 2"),
        ({"n_cells": 8.0}, TypeError, "n_cells is 8.0: it must be a whole number"),
        (
            {"extent": (1.0, -1.0, -1.0, 1.0)},
            ValueError,
            r"extent is \(1.0, -1.0, -1.0, 1.0\): give \(left, right, bottom, top\)",
        ),
        ({"extent": (-1.0, 1.0, 2.0, 2.0)}, ValueError, "with left < right and bottom < top"),
        ({"extent": (-1.0, 1.0, -1.0)}, ValueError, r"give \(left, right, bottom, top\)"),
        ({"extent": (-1.0, 1.0, -1.0, math.inf)}, ValueError, "extent is inf: it must be a finite number"),
    ],
)
def test_bad_settings_of_an_energy_law_are_refused(arguments, error, said):
    with pytest.raises(error, match=said):
        from_energy(**({"energy": wells, "extent": WELLS, "n_cells": 4} | arguments))


def test_an_energy_law_follows_its_points_and_its_own_dtype():
    p = from_energy(wells, WELLS, n_cells=8)
    assert isinstance(p, FromEnergy)
    for dtype in (torch.float32, torch.float64):
        assert p.log_prob(torch.zeros(3, 2, dtype=dtype)).dtype == dtype
        assert p.score(torch.zeros(0, 2, dtype=dtype)).shape == (0, 2)
        assert p.to(dtype).sample((2, 0, 3)).dtype == dtype
    assert p.to(torch.float64).log_normaliser == p.log_normaliser
    assert torch.equal(p.sample((9,), generator=generator(6)), p.sample((9,), generator=generator(6)))


def up_to(wall):
    """The uniform law on [0, wall] x [0, 1], as an energy on a wider box."""
    return lambda x: torch.where(x[..., 0] < wall, torch.zeros_like(x[..., 0]), math.inf)


@pytest.mark.parametrize(
    "place", [1e-6, 0.03, 0.0693, 0.0695, 0.112, 0.27, 0.331, 0.45, 0.52, 0.6, 0.71, 0.88, 0.94, 0.999]
)
def test_the_normaliser_error_is_honest_about_a_wall_wherever_it_cuts_a_cell(place):
    """Nodes of one rule miss a wall near the side of a cell, those of another one between them."""
    wall = (5 + place) / 8
    p = from_energy(up_to(wall), (0.0, 1.0, 0.0, 1.0), n_cells=8)
    assert abs(p.log_normaliser - math.log(wall)) <= 1.1 * p.normaliser_error + 1e-12  # log (1 + e) and e, e < .03


@pytest.mark.parametrize(
    ("energy", "mass"),
    [
        (lambda x: torch.where(x.square().sum(-1) < 1, 0 * x[..., 0], math.inf), math.pi),
        (lambda x: torch.where(x.sum(-1).abs() < 1, 0 * x[..., 0], math.inf), 2.5**2 - 1.5**2),
        (lambda x: (x[..., 0] + 0.3 * x[..., 1]).abs(), None),
        (lambda x: torch.where(x[..., 0] > x[..., 1], 0 * x[..., 0], math.inf), 2.5**2 / 2),
        (lambda x: 3 * (x[..., 0] - x[..., 1]).abs(), 2 * (2.5 / 3 - (1 - math.exp(-7.5)) / 9)),
    ],
    ids=["a disc", "a stripe", "a slanting kink", "a wall along diagonals", "a kink along diagonals"],
)
@pytest.mark.parametrize("n_cells", [16, 61])
def test_the_normaliser_error_is_honest_about_walls_and_kinks_at_a_slant(energy, mass, n_cells):
    p = from_energy(energy, (-1.25, 1.25, -1.25, 1.25), n_cells=n_cells)
    if mass is None:  # over x by hand, over y by quadrature
        mass = scipy.integrate.quad(lambda y: 2 - math.exp(-1.25 - 0.3 * y) - math.exp(-1.25 + 0.3 * y), -1.25, 1.25)[0]
    assert abs(p.log_normaliser - math.log(mass)) <= p.normaliser_error < 0.2


KINKED = {  # energy, extent, and 1/2 E|grad E|^2 by hand
    "|x| + |y|": (lambda x: x.abs().sum(-1), (-40.0, 40.0, -40.0, 40.0), 1.0),
    "max(x, -2x) + y^2 / 2": (  # a third of the mass has slope 2
        lambda x: torch.maximum(x[..., 0], -2 * x[..., 0]) + x[..., 1] ** 2 / 2, (-30.0, 50.0, -10.0, 10.0), 1.5,
    ),
    "|x| in a box": (
        lambda x: torch.where((x.abs() <= 1).all(-1), x[..., 0].abs(), math.inf), (-2.0, 2.0, -2.0, 2.0), 0.5,
    ),
    "x + 2y up to the extent": (lambda x: x[..., 0] + 2 * x[..., 1], (0.0, 3.0, -1.0, 2.0), 2.5),
}  # fmt: skip


@pytest.mark.parametrize("name", KINKED)
def test_expectations_under_a_kinked_or_walled_law_are_right(name):
    """By its own quadrature, moved or not; the divergence of the zero field is 1/2 E|s|^2."""
    energy, extent, expected = KINKED[name]
    p = from_energy(energy, extent)
    assert p.normaliser_error < 1e-6
    assert fisher_divergence(torch.zeros_like, p) == pytest.approx(expected, rel=1e-7)
    moved = p.rotated(0.4).scaled(2.0).shifted((1.0, -3.0))
    assert fisher_divergence(torch.zeros_like, moved) == pytest.approx(expected / 4, rel=1e-7)
    first, second = (expectation(lambda x, k=k: x[:, k], p) for k in (0, 1))
    turned = 2 * (math.cos(0.4) * first - math.sin(0.4) * second) + 1
    assert expectation(lambda x: x[:, 0], moved) == pytest.approx(turned, rel=1e-9, abs=1e-9)
    assert fisher_divergence(p.score, p) < 1e-12
    found = fisher_divergence_monte_carlo(torch.zeros_like, p, 10_000, generator=generator(0))
    assert abs(found.value - expected) < 5 * found.standard_error + 1e-3  # and the draws' own error


def test_an_expectation_is_as_good_as_the_stated_error_where_walls_cross_cells():
    """E x under the uniform law on [0, wall] x [0, 1]: wall / 2."""
    for n_cells in (101, 256):
        wall = 0.7137
        p = from_energy(up_to(wall), (0.0, 1.0, 0.0, 1.0), n_cells=n_cells)
        assert 1e-6 < p.normaliser_error < 1e-2
        assert abs(expectation(lambda x: x[:, 0], p) - wall / 2) < p.normaliser_error


def test_a_law_that_does_not_know_its_normaliser_well_says_what_to_do():
    p = from_energy(up_to(0.53), (0.0, 1.0, 0.0, 1.0), n_cells=8)
    with pytest.raises(ValueError, match=r"normaliser_error of 0\.\d+ with n_cells=8: .* along the sides of cells, or"):
        fisher_divergence(torch.zeros_like, p)
    with pytest.raises(ValueError, match="normaliser_error"):
        fisher_divergence(torch.zeros_like, p.rotated(0.3))


@pytest.mark.parametrize("n_cells", [255, 17])
def test_no_draw_lies_beyond_a_wall_that_cuts_cells(n_cells):
    """On [-1, 1]^2 in a wider box: KS of 20,000 draws (p > 1e-7), whose cells have their masses to normaliser_error."""
    p = from_energy(
        lambda x: torch.where((x.abs() <= 1).all(-1), 0 * x[..., 0], math.inf), (-2.0, 2.0, -2.0, 2.0), n_cells=n_cells
    ).to(torch.float64)
    x = p.sample((200, 100), generator=generator(0))
    assert x.shape == (200, 100, 2)
    assert p.log_prob(x).isfinite().all()
    assert p.score(x).isfinite().all()
    if n_cells == 255:
        for k in (0, 1):
            assert scipy.stats.kstest(x[..., k].flatten().numpy(), scipy.stats.uniform(-1, 2).cdf).pvalue > 1e-7
    assert (p.sample((0,)).shape, p.sample().shape) == ((0, 2), (2,))
    disc = from_energy(
        lambda x: torch.where(x.square().sum(-1) < 1, 0 * x[..., 0], math.inf), (-1.5, 1.5, -1.5, 1.5), n_cells=n_cells
    )
    assert disc.log_prob(disc.sample((20_000,), generator=generator(1)).double()).isfinite().all()


def test_a_law_narrower_than_a_cell_is_told():
    with pytest.warns(RuntimeWarning, match=r"log_normaliser is known to inf only: .* Give a smaller extent") as caught:
        p = from_energy(lambda x: (x - 0.013).square().sum(-1) / 2e-8, (-10.0, 10.0, -10.0, 10.0))
    assert p.normaliser_error == math.inf and caught[0].filename == __file__
