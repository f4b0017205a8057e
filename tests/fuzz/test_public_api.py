"""Nothing in the public API ends in an error that is not ours, hangs, takes memory unasked or gives nan in silence.

Each call is tried with one of its arguments replaced by a value that does not belong; ``python -m tests.fuzz.exhaust``
tries every such value in every argument.
"""

import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.calls import calls
from tests.fuzz.exhaust import tried
from tests.fuzz.hostile import strategy

CALLS = calls()
FEW = settings(max_examples=5, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_the_valid_arguments_are_valid(call):
    call.function(**{name: make() for name, make in call.arguments.items()})


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded by Linux's RLIMIT_AS")
@pytest.mark.parametrize("call", [call for call in CALLS if call.arguments], ids=str)
@FEW
@given(data=st.data())
def test_misuse_is_told(call, data):
    name = data.draw(st.sampled_from(sorted(call.arguments)), label="argument")
    value = data.draw(strategy(call.arguments[name]()), label="value")
    assert tried(call, name, value) is None
