"""Every case that was ever found wrong is right now, and stays so: ``counterexamples.json``, kept by the search."""

import json

import mpmath as mp
import numpy as np
import pytest

from tests.truth import cases, reference, search

KEPT = json.loads(search.KEPT.read_text())


@pytest.mark.parametrize("case", KEPT, ids=[f"{case['law'][0]}-{k}" for k, case in enumerate(KEPT)])
def test_kept(case):
    x, sigma = np.array([case["x"]]), np.array([case["sigma"]])
    (outcome,) = search.judge(cases.Batch("", case["law"], x, sigma, case["dtype"]))
    assert not outcome.found, json.dumps(outcome.found)


def test_the_values_that_are_kept_are_those_of_the_reference():
    for case in KEPT[::5]:
        value = reference.evaluate(case["law"], tuple(case["x"]), case["sigma"])
        for kept, part in zip(case["want"], (value.log_p, value.s1, value.s2, value.div), strict=True):
            was = mp.mpf(kept)
            assert was == part or (mp.isnan(was) and mp.isnan(part)) or abs(was - part) <= 1e-15 * max(1, abs(part))
