import math
from dataclasses import replace

import pytest

from benchmarks.peers import why_missing
from benchmarks.row import Row, limit, table, worst
from benchmarks.timing import time_alone, time_in_turns
from toylab.experiments.setting import scaled_count


def test_sides_take_turns_after_a_run_that_does_not_count():
    calls, ticks = [], iter(range(1000))
    sides = [lambda: calls.append("a"), lambda: calls.append("b"), lambda: calls.append("c")]
    times = time_in_turns(*sides, repeats=4, clock=lambda: next(ticks))
    assert calls == ["a", "b", "c"] * 5
    assert times == [(1,) * 4] * 3  # the clock is read just before and just after


def test_a_side_may_measure_itself():
    own = iter([9.0, 0.25, 0.5])
    assert time_in_turns(lambda: next(own), repeats=2) == [(0.25, 0.5)]


def test_ratio_range_and_goal():
    row = Row("work", "peer", 0.5, ours=(1.0, 2.0, 9.0), theirs=(4.0, 5.0, 3.0))
    assert row.ratio == 0.5  # of the medians, 2 and 4
    assert row.range == (0.25, 3.0)
    assert row.met
    assert not Row("work", "peer", 0.49, ours=(1.0, 2.0, 9.0), theirs=(4.0, 5.0, 3.0)).met


def test_a_goal_is_met_only_by_a_result_that_is_near_enough():
    fast = Row("work", "peer", 0.5, ours=(1.0,), theirs=(4.0,), allowed=0.002)
    assert replace(fast, error=0.002).met
    assert not any(replace(fast, error=error).met for error in (0.0021, math.nan, math.inf, None))
    assert not replace(fast, ours=(3.0,), error=0.001).met
    assert replace(fast, allowed=None).met  # where nothing is named
    assert not replace(fast, error=0.001, failed="RuntimeError: out of memory").met
    assert not replace(fast, error=0.001, skipped="no device").met


def test_the_worst_of_some_errors_is_nan_if_one_is():
    assert worst([0.1, 0.3, 0.2]) == 0.3
    assert math.isnan(worst([0.1, math.nan])) and math.isnan(worst([math.nan, 0.1]))


def test_a_limit_is_for_all_of_the_work():
    row = replace(limit("work", 0.03), ours=(0.02, 0.04, 0.01))
    assert (row.ratio, row.met) == (pytest.approx(2 / 3), True)
    assert row.range == (pytest.approx(1 / 3), pytest.approx(4 / 3))
    assert not replace(row, ours=(0.031,)).met
    assert not replace(limit("work", 0.03, share=0.5), ours=(0.02,)).met


def test_the_table_says_what_was_missed_and_why_a_row_has_no_numbers():
    rows = [
        Row("one", "peer", 1.0, ours=(1.0,), theirs=(2.0,), reached="the same"),
        Row("two", "other", 0.25, ours=(1.0,), theirs=(2.0,), unit="GB", floor=0.5),
        replace(limit("three", 0.03), ours=(0.02,), floor=0.0001),
        replace(limit("four", 1.5, unit="GB"), ours=(3.0,)),
        replace(limit("five", 1.0, share=0.1), ours=(0.5,)),
        replace(limit("six", 1.0), ours=(0.5,), error=0.0069, allowed=0.002, reached="the loss"),
        replace(limit("seven", 1.0), ours=(0.5,), error=0.001, allowed=0.002),
        replace(limit("eight", 1.0), ours=(0.5,), allowed=0.002),
        Row("nine", "other", 0.2, skipped="other is not installed"),
        replace(limit("ten", 2.0), failed="RuntimeError: a | b"),
    ]
    lines = table(rows).splitlines()[2:]
    assert lines == [
        "| one | peer | 1 s | 2 s | 0.5 (0.5–0.5) | 1 | yes | – | the same |",
        "| two | other | 1 GB | 2 GB | 0.5 (0.5–0.5) | 0.25 | no, 2.0 × | 0.5 GB |  |",
        "| three | limit | 0.02 s | – | 0.67 (0.67–0.67) | ≤ 0.03 s | yes | 0.1 ms |  |",
        "| four | limit | 3 GB | – | 2 (2–2) | ≤ 1.5 GB | no, 2.0 × | – |  |",
        "| five | limit | 0.5 s | – | 0.5 (0.5–0.5) | ≤ 1 s | –, a share | – |  |",
        "| six | limit | 0.5 s | – | 0.5 (0.5–0.5) | ≤ 1 s | no, not reached | – | the loss; off by 0.0069, "
        "allowed 0.002 |",
        "| seven | limit | 0.5 s | – | 0.5 (0.5–0.5) | ≤ 1 s | yes | – | off by 0.001, allowed 0.002 |",
        "| eight | limit | 0.5 s | – | 0.5 (0.5–0.5) | ≤ 1 s | no, not reached | – | off by not measured, "
        "allowed 0.002 |",
        "| nine | other | – | – | – | 0.2 | – | – | other is not installed |",
        "| ten | limit | – | – | – | ≤ 2 s | – | – | failed: RuntimeError: a / b |",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.000000123456, "0.00012 ms"),
        (0.000123456, "0.12 ms"),
        (0.0012345, "0.0012 s"),
        (0.0999, "0.1 s"),
        (1.26, "1.3 s"),
        (12.3, "12 s"),
        (123.4, "123 s"),
    ],
)
def test_numbers_have_two_digits_that_count(seconds, said):
    assert f"| {said} |" in table([Row("one", "peer", 1.0, ours=(seconds,), theirs=(1.0,))])


def test_the_first_call_is_timed_by_itself():
    calls = []
    first, rest = time_alone(lambda: calls.append(1) or float(len(calls)), repeats=3)
    assert (first, rest) == (1.0, (2.0, 3.0, 4.0))


def test_a_missing_package_is_named_with_its_remedy():
    assert why_missing("torch") == ""
    assert why_missing("no-such-package") == 'no-such-package is not installed: pip install -e ".[bench]"'


def test_share_of_a_number():
    assert (scaled_count(1000, 0.1), scaled_count(3, 0.01), scaled_count(7, 0.01, least=2)) == (100, 1, 2)
