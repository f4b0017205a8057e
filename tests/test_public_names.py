"""What `import toylab` gives, and what it leaves for later."""

import os
import subprocess
import sys

import pytest

import toylab

ROOMS = [
    "densities", "discrete", "experiments", "guidance", "metrics", "museum", "networks", "objectives", "paths",
    "plotting", "samplers", "schedules", "score", "sde", "study", "testing", "training", "widgets",
]  # fmt: skip

CODE = """
import sys
import toylab

print("torch" in sys.modules)
from toylab import *

def loaded(*names):
    return [name for name in names if name in sys.modules]

slow = ("arviz_stats", "matplotlib", "ipywidgets", "pandas", "toylab.museum", "toylab.plotting", "toylab.study",
        "toylab.widgets")
print(loaded(*slow))
print(callable(toylab.plotting.score_field), loaded(*slow))
sys.modules["ipywidgets"] = None  # as where it is not installed
try:
    from toylab import widgets
except ModuleNotFoundError as error:
    print(error)
for name in ("xarray", "pandas"):
    sys.modules[name] = None
    try:
        import toylab.study
    except ModuleNotFoundError as error:
        print(error)
"""


def test_dir_shows_what_a_user_needs():
    assert dir(toylab) == ["ToylabWarning", "__version__", *ROOMS]
    assert set(toylab.__all__) < {"ToylabWarning", *ROOMS}


def test_pictures_and_widgets_are_loaded_when_asked_for_and_name_their_extra():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines() == [
        "False",
        "[]",
        "True ['matplotlib', 'toylab.plotting']",
        'toylab.widgets needs ipywidgets: pip install "toylab[lab]"',
        'toylab.study needs xarray: pip install "toylab[study]"',
        'toylab.study needs pandas: pip install "toylab[study]"',
    ], done.stderr


A_LESSON = """
import sys
import torch
from toylab import plotting, widgets
from toylab.densities import from_torch, two_modes
from toylab.networks import ScoreMLP
from toylab.objectives import Sliced
from toylab.paths import GaussianPath
from toylab.score import gradient, value_and_vjp
from toylab.training import fit

p, x = two_modes(), torch.zeros(3, 2)
gradient(p.log_prob, x)
value_and_vjp(p.score, x, x[None])
from_torch(torch.distributions.Independent(torch.distributions.Normal(torch.zeros(2), torch.ones(2)), 1)).score(x)
GaussianPath(alpha=lambda t: t, sigma=lambda t: 1 - t).velocity(p, x, 0.5)
heavy = ("arviz_stats", "pandas", "scipy.optimize", "scipy.stats", "sympy", "torch._dynamo", "torch._inductor")
print([name for name in heavy if name in sys.modules])
fit(ScoreMLP(), Sliced(), p, n_steps=2, progress=False)
print([name for name in heavy if name in sys.modules])
"""


def test_a_lesson_loads_nothing_heavy_that_it_does_not_use():
    """Of a class on one machine each kernel holds its own: torch's compiler is 38 MB, sympy 33, SciPy's parts 20.

    Torch itself loads sympy for a backward pass from several losses, which costs fewer launches than from their sum.
    """
    done = subprocess.run([sys.executable, "-c", A_LESSON], capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines() == ["[]", "['sympy']"], done.stderr


EACH_FIRST = """
import importlib
import os
import sys

import matplotlib.pyplot
import scipy.stats
import torch

for name in sys.argv[1:]:
    if os.fork() == 0:  # a process in which nothing of toylab is loaded yet
        importlib.import_module(f"toylab.{name}")
        os._exit(0)
    _, status = os.wait()
    print(name, status)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_each_room_can_be_the_first_that_is_imported():
    rooms = [name for name in ROOMS if name not in {"study", "widgets"}]  # what they need need not be installed
    done = subprocess.run([sys.executable, "-c", EACH_FIRST, *rooms], capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines() == [f"{name} 0" for name in rooms], done.stderr


def test_other_names_are_refused_as_ever():
    with pytest.raises(AttributeError, match="module 'toylab' has no attribute 'plots'"):
        toylab.plots  # noqa: B018
