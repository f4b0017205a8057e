"""What is left to the night, what strict nbval leaves out of the comparison, and how it runs a cell.

Pictures are judged by the tests of the figures; widget models have new identities in every run; progress bars
go to stderr. Nothing else is left out.
"""

import importlib.util
import os
import sys
import zlib
from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True)
def figures_are_closed():
    """What one test has opened is not counted by another."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


collect_ignore = ["tests/static_types.py"]  # for mypy alone; to run it is to make the mistakes it lists

# Without a GPU, Triton's interpreter runs the kernels: to be asked for before one of them, or of Triton's, is defined
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
# Without Triton, tests/kernels/test_when.py says so; what is left out imports it
if not importlib.util.find_spec("triton"):
    rooms = (Path(__file__).parent / name for name in ("tests/kernels", "toylab/_kernels"))
    without = {"__init__.py", "conftest.py", "tangents.py", "test_when.py", "when.py"}
    collect_ignore += [str(path) for room in rooms for path in room.glob("*.py") if path.name not in without]

# Files of long families of cases, of which one in four is run with every change; `make suite MARKS=` runs all
IN_PART = (
    "tests/test_testing",
    "tests/benchmarks",
    "tests/densities/test_any_parameters",
    "tests/densities/test_banana",
    "tests/densities/test_bandwidth",
    "tests/densities/test_circles",
    "tests/densities/test_curves",
    "tests/densities/test_energy",
    "tests/densities/test_funnel",
    "tests/densities/test_given",
    "tests/densities/test_heavy_tails",
    "tests/densities/test_torch_distribution",
    "tests/densities/test_truncated",
    "tests/devices/test_card",
    "tests/devices/test_default_device.py::test_calls",
    "tests/devices/test_lessons_on_a_card",
    "tests/devices/test_on_a_card",
    "tests/devices/test_wrong_devices",
    "tests/experiments/test_experiments.py::test_drawn_from_disk",
    "tests/fuzz",
    "tests/guidance",
    "tests/internal/test_cuda_graphs",
    "tests/kernels",
    "tests/metrics/test_coverage",
    "tests/metrics/test_distances",
    "tests/metrics/test_kl_divergence",
    "tests/metrics/test_likelihood_bound",
    "tests/paths/test_irreducible.py::test_every_law",
    "tests/samplers/test_diagnosis",
    "tests/samplers/test_flow",
    "tests/samplers/test_likelihood",
    "tests/samplers/test_orders",
)

SKIPPED = ("image/png", "application/vnd.jupyter.widget-view+json", "stderr")


def pytest_collection_modifyitems(items):
    """Leave most cases of long families to the night, the same ones every time."""
    for item in items:
        in_part = item.nodeid.startswith(IN_PART) and hasattr(item, "callspec")
        if in_part and zlib.crc32(item.nodeid.encode()) % 4:
            item.add_marker(pytest.mark.nightly)


def pytest_collectstart(collector):
    """Add to the kinds of output that a notebook's collector does not compare."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += SKIPPED


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Run cells as Jupyter does, with history: without it, a trailing ``;`` silences nothing."""
    kernel = getattr(item.parent, "kernel", None)
    if not hasattr(kernel, "execute_cell_input") or hasattr(kernel, "keeps_history"):
        return

    def execute(source, allow_stdin=None):
        return kernel.kc.execute(source, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)

    kernel.execute_cell_input = execute
    kernel.keeps_history = True
