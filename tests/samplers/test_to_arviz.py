"""Chains on the axes that ArviZ wants: every number is at its chain, its draw and its coordinate."""

import sys

import numpy as np
import pytest
import torch

from toylab import metrics
from toylab.densities import two_modes
from toylab.samplers import mala

P = two_modes().to(torch.float64)


def ran(keep_every=2):
    g = torch.Generator().manual_seed(0)
    start = P.sample((5,), generator=g)
    return mala(P.log_prob, P.score, start, step_size=1.0, n_steps=12, keep_every=keep_every, generator=g,
                progress=False)  # fmt: skip


def test_every_number_is_at_its_place():
    pytest.importorskip("xarray")
    chains = ran()
    tree = chains.to_arviz(P.log_prob)
    x, stats = tree["posterior"]["x"], tree["sample_stats"]
    assert x.dims == ("chain", "draw", "coordinate")
    assert x.shape == (5, 7, 2)
    for chain, draw, name in ((0, 0, "x1"), (4, 6, "x2"), (3, 1, "x1")):
        value = float(x.sel(chain=chain, draw=draw, coordinate=name))
        assert value == float(chains.path[draw, chain, int(name[1]) - 1])
        assert float(stats["lp"].sel(chain=chain, draw=draw)) == float(P.log_prob(chains.path)[draw, chain])
        assert float(stats["acceptance_rate"].sel(chain=chain)) == float(chains.acceptance[chain])
    assert x["label"].values.tolist() == chains.labels.tolist()
    assert float(x.isel(draw=2)["label"]) == 4
    assert not stats["diverged"].values.any()
    assert "lp" not in chains.to_arviz()["sample_stats"]
    x.values[:] = 0
    assert float(chains.path.abs().max()) > 0


def test_arviz_finds_the_effective_sample_sizes_that_we_find():
    pytest.importorskip("arviz_base")
    from arviz_stats import ess, rhat

    chains = ran()
    ours, tree = metrics.convergence(chains), chains.to_arviz()
    np.testing.assert_allclose(ess(tree)["x"], ours.ess, rtol=1e-6)
    np.testing.assert_allclose(rhat(tree)["x"], ours.r_hat, rtol=1e-6)


def test_what_cannot_be_is_told(monkeypatch):
    pytest.importorskip("xarray")
    with pytest.raises(ValueError, match="the chains hold no path: run the sampler with keep_every=1"):
        ran(keep_every=None).to_arviz()
    with pytest.raises(ValueError, match=r"log_prob gives shape \[7, 5, 2\]"):
        ran().to_arviz(P.score)
    with pytest.raises(TypeError, match="log_prob is a"):
        ran().to_arviz(3)
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ModuleNotFoundError, match=r'to_arviz needs xarray: pip install "toylab\[study\]"'):
        ran().to_arviz()
