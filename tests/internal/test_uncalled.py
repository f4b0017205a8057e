"""A class or a function that was not called is named, with how to call it."""

import pytest
import torch

from toylab._internal.uncalled import refuse_class, refuse_function
from toylab.densities import Circle, two_modes
from toylab.networks import ScoreMLP
from toylab.objectives import Denoising, Implicit, Sliced
from toylab.testing import check_objective
from toylab.training import fit, gradient_noise


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit(ScoreMLP(4), Sliced, two_modes()), r"objective is the class Sliced: give an instance, Sliced\(\)"),
        (lambda: fit(ScoreMLP(4), Denoising, two_modes()), r"give an instance, Denoising\(sigma\)"),
        (lambda: fit(ScoreMLP, Sliced(), two_modes()), r"network is the class ScoreMLP: give an instance, ScoreMLP"),
        (lambda: fit(ScoreMLP(4), Sliced(), two_modes), r"data is the function two_modes: .*, two_modes\(\)"),
        (lambda: fit(ScoreMLP(4), Sliced(), Circle), r"data is the class Circle: give an instance, Circle\("),
        (lambda: gradient_noise(ScoreMLP(4), Sliced(), two_modes), "density is the function two_modes"),
        (lambda: check_objective(Implicit), r"objective is the class Implicit: give an instance, Implicit\(\)"),
        (lambda: check_objective(Implicit(), density=two_modes), "density is the function two_modes"),
    ],
    ids=range(8),
)
def test_in_one_sentence(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_what_is_no_slip_passes():
    for value in (Sliced(), two_modes(), torch.zeros(2), 3, None):
        refuse_class("value", value)
        refuse_function("value", value)
    refuse_class("value", two_modes)


def test_a_builtin_without_a_signature_is_named_all_the_same():
    with pytest.raises(TypeError, match="value is the class type"):
        refuse_function("value", type)
