"""Memory between steps: counted in pages that the system has to hand out."""

import platform
import subprocess
import sys

import pytest

LOOP = """
import resource
import statistics
import torch
from toylab._internal.malloc import keep_freed_memory

torch.set_num_threads(1)
keep_freed_memory()

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def step():
    [torch.ones(1_500_000) for _ in range(8)]  # 6 MB each, all alive together

new = []
for _ in range(50):
    before = pages()
    step()
    new.append(pages() - before)
print(statistics.median(new))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc hands memory back between steps")
@pytest.mark.parametrize("process", range(2))
def test_a_step_takes_no_new_pages(process):
    """Eight tensors are 11,720 pages of 4 kB. Without the call nine processes in ten take them anew at every step (it
    depends on where the heap happens to end), hence two processes. With it a process may, once, take some of them anew
    while its heap settles, hence the median of the steps."""
    run = subprocess.run([sys.executable, "-c", LOOP], capture_output=True, check=True)
    assert float(run.stdout) < 10
