"""Concrete score matching on the hypercube: the neighbours of a state are those with one spin turned over."""

import math

import torch
from torch import Tensor

from toylab._internal import validate
from toylab.discrete.boltzmann_machine import BoltzmannMachine, check_machine


def concrete_score_matching(machine: BoltzmannMachine, x: Tensor) -> Tensor:
    """sum_i c_i(x)^2 + 2 c_i(x) - 2 c_i(x^i), shape [...], for spins x [..., n]; x^i is x with spin i turned over.

    c_i(x) = p(x^i) / p(x) - 1 is the concrete score, free of Z. The mean under a law q less that of q itself is
    E |c - c_q|^2. Ratios are not bounded: rare states, turned over, have losses like (1 / p)^2.
    Source: Meng, Choi, Song & Ermon 2022 (arXiv:2211.00802).
    """
    log_odds = check_machine("machine", machine).log_odds(x)
    most = 0.4 * math.log(torch.finfo(x.dtype).max)
    if validate.readable(log_odds) and bool((log_odds.abs() > most).any()):
        raise ValueError(
            f"p(x) and p(x with a spin turned over) differ by a factor of more than e^{most:.0f}, whose square is no "
            f"number in {x.dtype}: give weaker couplings, points in float64, or ratio_matching, which is bounded."
        )
    c, c_back = torch.expm1(-log_odds), torch.expm1(log_odds)
    return (c.square() + 2 * c - 2 * c_back).sum(-1)
