"""``check_objective`` with a path: it accepts flow matching however it is written, and rejects its mistakes by name."""

import math
import re

import pytest
import torch

from toylab.densities import GaussianMixture, isotropic
from toylab.objectives import Denoising, FlowMatching, Implicit
from toylab.paths import GaussianPath, Interpolant, Linear, cosine, optimal_transport
from toylab.testing import check_objective
from toylab.testing.field_evidence import FieldEvidence
from toylab.testing.run import Draws
from toylab.testing.velocity_truth import VelocityTruth

N = 20_000  # to begin with: a right loss gets as many as its check needs, and a mutant is found in these
SOURCE = isotropic([[0.0, 0.0]], 0.5)
ONE = GaussianMixture([1.0], [[1.0, -0.5]], [[[1.0, 0.3], [0.3, 0.5]]])


def half_square(v):
    return 0.5 * v.square().sum(-1)


def straight(x, t, x0):
    return (1 - t) * x0 + t * x


def written(formula):
    """A loss from its formula(velocity, x, t, x0) for times [n, 1], uniform, and standard normal starts [n, 2]."""

    def loss(velocity, x, *, generator=None):
        t = torch.rand(len(x), 1, dtype=x.dtype, generator=generator)
        return formula(velocity, x, t, torch.randn(x.shape, dtype=x.dtype, generator=generator))

    return loss


def regression(point=straight, target=lambda x, t, x0: x - x0, weight=lambda t: 1.0, times=lambda t: t):
    """The loss 1/2 w |v(x_t, t) - u|^2 with one of its parts exchanged."""

    def formula(velocity, x, t, x0):
        t = times(t)
        return weight(t[:, 0]) * half_square(velocity(point(x, t, x0), t[:, 0]) - target(x, t, x0))

    return written(formula)


def mean_over_coordinates(velocity, x, *, generator=None):
    """As it is usually written, with a column of times and the start drawn first."""
    x0 = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    t = torch.rand(len(x), generator=generator, dtype=x.dtype).unsqueeze(1)
    return ((velocity(x0 + t * (x - x0), t) - (x - x0)) ** 2).mean(dim=1)


def two_times_per_point(velocity, x, *, generator=None):
    """Of t and 1 - t with the starts x_0 and -x_0."""
    t = torch.rand(len(x), dtype=x.dtype, generator=generator)
    x0 = torch.randn(x.shape, dtype=x.dtype, generator=generator)
    both = [velocity(straight(x, s[:, None], z), s) - (x - z) for s, z in ((t, x0), (1 - t, -x0))]
    return 0.5 * (half_square(both[0]) + half_square(both[1]))


def target_of_the_point(velocity, x, *, generator=None):
    """(x_1 - x_t) / (1 - t), with a little of the time left out for its sake."""
    t = (1 - 1e-3) * torch.rand(len(x), 1, dtype=x.dtype, generator=generator)
    y = straight(x, t, torch.randn(x.shape, dtype=x.dtype, generator=generator))
    return half_square(velocity(y, t[:, 0]) - (x - y) / (1 - t))


def from_the_data(velocity, x, *, generator=None):
    """As in diffusion: t = 0 is the data."""
    t = torch.rand(len(x), 1, dtype=x.dtype, generator=generator)
    x0 = torch.randn(x.shape, dtype=x.dtype, generator=generator)
    return half_square(velocity(straight(x, 1 - t, x0), t[:, 0]) - (x0 - x))


def logit_normal(velocity, x, *, generator=None):
    """Times of the middle more often."""
    t = torch.randn(len(x), 1, dtype=x.dtype, generator=generator).sigmoid()
    x0 = torch.randn(x.shape, dtype=x.dtype, generator=generator)
    return half_square(velocity(straight(x, t, x0), t[:, 0]) - (x - x0))


BRIDGE = Interpolant(Linear(SOURCE), lambda t: (t * (1 - t)).sqrt())
BUMP = Interpolant(Linear(SOURCE), lambda t: t * (1 - t))


def with_noise(rate=1.0, again=False):
    """As it is usually written where gamma' is bounded: with 1/2 |gamma' z|^2, and z of one sign."""

    def loss(velocity, x, *, generator=None):
        t = torch.rand(len(x), dtype=x.dtype, generator=generator)
        x0 = SOURCE.to(x.dtype).sample((len(x),), generator=generator)
        z = torch.randn(x.shape, dtype=x.dtype, generator=generator)
        y = BUMP.point(x0, x, t, z)
        z = torch.randn(x.shape, dtype=x.dtype, generator=generator) if again else z
        return half_square(velocity(y, t) - (x - x0) - rate * (1 - 2 * t)[:, None] * z)

    return loss


def density_of_logit_normal(t):
    return torch.exp(-0.5 * torch.logit(t) ** 2) / (math.sqrt(2 * math.pi) * t * (1 - t))


SOUND = {
    "linear": (FlowMatching(Linear()), {}),
    "cosine": (FlowMatching(cosine()), {"path": cosine(), "density": ONE}),
    "from another source": (FlowMatching(Linear(SOURCE)), {"path": Linear(SOURCE), "density": ONE}),
    "mean over coordinates": (mean_over_coordinates, {"density": ONE}),
    "two times per point": (two_times_per_point, {"density": ONE}),
    "target of the point": (target_of_the_point, {"density": ONE}),
    "time from the data": (from_the_data, {"density": ONE, "network_of": lambda v: lambda x, t: -v(x, 1 - t)}),
    "a sum over coordinates": (regression(weight=lambda t: 2.0), {"density": ONE, "weight": 2.0}),
    "a weight": (regression(weight=lambda t: 1 - t), {"density": ONE, "weight": lambda t: 1 - t}),
    "latent noise": (FlowMatching(BRIDGE), {"path": BRIDGE, "density": ONE}),
    "latent noise, squares": (with_noise(), {"path": BUMP, "density": ONE}),
    "logit-normal times": (logit_normal, {"density": ONE, "weight": density_of_logit_normal}),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_right_loss_passes(name):
    objective, settings = SOUND[name]
    report = check_objective(objective, n=N, **{"path": Linear()} | settings)
    assert report.passed, report
    assert report.smallest_slip <= 0.051
    assert "would have been seen" in str(report)


def first_row(velocity, x, t, x0):
    return half_square(velocity(straight(x[:1], t, x0), t[:, 0]) - (x[:1] - x0))


def any_row(velocity, x, *, generator=None):
    k = torch.randint(len(x), (1,), generator=generator)
    return FlowMatching(Linear())(velocity, x[k].expand(len(x), 2), generator=generator)


def another_start(velocity, x, *, generator=None):
    t = torch.rand(len(x), 1, dtype=x.dtype, generator=generator)
    first, second = (torch.randn(x.shape, dtype=x.dtype, generator=generator) for _ in range(2))
    return half_square(velocity(straight(x, t, first), t[:, 0]) - (x - second))


def of_cosine(x, t, x0):
    return torch.sin(0.5 * math.pi * t) * x + torch.cos(0.5 * math.pi * t) * x0


def rate_of_cosine(x, t, x0):
    return 0.5 * math.pi * (torch.cos(0.5 * math.pi * t) * x - torch.sin(0.5 * math.pi * t) * x0)


def root_of_time(x, t, x0):
    return t * x + (1 - t).sqrt() * x0


def one_number(velocity, x, t, x0):
    return half_square(velocity(straight(x, t, x0), t[:, 0]) - (x - x0)).mean().expand(len(x))


MUTANTS = {
    # the target reversed in time
    "x0 - x1": (regression(target=lambda x, t, x0: x0 - x), "the target is reversed in time: x_0 - x_1"),
    "t from the data": (regression(lambda x, t, x0: straight(x, 1 - t, x0)), "time is measured from the data in x_t"),
    "all from the data": (from_the_data, "runs from the data to the source; if that is meant, say so by network_of="),
    # one point of each batch
    "the first row": (written(first_row), "only one point of each batch is used"),
    "a row at random": (any_row, "only one point of each batch is used"),
    "one loss for all": (written(one_number), "all losses of a batch are one number"),
    # a standard deviation passed as a covariance
    "covariance sigma(t)": (
        regression(root_of_time), "the noise in x_t has the variance sigma(t), where that is its standard deviation"
    ),
    # times near 1 that are not seen
    "0.95 t": (regression(times=lambda t: 0.95 * t), "the loss never sees t > 0.95"),
    "0.99 t": (regression(times=lambda t: 0.99 * t), "the loss never sees t > 0.99"),
    "weight 0 near 1": (regression(weight=lambda t: (t < 0.97).double()), "the loss never sees t > 0.97"),
    "weight 0 near 0": (regression(weight=lambda t: (t > 0.05).double()), "the loss never sees t < 0.05"),
    "ten times": (regression(times=lambda t: (10 * t).floor() / 10), "the loss never sees t > 0.9"),
    "one time": (regression(times=lambda t: 0 * t + 0.5), "asks for the velocity at t = 0.5 alone"),
    "weight (1 - t)^2": (regression(weight=lambda t: (1 - t) ** 2), "that of a prediction of the clean point"),
    "weight t^2": (regression(weight=torch.square), "that of a prediction of the noise"),
    "early times": (regression(times=torch.square), "times are not drawn uniformly"),
    # other slips
    "another draw of x0": (another_start, "x_0 in the target is another draw than in x_t"),
    "2 (x1 - x0)": (regression(target=lambda x, t, x0: 2 * (x - x0)), "the target is 2 times dx_t/dt"),
    "a sum over coordinates": (regression(weight=lambda t: 2.0), "is 2 times w 1/2 |v - v*|^2: the 1/2 is missing"),
    "half of the mean": (regression(weight=lambda t: 0.5), "there is a 1/2 too many"),
    "cosine for linear": (FlowMatching(cosine()), "x_t and its target are those of cosine(), which is another path"),
    "points of cosine": (regression(of_cosine), "x_t is that of cosine(), which is another path than that of the tar"),
    "target of cosine": (regression(target=rate_of_cosine), "the target is that of cosine(), which is another path"),
    "the clean point": (regression(target=lambda x, t, x0: x), "the loss learns the clean point"),
    "the noise": (regression(target=lambda x, t, x0: x0), "the loss learns the noise"),
    "x1 + x0": (regression(target=lambda x, t, x0: x + x0), "the sign of x_0 in the target"),
    "x1 - x_t": (regression(target=lambda x, t, x0: x - straight(x, t, x0)), "still to be divided by 1 - t"),
    "no target": (regression(target=lambda x, t, x0: 0 * x), "the target has no part in the loss"),
    "a constant": (regression(target=lambda x, t, x0: x - x0 + 0.3), "a constant is added to the target, [0.3, 0.3]"),
    "noise that stays": (
        FlowMatching(GaussianPath(lambda t: t, lambda t: 1 - 0.8 * t)), "the noise in x_t has 1.08 and 2.5"
    ),
    "not squared": (written(lambda v, x, t, x0: (v(straight(x, t, x0), t[:, 0]) - x + x0).norm(dim=-1)), "not squared"),
    "times to 1000": (written(lambda v, x, t, x0: half_square(v(x, 1000 * t))), "t runs from 0 to 1"),
    "no time": (written(lambda v, x, t, x0: half_square(v(x))), "calls velocity(x) without a time"),
    "pairs of a batch": (FlowMatching(Linear(), optimal_transport), "with a coupling other than paths.independent"),
}  # fmt: skip


@pytest.mark.parametrize("slip", [{"rate": 0.0}, {"rate": -1.0}, {"again": True}], ids=str)
def test_slips_of_the_latent_noise_are_seen(slip):
    """Left out of the target, of the wrong sign there, and another draw than in x_t."""
    report = check_objective(with_noise(**slip), path=BUMP, density=ONE, n=N)
    assert not report.passed and not report.undecided
    assert "the loss is not least at the exact velocity" in report.wrong


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_rejected_by_name(name):
    objective, says = MUTANTS[name]
    report = check_objective(objective, path=Linear(), n=N)
    assert not report.passed, report
    assert not report.undecided
    assert says in report.wrong, report


def test_the_root_of_the_standard_deviation_of_a_source_is_named():
    rooted = Linear(isotropic([[0.0, 0.0]], math.sqrt(0.5)))
    wrong = check_objective(FlowMatching(rooted), path=Linear(SOURCE), density=ONE, n=N).wrong
    assert re.search(r"x_0 has a standard deviation of 0\.70\d where 0\.501 is right: the root of it", wrong)


@pytest.mark.parametrize(
    ("formula", "says"),
    [
        (lambda v, x, t, x0: half_square(v(straight(x, t[:1], x0), float(t[0])) - (x - x0)), "one time serves all"),
        (lambda v, x, t, x0: half_square(v(straight(x, t, x0[:1]), t[:, 0]) - (x - x0[:1])), "one x_0 serves all"),
    ],
    ids=["one time", "one start"],
)
def test_a_draw_that_serves_all_points_of_a_batch_is_undecided(formula, says):
    """Legal, as the mean over batches is right, but of one batch nothing can be told."""
    report = check_objective(written(formula), path=Linear(), n=N)
    assert report.undecided
    assert says in report.wrong


def test_what_cannot_be_told_is_no_pass():
    report = check_objective(FlowMatching(Linear()), path=Linear(), n=1000, n_most=1000)
    assert report.undecided
    assert "could not tell below" in report.wrong


def test_a_slip_of_the_size_that_a_pass_rules_out_is_seen():
    """Of the target a pass with as many points would have seen 1.7 %."""
    report = check_objective(regression(target=lambda x, t, x0: 1.03 * (x - x0)), path=Linear(), n=160_000)
    assert "the target is 1.03 times dx_t/dt" in report.wrong


def test_slopes_and_scales_are_the_relative_errors_that_they_are_called():
    """Target 1.5 v: -1/2 along v*, at every time; one that is 0.3 too large in x1: -0.3 over 2 sqrt(1/2 E 1/2 |v*|^2).

    Eleven values within 6 standard errors: a false alarm in 2e-8 of runs.
    """
    truth, draws = VelocityTruth(Linear(), ONE, None), Draws(ONE, seed=3)
    for target, direction, slip in (
        (lambda x, t, x0: 1.5 * (x - x0), "v*", 0.5),
        (lambda x, t, x0: x - x0 + x.new_tensor([0.3, 0.0]), "(1, 0)", None),
    ):
        objective, found, seed = regression(target=target), FieldEvidence(truth), draws.fresh()
        found.add(
            lambda f, x, objective=objective, seed=seed: objective(f, x, generator=torch.Generator().manual_seed(seed)),
            draws.points(N),
            torch.Generator().manual_seed(draws.fresh()),
        )
        slip = slip or 0.3 / (2 * math.sqrt(0.5 * found.size()))
        for name in [name for name in found.slopes() if name.startswith(direction)]:
            assert not found.slopes()[name].is_off(-slip, 6.0), name
        assert not any(scale.is_off(1.0, 6.0) for scale in found.scales().values())


def test_the_exact_velocity_is_remembered_by_points_and_times():
    truth = VelocityTruth(Linear(), ONE, None)
    x = ONE.to(torch.float64).sample((5,), generator=torch.Generator().manual_seed(0))
    for t in (0.2, 0.7, 0.2):
        torch.testing.assert_close(truth.exact(x, t), Linear().velocity(ONE, x, t))
    assert not torch.equal(truth.exact(x + 1, 0.2), truth.exact(x, 0.2))


def test_a_fault_late_in_time_is_seen_and_named():
    late = regression(target=lambda x, t, x0: torch.where(t > 0.9, 1.3, 1.0) * (x - x0))
    wrong = check_objective(late, path=Linear(), n=100_000).wrong
    assert re.search(r"at t from 0\.8\d* to 1: the loss is not least at the exact velocity", wrong)


def test_a_report_is_reproducible_and_leaves_the_global_stream():
    before = torch.get_rng_state()
    one, other = (check_objective(FlowMatching(Linear()), path=Linear(), n=2000, n_most=2000) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert (one.findings, one.loss_std) == (other.findings, other.loss_std)


@pytest.mark.parametrize(
    ("objective", "settings", "error", "message"),
    [
        (FlowMatching(Linear()), {}, ValueError, "say of which path by path="),
        (FlowMatching(Linear()), {"path": Linear}, TypeError, "path is the class Linear"),
        (FlowMatching(Linear()), {"path": Linear(), "sigma": 0.3}, ValueError, "sigma is 0.3 beside a path"),
        (FlowMatching(Linear()), {"path": Linear(), "weight": lambda t: t - 0.5}, ValueError, "weight is -0.49"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(objective, settings, error, message):
    with pytest.raises(error, match=message):
        check_objective(objective, **settings)


def test_a_loss_of_something_else_is_told():
    def likelihood(energy, x, *, generator=None):
        return energy.energy(x)

    wrong = check_objective(likelihood, path=Linear()).wrong
    assert "raises AttributeError" in wrong
    assert "One of energies calls model.energy(x), and is checked without path=" in wrong


def test_a_velocity_taken_for_a_score_is_told():
    assert "the path of a velocity v(x, t) by path=" in check_objective(mean_over_coordinates).wrong
    assert "without a time" in check_objective(Denoising(0.3), path=Linear()).wrong
    assert "without a time" in check_objective(Implicit(), path=Linear()).wrong
