"""A refusal stays a sentence that can be read, however long the repr of what was given."""

import pytest

from tests.fuzz.calls import P, calls, points
from toylab.densities import Circle, Mixture, fractal_tree
from toylab.paths import Linear

MOST = 500  # characters: some four lines
MANY = Mixture([0.01] * 100, [P] * 100)
LONG = [MANY] * 100
CALLS = [call for call in calls() if call.arguments and not call.name.startswith(("testing.", "widgets.", "plotting."))]


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_a_refusal_is_short(call):
    for name in call.arguments:
        try:
            call.function(**{key: make() for key, make in call.arguments.items()} | {name: LONG})
        except (TypeError, ValueError) as error:
            assert len(str(error)) < MOST, name


@pytest.mark.parametrize("law", [fractal_tree(), MANY], ids=["tree", "mixture"])
def test_a_refusal_of_a_long_law_is_short(law):
    """One of the law itself, and not of its type: the exact velocity from such a source is not known."""
    with pytest.raises(ValueError, match=r"source is Mixture.* and density .*: the exact velocity is known") as told:
        Linear(Mixture([0.5, 0.5], [law, Circle()])).velocity(law, points(), 0.5)
    assert len(str(told.value)) < MOST
