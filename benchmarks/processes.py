"""What a whole process takes: to import toylab, and to draw all figures."""

import tempfile
from collections.abc import Iterator

from benchmarks.fresh_process import in_a_fresh_process
from benchmarks.row import Row
from benchmarks.timing import time_in_turns
from toylab.experiments.setting import scaled_count

_FIGURES = """
import sys, time
from benchmarks.peak import peak_gb
start = time.perf_counter()
from toylab.cli import main
main(["figures", "--quiet", "--out", sys.argv[1]])
print(time.perf_counter() - start, peak_gb())
"""


def import_rows(share: float) -> Iterator[Row]:
    """A fresh interpreter each time; the first, which compiles and fills the disk cache, is not counted."""
    times = time_in_turns(
        lambda: in_a_fresh_process("import toylab"),
        lambda: in_a_fresh_process("import torch"),
        repeats=scaled_count(13, share, least=2),
    )
    yield Row("import toylab", "import torch", 1.1, *times, "a fresh process each")


def figures_rows(share: float) -> Iterator[Row]:
    """``toylab figures`` once, in full whatever the share: against a limit, since there is no peer."""
    with tempfile.TemporaryDirectory() as folder:
        seconds, peak = (float(word) for word in in_a_fresh_process(_FIGURES, folder).split()[-2:])
    yield Row("toylab figures", "limit 60 s", 1.0, (seconds,), (60.0,))
    yield Row("toylab figures, peak memory", "limit 1.5 GB", 1.0, (peak,), (1.5,), unit="GB")
