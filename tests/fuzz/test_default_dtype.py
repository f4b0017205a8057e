"""Torch's default dtype is the user's: with float64 every call works, and nothing comes out in float32."""

import importlib.util
import sys

import numpy as np
import pytest
import torch

from tests.fuzz import calls as in_float32


@pytest.fixture(autouse=True)
def double():
    """The default of a user who has set it before anything was made."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(scope="module")
def calls():
    """The calls, with the densities and machines that they share made in float64."""
    before = torch.get_default_dtype()
    spec = importlib.util.spec_from_file_location("tests.fuzz.calls_in_float64", in_float32.__file__)
    sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    torch.set_default_dtype(torch.float64)
    spec.loader.exec_module(sys.modules[spec.name])
    found = {str(call): call for call in sys.modules[spec.name].calls()}
    torch.set_default_dtype(before)
    yield found
    del sys.modules[spec.name]


def single(value, path="result", depth=0):
    """Where in a result there are numbers of float32."""
    if isinstance(value, torch.Tensor | np.ndarray):
        counts = (
            path.startswith("result.state.tensors") and value.ndim == 0
        )  # of Adam's steps, float32 as torch has them
        return [path] if str(value.dtype).endswith("float32") and not counts else []
    if isinstance(value, torch.nn.Module):
        return [f"{path}.{name}" for name, part in value.state_dict().items() if part.dtype == torch.float32]
    parts = dict(enumerate(value)) if isinstance(value, tuple | list) else value
    parts = parts if isinstance(parts, dict) else getattr(value, "__dict__", {})
    return [found for name, part in parts.items() if depth < 4 for found in single(part, f"{path}.{name}", depth + 1)]


@pytest.mark.parametrize("name", [str(call) for call in in_float32.calls()])
@pytest.mark.filterwarnings("ignore")
def test_a_call_works_in_double_precision_and_gives_it(name, calls):
    call = calls[name]
    assert single(call.function(**{name: make() for name, make in call.arguments.items()})) == []
