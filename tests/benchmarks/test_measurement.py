"""What becomes of a measurement that goes wrong, in this process or in one of its own."""

import os
import subprocess
import sys

import pytest

from benchmarks.measurement import Measurement, measured
from benchmarks.row import Row
from benchmarks.worker import Worker

ROW = Row("work", "peer", 1.0)
FOUND = Row("work", "peer", 1.0, (1.0,), (2.0,))


def raising(error):
    def measure():
        yield FOUND
        raise error

    return Measurement((ROW, ROW), measure)


def test_what_is_measured_is_returned():
    assert measured(Measurement((ROW,), lambda: [FOUND])) == (FOUND,)


def test_a_failure_is_told_in_one_line_in_each_of_its_rows():
    rows = measured(raising(RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB")))
    assert [row.failed for row in rows] == ["RuntimeError: CUDA out of memory. Tried to allocate 2 GiB"] * 2
    assert not any(row.met or row.measured for row in rows)
    assert len(measured(raising(ValueError("x" * 10_000)))[0].failed) < 400


def test_of_a_process_that_fails_the_last_words_are_told():
    with pytest.raises(subprocess.CalledProcessError) as found:
        subprocess.run(
            [sys.executable, "-c", "raise ValueError('the last words')"], check=True, capture_output=True, text=True
        )
    said = measured(raising(found.value))[0].failed
    assert said == "CalledProcessError: exit status 1, ValueError: the last words"


def test_ctrl_c_is_no_failure():
    with pytest.raises(KeyboardInterrupt):
        measured(raising(KeyboardInterrupt()))


def test_what_is_skipped_is_not_measured():
    (row,) = measured(Measurement((ROW,), lambda: pytest.fail("measured"), "no device"))
    assert (row.skipped, row.failed, row.ours) == ("no device", "", ())


def fragile(share):
    """Three that go wrong, each followed by one that tells the process that it ran in."""

    def here():
        return [Row("work", "peer", share, (float(os.getpid()),), (1.0,))]

    for goes_wrong in (lambda: 1 / 0, lambda: os._exit(7), lambda: [Row("no such", "peer", 1.0, (lambda: 0,))]):
        yield Measurement((ROW,), goes_wrong)
        yield Measurement((ROW,), here)
    yield Measurement((ROW,), here)
    yield Measurement((ROW,), here, "no device")


def test_a_process_that_dies_takes_no_other_row_with_it():
    with Worker() as worker:
        rows = [row for (row,) in worker.rows(fragile, 0.5)]
    assert [bool(row.failed) for row in rows] == [True, False, True, False, True, False, False, False]
    assert rows[0].failed == "ZeroDivisionError: division by zero"
    assert rows[2].failed == "the process that measured it ended with exit code 7"
    assert "pickle" in rows[4].failed  # what is found must be told to this process
    assert rows[-1].skipped == "no device"
    processes = [rows[k].ours[0] for k in (1, 3, 5, 6)]
    assert len({os.getpid(), *processes}) == 4  # a new one after each failure, and only then
    assert processes[2] == processes[3]
    assert all(row.goal == 0.5 for row in rows[1:7:2])  # the share reaches it
    for pid in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
