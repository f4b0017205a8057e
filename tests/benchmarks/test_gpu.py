"""The measurements of a GPU run; on the CPU here, where nothing is recorded."""

import math

import pytest
import torch

from benchmarks import gpu
from benchmarks.hardware_limit import hardware_limit
from benchmarks.step import trained_objectives
from toylab._internal.cuda_graphs import changes_nothing


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # so few steps warn of chains that have not moved
def test_every_row_is_measured_where_there_is_a_device():
    rows = list(gpu.rows(0.0005, "cpu"))
    measured_rows = [row for row in rows if not row.skipped]
    assert len(rows) == 16
    assert len(measured_rows) >= 15  # torchebm may be missing
    assert all(math.isfinite(row.ratio) and min(row.ours) > 0 for row in measured_rows)
    assert len({row.work for row in rows}) == 15  # Langevin stands beside two


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_without_cuda_every_row_says_so():
    rows = list(gpu.rows(0.0005))
    assert len(rows) == 16
    assert {row.skipped for row in rows} == {"torch sees no CUDA device"}


def test_the_two_sides_are_one_recorded_and_one_not():
    for objective in trained_objectives().values():
        assert changes_nothing(objective)
        assert not changes_nothing(gpu.without_graph(objective))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_limit_of_a_gpu():
    limit = hardware_limit(repeats=2, device="cuda")
    assert all(0 < seconds < 1e-8 for seconds in (limit.flop, limit.exp, limit.normal, limit.uniform))
