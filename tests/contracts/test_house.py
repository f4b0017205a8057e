"""The house rules, read from the source: imports go down, no picture in the core, no global seed, one way to warn."""

import ast
import graphlib
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "toylab"
NAME = PACKAGE.name

FLOORS = {
    0: ("_internal",),
    0.5: ("_kernels",),  # what a GPU does in one launch, in place of the plain path of a floor above
    1: ("score",),
    1.5: ("guidance",),  # scores made of scores
    2: ("densities", "discrete"),
    3: ("schedules", "sde", "networks"),
    3.5: ("paths",),  # beside sde, one of which it can follow
    4: ("objectives", "samplers"),
    5: ("training", "metrics", "testing", "museum", "study"),
    5.5: ("",),  # the package itself: the public names of the floors below, and no picture
    6: ("plotting",),
    7: ("experiments",),
    7.5: ("papers", "studies", "live"),  # published toy results, studies of ours, and pages that need no kernel
    8: ("widgets", "classroom"),
    9: ("cli",),
    10: ("__main__",),
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}

GLOBAL_SEEDS = {
    "torch.manual_seed",
    "torch.seed",
    "torch.set_rng_state",
    "torch.default_generator",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
    "torch.cuda.seed",
    "torch.cuda.seed_all",
}
GLOBAL_STREAMS = ("random.", "numpy.random.", "torch.random.")
LOCAL = {"numpy.random.RandomState"}  # a stream of its own, for a published constant made by one
# torch's distributions draw from the global stream alone: a generator can only be put in its place for the draw
STAND_IN = {
    "toylab.densities.torch_distribution": {"torch.random.fork_rng"},
    "toylab._internal.devices": {"torch.set_rng_state"},
    "toylab._internal.warn": {"warnings.warn"},
}
# before torch 2.13 these take no generator
LIKES = {"torch.rand_like", "torch.randn_like", "torch.randint_like"}
EXPLICIT_PYPLOT = {"close", "colormaps", "figure", "get_cmap", "rcParams", "rc_context", "show", "subplots"}


def modules():
    """{dotted name: (tree, is a package)} of every module of toylab."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        tree = ast.parse(path.read_text(), str(path))
        if name == NAME:  # the rooms above it, which it loads when asked for, are named to type checkers alone
            tree.body = [node for node in tree.body if not ast.unparse(node).startswith("if TYPE_CHECKING:")]
        found[name] = (tree, is_package)
    return found


MODULES = modules()


def room(module):
    """The first name below toylab: toylab.densities.density lives in densities, toylab itself in ''."""
    return module.split(".")[1] if "." in module else ""


def sources(tree, module, is_package):
    """(line, module, name or None) of every import, wherever in the file, relative ones made absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, None
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                above = parts[: len(parts) - node.level + is_package]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                yield node.lineno, base, alias.name


def own_imports(tree, module, is_package, known):
    """(line, module) of every import from toylab; `from toylab import score` is the module, if it is one."""
    for line, base, name in sources(tree, module, is_package):
        if base.split(".")[0] == NAME:
            yield line, f"{base}.{name}" if f"{base}.{name}" in known else base


def upward(tree, module, is_package, known):
    """Imports that do not go down: from another room on the same floor or on a higher one."""
    here = room(module)
    return [
        f"{module}:{line} (floor {FLOOR_OF[here]}) imports {other} (floor {FLOOR_OF[room(other)]})"
        for line, other in own_imports(tree, module, is_package, known)
        if room(other) != here and FLOOR_OF[room(other)] >= FLOOR_OF[here]
    ]


def dotted_uses(tree):
    """(line, full dotted name) of every name and attribute: `import a as b`, `from a import b` undone."""
    meaning = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                meaning[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                meaning[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def full(node):
        if isinstance(node, ast.Name):
            return meaning.get(node.id)
        if isinstance(node, ast.Attribute):
            base = full(node.value)
            return base and f"{base}.{node.attr}"
        return None

    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and (name := full(node)):
            yield node.lineno, name


def forbidden(tree):
    """(line, what) of asserts, global random numbers and pyplot's current figure."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield node.lineno, "assert: raise ValueError or TypeError instead"
    for line, name in dotted_uses(tree):
        if name in GLOBAL_SEEDS or (name.startswith(GLOBAL_STREAMS) and name not in LOCAL):
            yield line, f"{name}: take a torch.Generator instead"
        elif name in LIKES:
            yield line, f"{name}: use toylab._internal.random"
        elif name in {"warnings.warn", "warnings.warn_explicit"}:
            yield line, f"{name}: use toylab._internal.warn, whose warnings are shown every time"
        elif name.startswith("matplotlib.pyplot.") and name.split(".")[2] not in EXPLICIT_PYPLOT:
            yield line, f"{name}: draw on the Axes that is handed in"


# what asks for the kind of a device: the decisions stand in one place, and what only CUDA has beside its only use
DECIDES_ON_A_DEVICE = {"toylab._internal.devices", "toylab._internal.cuda_graphs", "toylab._kernels.when"}
KINDS = {"is_cuda", "is_mps", "is_cpu", "is_xpu"}


def on_a_device(tree):
    """(line, what) of every question for the kind of a device, and every use of torch.cuda and the like."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "type" and ast.unparse(node.value).endswith("device"):
            yield node.lineno, f"{ast.unparse(node)}: ask toylab._internal.devices"
        elif isinstance(node, ast.Attribute) and node.attr in KINDS:
            yield node.lineno, f"{node.attr}: ask toylab._internal.devices"
    for line, name in dotted_uses(tree):
        if name in {"torch.cuda", "torch.mps", "torch.backends.cuda", "torch.backends.mps"}:
            yield line, f"{name}: use it in toylab._internal.devices"


PEERS = {"torchebm", "blackjax", "jax"}  # what benchmarks/ measures ours against; whoever installs toylab has none


def test_no_peer_is_imported():
    found = {
        f"{module}:{line} imports {base}"
        for module, (tree, is_package) in MODULES.items()
        for line, base, _ in sources(tree, module, is_package)
        if base.split(".")[0] in PEERS | {"benchmarks"}
    }
    assert found == set()


def test_the_wheel_has_toylab_and_no_benchmarks():
    root = PACKAGE.parent
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    top_level = {path.parent.name for path in root.glob("*/__init__.py")}
    assert {name for name in top_level if any(fnmatch(name, pattern) for pattern in patterns)} == {NAME}
    assert all((path.parent / "__init__.py").exists() for path in PACKAGE.rglob("*.py"))  # setuptools finds packages


def test_every_module_has_a_floor():
    assert len(MODULES) > 3
    unknown = {room(module) for module in MODULES} - set(FLOOR_OF)
    assert not unknown, f"give {sorted(unknown)} a floor in FLOORS, and in CONTRIBUTING.md"


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module):
    tree, is_package = MODULES[module]
    assert upward(tree, module, is_package, MODULES) == []


def test_imports_have_no_cycle():
    graph = {
        module: {other for _, other in own_imports(tree, module, is_package, MODULES) if other != module}
        for module, (tree, is_package) in MODULES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


@pytest.mark.parametrize("module", MODULES)
def test_nothing_forbidden_is_used(module):
    tree, _ = MODULES[module]
    allowed = STAND_IN.get(module, set())
    found = [(line, what) for line, what in forbidden(tree) if what.split(":")[0] not in allowed]
    assert [f"{module}:{line} {what}" for line, what in found] == []


@pytest.mark.parametrize("module", sorted(MODULES.keys() - DECIDES_ON_A_DEVICE))
def test_devices_are_decided_on_in_one_place(module):
    tree, _ = MODULES[module]
    assert [f"{module}:{line} {what}" for line, what in on_a_device(tree)] == []


@pytest.mark.parametrize(
    "line",
    [
        "x.device.type == 'cpu'",
        "device.type != 'cuda'",
        "x.is_cuda",
        "import torch\ntorch.cuda.is_available()",
        "from torch import cuda\ncuda.current_stream()",
        "import torch\ntorch.backends.mps.is_available()",
    ],
)
def test_the_rule_of_devices_catches_what_it_forbids(line):
    assert list(on_a_device(ast.parse(line)))


def test_import_toylab_is_headless():
    code = (
        "import sys; from toylab import *; "
        "print(*sorted({'matplotlib', 'ipywidgets', 'IPython'} & {m.split('.')[0] for m in sys.modules}))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == []


@pytest.mark.parametrize(
    "line",
    [
        "import torch\ntorch.manual_seed(0)",
        "from torch import manual_seed as fix\nfix(0)",
        "import numpy as np\nnp.random.rand(3)",
        "from numpy.random import default_rng\ndefault_rng(0)",
        "import random\nrandom.seed(0)",
        "import torch\nz = torch.randn_like(x)",
        "import warnings\nwarnings.warn('look')",
        "from warnings import warn\nwarn('look')",
        "import matplotlib.pyplot as plt\nplt.gca().plot(x)",
        "from matplotlib import pyplot\npyplot.title('t')",
        "def f(x):\n    assert x > 0",
    ],
)
def test_the_rules_catch_what_they_forbid(line):
    assert list(forbidden(ast.parse(line)))


def test_the_rules_let_pass_what_is_meant():
    kept = (
        "import torch\nimport matplotlib.pyplot as plt\ng = torch.Generator().manual_seed(0)\n"
        "z = torch.randn(3, generator=g)\nfig, ax = plt.subplots()\nax.plot(z)\n"
    )
    assert list(forbidden(ast.parse(kept))) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("toylab.score", "from toylab.densities import Density"),
        ("toylab.densities.density", "from toylab import samplers"),
        ("toylab.densities.density", "from ..samplers import langevin"),
        ("toylab.samplers.mala", "def f():\n    import toylab.objectives.sliced"),
        ("toylab.plotting.score_field", "from toylab.experiments import run"),
        ("toylab.training.fit", "from toylab import __version__"),
    ],
)
def test_the_floors_catch_an_import_that_goes_up(module, line):
    known = {NAME, *(f"{NAME}.{r}" for r in FLOOR_OF)}
    assert upward(ast.parse(line), module, False, known)
