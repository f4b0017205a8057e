"""Score matching as it was trained in 2019, to be measured beside ours in the same run."""

import torch
from torch import Tensor
from tqdm.auto import tqdm

from toylab._internal.cuda_graphs import capture_step
from toylab._internal.devices import records
from toylab._internal.random import normal_like
from toylab._internal.threads import one_thread
from toylab.densities import Density
from toylab.networks import ScoreMLP


def train_as_the_reference(
    density: Density,
    *,
    n_steps: int = 10_000,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
    progress: bool,
) -> ScoreMLP:
    """The reference settings: the same network and loss, trained as in 2019.

    Variance-reduced sliced score matching with one Gaussian slice, differentiated by a double backward pass; Adam at
    a constant 1e-3; fresh batches of 128; 10,000 steps; no averaging (Song & Ermon 2019, arXiv:1907.05600, toy
    experiments). It runs at its best: with torch's fused Adam, and on one thread, since two make steps this small
    slower; on a GPU as a CUDA graph.
    """
    network, device = ScoreMLP(generator=generator).to(device), torch.device(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True, capturable=records(device))

    def step() -> Tensor:
        x = density.sample((128,), generator=generator).requires_grad_()
        v = normal_like(x, generator)
        s = network(x)
        (jacobian_v,) = torch.autograd.grad((s * v).sum(), x, create_graph=True)
        loss = ((jacobian_v * v).sum(-1) + 0.5 * s.square().sum(-1)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.detach()

    step = capture_step(step, device, generator=generator)
    with one_thread():
        for _ in tqdm(range(n_steps), desc="estimation: reference settings", unit="step", disable=not progress):
            step()
    return network
