"""What a whole process takes: to import toylab, and to draw all figures."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from toylab.bench.row import Row, interleaved, some

_FIGURES = """
import sys, time
start = time.perf_counter()
from toylab.cli import main
main(["figures", "--quiet", "--out", sys.argv[1]])
seconds = time.perf_counter() - start
# ru_maxrss would begin with the memory of whoever started this process
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(seconds, int(peak.split()[1]) * 1024 / 1e9)
"""


def import_rows(share: float) -> Iterator[Row]:
    """A fresh interpreter each time; the first, which compiles and fills the disk cache, is not counted."""
    times = interleaved(
        lambda: _python("import toylab"), lambda: _python("import torch"), repeats=some(13, share, least=2)
    )
    yield Row("import toylab", "import torch", 1.1, *times, "a fresh process each")


def figures_rows(share: float) -> Iterator[Row]:
    """``toylab figures`` once, in full whatever the share: against a limit, for there is no peer."""
    with tempfile.TemporaryDirectory() as folder:
        seconds, peak = (float(word) for word in _python(_FIGURES, folder).split()[-2:])
    yield Row("toylab figures", "limit 60 s", 1.0, (seconds,), (60.0,))
    yield Row("toylab figures, peak memory", "limit 1.5 GB", 1.0, (peak,), (1.5,), unit="GB")


def _python(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    # an environment that forbids to keep bytecode would have ours, but not what pip compiled, compiled at every import
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
