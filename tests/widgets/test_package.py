"""What the package needs, and that its computations need no widgets."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import toylab.widgets


@pytest.mark.parametrize("name", ["ipywidgets", "anywidget"])
def test_a_missing_package_names_the_extra(monkeypatch, name):
    for module in [module for module in sys.modules if f"{module}.".startswith("toylab.widgets.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=re.escape(f'needs {name}: pip install "toylab[lab]"')):
        importlib.import_module("toylab.widgets")


@pytest.mark.parametrize(
    ("blocked", "asked_for", "said"),
    [
        ("traitlets", "import toylab; toylab.widgets.noise_ladder()", "toylab.widgets needs traitlets"),
        (
            "jupyter_server", "from toylab.cli import main; sys.exit(main(['lab', '--no-browser']))",
            "toylab lab needs JupyterLab",
        ),
    ],
)  # fmt: skip
def test_a_missing_package_of_another_s_names_the_extra_too(blocked, asked_for, said):
    """In a Python of its own, in which the package cannot be imported."""
    code = f"import sys; sys.modules[{blocked!r}] = None\n{asked_for}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode != 0
    assert run.stderr.strip().splitlines()[-1].endswith(f'{said}: pip install "toylab[lab]"')


@pytest.mark.parametrize(
    "name", ["diffusion_states", "langevin_run", "noise_descent", "score_reading", "training_task"]
)
def test_computations_know_neither_widgets_nor_figures(name):
    source = (Path(toylab.widgets.__file__).parent / f"{name}.py").read_text()
    assert not re.search(r"ipywidgets|anywidget|matplotlib|plotting|stage", source)
