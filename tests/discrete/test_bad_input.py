"""What cannot be is refused in a sentence: what was given, what is wanted, how to mend it."""

from functools import partial

import pytest
import torch

from toylab.densities import two_modes
from toylab.discrete import (
    BoltzmannMachine,
    GridLaw,
    GridScoreMatching,
    all_spins,
    asymptotic_covariance,
    concrete_score_matching,
    contrastive_divergence,
    expected_loss,
    gibbs_expectation,
    gibbs_sweep,
    ising_grid,
    loss_gradients,
    maximum_likelihood,
    pseudo_likelihood,
    two_spin,
)

PAIR = two_spin(0.5)
X = PAIR.states
LAW = GridLaw([[0.25, 0.25], [0.25, 0.25]])
W = [[0.0, 1.0], [1.0, 0.0]]
NAN = float("nan")


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: BoltzmannMachine([[0.0, 1.0], [2.0, 0.0]]), ValueError, r"\[0, 1\] is 1 and \[1, 0\] is 2.*\/ 2"),
        (lambda: BoltzmannMachine([[3.0, 1.0], [1.0, 0.0]]), ValueError, r"diagonal \[3.0, 0.0\].*W.diagonal"),
        (lambda: BoltzmannMachine(torch.tensor([[0.0, 1.0], [2.0, 0.0]], requires_grad=True)), ValueError, "symmetric"),
        (lambda: GridLaw(torch.full((2, 2), 0.3, requires_grad=True)), ValueError, "sum to 1.2"),
        (lambda: PAIR.log_prob(torch.full((2,), 0.5, requires_grad=True)), ValueError, "x holds 0.5"),
        (lambda: BoltzmannMachine([[0.0, NAN], [NAN, 0.0]]), ValueError, "every entry must be finite"),
        (lambda: BoltzmannMachine([[0.0, 1e38], [1e38, 0.0]]), ValueError, "at most 1e30"),
        (lambda: BoltzmannMachine([[0.0, 1.0]]), ValueError, r"shape \[1, 2\]: give a square matrix"),
        (lambda: BoltzmannMachine([]), ValueError, r"shape \[0\]: give a square matrix"),
        (lambda: BoltzmannMachine("W"), TypeError, "coupling is 'W': it must be numbers"),
        (lambda: BoltzmannMachine(torch.zeros(17, 17)), ValueError, r"17 spins, and so 2\^17 states"),
        (lambda: BoltzmannMachine(torch.zeros(2, 2).long()), TypeError, r"coupling is a tensor of torch.int64"),
        (lambda: BoltzmannMachine(torch.zeros(2, 2).half()), TypeError, r"coupling is torch.float16.*coupling.float"),
        (lambda: BoltzmannMachine(W, [1.0, 2.0, 3.0]), ValueError, r"field has shape \[3\] for 2 spins"),
        (lambda: BoltzmannMachine(W, [NAN, 0.0]), ValueError, "field is .*every entry must be finite"),
        (lambda: BoltzmannMachine.from_vector(torch.zeros(4)), ValueError, r"shape \[4\]: n spins have n \(n \+ 1\)"),
        (lambda: BoltzmannMachine.from_vector(torch.zeros(0)), ValueError, r"shape \[0\]"),
        (lambda: BoltzmannMachine.from_vector(torch.zeros(153)), ValueError, "17 spins"),
        (lambda: BoltzmannMachine.from_vector([1.0]), TypeError, "theta is a list"),
        (lambda: ising_grid(5, 4, 0.1), ValueError, "20 spins"),
        (lambda: ising_grid(2, 2, torch.zeros(3)), ValueError, r"coupling has shape \[3\]: give a number"),
        (lambda: two_spin(NAN), ValueError, "coupling is nan"),
        (lambda: two_spin("1"), TypeError, "coupling is '1': it must be a number"),
        (lambda: all_spins(17), ValueError, "17 spins"),
        (lambda: all_spins(2, dtype=torch.int64), TypeError, "spins are floating point"),
        (lambda: PAIR.log_prob(torch.tensor([1.0, 0.0])), ValueError, r"x holds 0: a spin is -1 or \+1.*2 \* bits"),
        (lambda: PAIR.log_prob(torch.tensor([1.0, NAN])), ValueError, "x holds nan"),
        (lambda: PAIR.log_odds(torch.ones(3)), ValueError, r"x has shape \[3\]: the machine has 2 spins"),
        (lambda: PAIR.energy([1.0, 1.0]), TypeError, "x is a list"),
        (lambda: PAIR.energy(torch.ones(2).long()), TypeError, "x is a tensor of torch.int64.*x.float"),
        (lambda: PAIR.sample(3), TypeError, r"sample_shape is 3.*\(3,\)"),
        (lambda: gibbs_sweep(two_modes(), X), TypeError, "machine is a GaussianMixture: give a BoltzmannMachine"),
        (lambda: gibbs_expectation(PAIR, torch.zeros(3)), ValueError, r"values is \[3\]: give a tensor \[4, ...\]"),
        (lambda: gibbs_expectation(PAIR, torch.zeros(4), n_sweeps=0), ValueError, "n_sweeps is 0"),
        (lambda: contrastive_divergence(PAIR, X, n_sweeps=0), ValueError, "n_sweeps is 0"),
        (lambda: contrastive_divergence(PAIR, X, generator=3), TypeError, "generator is 3"),
        (lambda: concrete_score_matching(two_spin(50.0), X), ValueError, r"e\^35, whose square.*float32.*float64"),
        (lambda: pseudo_likelihood(X, PAIR), TypeError, "machine is a Tensor"),
        (lambda: expected_loss(lambda m, x: 0.0, PAIR, PAIR), ValueError, "loss gives a float for 4 states"),
        (lambda: expected_loss(pseudo_likelihood, PAIR, ising_grid(1, 3, 0.1)), ValueError, "truth has 3 spins"),
        (lambda: loss_gradients(lambda m: 0.0, PAIR), TypeError, "does not take 2 arguments"),
        (
            lambda: asymptotic_covariance(partial(loss_gradients, maximum_likelihood), torch.zeros(2),
                                          family=lambda t: two_spin(t[0] + t[1])),
            ValueError, "singular derivative.*Is one given twice",
        ),
        (lambda: asymptotic_covariance(lambda m: X, PAIR.to_vector()), ValueError, r"it must give \[4, 3\]"),
        (lambda: asymptotic_covariance(lambda m: X, 0.5), TypeError, "theta is float"),
        (
            lambda: asymptotic_covariance(lambda m: X, torch.zeros(3), family=lambda t: t),
            TypeError, "what family gives is a Tensor",
        ),
        (lambda: GridLaw([[0.5, 0.6]]), ValueError, r"sum to 1.1: divide them"),
        (lambda: GridLaw([[0.0, 1.0]]), ValueError, "every cell must have a positive one"),
        (lambda: GridLaw([0.5, 0.5]), ValueError, r"shape \[2\]: give a table"),
        (lambda: GridLaw([[0.5], [0.2, 0.3]]), TypeError, "probabilities is .*: it must be numbers"),
        (lambda: GridLaw.from_logits([[0.0]]), TypeError, "logits is list"),
        (lambda: LAW.log_prob(torch.tensor([0.0, 1.0])), TypeError, "x is torch.float32: give cells"),
        (lambda: LAW.log_prob(torch.tensor([0, 2])), ValueError, "x leaves the grid: rows run from 0 to 1"),
        (lambda: LAW.log_prob(torch.tensor([0, 1, 1])), ValueError, r"x has shape \[3\]"),
        (lambda: GridScoreMatching(0, 2), ValueError, "rows is 0"),
        (lambda: GridScoreMatching(2, 2)(lambda x: x.float(), LAW.cells), ValueError, r"score gives \[4, 2\]"),
        (lambda: GridScoreMatching(2, 3).offset(LAW), ValueError, r"law is on a grid \[2, 2\], and"),
        (lambda: GridScoreMatching(2, 2).offset(two_modes()), TypeError, "law is a GaussianMixture: give a GridLaw"),
    ],
    ids=range(57),
)  # fmt: skip
def test_in_a_sentence(call, error, said):
    with pytest.raises(error, match=said):
        call()
