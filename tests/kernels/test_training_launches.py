"""How many kernels a recorded training step launches where ours run: as tests/training/test_launches.py, which see."""

import importlib

import pytest
import torch
from torch.utils._python_dispatch import _disable_current_modes

from tests.training.test_launches import STEPS, Launches, P
from toylab._internal import validate
from toylab._kernels import gaussians, mixture_draw, softplus_mlp, tangents
from toylab.densities import _gaussians, _mixture

FIT = importlib.import_module("toylab.training.fit")  # a function is named like the module
# of one network, and of eight; on the plain path they are 33 and 39, 58 and 58, 60 and 61, 39 and 45
FUSED = {"denoising": (29, 35), "sliced": (38, 38), "implicit": (37, 37), "explicit": (27, 33)}


class Counted:
    """A kernel that counts its launches, and not what the interpreter does for it."""

    def __init__(self, kernel, launches):
        self.kernel, self.launches = kernel, launches

    def __getitem__(self, grid):
        def launch(*arguments, **options):
            self.launches.append(self.kernel)
            with _disable_current_modes():
                self.kernel[grid](*arguments, **options)

        return launch


@pytest.mark.parametrize("n_seeds", [1, 8])
@pytest.mark.parametrize("name", FUSED)
def test_a_step_launches_few_kernels(kernels, monkeypatch, name, n_seeds):
    objective, network, *_ = STEPS[name]
    steps, ours = [], []
    monkeypatch.setattr(FIT, "capture_step", lambda step, *_, **__: steps.append(step) or step)
    monkeypatch.setattr(tangents, "fused", lambda device: True)
    for module in (_mixture, validate):  # no values are read on a GPU
        monkeypatch.setattr(module, "readable", lambda values: False)
    monkeypatch.setattr(_gaussians, "too_far", lambda log_joint, dim: False)
    for module in (gaussians, mixture_draw, softplus_mlp):
        for kernel in ("_evaluate", "_draw", "_activate", "_back"):
            if hasattr(module, kernel):
                monkeypatch.setattr(module, kernel, Counted(getattr(module, kernel), ours))
    g = torch.Generator(kernels).manual_seed(0)
    FIT.fit(
        network(width=16, generator=g), objective, P.to(kernels), n_steps=2, n_seeds=n_seeds, generator=g,
        device=kernels, progress=False,
    )  # fmt: skip
    ours.clear()
    now = torch.tensor([0.005, 0.1], device=kernels)
    with Launches() as counted:
        steps[0](now)
    assert ours
    assert counted.n + len(ours) <= FUSED[name][n_seeds > 1], (counted.n, len(ours))
