"""Known failures of score matching, kept with their numbers: what goes wrong, how it looks, and its remedy.

Five failures in one file, since they share one trainer and one figure.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from toylab import plotting
from toylab.densities import Circle, Density, ring, two_modes
from toylab.densities.quadrature import fisher_information
from toylab.experiments.result import Arrays, Result
from toylab.experiments.setting import Numbers, generator, scaled_count, spread
from toylab.metrics import fisher_divergence
from toylab.networks import Activation, NoiseConditionalMLP, ScoreMLP
from toylab.objectives import Denoising, Explicit, FiniteDifferenceSliced, Implicit, NoiseConditional
from toylab.objectives.objective import Objective
from toylab.schedules import geometric
from toylab.score import at
from toylab.training import Fit, fit

_SMALL_SIGMAS = (0.01, 0.05, 0.2, 0.5)
_RING_LEVEL = 0.55


@dataclass
class _Trainer:
    """The settings that all trainings share.

    Attributes:
        seed: of the whole experiment.
        device: where to train.
        n_networks: networks per training.
        share: of the optimiser steps.
        shown: the progress bar, one step per training.
    """

    seed: int
    device: torch.device | str
    n_networks: int
    share: float
    shown: tqdm

    def __call__(
        self,
        stage: int,
        network: Callable[[torch.Generator], nn.Module],
        objective: Objective[Any],
        data: Density | Tensor,
        n_steps: int,
        *,
        batch_size: int = 256,
        learning_rate: float = 5e-3,
        average: float = 0.99,
        report_every: int = 100,
        held_out: Callable[[nn.Module], float] | None = None,
    ) -> Fit[nn.Module]:
        """Train on a random stream of its own."""
        gen = generator(self.seed, stage, self.device)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "the network is piecewise linear")  # it is what is shown here
            result = fit(
                network(gen), objective, data, n_steps=scaled_count(n_steps, self.share), batch_size=batch_size,
                learning_rate=learning_rate, average=average, n_seeds=self.n_networks, held_out=held_out,
                report_every=report_every, generator=gen, device=self.device, progress=False,
            )  # fmt: skip
        self.shown.update()
        return result


def run(
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
    n_networks: int = 3,
    share: float = 1.0,
) -> Result:
    """Reproduce five failures by training, each beside its remedy.

    1. Implicit matching of a piecewise linear network (ReLU), which explicit matching and finite differences learn
       well.
    2. Implicit matching on a bare curve, whose loss falls without bound.
    3. Implicit matching on 100 fixed points: the loss falls, the divergence rises.
    4. Denoising at small sigma on the ring, plain and antithetic.
    5. The ring learned without its modes: a noise-conditional network that sees its points too small.

    Args:
        seed: of the whole experiment.
        device: where the training runs.
        progress: show a progress bar over the trainings.
        n_networks: networks per training; every number quoted is their mean, with their standard deviation.
        share: of the optimiser steps to take; 1 is what the numbers in the documentation were made with.
    """
    p, r = two_modes().to(device), ring().to(device)
    numbers: Numbers = {}
    arrays: Arrays = {}
    with tqdm(total=18, desc="failures", disable=not progress) as shown:
        train = _Trainer(seed, device, n_networks, share, shown)
        numbers["piecewise linear"] = _piecewise_linear(train, p)
        numbers["curve"], curve = _curve(train)
        numbers["100 points"], few = _few_points(train, p)
        arrays.update({**curve, **few})
        numbers["small sigma"] = _small_sigma(train, r)
        numbers["ring without modes"] = _without_modes(train, r)
    return Result("failures", numbers, arrays)


def _mlp(activation: Activation = functional.silu, width: int = 64) -> Callable[[torch.Generator], nn.Module]:
    return lambda gen: ScoreMLP(width, activation=activation, generator=gen)


def _piecewise_linear(train: _Trainer, p: Density) -> Numbers:
    """Fisher divergence on two modes, where doing nothing has 1."""
    objectives: dict[str, Objective[Any]] = {
        "implicit": Implicit(),
        "sliced by finite differences": FiniteDifferenceSliced(),
        "explicit": Explicit(p.score),
    }
    activations: dict[str, Activation] = {"ReLU": torch.relu, "SiLU": functional.silu}
    numbers, stage = {}, 0
    for label, objective in objectives.items():
        for name, activation in activations.items():
            networks = train(stage, _mlp(activation), objective, p, 600).networks
            numbers[f"{name}, {label}"] = spread([fisher_divergence(one, p) for one in networks])
            stage += 1
    return numbers


def _curve(train: _Trainer) -> tuple[Numbers, Arrays]:
    """Loss on 100,000 points of a circle, as points: on the density itself ``fit`` would refuse."""
    data = Circle(2.0).to(train.device).sample((100_000,), generator=generator(train.seed, 90, train.device))
    result = train(10, _mlp(), Implicit(), data, 600, report_every=10)
    loss = torch.stack([history.loss for history in result.histories])
    numbers = {"loss at the end": spread(loss[:, -1].tolist())}
    return numbers, {"curve/steps": result.history.steps.numpy(), "curve/loss": loss.numpy()}


def _few_points(train: _Trainer, p: Density) -> tuple[Numbers, Arrays]:
    """Loss and exact divergence on 100 points that never change."""
    data = p.sample((100,), generator=generator(train.seed, 91, train.device))
    result = train(
        11, _mlp(width=128), Implicit(), data, 1000, average=0.0, report_every=50,
        held_out=lambda network: fisher_divergence(network, p),
    )  # fmt: skip
    held_out = torch.stack([history.held_out for history in result.histories])
    loss = torch.stack([history.loss for history in result.histories])
    numbers = {
        "least divergence": spread(held_out.min(1).values.tolist()),
        "divergence at the end": spread(held_out[:, -1].tolist()),
        "loss at the end": spread(loss[:, -1].tolist()),
    }
    return numbers, {
        "few/steps": result.history.steps.numpy(),
        "few/held_out": held_out.numpy(),
        "few/loss": loss.numpy(),
    }


def _small_sigma(train: _Trainer, r: Density) -> Numbers:
    """Divergence from p_sigma as a share of 1/2 I(p_sigma), after 1,000 steps."""
    numbers = {}
    for stage, sigma in enumerate(_SMALL_SIGMAS, start=20):
        half = 0.5 * fisher_information(r, sigma)
        for antithetic in (False, True):
            objective = Denoising(sigma, antithetic=antithetic)
            networks = train(stage, _mlp(), objective, r, 1000, learning_rate=2e-3).networks
            label = f"{sigma}, {'antithetic' if antithetic else 'plain'}"
            numbers[label] = spread([fisher_divergence(one, r, sigma) / half for one in networks])
    return numbers


def _without_modes(train: _Trainer, r: Density) -> Numbers:
    """Divergence at sigma = 0.55 as a share of 1/2 I there."""
    sigmas, half = geometric(8.0, 0.05, 20), 0.5 * fisher_information(r, _RING_LEVEL)

    def conditional(gain: float) -> Callable[[torch.Generator], nn.Module]:
        return lambda gen: NoiseConditionalMLP(gain=gain, data_std=2.85, generator=gen)

    numbers = {}
    for label, gain, antithetic, batch_size in (
        ("gain 1, plain", 1.0, False, 512),
        ("gain 3, antithetic", 3.0, True, 256),
    ):
        objective = NoiseConditional(sigmas, antithetic=antithetic)
        networks = train(
            30, conditional(gain), objective, r, 1500, batch_size=batch_size, learning_rate=2e-3
        ).networks  # fmt: skip
        off = [fisher_divergence(at(one, _RING_LEVEL), r, _RING_LEVEL) for one in networks]
        numbers[label] = spread([value / half for value in off])
    return numbers


def draw(result: Result) -> Figure:
    """Five panels, one per failure; bars are means over the seeds, whiskers their standard deviation."""
    numbers, arrays = result.numbers, result.arrays
    with plotting.look():
        figure, axes = plt.subplots(2, 3, figsize=(18, 10.5), layout="constrained")
        _bars(
            axes[0, 0],
            numbers["piecewise linear"],
            "ReLU under an implicit loss\nlearns nothing",
            "Fisher divergence",
            log=True,
        )
        ax = axes[0, 1]
        for loss in arrays["curve/loss"]:
            ax.plot(arrays["curve/steps"], loss, color=plotting.LEARNED, lw=2)
        ax.set_yscale("symlog", linthresh=10)
        ax.set(
            title="On a bare curve the implicit\nloss has no floor", xlabel="step", ylabel="loss (linear within ±10)"
        )
        ax = axes[0, 2]
        for k, (loss, held_out) in enumerate(zip(arrays["few/loss"], arrays["few/held_out"], strict=True)):
            labels = ("loss on the points", "Fisher divergence, exact") if k == 0 else (None, None)
            ax.plot(arrays["few/steps"], loss, color=plotting.LEARNED, lw=2, label=labels[0])
            ax.plot(arrays["few/steps"], held_out, color=plotting.EXACT, lw=2, ls="--", label=labels[1])
        ax.set_yscale("symlog", linthresh=1)
        ax.legend(frameon=False)
        ax.set(
            title="On 100 fixed points the loss falls\nand the error grows", xlabel="step", ylabel="linear within ±1"
        )
        share = "divergence, share of ½ I(p_σ)"
        _bars(axes[1, 0], numbers["small sigma"], "Denoising at small σ (ring):\nnoise hides the signal", share)
        title = f"The ring learned without its modes\n(seen at σ = {_RING_LEVEL})"
        _bars(axes[1, 1], numbers["ring without modes"], title, share)
        axes[1, 2].set_axis_off()
        axes[1, 2].text(0.0, 0.95, _REMEDIES, va="top", fontsize=15, linespacing=1.6)
    return figure


_REMEDIES = """What mends it

ReLU: a smooth activation, or
finite differences, which see kinks.

Curve: noise the data, or denoise.

100 points: fresh points, noise,
or stop early.

Small σ: antithetic noise ±z.

Ring: the points at a larger scale
(gain 3), antithetic noise."""


def _bars(ax: Axes, numbers: Numbers, title: str, label: str, *, log: bool = False) -> None:
    names, means = list(numbers), [row["mean"] for row in numbers.values()]
    stds = [row["std"] for row in numbers.values()]
    where = np.arange(len(names))[::-1]
    ax.barh(where, means, xerr=stds, color=plotting.LEARNED, height=0.62, error_kw={"lw": 2, "capsize": 4})
    for y, mean, std in zip(where, means, stds, strict=True):
        ax.annotate(f" {mean:.2g} ± {std:.1g}", (mean + std, y), xytext=(4, 0), textcoords="offset points", va="center")
    ax.set_yticks(where, names)
    if log:
        ax.set_xscale("log")
        ax.set_xlim(min(means) / 3, max(means) * 12)
    else:
        ax.set_xlim(0, max(m + s for m, s in zip(means, stds, strict=True)) * 1.35)
    ax.set(title=title, xlabel=label)
