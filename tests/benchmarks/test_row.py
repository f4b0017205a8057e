import pytest

from benchmarks.peers import why_missing
from benchmarks.row import Row, table
from benchmarks.timing import time_in_turns
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


def test_the_table_says_by_how_much_a_goal_is_missed_and_why_a_row_was_skipped():
    rows = [
        Row("one", "peer", 1.0, ours=(1.0,), theirs=(2.0,), reached="the same"),
        Row("two", "limit", 0.25, ours=(1.0,), theirs=(2.0,), unit="GB"),
        Row("three", "other", 0.2, skipped="other is not installed"),
    ]
    lines = table(rows).splitlines()[2:]
    assert lines == [
        "| one | peer | 1 s | 2 s | 0.5 (0.5–0.5) | 1 | yes | the same |",
        "| two | limit | 1 GB | 2 GB | 0.5 (0.5–0.5) | 0.25 | no, 2.0 × |  |",
        "| three | other | – | – | – | 0.2 | – | other is not installed |",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.000123456, "0.00012 s"), (0.0999, "0.1 s"), (1.26, "1.3 s"), (12.3, "12 s"), (123.4, "123 s")],
)
def test_numbers_have_two_digits_that_count(seconds, said):
    assert f"| {said} |" in table([Row("one", "peer", 1.0, ours=(seconds,), theirs=(1.0,))])


def test_a_missing_package_is_named_with_its_remedy():
    assert why_missing("torch") == ""
    assert why_missing("no-such-package") == 'no-such-package is not installed: pip install -e ".[bench]"'


def test_share_of_a_number():
    assert (scaled_count(1000, 0.1), scaled_count(3, 0.01), scaled_count(7, 0.01, least=2)) == (100, 1, 2)
