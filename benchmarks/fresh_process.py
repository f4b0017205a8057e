"""Python in a process of its own, where nothing is loaded yet."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def in_a_fresh_process(code: str, *arguments: str) -> str:
    """What the code prints; it can import ``toylab`` and ``benchmarks``."""
    command = [sys.executable, "-c", code, *arguments]
    # an environment that forbids keeping bytecode would have ours, but not what pip compiled, compiled at every import
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=ROOT).stdout
