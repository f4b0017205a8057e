"""Peak memory of 100,000 chains of MALA on the ring, 1,000 steps, no path kept."""

import time
from typing import Any

import torch

from benchmarks.machine import made_with
from benchmarks.peak import peak_gb
from toylab.densities import ring
from toylab.experiments.setting import scaled_count
from toylab.samplers import mala

N_CHAINS = 100_000


def run(share: float) -> dict[str, Any]:
    """The peak is that of the whole process, Python and torch included; ``share`` is of the steps."""
    n_steps = scaled_count(1000, share)
    p, g = ring(), torch.Generator().manual_seed(0)
    x = p.sample((N_CHAINS,), generator=g)
    start = time.perf_counter()
    chains = mala(p.log_prob, p.score, x, step_size=0.05, n_steps=n_steps, generator=g)
    return {
        **made_with(share),
        "chains": N_CHAINS,
        "steps": n_steps,
        "seconds": time.perf_counter() - start,
        "acceptance": float(chains.acceptance.mean()),
        "peak_gb": peak_gb(),
    }
