"""Learning-rate schedules and the moving average of weights, against their formulas."""

import math

import pytest
import torch

from toylab.networks import ScoreMLP
from toylab.training import WeightAverage, constant, cosine, one_cycle
from toylab.training.averaging import _by_dtype, _end_to_end, in_one_piece


def test_ends_and_middles():
    assert [constant(t) for t in (0, 0.3, 1)] == [1, 1, 1]
    assert [cosine(t) for t in (0, 1 / 3, 0.5, 1)] == pytest.approx([1, 0.75, 0.5, 0], abs=1e-15)
    for t, value in {0: 1 / 25, 0.05: 0.52, 0.1: 1, 0.55: 0.5, 1: 0}.items():
        assert one_cycle(t) == pytest.approx(value, abs=1e-15)
    assert one_cycle(0.15, warm_up=0.3) == pytest.approx(0.52)


def test_one_cycle_is_continuous_up_then_down():
    t = [k / 10_000 for k in range(10_001)]
    values = [one_cycle(u) for u in t]
    jumps = [b - a for a, b in zip(values, values[1:], strict=False)]
    assert max(map(abs, jumps)) < 1e-4 * (math.pi / 2) * 10 * 1.001  # the steepest slope is pi / 2 / warm_up
    assert all(jump > 0 for jump in jumps[:999])
    assert all(jump < 0 for jump in jumps[1001:])


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.99])
def test_average_is_its_recursion(decay):
    """w_avg <- d_k w_avg + (1 - d_k) w with d_k = min(decay, k / (k + 10)), k = 0, 1, ...: the first update forgets."""
    network = ScoreMLP(4, generator=torch.Generator().manual_seed(0)).double()
    averaged = WeightAverage(network, decay)
    assert all(torch.equal(a, b) for a, b in zip(averaged.network.parameters(), network.parameters(), strict=True))
    expected = [p.detach().clone() for p in network.parameters()]
    g = torch.Generator().manual_seed(1)
    for k in range(30):
        with torch.no_grad():
            for p in network.parameters():
                p += torch.randn(p.shape, dtype=p.dtype, generator=g)
        averaged.update()
        d = min(decay, k / (k + 10))
        expected = [d * e + (1 - d) * p.detach() for e, p in zip(expected, network.parameters(), strict=True)]
        for p, e in zip(averaged.network.parameters(), expected, strict=True):
            torch.testing.assert_close(p, e, rtol=1e-12, atol=1e-12)
            assert not p.requires_grad
    assert averaged.n_steps == 30
    assert all(p.requires_grad for p in network.parameters())


def test_average_of_weights_of_two_kinds_however_they_lie():
    """One is in double precision, one lies across; those of a network of one piece are not copied to be averaged."""
    network = torch.nn.ParameterList([torch.ones(3), torch.zeros(2, 2, dtype=torch.float64), torch.ones(4, 3).mT])
    averaged = WeightAverage(network, 0.5)
    assert [(p.dtype, p.shape) for p in averaged.network.parameters()] == [(p.dtype, p.shape) for p in network]
    for k in range(20):
        with torch.no_grad():
            for p in network:
                p.copy_(torch.arange(p.numel()).view(p.shape) + k)
        averaged.update()
    expected, share = [torch.arange(p.numel()).view(p.shape).double() for p in network], 1.0
    mean = 0.0
    for k in range(20):
        share = max(10 / (k + 10), 0.5)
        mean += share * (k - mean)
    for p, e in zip(averaged.network.parameters(), expected, strict=True):
        torch.testing.assert_close(p.double(), e + mean, rtol=1e-6, atol=1e-6)


def test_weights_in_one_piece_are_the_weights():
    network, x = ScoreMLP(4, generator=torch.Generator().manual_seed(0)), torch.randn(5, 2)
    before = network(x)
    (piece,) = in_one_piece(network)
    assert torch.equal(network(x), before)
    assert torch.equal(piece, torch.nn.utils.parameters_to_vector(network.parameters()))
    (weights,) = _by_dtype(network)
    assert _end_to_end(weights).data_ptr() == piece.data_ptr()
    assert torch.equal(_end_to_end(weights[::-1]), torch.cat([w.reshape(-1) for w in weights[::-1]]))
    piece.zero_()
    assert not network(x).any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_late_updates_have_the_share_of_the_decay(dtype):
    """After 1000 updates towards 0 the next towards 1 moves the average by 1 - decay; bfloat16 counts to 256 alone."""
    network = torch.nn.Linear(1, 1, bias=False).to(dtype)
    averaged = WeightAverage(network, 0.99)
    (w,), (mean,) = network.parameters(), averaged.network.parameters()
    for value in [0.0] * 1000 + [1.0]:
        torch.nn.init.constant_(w, value)
        averaged.update()
    assert averaged.n_steps == 1001
    assert float(mean) == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize("decay", [1.0, -0.1, math.nan])
def test_bad_decay(decay):
    with pytest.raises(ValueError, match="decay"):
        WeightAverage(ScoreMLP(4), decay)
