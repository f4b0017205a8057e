"""Kernels on a CUDA device where there is one; elsewhere under Triton's interpreter, on tensors of the CPU."""

import numpy as np
import pytest
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def kernels(monkeypatch):
    """Have the library choose its kernels, on the CPU too; the device to work on."""
    from toylab._kernels import mixture_chain, mixture_draw
    from toylab.densities import _gaussians
    from toylab.samplers import fused

    if DEVICE == "cpu":
        for module in (_gaussians, fused):
            monkeypatch.setattr(module, "fused", lambda device: True)
        # few programs, as many take long
        monkeypatch.setattr(mixture_draw, "BLOCK", 1 << 14)
        monkeypatch.setattr(mixture_chain, "shape_of_a_program", lambda n: (max(32, 1 << (n - 1).bit_length()), 4))
    with np.errstate(all="ignore"):  # the interpreter computes with NumPy, and the kernels with inf
        yield torch.device(DEVICE)


@pytest.fixture
def without_kernels(monkeypatch):
    """Have the library take the plain path everywhere, from now on, and no recorded one.

    A recording of a step holds the numbers that ``numbers.Replayed`` gave once.
    """
    from toylab.densities import _gaussians
    from toylab.samplers import fused, loop

    def switch_off():
        for module in (_gaussians, fused):
            monkeypatch.setattr(module, "fused", lambda device: False)
        monkeypatch.setattr(loop, "capture_step", lambda step, device, **rest: step)

    return switch_off
