"""A number of NumPy, or in a tensor without dimensions, is as good as one of Python, and is one in what comes out."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from tests.fuzz.calls import calls


def is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def with_numbers(call):
    """The arguments of a call, its numbers made by NumPy and by torch in turn."""
    found = {name: make() for name, make in call.arguments.items()}
    numbers = [name for name, value in found.items() if is_number(value)]
    kinds = itertools.cycle([(np.int64, np.float32), (torch.tensor, torch.tensor)])
    made = {
        name: (of_int if isinstance(found[name], int) else of_float)(found[name])
        for name, (of_int, of_float) in zip(numbers, kinds, strict=False)
    }
    return {**found, **made}


CALLS = [call for call in calls() if any(is_number(make()) for make in call.arguments.values())]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_numbers_of_other_libraries_are_numbers(call):
    result = call.function(**with_numbers(call))
    if dataclasses.is_dataclass(result) and not type(result).__name__.startswith("_"):
        held = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
        foreign = [name for name, value in held.items() if isinstance(value, np.generic | np.ndarray)]
        foreign += [name for name, value in held.items() if isinstance(value, torch.Tensor) and value.ndim == 0]
        assert not foreign, held
