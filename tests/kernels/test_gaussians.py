"""Log p, score, divergence and posterior in one launch are those of the plain path, and so are their derivatives."""

import math

import pytest
import torch

from toylab.densities import GaussianMixture, Points, _gaussians, fractal_tree, ring, two_modes
from toylab.score import divergence, gradient

QUANTITIES = ("log_prob", "score", "divergence", "posterior")


def slanted():
    """Three Gaussians of full covariances, one of them a hundred times as long as wide."""
    root = torch.tensor([[3.0, 0.0], [0.02, 0.03]], dtype=torch.float64)
    covariances = torch.stack([torch.tensor([[1.0, 0.3], [0.3, 0.5]]).double(), root @ root.T, 0.2 * torch.eye(2)])
    return GaussianMixture([0.2, 0.3, 0.5], [[-2.0, 1.0], [0.0, 0.0], [3.0, 3.0]], covariances)


LAWS = {
    "one": GaussianMixture([1.0], [[1.0, 2.0]], 0.5 * torch.eye(2)),
    "two modes": two_modes(),
    "ring": ring(),
    "slanted": slanted(),
    "kernel estimate": Points(torch.randn(40, 2, generator=torch.Generator().manual_seed(1))),
}
LEVELS = {
    "a number": lambda n: 0.7,
    "one tensor": lambda n: torch.tensor(0.3, dtype=torch.float64),
    "one each": lambda n: torch.linspace(0.05, 5.0, n, dtype=torch.float64),
}


def points(n=300):
    g = torch.Generator().manual_seed(0)
    return 4 * torch.randn(n, 2, generator=g, dtype=torch.float64)


def evaluate(p, what, x, sigma):
    return getattr(p, what)(x, sigma)


def on(device, sigma, dtype):
    return sigma.to(device, dtype) if isinstance(sigma, torch.Tensor) else sigma


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("what", QUANTITIES)
def test_in_double_precision_it_is_the_plain_path(kernels, without_kernels, name, level, what):
    p, x = LAWS[name], points().to(kernels)
    sigma = on(kernels, LEVELS[level](len(x)), torch.float64)
    found = evaluate(p, what, x, sigma)
    without_kernels()
    plain = evaluate(p, what, x, sigma)
    scale = 1 + plain.abs().amax()
    assert found.shape == plain.shape
    assert float(((found - plain) / scale).abs().max()) < 1e-12


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("what", QUANTITIES)
def test_in_single_precision_its_errors_are_those_of_the_plain_path(kernels, without_kernels, name, what):
    p, x = LAWS[name], points(2000).float().to(kernels)
    x = x[p.log_prob(x.double(), 0.1) > -90]  # farther out both are evaluated in double precision
    found = evaluate(p, what, x, 0.1)
    without_kernels()
    plain, exact = evaluate(p, what, x, 0.1), evaluate(p, what, x.double(), 0.1)
    ours, theirs = ((values.double() - exact).square().mean().sqrt() for values in (found, plain))
    assert float(ours) <= 1.5 * float(theirs) + 1e-7 * float(exact.abs().max())


def test_a_thousand_components(kernels, without_kernels):
    p, x = fractal_tree(), points(200).to(kernels)
    found = p.log_prob_and_score(x)
    without_kernels()
    for ours, plain in zip(found, p.log_prob_and_score(x), strict=True):
        assert torch.allclose(ours, plain, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("distance", [1e2, 1e4, 1e6])
def test_next_to_a_far_tie_single_precision_is_right(kernels, distance):
    """The weights depend on a difference of two numbers of size distance^2, which single precision would lose."""
    along, across = torch.tensor([1.0, -1.0], dtype=torch.float64), torch.tensor([1.0, 1.0], dtype=torch.float64)
    offsets = torch.linspace(-0.3, 0.3, 50, dtype=torch.float64)[:, None]
    x = (distance * along + offsets * across).float().to(kernels)
    p = two_modes()
    r = p.posterior(x.double())
    assert float(r.amin()) < 0.3  # there are weights to lose
    assert float((p.posterior(x) - r).abs().max()) < 1e-6
    exact = p.log_prob(x.double())
    assert float(((p.log_prob(x) - exact) / exact).abs().max()) < 1e-6
    error = (p.score(x).double() - p.score(x.double())).norm(dim=-1)
    assert float(error.max()) < 1e-6 * (1 + distance)
    spread = p.divergence(x.double())
    assert float((p.divergence(x) - spread).abs().max()) < 1e-6 * float(spread.abs().max())


def test_next_to_a_far_tie_the_derivative_of_the_score_is_right(kernels):
    """All four entries: along the tie it changes by the distance of the modes squared."""
    p, x = two_modes(), torch.tensor([[1e3, -1e3], [1e3, -999.9]], device=kernels)
    exact, found = (
        torch.autograd.functional.jacobian(lambda x: p.score(x).sum(0), at).double() for at in (x.double(), x)
    )
    assert float(exact[0, :, 1].abs().min()) > 1  # off the diagonal
    assert float((found - exact).abs().max()) < 1e-6 * float(exact.abs().max())


def test_levels_of_the_points_own_keep_the_digits_of_elongated_covariances(kernels):
    covariances = torch.tensor([[1.0, 1.0 - 1e-7], [1.0 - 1e-7, 1.0]], dtype=torch.float64)
    p = GaussianMixture([1.0], [[0.0, 0.0]], covariances)
    x = torch.tensor([[1.0, 1.0], [0.5, 0.5]], device=kernels)
    log_p = p.log_prob(x, torch.full((2,), 1e-6, device=kernels))
    assert torch.allclose(log_p.double(), p.log_prob(x.double(), 1e-6), atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_infinity_and_at_nan(kernels, dtype):
    inf, nan = math.inf, math.nan
    x = torch.tensor([[inf, 0.0], [0.0, -inf], [inf, -inf], [nan, 0.0], [inf, nan], [0.0, 0.0]], dtype=dtype)
    log_p = ring().log_prob(x.to(kernels)).cpu()
    assert log_p[:3].tolist() == [-inf] * 3
    assert log_p[3:5].isnan().all()
    assert math.isfinite(log_p[5])


@pytest.mark.parametrize("shape", [(2,), (0, 2), (3, 0, 2), (7, 1, 5, 2)])
@pytest.mark.parametrize("what", QUANTITIES)
def test_batch_dimensions_are_kept(kernels, without_kernels, shape, what):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(kernels)
    found = evaluate(ring(), what, x, 0.0)
    without_kernels()
    plain = evaluate(ring(), what, x, 0.0)
    assert found.shape == plain.shape
    assert torch.allclose(found, plain, atol=1e-4, rtol=1e-4)


def test_levels_broadcast_over_batches(kernels, without_kernels):
    x, sigma = points(60).view(3, 20, 2).to(kernels), torch.tensor([[0.1], [1.0], [4.0]], device=kernels).double()
    found = ring().score(x, sigma)
    without_kernels()
    assert torch.allclose(found, ring().score(x, sigma), atol=1e-12)


def test_points_that_are_not_contiguous(kernels):
    x = points().to(kernels)
    assert torch.allclose(ring().score(x.T.contiguous().T), ring().score(x), atol=0)


@pytest.mark.parametrize("name", ["two modes", "slanted"])
@pytest.mark.parametrize("level", ["a number", "one each"])
def test_first_and_second_derivatives(kernels, name, level):
    """By finite differences in double precision: the score is that of log p, the matrix that of the score."""
    p, x = LAWS[name], points(5).to(kernels).requires_grad_()
    sigma = on(kernels, LEVELS[level](5), torch.float64)
    assert torch.autograd.gradcheck(lambda x: p.log_prob(x, sigma), x)
    assert torch.autograd.gradcheck(lambda x: p.score(x, sigma), x)
    assert torch.autograd.gradcheck(lambda x: p.log_prob_and_score(x, sigma), x)
    assert torch.autograd.gradgradcheck(lambda x: p.log_prob(x, sigma), x)
    assert torch.autograd.gradgradcheck(lambda x: p.score(x, sigma), x)


def test_what_a_kernel_cannot_differentiate_takes_the_plain_path(kernels):
    p, x = slanted(), points(5).to(kernels).requires_grad_()
    for f in (p.divergence, p.posterior):
        assert torch.autograd.gradcheck(f, x)
    sigma = torch.full((5,), 0.5, dtype=torch.float64, device=kernels, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: p.score(x.detach(), s), sigma)
    x = x.detach()
    assert torch.allclose(divergence(p.score, x), p.divergence(x))  # in forward mode
    assert torch.allclose(torch.func.vmap(p.log_prob)(x), p.log_prob(x))
    assert torch.allclose(gradient(p.log_prob, x), p.score(x))


@pytest.mark.parametrize("sigma", [1e-9, 1e-11, 1e-15])
def test_at_tiny_levels_of_the_points_own(kernels, sigma):
    """Where sigma^4, the determinant of a covariance, is no number of single precision."""
    centres = points(5).float()
    p, x = Points(centres), centres.to(kernels)
    log_p = p.log_prob(x, torch.full((5,), sigma, device=kernels))
    exact = p.log_prob(x.double(), sigma)
    assert float((log_p - exact).abs().max()) < 3e-5  # 16 roundings of it


def test_what_only_a_derivative_needs_is_not_computed_without_one(kernels, monkeypatch):
    from toylab._kernels import gaussians

    asked, own = [], gaussians.evaluate

    def evaluate(*args, **wanted):
        asked.append([name for name, is_wanted in wanted.items() if is_wanted])
        return own(*args, **wanted)

    monkeypatch.setattr(gaussians, "evaluate", evaluate)
    x, of_one = points(5).to(kernels).requires_grad_(), torch.ones((), dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        ring().divergence(x)
        ring().divergence(x, of_one.to(kernels))
        ring().score(x)
    assert asked == [["hessian"], ["hessian"], ["score"]]


def test_half_precision_is_evaluated_in_single(kernels):
    x = points().half().to(kernels)
    assert ring().score(x).dtype == torch.float16
    assert torch.allclose(ring().score(x), ring().score(x.float()).half())


def test_every_quantity_comes_from_a_kernel(kernels, monkeypatch):
    monkeypatch.setattr(_gaussians, "_in_chunks", lambda *args: pytest.fail("the plain path was taken"))
    for what in QUANTITIES:
        evaluate(ring(), what, points().to(kernels), 0.5)
    ring().log_prob_and_score(points().to(kernels))
    x = points().to(kernels).requires_grad_()
    ring().log_prob(x).sum().backward()
    assert x.grad is not None


def test_a_posterior_too_large_for_the_card_says_how_large_it_is(kernels, monkeypatch):
    def full(*args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    from toylab._kernels import gaussians

    full.__name__ = "posterior"
    monkeypatch.setattr(gaussians, "posterior", full)
    with pytest.raises(
        torch.OutOfMemoryError, match="300 points and 8 components takes .* GiB.*fewer points at a time"
    ):
        ring().posterior(points().to(kernels))


def test_where_a_kernel_does_not_run_the_plain_path_does(kernels, monkeypatch):
    """And one sentence says so, once."""
    from toylab._kernels import gaussians, when

    monkeypatch.setattr(when, "_given_up", set())
    when._tell.cache_clear()

    class Broken:
        def __getitem__(self, grid):
            raise RuntimeError("Failed to find C compiler\nand more")

    monkeypatch.setattr(gaussians, "_evaluate", Broken())
    x = points().to(kernels)
    with pytest.warns(RuntimeWarning, match="kernel score does not run here.*Failed to find C compiler") as told:
        first, second = ring().score(x), ring().score(x)
    assert len(told) == 1
    assert torch.equal(first, second)
    assert torch.isfinite(first).all()
    when._tell.cache_clear()
