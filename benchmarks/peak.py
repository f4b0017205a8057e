"""The most memory that a process has held."""

import re
from pathlib import Path


def peak_gb() -> float:
    """Of this process, Python and torch included, on Linux.

    Its ru_maxrss would begin with the memory of the process that started it.
    """
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError("/proc/self/status has no line VmHWM: peak memory is known on Linux only.")
    return int(found[1]) * 1024 / 1e9
