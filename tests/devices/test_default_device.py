"""Torch's default device is the user's: what is computed is where the points are, and parameters stay on the CPU.

On the device meta tensors hold no numbers, so that whatever is made there in silence cannot be computed with.
"""

import ast
from pathlib import Path

import pytest
import torch

import toylab
from tests.fuzz.calls import calls

FACTORIES = {
    "arange", "as_tensor", "empty", "eye", "full", "linspace", "logspace", "ones", "rand", "randint", "randn",
    "randperm", "scalar_tensor", "tensor", "tril_indices", "triu_indices", "zeros",
}  # fmt: skip
FEW = (
    "densities.GaussianMixture", "densities.Mixture", "densities.Circle.", "densities.Truncated",
    "densities.FromEnergy",
    "densities.StudentTMixture.", "densities.Banana", "densities.isotropic", "densities.ring", "schedules.", "sde.VP",
    "score.", "paths.Linear", "paths.draw", "discrete.BoltzmannMachine", "objectives.NoiseConditional",
    "objectives.FlowMatching", "objectives.LogUniform", "samplers.langevin", "samplers.reverse_sde",
    "metrics.fisher_divergence", "metrics.histogram", "testing.", "training.fit",
)  # fmt: skip
HOME = Path(toylab.__file__).parent
FILES = sorted(HOME.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOME)))
def test_every_new_tensor_names_its_device(path):
    without = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).removeprefix("torch.") in FACTORIES
        and ast.unparse(node.func).startswith("torch.")
        and not any(keyword.arg in ("device", None) for keyword in node.keywords)
    ]
    assert not without


def on_meta(value):
    if isinstance(value, torch.Tensor):
        return value.device.type == "meta"
    if isinstance(value, (tuple, list)):
        return any(map(on_meta, value))
    return any(isinstance(part, torch.Tensor) and on_meta(part) for part in getattr(value, "__dict__", {}).values())


@pytest.mark.parametrize("call", [call for call in calls() if call.name.startswith(FEW)], ids=str)
def test_calls_do_not_see_the_default_device(call):
    arguments = {name: make() for name, make in call.arguments.items()}
    with torch.device("meta"):
        result = call.function(**arguments)
    assert not on_meta(result)
