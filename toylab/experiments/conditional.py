"""The noise-conditional networks that several figures train in the same way."""

import torch
from torch import nn
from tqdm.auto import tqdm

from toylab.densities import Density
from toylab.networks import NoiseConditionalMLP
from toylab.objectives import LogUniform, NoiseConditional
from toylab.training import fit


def conditional_networks(
    name: str,
    density: Density,
    *,
    std: float,
    low: float,
    high: float,
    n_steps: int,
    n_networks: int,
    generator: torch.Generator,
    device: torch.device | str,
    progress: bool,
) -> tuple[nn.Module, ...]:
    """Networks s(x, sigma) of one density, side by side, at levels log-uniform between ``low`` and ``high``.

    Args:
        name: printed before the progress bar.
        density: the truth.
        std: roughly its standard deviation along an axis.
        low: least level.
        high: largest level.
        n_steps: optimiser steps, of 512 points each.
        n_networks: how many.
        generator: draws weights and data.
        device: where to train.
        progress: show a progress bar.
    """
    if progress:
        tqdm.write(f"{name}: noise-conditional networks")
    return fit(
        NoiseConditionalMLP(data_std=std, gain=3.0, generator=generator),
        NoiseConditional(LogUniform(low, high), antithetic=True), density,
        n_steps=n_steps, batch_size=512, learning_rate=3e-3, average=0.995, n_seeds=n_networks,
        generator=generator, device=device, progress=progress,
    ).networks  # fmt: skip
