"""A network of several scores: whose labels have the joint law of points and classes, and whose loss has its offset."""

import math

import pytest
import torch
from scipy.stats import binom

from toylab.densities import Circle, GaussianMixture, Mixture, isotropic
from toylab.networks import NoiseConditionalEnergyMLP, NoiseConditionalMLP
from toylab.objectives import ClassConditional, Denoising, LogUniform, NoiseConditional
from toylab.training import fit, load, save

PARTS = (isotropic([[-1.0, 0.0]], 1.0), isotropic([[1.0, 0.5]], 0.7))
P = Mixture([0.3, 0.7], PARTS)
SIGMAS = torch.tensor([2.0, 1.0, 0.5])
NETWORKS = pytest.mark.parametrize("kind", [NoiseConditionalMLP, NoiseConditionalEnergyMLP])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def exact(x, sigma, label):
    """The score of each class, and of all where the label is -1."""
    of_each = torch.stack([P.score(x, sigma), *(part.score(x, sigma) for part in PARTS)])
    return of_each.gather(0, (label + 1).expand(x.shape[:-1])[None, ..., None].expand(1, *x.shape))[0]


def test_labels_have_the_joint_law_and_are_forgotten_at_the_stated_rate():
    """Each count is binomial: outside of the bounds 1e-8 of the time, by chance. At one point, and over all points."""
    n, dropout = 20_000, 0.2
    objective = ClassConditional(NoiseConditional(SIGMAS), P, dropout)
    x = torch.tensor([[0.3, 0.4]]).double()
    at_one = objective.draw(x.expand(n, 2), generator=generator())
    r = P.posterior(x)[0].tolist()
    assert 0.1 < r[0] < 0.9
    of_all = objective.draw(P.sample((n,), generator=generator(1)), generator=generator(2))
    for labels, shares in ((at_one, r), (of_all, [0.3, 0.7])):
        for label, share in zip((-1, 0, 1), (dropout, *((1 - dropout) * share for share in shares)), strict=True):
            low, high = binom.ppf([5e-9, 1 - 5e-9], n, share)
            assert low <= int((labels == label).sum()) <= high
    for never, label in ((0.0, -1), (1.0, 0), (1.0, 1)):
        sometimes = ClassConditional(NoiseConditional(SIGMAS), P, never).draw(x.expand(n, 2), generator=generator())
        assert not bool((sometimes == label).any())


def test_given_the_class_the_points_are_its_own():
    """The mean of the points labelled k is that of part k: within 6 standard errors, 2e-9 of failing each by chance."""
    x = P.sample((40_000,), generator=generator(3))
    labels = ClassConditional(NoiseConditional(SIGMAS), P, 0.0).draw(x, generator=generator(4))
    for k, mean in enumerate(([-1.0, 0.0], [1.0, 0.5])):
        own = x[labels == k]
        error = own.std(0) / math.sqrt(len(own))
        assert bool(((own.mean(0) - torch.tensor(mean)).abs() < 6 * error).all())


@pytest.mark.parametrize("dropout", [0.0, 0.3, 1.0])
def test_mean_loss_and_offset_are_the_expected_fisher_divergence(dropout):
    """Of s_k + (1, k): 1/2 (1 + k^2) at every point, k = -1 for none; within six standard errors, 2e-9 by chance."""
    objective = ClassConditional(NoiseConditional(SIGMAS, 1.0, antithetic=True), P, dropout)

    def shifted(x, sigma, label):
        apart = torch.stack([torch.ones_like(label), label], -1).to(x)
        return exact(x, sigma, label) + apart

    losses = objective(shifted, P.sample((100_000,), generator=generator(5)).double(), generator=generator(6))
    error = float(losses.std()) / math.sqrt(len(losses))
    expected = dropout * 1.0 + (1 - dropout) * (0.3 * 0.5 + 0.7 * 1.0)
    assert error < 0.02
    assert abs(float(losses.mean()) + objective.offset(P) - expected) < 6 * error


@pytest.mark.parametrize("dropout", [0.0, 0.3, 1.0])
def test_its_loss_is_that_of_the_objective_for_the_network_at_these_labels(dropout):
    inner, network = NoiseConditional(SIGMAS, antithetic=True), NoiseConditionalMLP(8, 1, n_classes=2)
    objective, x, draws = ClassConditional(inner, P, dropout), P.sample((50,), generator=generator()), generator(1)
    labels = objective.draw(x, generator=draws)
    assert torch.equal(
        objective(network, x, generator=generator(1)), inner(network.of_class(labels), x, generator=draws)
    )
    assert objective.offset(P) == pytest.approx(
        dropout * inner.offset(P) + (1 - dropout) * (0.3 * inner.offset(PARTS[0]) + 0.7 * inner.offset(PARTS[1]))
    )


@NETWORKS
def test_a_network_without_a_class_is_that_of_none(kind):
    network = kind(8, 1, n_classes=3, generator=generator())
    x, labels = torch.randn(6, 2, generator=generator()), torch.tensor([0, 1, 2, -1, 1, 0])
    each = torch.stack([network(x, 0.5), *(network.of_class(k)(x, 0.5) for k in range(3))])
    together = network.of_class(labels)(x, 0.5)
    for n, label in enumerate(labels.tolist()):
        torch.testing.assert_close(together[n], each[label + 1, n], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(each[0], each[1])
    torch.testing.assert_close(network.of_class(1)(x.expand(4, 6, 2), 0.5), each[2].expand(4, 6, 2))
    torch.testing.assert_close(network.of_class(labels)(x.expand(4, 6, 2), 0.5), together.expand(4, 6, 2))


@NETWORKS
def test_without_classes_nothing_is_another(kind):
    """The weights drawn are those of ever, and there is no class to be asked for."""
    network = kind(8, 1, generator=generator())
    assert network.layers[0].in_features == 3
    with pytest.raises(ValueError, match="label is 0: this network knows no classes: make it with n_classes=2"):
        network.of_class(0)


@NETWORKS
def test_it_is_saved_and_loaded_with_its_classes(kind, tmp_path):
    network = kind(8, 1, n_classes=2, generator=generator())
    save(network, tmp_path / "network.pt")
    again = load(tmp_path / "network.pt")
    x = torch.randn(6, 2, generator=generator())
    assert again.n_classes == 2
    assert torch.equal(again.of_class(1)(x, 0.5), network.of_class(1)(x, 0.5))


@pytest.mark.parametrize("n_seeds", [1, 3])
@torch.no_grad()  # which fit suspends
def test_both_classes_are_learned(n_seeds):
    """The excess of the loss over that of the exact scores falls to less than a tenth, by ten standard errors.

    Both losses are on the same draws, so that the error of their difference is small; the network of before stands for
    one that has learned nothing.
    """
    objective = ClassConditional(NoiseConditional(LogUniform(0.2, 5.0), antithetic=True), P, 0.2)
    network = NoiseConditionalMLP(32, 2, n_classes=2, data_std=1.3, generator=generator())
    trained = fit(
        network, objective, P, n_steps=300, batch_size=256, n_seeds=n_seeds, generator=generator(1), progress=False
    )
    assert math.isfinite(trained.history.fisher_divergence[-1])
    x = P.sample((20_000,), generator=generator(2))
    truth = objective(exact, x, generator=generator(3))
    before = objective(network, x, generator=generator(3)) - truth
    for one in trained.networks:
        after = objective(one, x, generator=generator(3)) - truth
        gain = 0.1 * before - after
        assert float(gain.mean()) > 10 * float(gain.std()) / math.sqrt(len(x))
        for k, part in enumerate(PARTS):  # and each class has been learned, not their mean
            s, own = one.of_class(k), part.sample((2000,), generator=generator(4))
            wrong = [(part.score(own, 0.5) - t(own, 0.5)).square().sum(-1).mean() for t in (s, one)]
            assert float(wrong[0]) < float(wrong[1])


def test_a_function_of_points_gives_the_classes():
    objective = ClassConditional(NoiseConditional(SIGMAS), lambda x: (x[..., 0] > 0).long(), 0.0)
    x = torch.randn(6, 2, generator=generator())
    assert torch.equal(objective.draw(x, generator=generator()), (x[:, 0] > 0).long())
    with pytest.raises(
        TypeError, match="labels is a function: the law of each class is known of a density with classes"
    ):
        objective.offset(P)


def test_the_classes_of_any_density_that_has_some_have_an_offset():
    """A mixture of Gaussians, moved or noised; a law without classes says so."""
    p = GaussianMixture([0.3, 0.7], [[-1.0, 0.0], [1.0, 0.5]], [[0.5, 0.1], [0.1, 0.8]])
    inner = NoiseConditional(SIGMAS)
    for law in (p, p.rotated(0.4), p.noised(0.3)):
        parts = 0.3 * inner.offset(law.given_class(0)) + 0.7 * inner.offset(law.given_class(1))
        found = ClassConditional(inner, law, 0.25).offset(law)
        assert found == pytest.approx(0.25 * inner.offset(law) + 0.75 * parts, rel=1e-9)
    with pytest.raises(TypeError, match="Circle has no log_posterior"):
        ClassConditional(inner, Circle()).offset(Circle())


def test_a_slip_is_told():
    objective, x = NoiseConditional(SIGMAS), torch.randn(6, 2)
    for dropout in (-0.1, 1.1):
        with pytest.raises(ValueError, match=f"dropout is {dropout}: it is a probability"):
            ClassConditional(objective, P, dropout)
    with pytest.raises(ValueError, match="dropout is nan"):
        ClassConditional(objective, P, math.nan)
    with pytest.raises(TypeError, match="objective is the class Denoising"):
        ClassConditional(Denoising, P)
    with pytest.raises(TypeError, match="Circle has no posterior"):
        ClassConditional(objective, Circle())(NoiseConditionalMLP(8, 1, n_classes=2), x)
    with pytest.raises(TypeError, match="score is a method that does not take 3 arguments"):
        ClassConditional(objective, P)(P.score, x)
    with pytest.raises(ValueError, match=r"labels gives shape \[6, 2\] for points of shape \[6, 2\]"):
        ClassConditional(objective, lambda x: x.long())(NoiseConditionalMLP(8, 1, n_classes=2), x)
    with pytest.raises(TypeError, match="labels gives torch.float32: it must give whole numbers"):
        ClassConditional(objective, lambda x: x[..., 0])(NoiseConditionalMLP(8, 1, n_classes=2), x)
    with pytest.raises(ValueError, match="the points must be those of the labels"):
        ClassConditional(objective, P).offset(PARTS[0])
    with pytest.raises(TypeError, match="objective is a function, which knows no offset"):
        ClassConditional(lambda score, x, *, generator=None: x[..., 0], P).offset(P)
    with pytest.raises(ValueError, match="label is 1: this network knows the classes 0 to 0"):
        ClassConditional(objective, lambda x: torch.ones_like(x[..., 0]).long(), 0.0)(
            NoiseConditionalMLP(8, 1, n_classes=1), x
        )
    network = NoiseConditionalMLP(8, 1, n_classes=2)
    with pytest.raises(ValueError, match="label is -2"):
        network.of_class(torch.tensor([0, -2]))
    with pytest.raises(ValueError, match="label is -1: it must be at least 0"):
        network.of_class(-1)
    with pytest.raises(TypeError, match=r"label is a tensor of torch.float32: give whole numbers"):
        network.of_class(torch.zeros(3))
    with pytest.raises(ValueError, match=r"label has shape \[2\] for x of shape \[6, 2\]"):
        network(x, 0.5, torch.tensor([0, 1]))
