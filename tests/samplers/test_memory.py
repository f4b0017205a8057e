"""What a large run costs in memory: it does not depend on the number of steps, as no path is kept."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_a_hundred_thousand_chains_of_mala_stay_below_a_gigabyte(tmp_path):
    """The benchmark at 10 of its 1,000 steps, Python and torch included."""
    call = [sys.executable, "-m", "benchmarks", "memory", "--share", "0.01", "--out", str(tmp_path), "--quiet"]
    done = subprocess.run(call, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    measured = json.loads((tmp_path / "memory.json").read_text())
    assert (measured["chains"], measured["steps"]) == (100_000, 10)
    assert measured["peak_gb"] < 1


def test_the_recorded_run_stayed_below_it_too():
    recorded = json.loads((ROOT / "benchmarks" / "results" / "memory.json").read_text())
    assert (recorded["chains"], recorded["steps"]) == (100_000, 1000)
    assert recorded["peak_gb"] < 1
