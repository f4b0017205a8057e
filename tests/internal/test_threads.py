import os
import subprocess
import sys
import threading

import pytest
import torch

from toylab._internal.threads import WAIT_POLICY, one_thread, wait_passively

LISTED = """
from toylab.cli import main

main(["figures", "--list"])
import torch
"""


@pytest.mark.parametrize(("given", "kept"), [(None, "PASSIVE"), ("active", "ACTIVE")])
@pytest.mark.skipif(sys.platform != "linux", reason="another OpenMP, which prints this in other words")
def test_the_threads_of_a_command_sleep_where_they_wait_unless_told_otherwise(given, kept):
    kept_of_ours = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    environment = {**kept_of_ours, "OMP_DISPLAY_ENV": "true", **({WAIT_POLICY: given} if given else {})}
    done = subprocess.run(
        [sys.executable, "-c", LISTED], env=environment, capture_output=True, text=True, timeout=300, check=True
    )
    assert f"OMP_WAIT_POLICY = '{kept}'" in done.stderr  # as torch's own threads read it


def test_what_is_set_stays(monkeypatch):
    monkeypatch.setenv(WAIT_POLICY, "active")
    wait_passively()
    assert os.environ[WAIT_POLICY] == "active"
    monkeypatch.delenv(WAIT_POLICY)
    wait_passively()
    assert os.environ[WAIT_POLICY] == "passive"


def test_one_thread_and_then_as_many_as_before_whatever_happens():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt), one_thread():
            assert torch.get_num_threads() == 1
            raise KeyboardInterrupt
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_blocks_that_overlap_leave_no_thread_behind_with_one():
    """In two threads, the first entered and left first; then a third asks, to which torch tells what was set last."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    first_in, second_in, first_out = (threading.Event() for _ in range(3))
    seen = []

    def first():
        with one_thread():
            first_in.set()
            second_in.wait(60)
        seen.append(torch.get_num_threads())
        first_out.set()

    def second():
        first_in.wait(60)
        with one_thread(), one_thread():
            second_in.set()
            first_out.wait(60)
            seen.append(torch.get_num_threads())
        seen.append(torch.get_num_threads())

    try:
        begun = [threading.Thread(target=it) for it in (first, second)]
        for thread in begun:
            thread.start()
        for thread in begun:
            thread.join(60)
        last = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        last.start()
        last.join(60)
        assert seen == [2, 1, 2, 2]
    finally:
        torch.set_num_threads(before)
