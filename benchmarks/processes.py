"""What a whole process takes: to import toylab, and to draw all figures."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.fresh_process import in_a_fresh_process
from benchmarks.measurement import Measurement
from benchmarks.row import Row, limit
from benchmarks.timing import time_in_turns
from toylab.experiments.setting import scaled_count

_FIGURES = """
import sys, time
from benchmarks.peak import peak_gb
start = time.perf_counter()
from toylab.cli import main
if status := main(["figures", "--quiet", "--device", "cpu", "--out", sys.argv[1]]):
    sys.exit(status)
print(time.perf_counter() - start, peak_gb())
"""


def import_rows(share: float) -> Iterator[Measurement[Row]]:
    """A fresh interpreter each time; the first, which compiles and fills the disk cache, is not counted."""
    row = Row("from toylab import *", "import torch", 1.1)

    def measure() -> Iterator[Row]:
        ours, theirs = time_in_turns(
            lambda: in_a_fresh_process("from toylab import *"),
            lambda: in_a_fresh_process("import torch"),
            repeats=scaled_count(13, share, least=2),
        )
        yield replace(row, ours=ours, theirs=theirs, reached="a fresh process each")

    yield Measurement((row,), measure)


def figures_rows(share: float) -> Iterator[Measurement[Row]]:
    """``toylab figures`` once, in full whatever the share: against a limit, since there is no peer."""
    rows = limit("toylab figures", 60.0), limit("toylab figures, peak memory", 1.5, unit="GB")

    def measure() -> Iterator[Row]:
        with tempfile.TemporaryDirectory() as folder:
            found = in_a_fresh_process(_FIGURES, folder).split()[-2:]
        for row, number in zip(rows, found, strict=True):
            yield replace(row, ours=(float(number),))

    yield Measurement(rows, measure)
