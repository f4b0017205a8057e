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


# They make a function of points, which is checked by what calls it
MAKERS = (
    "score.at", "score.without_level", "sde.score_at", "samplers.flow_velocity", "guidance.classifier", "guidance.dps",
    "guidance.pigdm", "guidance.tmpd",
)  # fmt: skip
OF_A_SCORE = [call for call in CALLS if "score" in call.arguments and call.name not in MAKERS]


@pytest.mark.parametrize("call", OF_A_SCORE, ids=str)
def test_a_score_of_one_column_is_refused_and_not_broadcast(call):
    """As [n, 1] it would broadcast against points [n, 2], and sample or measure another law in silence."""
    arguments = {name: make() for name, make in call.arguments.items()}
    right = arguments["score"]
    arguments["score"] = lambda *at: right(*at)[..., :1]
    with pytest.raises((ValueError, TypeError), match="score"):
        call.function(**arguments)
