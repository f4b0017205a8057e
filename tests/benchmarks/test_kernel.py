"""What a kernel holds is counted as the system counts it."""

import pytest

from benchmarks.kernel import memory_after


@pytest.mark.nightly
def test_a_kernel_that_fills_fifty_megabytes_holds_fifty_more_of_its_own():
    before, after = memory_after(["x = 1"]), memory_after([r"x = b'\1' * 50_000_000"])
    for kind in ("USS", "PSS", "RSS"):
        assert after[kind] - before[kind] == pytest.approx(0.05, abs=0.005)
    assert before["USS"] < before["PSS"] < before["RSS"]
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        memory_after(["1 / 0"])
