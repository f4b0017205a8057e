"""How many kernels a training step launches: inside a CUDA graph each takes two or three microseconds, however small.

No GPU is needed to count them. On a GPU every operation of torch is a kernel, apart from those that compute nothing;
a few are two.
"""

import importlib

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from toylab._internal import validate
from toylab.densities import _gaussians, _mixture, two_modes
from toylab.networks import NoiseConditionalMLP, ScoreMLP
from toylab.objectives import Denoising, Explicit, Implicit, NoiseConditional, Sliced
from toylab.schedules import geometric

FIT = importlib.import_module("toylab.training.fit")  # a function is named like the module
NOTHING = {"alias", "detach", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view"}
TWO = {  # zeros, and then what is not 0; a bias copied, and then a product added
    "baddbmm", "diagonal_backward", "eye", "select_backward"
}  # fmt: skip


class Launches(TorchDispatchMode):
    """Counts in ``n`` the kernels that a GPU would launch."""

    def __init__(self):
        super().__init__()
        self.n = 0

    def __torch_dispatch__(self, operation, kinds, arguments=(), keywords=None):
        name = operation.overloadpacket.__name__
        self.n += 0 if operation.is_view or name in NOTHING else 2 if name in TWO else 1
        return operation(*arguments, **(keywords or {}))


def launches(run):
    with Launches() as counted:
        run()
    return counted.n


P = two_modes()
# kernels of a step of one network, and of eight; with an average weight by weight, its share computed in the step, and
# plain formulas for the losses they were 52 and 58, 86 and 82, 88 and 86, 58 and 64, 82 and 90
STEPS = {
    "denoising": (Denoising(0.5), ScoreMLP, 33, 39),
    "sliced": (Sliced(), ScoreMLP, 58, 58),
    "implicit": (Implicit(), ScoreMLP, 60, 61),
    "explicit": (Explicit(P.score), ScoreMLP, 39, 45),
    "noise-conditional": (NoiseConditional(geometric(5.0, 0.5, 4)), NoiseConditionalMLP, 63, 71),
}


@pytest.mark.parametrize("n_seeds", [1, 8])
@pytest.mark.parametrize("name", STEPS)
def test_a_step_launches_few_kernels(name, n_seeds, monkeypatch):
    """Of the step that ``fit`` records; around each replay there are two more, its numbers in and its losses out."""
    objective, network, *most = STEPS[name]
    steps = []
    monkeypatch.setattr(FIT, "capture_step", lambda step, *_, **__: steps.append(step) or step)
    for module in (_mixture, validate):  # no values are read on a GPU
        monkeypatch.setattr(module, "readable", lambda values: False)
    monkeypatch.setattr(_gaussians, "too_far", lambda log_joint, dim: False)
    g = torch.Generator().manual_seed(0)
    FIT.fit(network(generator=g), objective, P, n_steps=2, n_seeds=n_seeds, generator=g, progress=False)
    now = torch.tensor([0.005, 0.1])  # in float32, as on a GPU
    assert launches(lambda: steps[0](now)) <= most[n_seeds > 1]


def test_the_count():
    """Views and empty tensors are none, a derivative counts, an index in it twice: zeros, and then a copy."""
    x = torch.ones(3, 2, requires_grad=True)
    assert launches(lambda: x.detach().view(-1)[2:].expand(2, 4).T) == 0
    assert launches(lambda: torch.empty(3).copy_(torch.ones(3))) == 2
    assert launches(lambda: (2 * x).sum().backward()) == 4  # a product, a sum, the 1 it begins with, a product
    assert launches(lambda: x[0].sum().backward()) == 5  # a sum, the 1, zeros and a copy, added to the gradient before
